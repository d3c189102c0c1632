"""Packed convolution and fully connected kernels: equal to the reference wherever they are offered."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from host import Run, run_c

from kernels.support import Layer, Numbers, check_board, check_host, fed_extremes, layer
from pingponnx.calls import Struct
from pingponnx.fixed_point import Rounding
from pingponnx.ir import Array
from pingponnx.kernels import candidates
from pingponnx.ops.conv import Conv
from pingponnx.ops.gemm import Gemm
from pingponnx.ops.window import Window
from pingponnx.targets import get_target

CONV, DIRECT, GEMM = "conv_packed_s8.h", "conv_direct_s8.h", "gemm_packed_s8.h"
SAME = (1, 1, 1, 1)
OPTIMISED = ()  # gcc optimises these kernels in any case, and as functions compiles them more slowly
each_rounding = pytest.mark.parametrize("rounding", list(Rounding))


def _pool(height: int, width: int, *stride: int) -> Window:
    return Window((height, width), (stride[0], stride[1]) if stride else (height, width))


def _pixels() -> list[Layer]:
    """1x1 kernels: odd widths and channels, strides, one pixel; zero points at both ends."""
    return [
        layer(Conv(Window((1, 1))), (1, 3, 5, 8), (8, 8, 1, 1)),
        layer(Conv(Window((1, 1))), (1, 3, 4, 16), (4, 16, 1, 1), Numbers(zeros=(-128, -128))),
        layer(Conv(Window((1, 1))), (1, 3, 3, 7), (5, 7, 1, 1), Numbers(zeros=(127, 0))),
        layer(Conv(Window((1, 1))), (1, 1, 1, 5), (3, 5, 1, 1), Numbers(per_channel=False)),
        layer(Conv(Window((1, 1)), low=-20.0, high=30.0), (1, 2, 3, 36), (7, 36, 1, 1)),
        layer(Conv(Window((1, 1), (2, 2))), (1, 5, 6, 4), (1, 4, 1, 1)),
        layer(Conv(Window((1, 1), pads=(1, 0, 2, 1))), (1, 3, 3, 12), (6, 12, 1, 1)),
    ]


def _windows() -> list[Layer]:
    """Larger kernels: padding up to the kernel's size and beyond, strides, dilation."""
    return [
        layer(Conv(Window((3, 3), pads=SAME)), (1, 4, 5, 4), (6, 4, 3, 3), Numbers(zeros=(-128, 127))),
        layer(Conv(Window((3, 3), (2, 2), pads=(0, 0, 1, 1))), (1, 6, 6, 3), (9, 3, 3, 3)),
        layer(Conv(Window((3, 2), (1, 2), (2, 3), (2, 1, 1, 2))), (1, 7, 8, 5), (4, 5, 3, 2)),
        layer(Conv(Window((5, 5), pads=(3, 5, 2, 1)), low=0.0), (1, 2, 3, 2), (4, 2, 5, 5)),
        layer(Conv(Window((2, 4), (2, 1), (1, 2), (1, 2, 1, 3))), (1, 5, 4, 13), (8, 13, 2, 4)),
        layer(Conv(Window((5, 1), pads=(2, 0, 2, 0))), (1, 11, 4), (5, 4, 5), Numbers(zeros=(127, -128))),
        layer(Conv(Window((3, 1), (2, 1), (2, 1), (3, 0, 0, 0))), (1, 9, 3), (4, 3, 3)),
    ]


def _pooled() -> list[Layer]:
    """Fused pools: of even and odd width, of one column or row, with gaps, over padding."""
    even = Conv(Window((3, 3), pads=SAME), pool=_pool(2, 2))
    return [
        layer(even, (1, 6, 6, 4), (6, 4, 3, 3)),
        layer(replace(even, low=-10.0, high=20.0), (1, 5, 7, 4), (4, 4, 3, 3), Numbers(zeros=(0, -128))),
        layer(Conv(Window((3, 3)), pool=_pool(3, 3, 3, 4)), (1, 8, 9, 4), (4, 4, 3, 3)),
        layer(Conv(Window((2, 2)), pool=_pool(3, 1, 3, 2)), (1, 7, 8, 6), (5, 6, 2, 2)),
        layer(Conv(Window((2, 2), (1, 2)), pool=_pool(1, 2)), (1, 4, 9, 3), (4, 3, 2, 2)),
        layer(Conv(Window((3, 1)), pool=_pool(2, 1)), (1, 9, 6), (4, 6, 3)),
    ]


def _deep(rng: np.random.Generator, channels: int, depth: int, ends: tuple[int, int]) -> Array:
    """Weights of nothing but two values."""
    return np.where(rng.random((channels, depth, 1, 1)) < 0.5, *ends).astype(np.int8)


def _extreme() -> list[Layer]:
    """Sums of the second channels near 2^23, and -128 where it may be."""
    rng = np.random.default_rng(4)
    full = np.where(np.arange(250)[None, :, None, None] % 2, np.array([[[[127]]], [[[-127]]]]), 127)
    small = rng.integers(-127, 128, (4, 20, 1, 1))
    small[0::2, :5], small[1::2, :5] = -128, 0
    small[1::2, 5:8], small[0::2, 5:8] = -128, 1
    numbers = [
        Numbers(1e-5, (-3, 0), full.astype(np.int8), np.array([5, -9])),
        Numbers(2e-4, (-128, 127), _deep(rng, 4, 120, (127, -127)), np.array([2**20, -(2**20), 7, 2**20])),
        Numbers(None, (127, -128), small.astype(np.int8)),
    ]
    return [
        layer(Conv(Window((1, 1))), (1, 1, 3, n.weights.shape[1]), n.weights.shape, n)
        for n in numbers
        if n.weights is not None
    ]


def _scales() -> list[Layer]:
    """Scales of powers of two, where ties are, and very small ones."""
    scale = (0.25, 0.125, 0.4999999, 2.0**-20, 1e-9, 2.0**-6)
    some = Numbers(scale, limits=(-3, 3), bias=np.arange(-3, 3))
    return [
        layer(Conv(Window((1, 1))), (1, 2, 5, 3), (6, 3, 1, 1), some),
        layer(Conv(Window((2, 2)), pool=_pool(2, 2)), (1, 5, 5, 2), (6, 2, 2, 2), some),
    ]


def _connected() -> list[Layer]:
    """Depths and outputs that are no multiples of four, several rows, rounds of the long loop."""
    return [
        layer(Gemm(), (1, 1), (1, 1)),
        layer(Gemm(), (1, 17), (5, 17), Numbers(zeros=(-128, 127))),
        layer(Gemm(-10.0, 50.0), (1, 64), (10, 64), Numbers(per_channel=False)),
        layer(Gemm(), (3, 35), (7, 35), Numbers(zeros=(127, -128))),
        layer(Gemm(), (1, 187), (8, 187)),
    ]


@each_rounding
@pytest.mark.parametrize("kind", [_pixels, _windows, _pooled, _extreme, _scales, _connected])
def test_plain_c(kind, rounding: Rounding, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    layers = kind() if kind in (_pixels, _windows, _pooled) else fed_extremes(kind())
    layers = [one.rounded(rounding) for one in layers]
    check_host(layers, GEMM if kind is _connected else CONV, tmp_path, flags=OPTIMISED)


@each_rounding
def test_plain_c_without_scratch(rounding: Rounding, tmp_path: Path) -> None:
    layers = [*_pixels()[::2], *_windows(), *_large(), *_pooled()[1:], *fed_extremes(_extreme()[1:2])]
    check_host(_direct(layers, rounding), DIRECT, tmp_path, flags=OPTIMISED)


@pytest.mark.qemu
@each_rounding
def test_instructions_without_scratch(rounding: Rounding, tmp_path: Path) -> None:
    layers = [*_pixels(), *_windows(), *_large(), *_pooled(), *_extreme(), *_scales()]
    check_board([*_direct(layers, rounding), *_every_unrolling(rounding)], DIRECT, tmp_path)


def _direct(layers: list[Layer], rounding: Rounding) -> list[Layer]:
    """Those without dilation across."""
    return [one.rounded(rounding) for one in layers if one.op.window.dilation[1] == 1]  # type: ignore[attr-defined]


def _large() -> list[Layer]:
    """Windows that are not put together: of odd values in a row, beyond the edges, with rests of channels."""
    return [
        layer(Conv(Window((3, 3), pads=SAME)), (1, 4, 5, 16), (6, 16, 3, 3), Numbers(zeros=(-128, 3))),
        layer(Conv(Window((3, 5), (1, 2), pads=(2, 3, 1, 4)), low=-9.0), (1, 3, 6, 11), (5, 11, 3, 5)),
        layer(Conv(Window((2, 3), pads=(0, 1, 1, 1)), pool=_pool(2, 2)), (1, 4, 4, 45), (4, 45, 2, 3)),
    ]


@pytest.mark.qemu
@each_rounding
def test_instructions(rounding: Rounding, tmp_path: Path) -> None:
    kinds = (_pixels, _windows, _pooled, _extreme, _scales)
    layers = [one.rounded(rounding) for kind in kinds for one in kind()]
    check_board([*layers, *_every_unrolling(rounding)], CONV, tmp_path)


@pytest.mark.qemu
@each_rounding
def test_instructions_of_fully_connected_layers(rounding: Rounding, tmp_path: Path) -> None:
    check_board([one.rounded(rounding) for one in fed_extremes(_connected())], GEMM, tmp_path)


def _every_unrolling(rounding: Rounding) -> list[Layer]:
    """One to eight, ten, twelve and sixteen quads in a row, alone and in rounds."""
    depths = [4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 48, 56, 64, 76, 84, 96, 120, 128]
    layers = [layer(Conv(Window((1, 1))), (1, 1, 2, d), (4, d, 1, 1)) for d in depths]
    layers += [
        layer(Conv(Window((1, 1)), pool=_pool(1, 2)), (1, 1, 2, d), (4, d, 1, 1)) for d in (*depths[:12], 64)
    ]
    return [one.rounded(rounding) for one in layers]


def test_every_unrolling_occurs() -> None:
    found = {
        call.arguments[0].fields["unroll"]  # type: ignore[union-attr]
        for one in _every_unrolling(Rounding.SINGLE)
        for call in one.offers(CONV)
    }
    assert found == {*range(1, 9), 10, 12, 16}


@each_rounding
def test_parts_of_a_flattened_map(rounding: Rounding, tmp_path: Path) -> None:
    """Parts that begin within a quad."""
    runs, expected = [], []
    for height, values in ((5, 12), (4, 7), (3, 2), (7, 1)):
        one = layer(Gemm(), (1, height * values), (7, height * values)).rounded(rounding)
        (call,) = one.offers(GEMM)
        x = one.x.reshape(1, height, values)
        runs += [Run(call, (x,), one.site.y.shape, np.dtype(np.int8), order=order) for order in (1, -1)]
        expected += 2 * [one.reference]
    flags = ["-DPINGPONNX_ROUNDING_TFLITE"] if rounding is Rounding.TFLITE else []
    for got, wanted in zip(run_c(runs, tmp_path, flags), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


# -- where they are not offered ---------------------------------------------------------------------


def _refused() -> dict[str, Layer]:
    pixel = Conv(Window((1, 1)))
    minus = np.full((2, 4, 1, 1), -128, np.int8)
    wide = np.full((2, 600, 1, 1), 127, np.int8)
    return {
        "-128 beside a negative weight": layer(pixel, (1, 1, 2, 4), (2, 4, 1, 1), Numbers(weights=minus)),
        "a sum of 24 bits": layer(pixel, (1, 1, 2, 600), (2, 600, 1, 1), Numbers(1e-5, weights=wide)),
        "a bias of 24 bits": layer(
            pixel, (1, 1, 2, 4), (2, 4, 1, 1), Numbers(1e-5, bias=np.array([0, 2**23]))
        ),
        "a scale of one half": layer(pixel, (1, 1, 2, 4), (2, 4, 1, 1), Numbers(0.5, limits=(-3, 3))),
        "groups": layer(Conv(Window((1, 1)), 2), (1, 1, 2, 4), (2, 2, 1, 1)),
        "samples": layer(pixel, (2, 1, 2, 4), (2, 4, 1, 1)),
    }


@pytest.mark.parametrize("name", _refused())
def test_not_offered(name: str) -> None:
    one = _refused()[name]
    assert one.offers(CONV) == []


def test_left_to_others() -> None:
    one = _pixels()[0]
    assert one.offers(CONV)
    for core in ("cortex-m0", "cortex-m3", "cortex-m55", "host"):
        assert one.offers(CONV, core) == []


def test_scales_of_one_and_more_are_tflites_only() -> None:
    one = layer(Conv(Window((1, 1))), (1, 1, 2, 4), (2, 4, 1, 1), Numbers(0.5, limits=(-3, 3)))
    assert one.rounded(Rounding.TFLITE).offers(CONV) == []
    small = layer(Conv(Window((1, 1))), (1, 1, 2, 4), (2, 4, 1, 1), Numbers(0.49, limits=(-3, 3)))
    assert small.rounded(Rounding.TFLITE).offers(CONV)


def test_loops_stay_in_the_buffer_of_a_slow_flash() -> None:
    one = layer(Conv(Window((1, 1))), (1, 4, 4, 64), (8, 64, 1, 1))
    fast, slow = get_target("cortex-m4"), replace(get_target("cortex-m4"), code_buffer=1024)
    for header in (CONV, DIRECT):
        unrolled = []
        for target in (fast, slow):
            (call,) = (c for c in candidates(one.op, one.site, target) if c.header == header)
            params = call.arguments[0]
            assert isinstance(params, Struct)
            unrolled.append(params.fields["unroll"])
        assert unrolled[0] == 16 and 1 < unrolled[1] < 1024 / 112  # type: ignore[operator]
