"""Cycles in reports: what they rest on, what is said with them, and what happens without a profiler."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import command_line, save
from networks import Network
from pingponnx.arguments import spelled
from pingponnx.calibrate import quantize
from pingponnx.costs import costs
from pingponnx.cycles import get_flash_model
from pingponnx.measure import measure, subject
from pingponnx.pipeline import Options, convert, firmware, normal_form
from pingponnx.samples import input_bytes, random_samples

pytestmark = pytest.mark.qemu
EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "lenet5" / "lenet5_int8.onnx"
OPTIONS = Options()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "out"
    done = command_line("report", EXAMPLE, "--variant", "optimised", "-o", folder)
    assert done.returncode == 0, done.stderr
    return folder / "report.json"


def test_three_runs_are_identical(tmp_path: Path) -> None:
    conversion = convert(normal_form(EXAMPLE, OPTIONS), OPTIONS)
    image = firmware(conversion, tmp_path)
    (sample,) = input_bytes(conversion.graph, random_samples(conversion.graph, 1))
    first, second, third = (costs(image, sample) for _ in range(3))
    assert first.nodes == second.nodes == third.nodes
    assert first.functions == second.functions == third.functions


def test_flash_model_only_adds_waits(tmp_path: Path) -> None:
    conversion = convert(normal_form(EXAMPLE, OPTIONS), OPTIONS)
    image = firmware(conversion, tmp_path)
    (sample,) = input_bytes(conversion.graph, random_samples(conversion.graph, 1))
    without, flash = costs(image, sample), get_flash_model("nucleo-l4r5zi")
    slow = costs(image, sample, flash)
    assert slow.described()["flash"] == "nucleo-l4r5zi" and without.described()["flash"] is None
    assert without.cycles < slow.cycles < 2 * without.cycles
    for node, counts in without.nodes.items():
        assert counts["cycles"] <= slow.nodes[node]["cycles"]
        assert {**counts, "cycles": 0} == {**slow.nodes[node], "cycles": 0}


def test_a_flash_model_keeps_loops_short(tmp_path: Path) -> None:
    """Pointwise layers of 64 channels, unrolled altogether, are longer than the buffer of code lines."""
    net = Network(64, 8, 8)
    model = save(net.classifier(net.layer(net.layer("x", 64), 64), 4), tmp_path / "float.onnx")
    np.savez(
        tmp_path / "some.npz", in0=np.random.default_rng(1).standard_normal((4, 1, 64, 8, 8), np.float32)
    )
    quantize(model, tmp_path / "pointwise.onnx", tmp_path / "some.npz")
    flash = get_flash_model("nucleo-l4r5zi")
    cycles = []
    for name in (None, flash.name):
        options = replace(OPTIONS, flash_model=name)
        conversion = convert(normal_form(tmp_path / "pointwise.onnx", options), options)
        folder = tmp_path / str(name)
        folder.mkdir()
        image = firmware(conversion, folder)
        (sample,) = input_bytes(conversion.graph, random_samples(conversion.graph, 1))
        cycles.append(costs(image, sample, flash).cycles)
    assert cycles[1] < 0.75 * cycles[0]
    assert spelled(options) == ["--flash-model", flash.name]


def test_without_a_profiler_instructions_stay_exact_and_cycles_are_unknown(
    monkeypatch: pytest.MonkeyPatch, report: Path
) -> None:
    (full,) = json.loads(report.read_text(encoding="utf-8"))["measurements"]
    monkeypatch.setattr("pingponnx.costs.available", lambda: "cc is not installed")
    row = measure(subject(EXAMPLE, OPTIONS, None, 10), OPTIONS)
    assert row["instructions"] == full["instructions"]
    assert row["cycles"] is None and row["cycles_model"] is None and row["functions"] is None
    assert row["cycles_missing"] == "no modelled cycles: cc is not installed"
    for node, exact in zip(row["nodes"], full["nodes"], strict=True):
        assert node["cycles"] is None and node["loads"] is None
        assert node["instructions"] == pytest.approx(exact["instructions"], rel=0.02)  # another build


def test_every_core_has_a_cycle_model() -> None:
    what = subject(EXAMPLE, OPTIONS, None, 1)
    errors = {}
    for target in ("cortex-m0", "cortex-m3", "cortex-m7", "cortex-m33", "cortex-m55"):
        row: dict[str, Any] = measure(what, replace(OPTIONS, target=target))
        errors[target] = row["cycles_model"]["error"]
        assert row["cycles"] > 0.4 * row["instructions"]
    assert errors["cortex-m3"] == "+-5 %"
    assert errors["cortex-m7"] == errors["cortex-m33"] == "+-15 %"
    assert errors["cortex-m55"] == "indicative"


def test_board_counts_next_to_modelled_ones(report: Path, tmp_path: Path) -> None:
    (row,) = json.loads(report.read_text(encoding="utf-8"))["measurements"]
    node = row["nodes"][0]
    board = tmp_path / "board.csv"
    board.write_text(f"node,cycles\n{node['name']},{node['cycles'] * 2}\n", encoding="utf-8")
    arguments = ("report", EXAMPLE, "--variant", "optimised", "-o", tmp_path / "out", "--import-board", board)
    done = command_line(*arguments)
    assert done.returncode == 0 and "ratio 0.500" in done.stdout
    board.write_text("node,cycles\nnothing,5\n", encoding="utf-8")
    done = command_line(*arguments)
    assert done.returncode == 2 and "nothing" in done.stderr


def test_lists_by_function(tmp_path: Path) -> None:
    done = command_line(
        "report", EXAMPLE, "--variant", "optimised", "-o", tmp_path / "out", "--by", "function"
    )
    assert "lenet5_int8_run" in done.stdout and "Cycles are modelled" in done.stdout
    done = command_line("report", EXAMPLE, "-o", tmp_path / "out", "--by", "weekday")
    assert done.returncode == 2 and "unknown listing 'weekday'" in done.stderr
    assert "measured" not in done.stderr
