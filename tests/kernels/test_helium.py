"""Kernels for Helium: plain C on the host, the instructions on the M55 board, both against the reference."""

from pathlib import Path

import pytest
from kernels.support import Layer, Numbers, check_board, check_host, fed_extremes, layer

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
        layer(Conv(Window((3, 3), pads=SAME), pool=half), (1, 6, 6, 4), (6, 4, 3, 3), Numbers((0.003))),
        layer(Conv(Window((3, 3)), pool=Window((3, 3), (3, 4))), (1, 8, 9, 4), (4, 4, 3, 3)),
        layer(Conv(Window((2, 2)), pool=Window((3, 1), (3, 2))), (1, 7, 8, 6), (4, 6, 2, 2)),
        layer(Conv(Window((3, 1)), pool=Window((2, 1), (2, 1))), (1, 9, 6), (4, 6, 3)),
        layer(Conv(Window((2, 2))), (1, 3, 2, 7), (5, 7, 2, 2), Numbers(zeros=(127, -128), limits=(-128, -128))),
    ]


def _fully_connected() -> list[Layer]:
    return [
        layer(Gemm(), (1, 40), (10, 40)),
        layer(Gemm(), (3, 7), (4, 7), Numbers(zeros=(127, -128))),
        layer(Gemm(), (1, 64), (1, 64), Numbers(per_channel=False)),
    ]


CASES = {"conv_mve_s8.h": _convolutions, "gemm_mve_s8.h": _fully_connected}


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("header", CASES)
def test_host(header: str, rounding: Rounding, tmp_path: Path) -> None:
    check_host([c.rounded(rounding) for c in fed_extremes(CASES[header]())], header, tmp_path, CORE)


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("header", CASES)
def test_board(header: str, rounding: Rounding, tmp_path: Path) -> None:
    check_board([c.rounded(rounding) for c in fed_extremes(CASES[header]())], header, tmp_path, CORE)
