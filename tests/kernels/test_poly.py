"""Convolutions as products of polynomials: equal to the reference wherever they are offered."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.support import Layer, Numbers, check_board, check_host, fed_extremes, layer
from pingponnx.calls import Struct
from pingponnx.fixed_point import Rounding
from pingponnx.kernels.poly import longest_run
from pingponnx.ops.conv import Conv
from pingponnx.ops.window import Window

HEADER = "conv_poly_s8.h"
POOL = Window((2, 2), (2, 2))
each_rounding = pytest.mark.parametrize("rounding", list(Rounding))


def conv(
    shape: tuple[int, ...],
    out: int,
    kernel: tuple[int, int],
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    pool: Window | None = None,
    clamp: tuple[float, float] = (-np.inf, np.inf),
    numbers: Numbers = Numbers(),  # noqa: B008
) -> Layer:
    op = Conv(Window(kernel, pads=pads), 1, *clamp, pool)
    return layer(op, shape, (out, shape[-1], *kernel), numbers)


def _weights(shape: tuple[int, ...], value: int) -> Numbers:
    """All weights alike: the largest sums there are."""
    return Numbers(weights=np.full(shape, value), zeros=(-128, 127))


def _shapes() -> list[Layer]:
    """Rows that end within, before and behind a tile, and kernels and pads of all sorts."""
    same, five = (1, 1, 1, 1), (2, 2, 2, 2)
    return [
        *(conv((1, 5, width, 2), 3, (3, 3), same) for width in (1, 2, 3, 4, 5, 8)),
        *(conv((1, 6, width, 3), 4, (5, 5), five, POOL) for width in (2, 3, 4, 6, 7, 8)),
        conv((1, 8, 8, 1), 2, (3, 3), pool=POOL),
        conv((1, 9, 11, 3), 5, (3, 3), (1, 0, 0, 1), POOL, (-20.0, 30.0)),
        conv((1, 7, 9, 1), 3, (5, 5), numbers=Numbers(per_channel=False)),
        conv((1, 1, 6, 4), 2, (1, 5), (0, 2, 0, 2)),
        conv((1, 2, 9, 4), 1, (2, 3), (1, 1, 0, 0)),
        conv((2, 4, 5, 2), 2, (3, 3), same),
        conv((1, 3, 4, 2), 4, (3, 3), (3, 3, 3, 3)),
    ]


def _full_fields() -> list[Layer]:
    """Sums that leave their fields unless these are emptied in between, with both ends of int8."""
    same, five = (1, 1, 1, 1), (2, 2, 2, 2)
    layers = [
        conv((1, 6, 6, 16), 2, (5, 5), five, POOL, numbers=_weights((2, 16, 5, 5), -128)),
        conv((1, 3, 6, 16), 2, (3, 3), same, numbers=_weights((2, 16, 3, 3), 127)),
        conv((1, 3, 8, 8), 3, (5, 5), five, numbers=Numbers(zeros=(127, -128), limits=(-128, -100))),
        conv((1, 3, 8, 8), 3, (5, 5), five, numbers=Numbers(zeros=(0, 0), limits=(100, 127))),
    ]
    for one in layers:
        (call,) = one.offers(HEADER)
        params = call.arguments[0]
        assert isinstance(params, Struct) and params.fields["runs"] != 1
    return fed_extremes(layers)


def _large_scales() -> list[Layer]:
    """Factors from a half on, which need a shift of their own."""
    scale = (0.5, 0.75, 1.5, 0.01, 1e-9)
    return [conv((1, 4, 5, 1), 5, (3, 3), numbers=Numbers(scale=scale, limits=(-3, 3)))]


@each_rounding
def test_the_host_equals_the_reference(rounding: Rounding, tmp_path: Path) -> None:
    layers = [*_shapes(), *_full_fields(), *(_large_scales() if rounding is Rounding.SINGLE else ())]
    check_host([one.rounded(rounding) for one in layers], HEADER, tmp_path)


@pytest.mark.qemu
@each_rounding
def test_the_board_equals_the_reference(rounding: Rounding, tmp_path: Path) -> None:
    layers = [*_shapes(), *_full_fields()]
    check_board([one.rounded(rounding) for one in layers], HEADER, tmp_path)


def _largest_field(weights: np.ndarray, run: int) -> int:
    """The furthest that an input can drive the middle field of some run from zero, by trying both ends."""
    ends = [np.where(weights > 0, a, b) * weights for a, b in ((127, -128), (-128, 127))]
    sums = [np.add.reduceat(e.sum(axis=2), range(0, weights.shape[1], run), axis=1) for e in ends]
    return max(int(sums[0].max()), int(-sums[1].min()) - 1)


@given(st.integers(0, 10**6), st.integers(1, 40), st.sampled_from([3, 5]), st.integers(1, 128))
def test_runs_are_as_long_as_fields_allow(seed: int, blocks: int, unrolled: int, limit: int) -> None:
    weights = np.random.default_rng(seed).integers(-limit, limit, (2, blocks * unrolled, 6))
    run = longest_run(weights, unrolled)
    assert run % unrolled == 0 and _largest_field(weights, run) < 2**20
    runs = -(-blocks * unrolled // run)
    if runs > 1:
        shorter = -(-blocks // (runs - 1)) * unrolled
        assert _largest_field(weights, shorter) >= 2**20


REFUSED = {
    "a stride": Conv(Window((3, 3), (1, 2))),
    "dilation": Conv(Window((3, 3), dilation=(1, 2))),
    "an even kernel": Conv(Window((4, 4))),
    "another pool": Conv(Window((3, 3)), pool=Window((3, 3), (2, 2))),
}


@pytest.mark.parametrize("name", REFUSED)
def test_no_offer_for(name: str) -> None:
    op = REFUSED[name]
    one = layer(op, (1, 9, 9, 2), (2, 2, *op.window.kernel))
    assert one.offers(HEADER) == []


def test_no_offer_where_numbers_are_not_proven() -> None:
    assert layer(Conv(Window((3, 1))), (1, 9, 2), (2, 2, 3)).offers(HEADER) == []
    (large,) = _large_scales()
    assert large.offers(HEADER) and not large.rounded(Rounding.TFLITE).offers(HEADER)
    for core in ("cortex-m0", "cortex-m3", "cortex-m55", "host"):
        assert large.offers(HEADER, core) == []
    assert large.offers(HEADER, "cortex-m7") and large.offers(HEADER, "cortex-m33")
