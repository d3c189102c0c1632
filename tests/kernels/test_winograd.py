"""Convolutions by Winograd's algorithm: equal to the reference wherever they are offered."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.support import Layer, Numbers, check_board, check_host, fed_extremes, layer
from pingponnx.fixed_point import Rounding
from pingponnx.kernels.winograd import pair_distance
from pingponnx.ops.conv import Conv
from pingponnx.ops.window import Pads, Window

HEADER = "conv_winograd_s8.h"
POOL = Window((2, 2), (2, 2))
SAME = (1, 1, 1, 1)
each_rounding = pytest.mark.parametrize("rounding", list(Rounding))


def conv(
    shape: tuple[int, ...],
    out: int,
    pads: Pads = SAME,
    pool: Window | None = None,
    clamp: tuple[float, float] = (-np.inf, np.inf),
    numbers: Numbers = Numbers(),  # noqa: B008
) -> Layer:
    op = Conv(Window((3, 3), pads=pads), 1, *clamp, pool)
    return layer(op, shape, (out, shape[-1], 3, 3), numbers)


def _layers() -> list[Layer]:
    extreme = Numbers(zeros=(-128, 127), limits=(-128, -128))
    return [
        # tiles and pairs of tiles that reach beyond the map, and channels in one go, in eights, in twos
        *(conv((1, height, width, 4), 4) for height, width in ((1, 1), (2, 5), (3, 4), (6, 8))),
        conv((1, 5, 6, 16), 8, (0, 0, 0, 0)),
        conv((1, 4, 7, 32), 4, (2, 0, 1, 2), clamp=(-30.0, 25.0)),
        conv((1, 5, 4, 20), 4, (0, 1, 1, 0), numbers=Numbers(per_channel=False)),
        conv((2, 3, 4, 4), 4),
        conv((1, 6, 7, 8), 8, SAME, POOL),
        conv((1, 4, 9, 16), 4, (0, 0, 0, 0), POOL),
        conv((1, 5, 5, 48), 4, numbers=extreme),
        conv((1, 4, 4, 16), 4, SAME, POOL, numbers=Numbers(zeros=(127, -128), limits=(127, 127))),
        conv((1, 3, 4, 16), 4, numbers=Numbers(zeros=(0, 0), limits=(-128, -100))),
    ]


def _large_scales() -> Layer:
    """Factors from a half on, which need a shift of their own."""
    return conv((1, 4, 5, 4), 4, numbers=Numbers(scale=(0.5, 1.5, 0.01, 1e-9), limits=(-3, 3)))


@each_rounding
def test_the_host_equals_the_reference(rounding: Rounding, tmp_path: Path) -> None:
    layers = [*_layers(), *([_large_scales()] if rounding is Rounding.SINGLE else ())]
    check_host(fed_extremes([one.rounded(rounding) for one in layers]), HEADER, tmp_path)


@pytest.mark.qemu
@each_rounding
def test_the_board_equals_the_reference(rounding: Rounding, tmp_path: Path) -> None:
    some = [one.rounded(rounding) for one in (*_layers()[2:7], *_layers()[8:])]
    check_board(fed_extremes(some), HEADER, tmp_path)


@given(st.integers(1, 9), st.integers(1, 9), st.tuples(*[st.integers(0, 3)] * 4), st.sampled_from([4, 8, 64]))
def test_a_pair_of_rows_destroys_nothing_that_is_read(height: int, width: int, pads: Pads, out: int) -> None:
    window = Window((3, 3), pads=pads)
    rows, columns = window.output(height, width)
    if min(rows, columns) < 1:
        return
    site = conv((1, height, width, 8), out, pads).site
    distance, in_row, out_row = pair_distance(window, site), width * 8, columns * out
    slack = []
    for first in range(0, rows, 2):
        end = min(first + 2, rows) * out_row - distance  # where the pair ends, from the input's begin
        read = [y for t in range(first, rows, 2) for y in range(t - pads[0], t - pads[0] + 4)]
        lowest = min((y for y in read if 0 <= y < height), default=height)
        slack.append(lowest * in_row - end)
    assert min(slack) == 0


REFUSED = {
    "a stride": Conv(Window((3, 3), (2, 2))),
    "dilation": Conv(Window((3, 3), dilation=(2, 2))),
    "another kernel": Conv(Window((3, 5))),
    "another pool": Conv(Window((3, 3)), pool=Window((3, 3), (2, 2))),
}


@pytest.mark.parametrize("name", REFUSED)
def test_no_offer_for(name: str) -> None:
    op = REFUSED[name]
    assert layer(op, (1, 9, 9, 4), (4, 4, *op.window.kernel)).offers(HEADER) == []


def test_no_offer_where_numbers_are_not_proven() -> None:
    assert conv((1, 4, 4, 6), 4).offers(HEADER) == []
    assert conv((1, 4, 4, 4), 6).offers(HEADER) == []
    large = _large_scales()
    assert large.offers(HEADER) and not large.rounded(Rounding.TFLITE).offers(HEADER)
    for core in ("cortex-m0", "cortex-m3", "cortex-m55", "host"):
        assert large.offers(HEADER, core) == []
    assert large.offers(HEADER, "cortex-m7") and large.offers(HEADER, "cortex-m33")


def test_rows_are_made_of_pooled_layers_only() -> None:
    for pool in (None, POOL):
        (call,) = conv((1, 4, 4, 4), 4, SAME, pool).offers(HEADER)
        assert (call.rows is not None) == (pool is not None)
