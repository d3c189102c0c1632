"""Measurements and their renderings: right, complete, stable to the byte, and comparable."""

import copy
import io
import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from pingponnx.errors import BudgetError
from pingponnx.fixed_point import Rounding
from pingponnx.pipeline import Options
from pingponnx.report import charts, render, sample_note
from pingponnx.report.tables import notes
from pingponnx.reporting import Matrix, measure_all, report_command

pytestmark = [pytest.mark.qemu, pytest.mark.cmsis]
VARIANTS = ["optimised", "cmsis-nn"]
MEASUREMENT_KEYS = {
    "model",
    "model_sha256",
    "variant",
    "target",
    "goal",
    "rounding",
    "dtype",
    "ram",
    "flash",
    "macs",
    "instructions",
    "cycles",
    "cycles_model",
    "output_sha256",
    "equal_to_reference",
    "equal_to_other_variant",
    "onnxruntime",
    "fallbacks",
    "conversions",
    "accuracy",
    "nodes",
    "ledger",
    "stack_bound",
    "hot_weights",
    "plan",
    "samples",
    "budget_obstacle",
}


def _measure(models: list[Path], targets: list[str], **options: Any) -> dict[str, Any]:
    base = replace(Options(), **options)
    return measure_all(models, base, Matrix(targets), None, 3, Console(stderr=True, quiet=True))


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    root = Path(__file__).resolve().parents[1] / "examples"
    models = [root / "lenet5" / "lenet5_int8.onnx", root / "paper_cifar" / "paper_cifar_int8.onnx"]
    return _measure(models, ["cortex-m4"])


def _row(content: dict[str, Any], model: str, variant: str) -> dict[str, Any]:
    (row,) = [m for m in content["measurements"] if (m["model"], m["variant"]) == (model, variant)]
    return dict(row)


def test_schema(content: dict[str, Any]) -> None:
    assert content["schema"] == 1
    assert set(content["tool"]) >= {"pingponnx", "gcc", "qemu", "cmsis_nn"}
    assert set(content["tool"]["cmsis_nn"]) == {"version", "source"}
    for row in content["measurements"]:
        assert set(row) >= MEASUREMENT_KEYS
        assert set(row["ram"]) == {"arena", "static", "stack", "total"}
        assert set(row["flash"]) == {"code", "constants", "total"}
        assert set(row["onnxruntime"]) == {"max_lsb", "max_abs", "top1_agreement", "samples"}
        for node in row["nodes"]:
            assert set(node) >= {"name", "op", "kernel", "macs", "instructions", "cycles", "scratch"}
        assert row["ram"]["total"] == row["ram"]["arena"] + row["ram"]["static"] + row["ram"]["stack"]
        assert row["flash"]["total"] == row["flash"]["code"] + row["flash"]["constants"]
        assert row["equal_to_reference"] and row["equal_to_other_variant"]


def test_every_node_is_compared_with_onnxruntime(content: dict[str, Any]) -> None:
    for row in content["measurements"]:
        accuracy = row["accuracy"]
        assert accuracy["holds"] and accuracy["max_lsb"] in (0, 1) and len(accuracy["nodes"]) >= 4
        assert accuracy["worst_node"]["max_lsb"] == accuracy["max_lsb"]
        assert row["conversions"] == []
    assert "node vs onnxruntime" in render(content)["report.md"]


def test_the_ladder_of_every_measurement(content: dict[str, Any]) -> None:
    for row in content["measurements"]:
        plan = row["plan"]
        assert set(plan) == {"strategy", "arena", "lower_bound", "strategies", "input_mode", "picture"}
        assert plan["lower_bound"] <= plan["arena"] == plan["strategies"][plan["strategy"]]
        assert plan["arena"] == row["ram"]["arena"] and plan["input_mode"] == "resident"
        assert ("two_buffers" in plan["strategies"]) == (row["variant"] == "cmsis-nn")
    files, plan = render(content), _row(content, "paper_cifar_int8", "optimised")["plan"]
    for name, size in plan["strategies"].items():
        shown = f"{name} (used)" if name == plan["strategy"] else name
        assert re.search(
            rf"^\| {re.escape(shown)} +\| +{size:,} \| +[\d.]+ % \|$", files["report.md"], re.MULTILINE
        )
        assert f'<td class="text">{shown}</td><td>{size:,}</td>' in files["report.html"]
    assert f'<td class="text">lower bound</td><td>{plan["lower_bound"]:,}</td>' in files["report.html"]


def test_nodes_and_functions_add_up_to_the_run(content: dict[str, Any]) -> None:
    for row in content["measurements"]:
        # no node's: entry and exit of the run function, and the loops around the steps of streamed segments
        steps = sum(strip["steps"] for strip in row["plan"]["picture"]["strips"])
        for count in ("instructions", "cycles"):
            nodes = sum(node[count] for node in row["nodes"])
            assert 0 <= row[count] - nodes < 100 + 7 * steps
        assert sum(f["instructions"] for f in row["functions"]) == row["instructions"]
        assert abs(sum(f["cycles"] for f in row["functions"]) - row["cycles"]) <= len(row["functions"])


def test_cycles_name_their_model(content: dict[str, Any]) -> None:
    for row in content["measurements"]:
        assert row["cycles_model"] == {"name": "m4", "version": 1, "error": "+-5 %", "flash": None}
        assert row["cycles_missing"] is None
        assert 1.0 < row["cycles"] / row["instructions"] < 2.0
    for name in ("report.md", "report.html"):
        assert "model m4 v1, +-5 %" in render(content)[name]


def test_the_papers_promise(content: dict[str, Any]) -> None:
    ours, theirs = (_row(content, "paper_cifar_int8", v)["ram"] for v in VARIANTS)
    assert ours["total"] <= 0.30 * theirs["total"]
    assert ours["arena"] <= 11264  # the paper's ping-pong
    assert theirs["arena"] == 40960  # the unpooled map and its neighbour (design/memory.md, B.7)


def test_cmsis_nn_runs_the_heavy_nodes(content: dict[str, Any]) -> None:
    for model in ("lenet5_int8", "paper_cifar_int8"):
        row = _row(content, model, "cmsis-nn")
        assert row["fallbacks"] == []
        assert {n["kernel"].partition("_s8")[0] for n in row["nodes"]} == {
            "cmsis_convolve",
            "cmsis_max_pool",
            "cmsis_fully_connected_per_channel",
        }


def test_ledger_sums(content: dict[str, Any]) -> None:
    for row in content["measurements"]:
        model = [e for e in row["ledger"] if e["owner"] not in ("startup and harness", "alignment")]
        flash = sum(e["bytes"] for e in model if e["memory"] == "flash")
        ram = sum(e["bytes"] for e in model if e["memory"] == "ram")
        assert flash == row["flash"]["total"]
        assert ram == row["ram"]["arena"] + row["ram"]["static"]
        assert sum(e["bytes"] for e in model if e["owner"] == "arena") == row["ram"]["arena"]
        assert row["stack_bound"]["bytes"] >= row["ram"]["stack"]


def test_stable_and_free_of_places_and_dates(content: dict[str, Any]) -> None:
    files = render(content)
    assert set(files) == {"report.json", "report.csv", "report.md", "report.html"}
    root = Path(__file__).resolve().parents[1]
    second = _measure([root / "examples" / "lenet5" / "lenet5_int8.onnx"], ["cortex-m4"])
    first = copy.deepcopy(content)
    first["measurements"] = [m for m in first["measurements"] if m["model"] == "lenet5_int8"]
    first["command"] = second["command"]
    assert render(first) == render(second)
    for text in (text.replace(charts.library(), "") for text in files.values()):
        assert not re.search(r"(/work/|/home/|/root/|/tmp/|20\d\d-\d\d-\d\d)", text)
    text = files["report.json"]
    assert text == json.dumps(json.loads(text), indent=1, sort_keys=True) + "\n"


def test_the_same_rows_in_every_format(content: dict[str, Any]) -> None:
    files, rows = render(content), content["measurements"]
    table = pd.read_csv(io.StringIO(files["report.csv"]))
    for path in ("ram.total", "flash.total", "instructions", "cycles"):
        column = {"ram.total": "RAM", "flash.total": "flash"}.get(path, path)
        values = [pd.json_normalize(json.loads(files["report.json"])["measurements"])[path], table[column]]
        assert values[0].tolist() == values[1].tolist()
        for name in ("report.md", "report.html"):
            assert all(f"{value:,}" in files[name] for value in table[column])
    assert table["model"].tolist() == [row["model"] for row in rows]


def test_the_command_to_reproduce(content: dict[str, Any]) -> None:
    models = "lenet5_int8.onnx paper_cifar_int8.onnx"
    both = "--variant optimised --variant cmsis-nn"
    command = f"pingponnx report {models} --target cortex-m4 {both} --goal balanced --limit 3 -o report"
    assert content["command"] == command
    for name in ("report.md", "report.html"):
        assert command in render(content)[name]
    base = Options(
        rounding=Rounding.TFLITE,
        float_io=True,
        input_shapes={"x y": (1, 3, 8)},
        banks=(("dtcm", 4096), ("sram", 65536)),
        pins={"out": "sram"},
        ram=16384,
        flash_model="slow",
        cmsis_nn=Path("some") / "where",
    )
    model = [Path("any") / "it's.onnx"]
    words = shlex.split(report_command(model, base, Matrix(["host"]), None, 10))
    assert words[:4] == ["pingponnx", "report", "it's.onnx", "--target"]
    given = "--rounding tflite --float-io --input-shape X --bank dtcm=4096 --bank sram=65536 --pin out=sram"
    given += " --ram 16384 --flash-model slow --cmsis-nn where"
    assert words[words.index("10") + 1 : -2] == [word.replace("X", "x y=1,3,8") for word in given.split()]


def test_strings_from_a_model_are_harmless(content: dict[str, Any]) -> None:
    hostile = copy.deepcopy(content)
    evil = "<script>alert(1)</script>|`x`\n# h"
    hostile["measurements"][0]["model"] = evil
    hostile["measurements"][0]["nodes"][0]["name"] = evil
    files = render(hostile)
    assert evil[:25] not in files["report.html"] and "<script>" not in files["report.md"]
    assert "\n# h" not in files["report.md"]


def test_the_samples_are_named(content: dict[str, Any]) -> None:
    row = content["measurements"][0]
    assert row["samples"] == {"file": "lenet5_samples.npz", "seed": None, "count": 3}
    for name in ("report.md", "report.html"):
        assert "lenet5_int8: 3 of lenet5_samples.npz" in render(content)[name]
    made_up = row | {"samples": {"file": None, "seed": 1, "count": 3}}
    assert "3 made up (seed 1)" in sample_note([made_up])


@pytest.mark.qemu
def test_a_baseline_over_budget_is_measured_and_told(tmp_path: Path) -> None:
    """LeNet-5 int8 beside no samples: three are made up, as many as were asked for."""
    model = Path(__file__).resolve().parents[1] / "examples" / "lenet5" / "lenet5_int8.onnx"
    copied = tmp_path / "alone.onnx"
    copied.write_bytes(model.read_bytes())
    ours, theirs = _measure([copied], ["cortex-m4"], ram=4096)["measurements"]
    assert (ours["budget_obstacle"], theirs["budget_obstacle"] is None) == (None, False)
    assert ours["ram"]["arena"] <= 4096 < theirs["ram"]["arena"]
    assert "4,096" in notes(theirs)[0] and notes(theirs)[0].startswith("OVER BUDGET")
    assert ours["samples"] == {"file": None, "seed": 1, "count": 3}
    with pytest.raises(BudgetError):
        _measure([copied], ["cortex-m4"], ram=64)
