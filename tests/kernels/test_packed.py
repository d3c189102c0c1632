from pathlib import Path
import pytest
from kernels.support import Layer, Numbers, check_board, check_host, fed_extremes, layer
from pingponnx.fixed_point import Rounding
from pingponnx.ops.conv import Conv
from pingponnx.ops.window import Window
HEADER = "conv_packed_s8.h"
SAME = (1, 1, 1, 1)

def _convolutions() -> list[Layer]:
    return [
        layer(Conv(Window((1, 1))), (1, 3, 5, 8), (8, 8, 1, 1)),
        layer(Conv(Window((1, 1))), (1, 3, 3, 7), (5, 7, 1, 1)),
        layer(Conv(Window((1, 1), (2, 2))), (1, 5, 6, 4), (3, 4, 1, 1)),
        layer(Conv(Window((3, 3), pads=SAME)), (1, 4, 5, 4), (6, 4, 3, 3)),
        layer(Conv(Window((3, 3), (2, 2), pads=(0,0,1,1))), (1, 6, 6, 3), (9, 3, 3, 3)),
        layer(Conv(Window((3, 2), (1,2), (2,3), pads=(2,1,1,2))), (1, 7, 8, 5), (4, 5, 3, 2)),
        layer(Conv(Window((5, 1), pads=(2,0,2,0))), (1, 11, 4), (5, 4, 5)),
        layer(Conv(Window((3, 3), pads=SAME), pool=Window((2, 2), (2, 2))), (1, 6, 6, 4), (6, 4, 3, 3)),
        layer(Conv(Window((3, 3)), pool=Window((3, 3), (3, 4))), (1, 8, 9, 4), (4, 4, 3, 3)),
        layer(Conv(Window((2, 2)), pool=Window((3, 1), (3, 2))), (1, 7, 8, 6), (4, 6, 2, 2)),
        layer(Conv(Window((3, 1)), pool=Window((2, 1), (2, 1))), (1, 9, 6), (4, 6, 3)),
    ]

@pytest.mark.parametrize("rounding", list(Rounding))
def test_host(rounding: Rounding, tmp_path: Path) -> None:
    check_host([c.rounded(rounding) for c in fed_extremes(_convolutions())], HEADER, tmp_path)

@pytest.mark.parametrize("rounding", list(Rounding))
def test_board(rounding: Rounding, tmp_path: Path) -> None:
    check_board([c.rounded(rounding) for c in _convolutions()], HEADER, tmp_path)
