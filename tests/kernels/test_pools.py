"""Pools and additions on cores that can do more at a time, next to the reference."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from host import run_c
from support import Case, make_case, quantization, row_runs, run_of

from kernels.support import run_board
from pingponnx.fixed_point import Rounding
from pingponnx.ir import Array, Quantization
from pingponnx.kernels import candidates
from pingponnx.targets import get_target

each_rounding = pytest.mark.parametrize("rounding", list(Rounding))
IN, OUT = quantization(0.0471, -7), quantization(0.0613, 11)


def _codes(seed: int, *shape: int) -> Array:
    """Random codes, among them many of int8's ends."""
    rng = np.random.default_rng([seed, *shape])
    codes = rng.integers(-128, 128, shape)
    return np.where(rng.random(shape) < 0.2, rng.choice([-128, 127], shape), codes).astype(np.int8)


def pools() -> list[Case]:
    def pool(op: str, seed: int, shape: tuple[int, ...], to: Quantization = IN, **how: list[int]) -> Case:
        return make_case(op, _codes(seed, *shape), opset=19, quantized=(IN, to), **how)

    return [
        pool("MaxPool", 1, (1, 8, 6, 6), kernel_shape=[2, 2], strides=[2, 2]),
        pool("MaxPool", 2, (2, 7, 5, 8), kernel_shape=[3, 2], strides=[1, 2], pads=[1, 0, 2, 1]),
        pool("MaxPool", 3, (1, 6, 9), kernel_shape=[3], strides=[2], dilations=[2]),
        pool("GlobalMaxPool", 4, (1, 4, 3, 3)),
        pool("GlobalAveragePool", 5, (1, 8, 5, 3)),
        pool("GlobalAveragePool", 6, (1, 7, 4, 4), OUT),
        pool("GlobalAveragePool", 7, (1, 5, 11)),
        pool("GlobalAveragePool", 8, (1, 4, 2, 300), OUT),
        replace_input(pool("GlobalAveragePool", 9, (1, 4, 1, 513)), -128),
    ]


def replace_input(case: Case, value: int) -> Case:
    return replace(case, arrays=(np.full_like(case.arrays[0], value),))


def additions() -> list[Case]:
    scales = [
        ((0.02, 3), (0.037, -128), (0.05, -128)),
        ((0.05, -5), (0.0037, 12), (0.03, 127)),
        ((0.05, 127), (0.00002, -128), (0.09, 0)),
        ((0.01, -128), (0.011, 127), (0.0003, 5)),
    ]
    cases = []
    for i, quantized in enumerate(scales):
        for shape in ((1, 3, 5, 5), (2, 7, 3)):
            arrays = (_codes(i, *shape), _codes(i + 9, *shape))
            cases.append(make_case("Add", *arrays, quantized=[quantization(*q) for q in quantized]))
    codes = np.append(np.arange(-128, 127, 5), 127).astype(np.int8)
    pairs = (a.reshape(1, 52, 52) for a in (np.repeat(codes, 52), np.tile(codes, 52)))
    return [*cases, make_case("Add", *pairs, quantized=(IN, OUT, quantization(0.07, -3)))]


def clamped(cases: list[Case]) -> list[Case]:
    return [*cases, *(replace(c, op=c.op.with_clamp(-1.0, 2.0)) for c in cases)]  # type: ignore[type-var]


def _check(cases: list[Case], rounding: Rounding, folder: Path, *, board: bool) -> set[str]:
    """Runs what is offered beside the plain kernels; returns its names."""
    runs, expected = [], []
    for case in (c.with_rounding(rounding) for c in cases):
        _, *offers = candidates(case.op, case.site, get_target("cortex-m4"))
        for call in offers:
            whole = run_of(case, call)
            some = [whole, *(run_of(case, call, i) for i in call.overlap), *row_runs(whole)]
            runs += some
            expected += [(f"{case.label} {r.shared} {r.order}", case.reference) for r in some]
    flags = ["-DPINGPONNX_ROUNDING_TFLITE"] if rounding is Rounding.TFLITE else []
    outputs = run_board(runs, folder, "cortex-m4", rounding) if board else run_c(runs, folder, flags)
    for got, (label, wanted) in zip(outputs, expected, strict=True):
        np.testing.assert_array_equal(got, wanted, label)
    return {run.call.function for run in runs}


@each_rounding
@pytest.mark.parametrize("board", [False, pytest.param(True, marks=pytest.mark.qemu)])
def test_pools(board: bool, rounding: Rounding, tmp_path: Path) -> None:
    names = _check(clamped(pools()), rounding, tmp_path, board=board)
    assert names == {"max_pool_quads_s8", "mean_map_s8"}


@each_rounding
@pytest.mark.parametrize("board", [False, pytest.param(True, marks=pytest.mark.qemu)])
def test_additions(board: bool, rounding: Rounding, tmp_path: Path) -> None:
    cases = additions() if board else clamped(additions())
    assert _check(cases, rounding, tmp_path, board=board) == {"add_fast_s8"}
