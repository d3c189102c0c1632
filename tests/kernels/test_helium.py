"""Kernels for Helium: plain C on the host, the instructions on the M55 board, both against the reference."""

from pathlib import Path

import numpy as np
import pytest
from host import Run
from support import row_runs

from kernels.support import Layer, Numbers, check_board, check_host, fed_extremes, layer, run_board
from pingponnx.fixed_point import Rounding
from pingponnx.ops.conv import Conv
from pingponnx.ops.gemm import Gemm
from pingponnx.ops.window import Window

CORE = "cortex-m55"
SAME = (1, 1, 1, 1)


def _convolutions() -> list[Layer]:
    half = Window((2, 2), (2, 2))
    return [
        layer(Conv(Window((1, 1))), (1, 3, 5, 8), (8, 8, 1, 1)),
        layer(Conv(Window((1, 1))), (1, 3, 3, 33), (5, 33, 1, 1)),
        layer(Conv(Window((1, 1), (2, 2))), (1, 5, 6, 16), (3, 16, 1, 1)),
        layer(Conv(Window((1, 1), pads=(0, 0, 1, 2))), (1, 3, 3, 6), (4, 6, 1, 1)),
        layer(Conv(Window((3, 3), pads=SAME)), (1, 4, 5, 16), (6, 16, 3, 3), Numbers(zeros=(-128, 127))),
        layer(Conv(Window((3, 3), (2, 2), pads=(0, 0, 1, 1))), (1, 6, 6, 3), (9, 3, 3, 3)),
        layer(Conv(Window((3, 2), (1, 2), (2, 3), (2, 1, 1, 2))), (1, 7, 8, 5), (4, 5, 3, 2)),
        layer(Conv(Window((5, 1), pads=(2, 0, 2, 0))), (1, 11, 4), (5, 4, 5)),
        layer(Conv(Window((3, 1), (2, 1), (2, 1), (3, 0, 0, 0))), (1, 9, 3), (4, 3, 3)),
        layer(Conv(Window((3, 3), pads=SAME), pool=half), (1, 6, 6, 4), (6, 4, 3, 3), Numbers(scale=0.003)),
        layer(Conv(Window((3, 3)), pool=Window((3, 3), (3, 4))), (1, 8, 9, 4), (4, 4, 3, 3)),
        layer(Conv(Window((2, 2)), pool=Window((3, 1), (3, 2))), (1, 7, 8, 6), (4, 6, 2, 2)),
        layer(Conv(Window((3, 1)), pool=Window((2, 1), (2, 1))), (1, 9, 6), (4, 6, 3)),
        layer(
            Conv(Window((2, 2))), (1, 3, 2, 7), (5, 7, 2, 2), Numbers(zeros=(127, -128), limits=(-128, -128))
        ),
    ]


def _fully_connected() -> list[Layer]:
    return [
        layer(Gemm(), (1, 40), (10, 40)),
        layer(Gemm(), (3, 7), (4, 7), Numbers(zeros=(127, -128))),
        layer(Gemm(), (1, 64), (1, 64), Numbers(per_channel=False)),
    ]


def _depthwise() -> list[Layer]:
    return [
        layer(Conv(Window((3, 3), pads=SAME), 16), (1, 4, 5, 16), (16, 1, 3, 3)),
        layer(Conv(Window((3, 3), (2, 2), pads=(0, 0, 1, 1)), 40), (1, 6, 6, 40), (40, 1, 3, 3)),
        layer(
            Conv(Window((2, 3), (1, 1), (1, 2), SAME), 7),
            (1, 3, 6, 7),
            (7, 1, 2, 3),
            Numbers(zeros=(-128, 127)),
        ),
        layer(Conv(Window((5, 1), pads=(2, 0, 2, 0)), 6), (1, 8, 6), (6, 1, 5)),
        layer(Conv(Window((2, 2)), 3), (1, 3, 3, 3), (3, 1, 2, 2), Numbers(limits=(-128, -128))),
        layer(
            Conv(Window((1, 9)), 4), (1, 1, 10, 4), (4, 1, 1, 9), Numbers(limits=(-30, 28), per_channel=False)
        ),
        layer(
            Conv(Window((3, 3)), 2, low=-20, high=30), (1, 3, 4, 2), (2, 1, 3, 3), Numbers(limits=(126, 127))
        ),
    ]


CASES = {
    "conv_mve_s8.h": _convolutions,
    "depthwise_mve_s8.h": _depthwise,
    "gemm_mve_s8.h": _fully_connected,
}


def _layers(header: str, rounding: Rounding) -> list[Layer]:
    """All of them, the last one, whose weights are extreme, also with extreme inputs."""
    *some, last = CASES[header]()
    some = some[::2] if rounding is Rounding.TFLITE else some  # only the scaling differs
    return [one.rounded(rounding) for one in (*some, *fed_extremes([last]))]


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("header", CASES)
def test_host(header: str, rounding: Rounding, tmp_path: Path) -> None:
    check_host(_layers(header, rounding), header, tmp_path, CORE)


@pytest.mark.qemu
@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("header", CASES)
def test_board(header: str, rounding: Rounding, tmp_path: Path) -> None:
    check_board(_layers(header, rounding), header, tmp_path, CORE)


@pytest.mark.parametrize("core", ["cortex-m0", "cortex-m4", "host"])
def test_other_cores_are_not_offered_vectors(core: str) -> None:
    assert not any(make()[0].offers(header, core) for header, make in CASES.items())


def test_a_scale_of_one_half_and_more_is_left_to_the_plain_kernel() -> None:
    """Its left shift is not what the vectors' scaling does."""
    one = layer(Conv(Window((1, 1))), (1, 3, 3, 4), (4, 4, 1, 1), Numbers(scale=0.75))
    assert not one.offers("conv_mve_s8.h", CORE)
    assert one.rounded(Rounding.TFLITE).offers("conv_mve_s8.h", CORE)


@pytest.mark.qemu
@pytest.mark.parametrize("rounding", list(Rounding))
def test_a_flattened_map_is_summed_up_row_by_row(rounding: Rounding, tmp_path: Path) -> None:
    one = layer(Gemm(), (1, 40), (10, 40)).rounded(rounding)
    (call,) = one.offers("gemm_mve_s8.h", CORE)
    whole = Run(call, (one.x.reshape(1, 5, 8),), one.site.y.shape, np.dtype(np.int8))
    for got in run_board(row_runs(whole), tmp_path, CORE, rounding):
        np.testing.assert_array_equal(got, one.reference)
