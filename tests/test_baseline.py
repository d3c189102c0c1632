"""This repository's own regression check: the shipped models against reports/baseline.json."""

import json
from pathlib import Path
from typing import Any

import pytest

from models import command_line

ROOT = Path(__file__).resolve().parents[1]
LENET, CIFAR = ROOT / "examples" / "lenet5", ROOT / "examples" / "paper_cifar"
MODELS = (LENET / "lenet5_f32.onnx", LENET / "lenet5_int8.onnx", CIFAR / "paper_cifar_int8.onnx")
TARGETS = ("cortex-m0", "cortex-m4", "cortex-m55")


@pytest.mark.qemu
@pytest.mark.cmsis
def test_nothing_got_worse_than_the_committed_baseline(tmp_path: Path) -> None:
    base = ROOT / "reports" / "baseline.json"
    targets = [argument for target in TARGETS for argument in ("--target", target)]
    assert command_line("report", *MODELS, *targets, "-o", tmp_path / "run").returncode == 0
    run = tmp_path / "run" / "report.json"
    reports: list[dict[str, Any]] = [json.loads(path.read_text(encoding="utf-8")) for path in (run, base)]
    limits = ["cycles=0%", "instructions=0%"]
    if reports[0]["tool"]["gcc"] != reports[1]["tool"]["gcc"]:  # what does not depend on it must be equal
        limits = ["ram=10%", "flash=10%", "cycles=50%", "instructions=50%"]
    loosely = [argument for limit in limits for argument in ("--limit", limit)]
    done = command_line("check", run, "--baseline", base, "--accept", "tools", *loosely)
    assert done.returncode == 0, f"`make baseline` updates it on purpose\n{done.stdout}"
    arenas = [[m["ram"]["arena"] for m in report["measurements"]] for report in reports]
    assert arenas[0] == arenas[1]
