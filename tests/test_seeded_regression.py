"""A slowed kernel and an enlarged tensor, measured for real: `check` catches and explains both."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from models import Builder, save
from pingponnx import emit
from pingponnx._paths import runtime_c
from pingponnx.check import Rules, Status, check
from pingponnx.check.formats import lines
from pingponnx.pipeline import Options
from pingponnx.reporting import Matrix, measure_all

pytestmark = pytest.mark.qemu
ROOT = Path(__file__).resolve().parents[1]
ACCEPT = Rules(accepted=frozenset({"models", "tools"}))


def _measure(model: Path) -> dict[str, Any]:
    matrix = Matrix(["cortex-m4"], ["optimised"])
    return measure_all([model], replace(Options()), matrix, None, 1, Console(quiet=True))


def _only(report: dict[str, Any], **setting: str) -> dict[str, Any]:
    rows = [m for m in report["measurements"] if all(m[k] == v for k, v in setting.items())]
    return {**report, "measurements": rows}


def test_a_slowed_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "runtime_c"
    shutil.copytree(runtime_c(), slow)
    header = slow / "gemm_packed_s8.h"
    text = header.read_text(encoding="utf-8")
    loop = "for (int32_t row = 0; row < p->rows; ++row, input += p->in_n) {\n"
    assert text.count(loop) == 1
    delay = "        for (volatile int32_t wasted = 0; wasted < 2000; ++wasted) {\n        }\n"
    header.write_text(text.replace(loop, loop + delay), encoding="utf-8")
    monkeypatch.setattr(emit, "runtime_c", lambda: slow)
    baseline = json.loads((ROOT / "reports" / "baseline.json").read_text(encoding="utf-8"))
    before = _only(baseline, model="lenet5_int8", variant="optimised", target="cortex-m4")
    run = _measure(ROOT / "examples" / "lenet5" / "lenet5_int8.onnx")
    verdict = check(run, before, ACCEPT)
    print("\n".join(lines(verdict)))
    assert verdict.exit_code == 1
    cycles = next(f for f in verdict.of(Status.WORSE) if f.metric == "cycles")
    slowed = {c.what for c in cycles.causes if c.delta > 1000}
    assert slowed == {f"Gemm node '{n}'" for n in ("node_linear", "node_linear_1", "node_linear_2")}
    assert all(c.note == "kernel gemm_packed_s8" for c in cycles.causes[:3])


def test_an_enlarged_tensor(tmp_path: Path) -> None:
    reports = []
    for channels in (8, 12):
        net = Builder()
        wide = net.conv("x", 2, channels, name="wide")
        narrow = net.conv(wide, channels, 2, name="narrow")
        folder = tmp_path / str(channels)
        folder.mkdir()
        reports.append(_measure(save(net.model({"x": (1, 2, 12, 12)}, narrow), folder / "net.onnx")))
    assert check(reports[1], reports[0]).exit_code == 2  # another network
    verdict = check(reports[1], reports[0], ACCEPT)
    print("\n".join(lines(verdict)))
    assert verdict.exit_code == 1
    ram = next(f for f in verdict.of(Status.WORSE) if f.metric == "ram")
    arena, tensor = ram.causes[0], ram.causes[-1]
    assert arena.what == "arena" and arena.delta > 0
    assert "in the arena at its fullest" in tensor.what and tensor.delta > 0
