"""Strings, files and folders of strangers: they change no C but comments, no page but text, no table."""

import copy
import csv
import io
import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from junitparser import JUnitXml

from hostile import FILES, NAMES, Skeleton, renamed, without_comments
from models import HOST, command_line, converted, listing, make_model, make_node, save
from pingponnx import history
from pingponnx.check import check, rows_of
from pingponnx.check.formats import junit, lines, markdown, sarif
from pingponnx.decide import Budget
from pingponnx.errors import Error, ModelError, Unsupported, UnsupportedError
from pingponnx.front import Point
from pingponnx.load import load
from pingponnx.pipeline import Conversion, Options, normal_form
from pingponnx.report.document import render
from pingponnx.report.front_page import front_page
from pingponnx.report.plan_page import plan_page
from pingponnx.report.report_page import report_page
from pingponnx.report.trend_page import trend_page, trend_rows
from pingponnx.select import Goal
from pingponnx.terminal import guarded, plain, print_table
from test_external_data import OUTSIDE
from tiny_models import images

ROOT = Path(__file__).resolve().parents[1]
BASELINE: dict[str, Any] = json.loads((ROOT / "reports" / "baseline.json").read_text(encoding="utf-8"))
TEXTS = list(NAMES.values())
SURFACES = (
    14  # C of two variants, 4 pages, CSV, JSON, 2 of Markdown, JUnit, SARIF, lines of a check, terminal
)


# -- C, CMake and JSON --------------------------------------------------------------------------------


def _turns() -> Iterator[list[str]]:
    """All strings, rotated: each becomes an input's, an output's, a constant's and a node's name."""
    for step in range(8):
        turn = 14 * step % len(TEXTS)
        yield TEXTS[turn:] + TEXTS[:turn]


def _same_but_comments(hostile: Conversion, tame: Conversion) -> None:
    assert list(hostile.sources) == list(tame.sources)
    for file, text in hostile.sources.items():
        if file.endswith(".json"):
            found = json.loads(text)
            assert {n["name"] for n in found["nodes"]} == {n.name for n in hostile.graph.nodes}
            continue
        assert text.isascii() and set(text) <= {"\n", *map(chr, range(32, 127))}, file
        assert text.count("/*") == text.count("*/") and "??" not in text and "\\\n#" not in text
        same = text.replace(hostile.graph.checksum, tame.graph.checksum)
        assert without_comments(same) == without_comments(tame.sources[file]), file


@pytest.mark.parametrize("variant", ["optimised", pytest.param("cmsis-nn", marks=pytest.mark.cmsis)])
def test_the_c_is_the_same_but_for_comments(variant: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    tame = converted(save(images(), path), variant=variant)
    seen: set[str] = set()
    for names in _turns():
        hostile = converted(save(renamed(images(), names), path), variant=variant)
        seen |= {node.name for node in hostile.graph.nodes} | set(hostile.graph.tensors)
        _same_but_comments(hostile, tame)
    assert set(TEXTS) <= {name.removesuffix("@nhwc") for name in seen}
    for name, text in hostile.sources.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    options = [
        "-std=c11",
        "-Wall",
        "-Wextra",
        "-Wconversion",
        "-Wcomment",
        "-Wtrigraphs",
        "-Werror",
        "-fsyntax-only",
    ]
    library = hostile.library
    if library is not None:
        options += [f"-isystem{folder}" for folder in library.include_dirs]
        options += [f"-D{define}" for define in library.defines]
    done = subprocess.run(
        ["cc", *options, "-I.", "model.c", "model_data.c"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]


RESERVED = [
    "features",
    "arm_nnfunctions",
    "cmsis_gcc",
    "stdint",
    "kernel",
    "rows_data",
    "NULL",
    "int",
    "main",
    "memcpy",
]
RESERVED += ["EOF", "errno", "arm_math", "newlib", "pthread", "signal", "model", "arena", "quantize", "Stdio"]


def test_models_called_like_headers_and_symbols(tmp_path: Path) -> None:
    """Their headers come before the system's, under -I, and still everything is found."""
    model = make_model([make_node("Relu", ["x"], "y")], {"x": [1, 4]}, ["y"])
    normal = normal_form(save(model, tmp_path / "model.onnx"), HOST)
    from pingponnx.pipeline import convert

    (tmp_path / "all").mkdir()
    main, sources = (
        ["#include <stddef.h>", "#include <stdio.h>", "#include <pthread.h>", "#include <signal.h>"],
        [],
    )
    for name in RESERVED:
        conversion = convert(replace(normal, name=name), HOST)
        prefix = conversion.entry.prefix
        for file, text in conversion.sources.items():
            (tmp_path / "all" / file).write_text(text, encoding="utf-8")
        main.append(f'#include "{prefix}.h"\nint use_{prefix}(void);')
        main.append(f"int use_{prefix}(void) {{ return {prefix}_run(NULL); }}")
        sources += [f"{prefix}.c", f"{prefix}_data.c"]
    (tmp_path / "all" / "uses.c").write_text("\n".join(main) + "\n", encoding="utf-8")
    command = ["cc", "-std=gnu11", "-O0", "-Wall", "-Wextra", "-Werror", "-I.", "-c", "uses.c", *sources]
    done = subprocess.run(command, cwd=tmp_path / "all", capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(set(sources)) == 2 * len(RESERVED)


# -- pages and tables ---------------------------------------------------------------------------------


def _report(name: str) -> dict[str, Any]:
    """A report whose models, nodes, tables and notes are all called `name`."""
    content = copy.deepcopy(BASELINE)
    content["measurements"] = content["measurements"][:2]
    content["command"] = name
    for row in content["measurements"]:
        row["model"] = name
        row["input_obstacle"] = name
        for part in row["nodes"]:
            part["name"] = part["fallback"] = part["kernel"] = name
        for entry in row["ledger"]:
            entry["what"] = name
        for part in row.get("plan", {}).get("picture", {}).get("blocks", ()):
            part["name"] = name
    return content


TAME = "tame"


@pytest.mark.parametrize("label", NAMES)
def test_pages_have_the_same_elements(label: str) -> None:
    name = NAMES[label]
    hostile, tame = Skeleton(report_page(_report(name))), Skeleton(report_page(_report(TAME)))
    assert hostile.found == tame.found
    points = [
        Point(Goal.RAM, Budget(None, None), 100, 200, 300),
        Point(Goal.CYCLES, Budget(None, None), 200, 100, 200),
    ]
    fronts = [Skeleton(front_page(n, Options(), points)).found for n in (name, TAME)]
    assert fronts[0] == fronts[1]
    pages = []
    for called in (name, TAME):
        report = _report(called)
        entries = [history.entry_of(report, c * 40, f"2026-01-0{c}T12:00:00+00:00") for c in "12"]
        assert all(cell.isprintable() for row in trend_rows(entries) for cell in map(plain, row.values()))
        pages.append(Skeleton(trend_page(entries)).found)
    assert pages[0] == pages[1]


def test_the_plan_page_has_the_same_elements(tmp_path: Path) -> None:
    tame = converted(save(images(), tmp_path / "model.onnx"))
    want = Skeleton(plan_page(tame)).found
    for names in _turns():
        hostile = converted(save(renamed(images(), names), tmp_path / "model.onnx"))
        assert Skeleton(plan_page(hostile)).found == want


@pytest.mark.parametrize("label", NAMES)
def test_tables_keep_their_cells(label: str) -> None:
    name = NAMES[label]
    found, tame = render(_report(name)), render(_report(TAME))
    rows = [list(csv.reader(io.StringIO(text["report.csv"], newline=""))) for text in (found, tame)]
    assert [len(row) for row in rows[0]] == [len(row) for row in rows[1]]
    active = [
        cell for row in rows[0][1:] for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    ]
    assert all(cell.replace(".", "").lstrip("-").isdigit() for cell in active), active
    assert json.loads(found["report.json"]) == _report(name)
    shape = [[line.count("|") for line in _without_code(text["report.md"])] for text in (found, tame)]
    assert shape[0] == shape[1]
    for text in (found["report.md"], markdown(check(_worse(name), BASELINE))):
        text = "\n".join(_without_code(text))
        assert not set("<`*\x1b\x00\u202e") & set(text)
        assert "://" not in text and "](" not in text and "@everyone" not in text and "www.evil" not in text


def _without_code(text: str) -> list[str]:
    """Lines of Markdown without the command, which is code."""
    return [line for line in text.splitlines() if not line.startswith("    ")]


def _worse(name: str) -> dict[str, Any]:
    """A run with a new row and a worse node, both called `name`."""
    run = copy.deepcopy(BASELINE)
    run["measurements"][0]["model"] = name
    row = run["measurements"][1]
    row["ram"]["total"], row["cycles"] = 10**6, 10**7
    row["nodes"][0] |= {"name": name, "cycles": 10**6}
    return run


@pytest.mark.parametrize("label", NAMES)
def test_formats_of_checks_stay_well_formed(label: str, tmp_path: Path) -> None:
    name = NAMES[label]
    run, tame = _worse(name), _worse(TAME)
    verdict, calm = check(run, BASELINE), check(tame, BASELINE)
    path = tmp_path / "junit.xml"
    path.write_bytes(junit(verdict, rows_of(run)))
    document = JUnitXml.fromfile(str(path))
    path.write_bytes(junit(calm, rows_of(tame)))
    expected = JUnitXml.fromfile(str(path))
    counts = [(d.tests, d.failures, d.errors) for d in (document, expected)]
    assert counts[0] == counts[1]
    results = [json.loads(sarif(v, "x.json"))["runs"][0]["results"] for v in (verdict, calm)]
    assert len(results[0]) == len(results[1])
    assert len(list(lines(verdict))) == len(list(lines(calm)))
    text, want = markdown(verdict), markdown(calm)
    assert [line.count("|") for line in text.splitlines()] == [line.count("|") for line in want.splitlines()]


# -- the terminal -------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", NAMES)
def test_nothing_drives_the_terminal(label: str, capsys: pytest.CaptureFixture[str]) -> None:
    name = NAMES[label]

    def fail() -> None:
        raise UnsupportedError([Unsupported(name, name, name, name)], model=name)

    assert guarded(fail) == 2
    assert guarded(lambda: (_ for _ in ()).throw(Error(name, name))) == 2  # type: ignore[arg-type, return-value]
    assert guarded(lambda: (_ for _ in ()).throw(ValueError(name))) == 2  # type: ignore[arg-type, return-value]
    print_table([{"node": name, "b": "1"}])
    print(plain(name))
    captured = capsys.readouterr()
    for line in (captured.out + captured.err).split("\n"):
        assert line.isprintable() and not line.lstrip().startswith(("::", "##["))
    if "[red]" in name:
        assert "[red]x[/red]" in captured.err  # as it is, not as a colour


# -- files and folders --------------------------------------------------------------------------------


def _path(folder: Path, name: bytes) -> Path:
    import os

    return folder / os.fsdecode(name)


@pytest.mark.parametrize("label", FILES)
def test_files_and_folders_of_any_name(label: str, tmp_path: Path) -> None:
    """A model of that name becomes C in a folder of that name, and nothing else appears."""
    model = make_model([make_node("Relu", ["x"], "y")], {"x": [1, 4]}, ["y"])
    name = FILES[label]
    path = save(model, _path(tmp_path, name + b".onnx"))
    from pingponnx.cli import app

    out = _path(tmp_path, name)
    code = guarded(lambda: app(["convert", "-o", str(out), "--", str(path)]))
    assert code == 0
    files = listing(out)
    assert all(set(f) <= set("abcdefghijklmnopqrstuvwxyz0123456789_.ACLMkst") for f in files), files
    (manifest,) = (f for f in files if f.endswith(".json"))
    json.loads((out / manifest).read_text(encoding="utf-8"))
    assert {p.name for p in tmp_path.iterdir()} == {path.name, out.name}
    graph = load(path)
    assert graph.name.encode()  # text, whatever the file is called


def test_a_leading_dash_and_a_newline_on_the_command_line(tmp_path: Path) -> None:
    """In a process of its own, whose output is no terminal and must be encoded."""
    model = make_model([make_node("Relu", ["x"], "y")], {"x": [1, 4]}, ["y"])
    for label in ("dash", "newline", "not UTF-8", "terminal"):
        path = save(model, _path(tmp_path, FILES[label] + b".onnx"))
        out = _path(tmp_path, FILES[label])
        done = command_line("convert", "-o", out, "--", path.name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.rstrip("\n").isprintable() and "Traceback" not in done.stderr
    assert not (tmp_path / "owned").exists()


def test_builds_in_folders_of_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compilers are run in temporary folders, which people choose with TMPDIR."""
    folder = tmp_path / "a, b'\"$(touch owned);#=%s\n\\c"
    folder.mkdir()
    model = save(make_model([make_node("Relu", ["x"], "y")], {"x": [1, 4]}, ["y"]), tmp_path / "model.onnx")
    done = command_line("verify", model, env={"TMPDIR": str(folder)}, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.rglob("owned"))


def test_advice_can_be_pasted_into_a_shell(tmp_path: Path) -> None:
    name = "$(touch owned)'; touch owned"
    model = make_model([make_node("Relu", [name], "y")], {name: ["N", "M"]}, ["y"])
    with pytest.raises(ModelError) as raised:
        load(save(model, tmp_path / "model.onnx"))
    word = raised.value.hint.removeprefix("fix it: --input-shape ")
    done = subprocess.run(
        ["sh", "-c", f"printf %s {word}"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == f"{name}=1,..." and not (tmp_path / "owned").exists()


# -- what is no model ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["a pipe", "a device", "a folder"])
def test_a_model_that_is_no_file(kind: str, tmp_path: Path) -> None:
    """Neither waits for a pipe nor reads a device for ever."""
    import os

    os.mkfifo(tmp_path / "fifo")
    path = {"a pipe": tmp_path / "fifo", "a device": Path("/dev/zero"), "a folder": tmp_path}[kind]
    with pytest.raises(ModelError, match=r"cannot read .*: it is no file"):
        load(path)


def test_names_that_are_no_text(tmp_path: Path) -> None:
    """Bytes that are no UTF-8, lone surrogates among them, in each kind of string."""
    marks = {"tensor": b"MARKT", "node": b"MARKN", "doc": b"MARKD", "key": b"MARKK"}
    node = onnx.helper.make_node("Relu", ["x"], ["MARKT"], name="MARKN", doc_string="MARKD")
    model = make_model([node], {"x": [1, 4]}, ["MARKT"])
    model.metadata_props.add(key="MARKK", value="v")
    data = model.SerializeToString()
    for mark in marks.values():
        for bad in (
            b"\xff\xfe\xfd\xfc\xfb",
            b"a\xed\xb0\x80b",
            b"\xc0\x80abc",
        ):  # lone surrogate, overlong NUL
            path = tmp_path / "model.onnx"
            path.write_bytes(data.replace(mark, bad))
            with pytest.raises(ModelError, match=r"not UTF-8|truncated"):
                load(path)


def test_the_count_is_on_record() -> None:
    """docs/hardening.md says how many cases there are."""
    files, data = len(FILES) + 4 + len(["TMPDIR", "advice"]) + 3, 4 * len(OUTSIDE)
    cases = SURFACES * len(NAMES) + len(RESERVED) + files + data + len(("tensor", "node", "doc", "key")) * 3
    text = (ROOT / "docs" / "hardening.md").read_text(encoding="utf-8")
    assert f"{cases:,} hostile cases" in text
