"""What CONTRIBUTING.md and the documents say about the repository itself."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from pingponnx.operators import describe, markdown
from pingponnx.ops import registry

ROOT = Path(__file__).resolve().parents[1]
MAX_FILE, MAX_FUNCTION = 400, 60
SOURCES = (".py", ".c", ".h", ".j2")
MACHINE_PATH = re.compile(r"(?:^|[^\w.}*)\]/-]|-[A-Z])/(?:work|root|home|tmp)(?![\w-])")
GUARDS = {"tests/test_report.py"}  # looks for such paths itself


@cache
def _tracked() -> tuple[str, ...]:
    """Files under version control that exist; golden files are generated."""
    done = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    names = [n for n in done.stdout.split("\0") if n and (ROOT / n).is_file()]
    assert "pyproject.toml" in names
    return tuple(names)


def _ours() -> list[str]:
    return [n for n in _tracked() if n.endswith(SOURCES) and not n.startswith("tests/golden/")]


def _text(name: str) -> str | None:
    """The file's text; None for binary files."""
    data = (ROOT / name).read_bytes()
    if b"\0" in data:
        return None
    return data.decode("utf-8", "replace")


def test_no_file_is_longer_than_allowed() -> None:
    lengths = {n: len((ROOT / n).read_text(encoding="utf-8").splitlines()) for n in _ours()}
    assert len(lengths) > 100
    assert {n: length for n, length in lengths.items() if length > MAX_FILE} == {}


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def test_no_function_is_longer_than_allowed() -> None:
    long: dict[str, int] = {}
    count = 0
    for name in (n for n in _ours() if n.endswith(".py")):
        for function in _functions(ast.parse((ROOT / name).read_text(encoding="utf-8"))):
            count += 1
            assert function.end_lineno is not None
            lines = function.end_lineno - function.lineno + 1
            if lines > MAX_FUNCTION:
                long[f"{name}:{function.name}"] = lines
    assert count > 500
    assert long == {}


def test_every_operator_has_a_test_file_and_is_documented() -> None:
    modules = {cls.__module__.rsplit(".", 1)[1] for cls in registry().values()}
    assert len(modules) > 10
    assert {m for m in modules if not (ROOT / "tests" / "ops" / f"test_{m}.py").is_file()} == set()
    document = (ROOT / "docs" / "operators.md").read_text(encoding="utf-8")
    assert document == markdown(describe()), "run `make docs`"


def test_no_file_names_a_folder_of_this_machine() -> None:
    """Paths are relative, found at run time, or temporary ones that Python names."""
    found = {}
    for name in set(_tracked()) - GUARDS:
        lines = (_text(name) or "").splitlines()
        leaks = [i for i, line in enumerate(lines, 1) if MACHINE_PATH.search(line)]
        if leaks:
            found[name] = leaks
    assert found == {}


def test_no_model_names_a_folder_of_this_machine() -> None:
    """PyTorch's exporter stores stack traces with every node (examples/exports/export.py takes them out)."""
    models = [name for name in _tracked() if name.endswith(".onnx")]
    assert len(models) > 40
    path = re.compile(rb"/(?:work|root|home|tmp)/\w|File \"/")
    assert [name for name in models if path.search((ROOT / name).read_bytes())] == []


@pytest.mark.parametrize(
    ("line", "leaks"),
    [
        ("see @work/main", True),
        ('"@tmp"', True),
        ("@root", True),
        ("-I@home/me", True),
        ("a=@home/me", True),
        ("a@work/b", False),
        ("@workshop", False),
        ("{folder}@tmp", False),
    ],
)
def test_machine_paths_are_recognised(line: str, leaks: bool) -> None:
    assert bool(MACHINE_PATH.search(line.replace("@", "/"))) == leaks


def test_import_is_light() -> None:
    """Neither `import pingponnx` nor `pingponnx --help` waits for onnxruntime."""
    heavy = ["onnx", "onnxruntime", "pandas", "numpy"]
    code = f"import sys, pingponnx, pingponnx.cli; print([m for m in {heavy} if m in sys.modules])"
    environment = {"PYTHONPATH": str(ROOT / "converter"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
