"""The onnx package's backend tests: run all of them, and write what came of each.

`make conformance` writes docs/conformance.md and tests/data/conformance.txt, which tests/test_conformance.py
holds the code to. With names of tests as arguments only these are run, and the record of others is kept.
"""

import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner, _normalize_tensor

from pingponnx.backend import Backend
from pingponnx.errors import UnsupportedError

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "tests" / "data" / "conformance.txt"
CORE = ROOT / "tests" / "data" / "onnx_core_node_tests.txt"
KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")
PASSED = "ok"
_WORKERS = 2

DataSets = list[tuple[list[Any], list[Any]]]


@dataclass(frozen=True)
class Case:
    """One test of the onnx package."""

    kind: str
    name: str
    test: Any

    @property
    def key(self) -> str:
        return f"{self.kind} {self.name}"

    def load(self) -> tuple[onnx.ModelProto, DataSets]:
        """The model, and inputs with the outputs that they give."""
        if self.test.model is not None:
            sets = [([_array(x) for x in i], [_array(y) for y in o]) for i, o in self.test.data_sets]
            return self.test.model, sets
        folder = Path(self.test.model_dir)
        model = onnx.load(folder / "model.onnx")
        return model, [
            (_tensors(data, "input"), _tensors(data, "output"))
            for data in sorted(folder.glob("test_data_set_*"))
        ]


def _array(value: Any) -> Any:
    return _normalize_tensor(value)


def _tensors(folder: Path, prefix: str) -> list[Any]:
    files = sorted(folder.glob(f"{prefix}_*.pb"), key=lambda f: int(f.stem.rsplit("_", 1)[1]))
    found = []
    for file in files:
        tensor = onnx.TensorProto()
        tensor.ParseFromString(file.read_bytes())
        found.append(numpy_helper.to_array(tensor))
    return found


@cache
def cases() -> tuple[Case, ...]:
    """All tests that need no download; making the node tests takes some seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the suite divides by zero on purpose
        return tuple(Case(kind, test.name, test) for kind in KINDS for test in load_model_tests(kind=kind))


def outcome(case: Case) -> str:
    """PASSED, or why it is refused; raises whatever else happens."""
    try:
        model, data_sets = case.load()
        prepared = Backend.prepare(model)
        for inputs, expected in data_sets:
            found = prepared.run(inputs)
            Runner.assert_similar_outputs(expected, found, rtol=case.test.rtol, atol=case.test.atol)
    except UnsupportedError as error:
        return "; ".join(dict.fromkeys(f"{item.op}: {item.reason}" for item in error.items))[:200]
    return PASSED


def _checked(index: int) -> str:
    case = cases()[index]
    try:
        return outcome(case)
    except Exception as error:
        return f"FAILED {type(error).__name__}: {str(error).splitlines()[0][:100]}"


def expected() -> dict[str, str]:
    """The committed list: case -> outcome."""
    lines = LIST.read_text(encoding="utf-8").splitlines()
    return dict(line.split("\t", 1) for line in lines)


def _operator(case: Case) -> str:
    """What a test is about: its only operator; else the operator in its name, or its kind."""
    if case.test.model is None:
        return case.kind
    nodes = case.test.model.graph.node
    return nodes[0].op_type if len(nodes) == 1 else "several operators (_expanded and others)"


def _document(outcomes: dict[str, str]) -> Iterator[str]:
    by_operator: dict[str, Counter[bool]] = defaultdict(Counter)
    for case in cases():
        by_operator[_operator(case)][outcomes[case.key] == PASSED] += 1
    core = CORE.read_text(encoding="utf-8").split()
    passed = sum(outcomes.get(f"node {name}") == PASSED for name in core)
    yield "# ONNX backend conformance"
    yield ""
    yield f"Written by `make conformance` with the tests of onnx {onnx.__version__}."
    yield "Every model is converted to C, compiled for the host and run; weights that are graph inputs are"
    yield "inputs of the C. What is not supported is refused at conversion, never wrong:"
    yield "tests/test_conformance.py holds the code to that."
    yield ""
    yield "| tests | pass | of |"
    yield "|---|---|---|"
    for kind in KINDS:
        found = [outcomes[c.key] == PASSED for c in cases() if c.kind == kind]
        yield f"| {kind} | {sum(found)} | {len(found)} |"
    yield f"| all | {sum(o == PASSED for o in outcomes.values())} | {len(outcomes)} |"
    yield f"| core operators (tests/data/{CORE.name}) | {passed} | {len(core)} |"
    yield ""
    yield "Published by others, each of its own count: onnx2c enables 482 tests, emx-onnx-cgen 1,914."
    yield ""
    yield "## By operator"
    yield ""
    yield "| operator | pass | of |"
    yield "|---|---|---|"
    for name, counts in sorted(by_operator.items()):
        yield f"| {name} | {counts[True]} | {counts.total()} |"
    yield ""
    yield "## What is refused, and why"
    yield ""
    yield "| test | reason |"
    yield "|---|---|"
    for key, text in sorted(outcomes.items()):
        if text != PASSED:
            yield f"| {key} | {text.replace('|', '/')} |"


def main(names: frozenset[str]) -> int:
    chosen = [index for index, case in enumerate(cases()) if not names or case.name in names]
    with get_context("fork").Pool(_WORKERS) as pool:  # after all cases are made, which takes a while
        found = pool.map(_checked, chosen, chunksize=8)
    outcomes = expected() if names else {}
    outcomes |= {cases()[index].key: text for index, text in zip(chosen, found, strict=True)}
    LIST.write_text("".join(f"{k}\t{v}\n" for k, v in sorted(outcomes.items())), encoding="utf-8")
    text = "\n".join(_document(outcomes)) + "\n"
    (ROOT / "docs" / "conformance.md").write_text(text, encoding="utf-8")
    failed = {k: v for k, v in outcomes.items() if v.startswith("FAILED")}
    print("\n".join(f"{k}: {v}" for k, v in failed.items()), file=sys.stderr)
    print(f"{sum(v == PASSED for v in found)} of {len(found)} pass, {len(failed)} fail")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(frozenset(sys.argv[1:])))
