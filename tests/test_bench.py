"""The benchmark's committed figures, and the part of it that CI measures."""

import json
from typing import Any

import pytest
from bench import (
    BASELINE,
    CORES,
    GOALS,
    NETWORKS,
    PREDICTED,
    SUBSET,
    Cell,
    cells,
    measure_cells,
    regressions,
    table,
    worst_prediction,
)
from rich.console import Console

from pingponnx.build import compiler_version
from pingponnx.targets import get_target

COMMITTED: dict[str, Any] = json.loads(BASELINE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def measured() -> dict[str, dict[str, Any]]:
    return measure_cells(SUBSET, Console(stderr=True))


def test_every_cell_is_committed() -> None:
    wanted = {cell.key for cell in cells(NETWORKS, CORES, (*GOALS, None))}
    assert COMMITTED["rows"].keys() == wanted
    assert all(row["exact"] for row in COMMITTED["rows"].values())
    assert {cell.key for cell in SUBSET} < wanted


@pytest.mark.qemu
def test_no_instruction_more_than_in_the_baseline(measured: dict[str, dict[str, Any]]) -> None:
    assert all(row["exact"] for row in measured.values())
    if compiler_version(get_target("cortex-m4")) != COMMITTED["tool"]["gcc"]:
        pytest.skip("another compiler makes other code")
    worse = list(regressions(measured, COMMITTED["rows"]))
    assert not worse, "\n".join(["`make baseline` updates it on purpose", *worse])


@pytest.mark.qemu
def test_predicted_cycles_are_near_those_that_are_measured(measured: dict[str, dict[str, Any]]) -> None:
    """On every node: kernels are chosen by predictions. `make calibrate` fits them anew."""
    worst = {key: worst_prediction(row) for key, row in measured.items()}
    assert {key: found for key, found in worst.items() if abs(found[0]) > PREDICTED} == {}
    assert all(p for row in measured.values() for _, p, _ in row["nodes"].values())


def test_a_regression_of_one_instruction_is_found() -> None:
    row = {"instructions": 1000}
    assert list(regressions({"a": row}, {"a": row})) == []
    assert list(regressions({"a": {"instructions": 999}}, {"a": row})) == []
    assert list(regressions({"a": {"instructions": 1001}}, {"a": row})) == ["a: 1,000 -> 1,001 instructions"]
    assert list(regressions({"b": row}, {"a": row})) == ["b: not in the baseline"]


def test_the_table_says_what_is_met_and_missed() -> None:
    ours, theirs = Cell("lenet5_int8", "cortex-m4", GOALS[0]), Cell("lenet5_int8", "cortex-m4", None)
    node = {"n": ["k", 9_000, 10_000], "tiny": ["k", 1, 100]}
    row = {"instructions": 1, "ram": 1, "constants": 1, "code": 1, "exact": True, "nodes": node}
    for cycles, verdict in ((100, "6.0 met"), (125, "6.0 missed by 20.0 %")):
        rows = {ours.key: {**row, "cycles": cycles}, theirs.key: {**row, "cycles": 600}}
        (line,) = table(rows, [ours, theirs])
        assert (line["ratio"], line["target"]) == (f"{600 / cycles:.2f}", verdict)
        assert line["prediction"] == "-10.0 %"
