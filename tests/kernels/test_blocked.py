"""Blocks of four channels, on cores without the DSP extension: plain C, and assembly on M0 and M3."""

from pathlib import Path

import numpy as np
import pytest

from kernels.support import Layer, Numbers, check_board, check_host, fed_extremes, layer
from pingponnx.fixed_point import Rounding
from pingponnx.kernels import candidates
from pingponnx.ops import Operator
from pingponnx.ops.conv import Conv
from pingponnx.ops.gemm import Gemm
from pingponnx.ops.window import Window
from pingponnx.targets import get_target

CONV, GATHERED = "conv_blocked_s8.h", "conv_gathered_s8.h"
DEPTHWISE, GEMM = "depthwise_blocked_s8.h", "gemm_blocked_s8.h"
CORES = ("cortex-m0", "cortex-m3")
SAME = (1, 1, 1, 1)


def _convolutions() -> list[Layer]:
    two = Window((2, 2), (2, 2))
    return [
        layer(Conv(Window((1, 1))), (1, 3, 5, 8), (8, 8, 1, 1)),
        layer(Conv(Window((1, 1), (2, 2))), (1, 5, 6, 4), (3, 4, 1, 1), Numbers(zeros=(-128, 127))),
        layer(Conv(Window((3, 3), pads=SAME)), (1, 4, 5, 4), (6, 4, 3, 3), Numbers(zeros=(127, -128))),
        layer(Conv(Window((3, 3), pads=SAME), low=-40.0, high=30.0), (1, 4, 1, 2), (5, 2, 3, 3)),
        layer(Conv(Window((3, 3), (2, 2), pads=(0, 0, 1, 1))), (1, 6, 6, 3), (9, 3, 3, 3)),
        layer(Conv(Window((3, 2), (1, 2), (2, 3), pads=(2, 1, 1, 2))), (1, 7, 8, 5), (4, 5, 3, 2)),
        layer(Conv(Window((2, 5), pads=(1, 4, 1, 4))), (2, 3, 2, 3), (4, 3, 2, 5), Numbers(zeros=(0, 0))),
        layer(Conv(Window((5, 1), pads=(2, 0, 2, 0))), (1, 11, 4), (5, 4, 5)),
        layer(
            Conv(Window((3, 3), pads=SAME), pool=two), (1, 6, 6, 4), (6, 4, 3, 3), Numbers(per_channel=False)
        ),
        layer(
            Conv(Window((3, 3), pads=(2, 2, 0, 0)), pool=Window((3, 3), (3, 4))), (1, 8, 9, 4), (4, 4, 3, 3)
        ),
        layer(Conv(Window((2, 2)), pool=Window((3, 1), (3, 2))), (1, 7, 8, 6), (4, 6, 2, 2)),
        layer(Conv(Window((3, 1)), pool=Window((2, 1), (2, 1))), (1, 9, 6), (4, 6, 3)),
        layer(Conv(Window((3, 3), pads=SAME)), (1, 4, 4, 8), (4, 8, 3, 3), Numbers(limits=(-128, -127))),
    ]


def _depthwise() -> list[Layer]:
    def depthwise(window: Window, shape: tuple[int, ...], kernel: tuple[int, ...], **how: object) -> Layer:
        channels = shape[-1]
        op = Conv(window, channels, pool=Window((2, 2), (2, 2)) if how.pop("pool", False) else None)
        return layer(op, shape, (channels, 1, *kernel), Numbers(**how))  # type: ignore[arg-type]

    return [
        depthwise(Window((3, 3), pads=SAME), (1, 4, 5, 8), (3, 3)),
        depthwise(Window((3, 3), (2, 2), pads=(0, 0, 1, 1)), (1, 6, 6, 4), (3, 3), zeros=(-128, 127)),
        depthwise(Window((3, 3), pads=SAME), (1, 3, 1, 4), (3, 3), zeros=(127, -128), limits=(-128, -127)),
        depthwise(Window((2, 4), (1, 2), (2, 3), pads=(1, 7, 1, 9)), (2, 5, 6, 4), (2, 4)),
        depthwise(Window((5, 1), pads=(2, 0, 2, 0)), (1, 9, 4), (5,)),
        depthwise(Window((3, 3), pads=SAME), (1, 4, 6, 12), (3, 3), pool=True, per_channel=False),
    ]


def _gemms() -> list[Layer]:
    return [
        layer(Gemm(), (1, 37), (6, 37)),
        layer(Gemm(), (1, 8), (4, 8), Numbers(zeros=(127, -128), limits=(-128, -127))),
        layer(Gemm(low=-20.0, high=10.0), (3, 5), (3, 5), Numbers(zeros=(-128, 127), per_channel=False)),
    ]


def _short() -> list[Layer]:
    return [one for one in _convolutions() if one.offers(GATHERED, "cortex-m3")]


LAYERS = {CONV: _convolutions, GATHERED: _short, DEPTHWISE: _depthwise, GEMM: _gemms}


def _with_extremes(header: str) -> list[Layer]:
    """All layers, the last ones with inputs that drive their sums to both ends."""
    layers = LAYERS[header]()
    return [*layers[:-2], *fed_extremes(layers[-2:])]


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("header", LAYERS)
def test_plain_c(header: str, rounding: Rounding, tmp_path: Path) -> None:
    layers = [one.rounded(rounding) for one in _with_extremes(header)]
    check_host(layers, header, tmp_path, "cortex-m3")


@pytest.mark.qemu
@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("header", LAYERS)
def test_assembly(header: str, core: str, rounding: Rounding, tmp_path: Path) -> None:
    check_board([one.rounded(rounding) for one in _with_extremes(header)], header, tmp_path, core)


def _scaled(scale: float) -> Layer:
    return layer(Gemm(), (1, 4), (4, 4), Numbers(scale=scale, bias=np.array([-9, 0, 5, 300])))


@pytest.mark.qemu
@pytest.mark.parametrize("core", CORES)
def test_every_scale_that_is_offered(core: str, tmp_path: Path) -> None:
    """Large scales have shifts of their own under single rounding; under TFLite's all have."""
    scales = (1e-9, 3e-5, 0.125, 0.25, 0.4999)
    for rounding in Rounding:
        more = (0.5, 1.5) if rounding is Rounding.SINGLE else ()
        layers = fed_extremes(_scaled(scale).rounded(rounding) for scale in (*scales, *more))
        (tmp_path / rounding).mkdir()
        check_board(layers, GEMM, tmp_path / rounding, core)


def _offered(op: Operator, one: Layer, core: str) -> list[str]:
    calls = candidates(op, one.site, get_target(core))
    return [call.header for call in calls if "blocked" in call.header]


def test_where_it_is_not_offered() -> None:
    conv, dense = _convolutions()[0], _gemms()[0]
    assert _offered(conv.op, conv, "cortex-m3") == [CONV]
    assert not _offered(conv.op, conv, "cortex-m4") and not _offered(dense.op, dense, "cortex-m55")
    assert not _scaled(0.5).rounded(Rounding.TFLITE).offers(GEMM, "cortex-m0")
    odd = layer(Conv(Window((3, 3)), 6), (1, 4, 4, 6), (6, 1, 3, 3))  # no whole blocks of channels
    grouped = layer(Conv(Window((1, 1)), 2), (1, 2, 2, 8), (8, 4, 1, 1))
    assert not _offered(odd.op, odd, "cortex-m3") and not _offered(grouped.op, grouped, "cortex-m3")
