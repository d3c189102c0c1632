"""Additions with Helium: on the host they are add_fast_s8, on the M55 board vectors; both the reference."""

from pathlib import Path

import numpy as np
import pytest
from host import run_c
from support import Case, row_runs, run_of

from kernels.support import run_board
from kernels.test_pools import additions, clamped
from pingponnx.calls import Call
from pingponnx.fixed_point import Rounding
from pingponnx.kernels import candidates
from pingponnx.targets import get_target

CORE = "cortex-m55"


def _offer(case: Case) -> Call:
    (call,) = (c for c in candidates(case.op, case.site, get_target(CORE)) if c.function == "add_mve_s8")
    return call


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("board", [False, pytest.param(True, marks=pytest.mark.qemu)])
def test_additions(board: bool, rounding: Rounding, tmp_path: Path) -> None:
    some_cases = [*additions()[::2], *clamped(additions()[:1])] if board else additions()[:1]
    cases = [c.with_rounding(rounding) for c in some_cases]
    runs, expected = [], []
    for case in cases:
        call = _offer(case)
        whole = run_of(case, call)
        some = [whole, *(run_of(case, call, i) for i in call.overlap), *row_runs(whole)]
        runs += some
        expected += [case.reference] * len(some)
    flags = ["-DPINGPONNX_ROUNDING_TFLITE"] if rounding is Rounding.TFLITE else []
    outputs = run_board(runs, tmp_path, CORE, rounding) if board else run_c(runs, tmp_path, flags)
    for got, wanted in zip(outputs, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)
