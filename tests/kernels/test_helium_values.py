"""Additions and means with Helium: plain C on the host, vectors on the M55 board; both the reference."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from host import run_c
from support import Case, row_runs, run_of

from kernels.support import run_board
from kernels.test_pools import additions, clamped, pools
from pingponnx.calls import Call
from pingponnx.fixed_point import Rounding
from pingponnx.kernels import candidates
from pingponnx.targets import get_target

CORE = "cortex-m55"


def each(test: Callable[..., None]) -> Callable[..., None]:
    """Decorator: both roundings, on the host and on the board."""
    where = pytest.mark.parametrize("board", [False, pytest.param(True, marks=pytest.mark.qemu)])
    return where(pytest.mark.parametrize("rounding", list(Rounding))(test))


def _offer(case: Case) -> Call:
    (call,) = (c for c in candidates(case.op, case.site, get_target(CORE)) if "_mve_" in c.function)
    return call


def _check(cases: Iterable[Case], rounding: Rounding, folder: Path, *, board: bool) -> None:
    runs, expected = [], []
    for case in (c.with_rounding(rounding) for c in cases):
        call = _offer(case)
        whole = run_of(case, call)
        some = [whole, *(run_of(case, call, i) for i in call.overlap), *row_runs(whole)]
        runs += some
        expected += [case.reference] * len(some)
    flags = ["-DPINGPONNX_ROUNDING_TFLITE"] if rounding is Rounding.TFLITE else []
    outputs = run_board(runs, folder, CORE, rounding) if board else run_c(runs, folder, flags)
    for got, wanted in zip(outputs, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


@each
def test_additions(board: bool, rounding: Rounding, tmp_path: Path) -> None:
    some = [*additions()[::2], *clamped(additions()[:1])] if board else additions()[:1]
    _check(some, rounding, tmp_path, board=board)


@each
def test_means(board: bool, rounding: Rounding, tmp_path: Path) -> None:
    means = [case for case in pools() if case.label.startswith("GlobalAverage")]
    _check(clamped(means[:2]) + means[2:], rounding, tmp_path, board=board)
