"""`make mutants`: breaks a copy of this tree in many small ways; the tests must notice every one.

mutants.toml says which files are broken, how many breaks of each are drawn, which tests must notice, and has
breaks that are written by hand. A break that no test can notice must be argued there. Results are JSON on
stdout; exit code 1 when a break survives without an argument.
"""

import argparse
import ast
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "tools" / "mutants.toml"
PATIENCE = 3
"""A mutant may take as many times what the tests take without it; endless loops are caught by that."""


@dataclass(frozen=True, order=True)
class Mutant:
    """A file with one place changed: `old` is at `start` of its text."""

    file: str
    start: int
    old: str
    new: str

    def apply(self, text: str) -> str:
        assert text[self.start : self.start + len(self.old)] == self.old
        return text[: self.start] + self.new + text[self.start + len(self.old) :]

    def lines(self, text: str) -> tuple[str, str]:
        """The line where it begins, before and after: how mutants.toml names it."""
        first = text.rfind("\n", 0, self.start) + 1
        before, after = (t[first:].splitlines()[0].strip() for t in (text, self.apply(text)))
        return before, after


# -- making -------------------------------------------------------------------------------------------

_COMPARE = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_ARITHMETIC = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.BitOr: ast.BitAnd,
}
_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}
_WORDLESS = (ast.JoinedStr, ast.Raise, ast.arg, ast.AnnAssign)  # messages and types, which nothing depends on


def _changed(node: ast.AST) -> ast.expr | None:
    """A node with its operator, number or function exchanged."""
    match node:
        case ast.Compare(left, [op], rest) if type(op) in _COMPARE:
            return ast.Compare(left, [_COMPARE[type(op)]()], rest)
        case ast.BinOp(left, op, right) if type(op) in _ARITHMETIC:
            return ast.BinOp(left, _ARITHMETIC[type(op)](), right)
        case ast.BoolOp(op, values):
            return ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
        case ast.UnaryOp(ast.Not(), operand):
            return operand
        case ast.Constant(bool(value)):
            return ast.Constant(not value)
        case ast.Constant(int(value)):
            return ast.Constant(value + 1)
        case ast.Call(ast.Name(name), arguments, keywords) if name in _NAMES:
            return ast.Call(ast.Name(_NAMES[name]), arguments, keywords)
    return None


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    """What runs, without messages and types."""
    for field, child in ast.iter_fields(node):
        if field in ("returns", "annotation", "decorator_list"):
            continue
        for one in child if isinstance(child, list) else [child]:
            if isinstance(one, ast.AST) and not isinstance(one, _WORDLESS):
                yield one
                yield from _nodes(one)


def python_mutants(file: str, text: str) -> list[Mutant]:
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line.encode()))
    found = []
    for node in _nodes(ast.parse(text)):
        new = _changed(node)
        if new is not None and isinstance(node, ast.expr):
            assert node.end_lineno is not None and node.end_col_offset is not None
            ends = (
                starts[node.lineno - 1] + node.col_offset,
                starts[node.end_lineno - 1] + node.end_col_offset,
            )
            begin, end = (len(text.encode()[:at].decode()) for at in ends)
            ast.fix_missing_locations(new)
            found.append(Mutant(file, begin, text[begin:end], f"({ast.unparse(new)})"))
    return found


_C_TOKENS = {
    " < ": [" <= "],
    " <= ": [" < "],
    " > ": [" >= "],
    " >= ": [" > "],
    " == ": [" != "],
    " != ": [" == "],
    " + ": [" - "],
    " - ": [" + "],
    " * ": [" + "],
    " / ": [" * "],
    " % ": [" / "],
    " && ": [" || "],
    " || ": [" && "],
    " += ": [" -= "],
    "max_s32(": ["min_s32("],
    "min_s32(": ["max_s32("],
    " = 0;": [" = 1;"],
    "INT8_MIN": ["INT8_MAX"],
    "INT32_MIN": ["0"],
}
_C_TOKEN = re.compile("|".join(map(re.escape, sorted(_C_TOKENS, key=len, reverse=True))))
_C_SILENT = re.compile(r"/\*.*?\*/|^#(?:if|ifndef|include|endif|pragma)[^\n]*", re.DOTALL | re.MULTILINE)


def c_mutants(file: str, text: str) -> list[Mutant]:
    code = _C_SILENT.sub(lambda found: " " * len(found[0]), text)
    return [
        Mutant(file, found.start(), found[0], new)
        for found in _C_TOKEN.finditer(code)
        for new in _C_TOKENS[found[0]]
    ]


def _drawn(file: str, count: int, seed: int) -> list[Mutant]:
    text = (ROOT / file).read_text(encoding="utf-8")
    every = python_mutants(file, text) if file.endswith(".py") else c_mutants(file, text)
    return sorted(random.Random(f"{seed} {file}").sample(every, min(count, len(every))))


def _written(file: str, old: str, new: str) -> Mutant:
    text = (ROOT / file).read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise SystemExit(f"mutants.toml: {file} has {old!r} {text.count(old)} times, not once")
    return Mutant(file, text.index(old), old, new)


@dataclass(frozen=True)
class Area:
    """Files, and the tests that must notice their mutants, the quickest first."""

    name: str
    mutants: tuple[Mutant, ...]
    tests: tuple[tuple[str, ...], ...]


def areas(data: Mapping[str, Any], seed: int) -> list[Area]:
    found = []
    for name, area in data["areas"].items():
        mutants = [m for file, count in area["draw"].items() for m in _drawn(file, count, seed)]
        mutants += [_written(m["file"], m["old"], m["new"]) for m in area.get("mutants", ())]
        found.append(Area(name, tuple(dict.fromkeys(mutants)), tuple(map(tuple, area["tests"]))))
    return found


# -- trying -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    area: str
    file: str
    line: int
    before: str
    after: str
    verdict: str  # caught, equivalent or survived
    by: str  # which test or time limit; the argument
    seconds: float


def copy_of_tree(folder: Path) -> None:
    """The files under version control and new ones, as they are in the checkout."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    for name in listed.stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def _tried(tree: Path, tests: Sequence[str], limit: float) -> str:
    """Which test fails in a tree, or nothing."""
    environment = {**os.environ, "PYTHONPATH": str(tree / "converter"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--tb=no", *tests]
    with subprocess.Popen(
        command,
        cwd=tree,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            return f"time limit of {limit:.0f} s"
        except BaseException:
            os.killpg(process.pid, 9)
            raise
    if not process.returncode:
        return ""
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
    return failed[1] if failed else f"pytest ended with {process.returncode}"


def _limits(tree: Path, area: Area, console: Console) -> list[float]:
    """How long each step of tests may take; they must pass before anything is broken."""
    limits = []
    for tests in area.tests:
        start = time.monotonic()
        failed = _tried(tree, tests, 3600)
        if failed:
            raise SystemExit(f"{failed} fails without any mutant")
        limits.append(60 + PATIENCE * (time.monotonic() - start))
    console.print(f"{area.name}: {len(area.mutants)} mutants, limits {[round(limit) for limit in limits]} s")
    return limits


def tried(
    tree: Path, area: Area, mutant: Mutant, limits: Sequence[float], known: Mapping[Any, str]
) -> Result:
    path = tree / mutant.file
    text = path.read_text(encoding="utf-8")
    before, after = mutant.lines(text)
    line, start = text.count("\n", 0, mutant.start) + 1, time.monotonic()
    verdict, by = "survived", ""
    try:
        path.write_text(mutant.apply(text), encoding="utf-8")
        for tests, limit in zip(area.tests, limits, strict=True):
            by = _tried(tree, tests, limit)
            if by:
                verdict = "caught"
                break
    finally:
        path.write_text(text, encoding="utf-8")
    argument = known.get((mutant.file, before, after), "")
    if argument:
        verdict, by = ("equivalent", argument) if verdict == "survived" else ("wrong argument", by)
    return Result(
        area.name, mutant.file, line, before, after, verdict, by, round(time.monotonic() - start, 1)
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--area", action="append", help="only this one; repeatable")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--list", action="store_true", help="only show the mutants")
    chosen = parser.parse_args(arguments)
    data = tomllib.loads(DATA.read_text(encoding="utf-8"))
    known = {(e["file"], e["before"], e["after"]): e["because"] for e in data.get("equivalent", ())}
    console, results = Console(stderr=True), list[Result]()
    some = [area for area in areas(data, chosen.seed) if not chosen.area or area.name in chosen.area]
    with tempfile.TemporaryDirectory(prefix="pingponnx-mutants-") as name:
        tree = Path(name).resolve()
        copy_of_tree(tree)
        for area in some:
            limits = [] if chosen.list else _limits(tree, area, console)
            for mutant in area.mutants:
                if chosen.list:
                    before, after = mutant.lines((ROOT / mutant.file).read_text(encoding="utf-8"))
                    console.print(f"{mutant.file}: {before}  ->  {after}", markup=False, highlight=False)
                    continue
                results.append(tried(tree, area, mutant, limits, known))
                last = results[-1]
                console.print(
                    f"{last.verdict} {last.file}:{last.line} {last.before} -> {last.after} ({last.by})",
                    markup=False,
                    highlight=False,
                )
    counts = {v: sum(r.verdict == v for r in results) for v in ("caught", "equivalent", "survived")}
    print(json.dumps({"planted": len(results), **counts, "mutants": [asdict(r) for r in results]}, indent=2))
    return 0 if counts["caught"] + counts["equivalent"] == len(results) else 1


if __name__ == "__main__":
    sys.exit(main())
