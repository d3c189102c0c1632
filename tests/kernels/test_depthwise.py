"""Depthwise convolution on cores with the DSP extension, next to the reference."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kernels.support import Layer, Numbers, check_board, check_host, fed_extremes, layer
from pingponnx.fixed_point import Rounding
from pingponnx.ops.conv import Conv
from pingponnx.ops.window import Window

FAST, GENERAL = "depthwise3x3_s8.h", "depthwise_quads_s8.h"
each_rounding = pytest.mark.parametrize("rounding", list(Rounding))


def _depthwise(
    size: tuple[int, int], channels: int, window: Window, numbers: Numbers | None = None, **how: float
) -> Layer:
    op = Conv(window, channels, **how)
    shape, weights = (1, *size, channels), (channels, 1, *window.kernel)
    return layer(op, shape, weights, numbers or Numbers())


def _window(stride: int, *pads: int) -> Window:
    return Window((3, 3), (stride, stride), pads=pads)  # type: ignore[arg-type]


def _extremes(limit: int) -> Numbers:
    signs = np.where(np.random.default_rng(limit).random((8, 1, 3, 3)) < 0.5, limit, -min(limit + 1, 128))
    return Numbers(weights=signs)


def _layers_3x3() -> list[Layer]:
    same = _window(1, 1, 1, 1, 1)
    return [
        _depthwise((4, 5), 8, same),
        _depthwise((7, 4), 5, same, Numbers(zeros=(-128, 127))),
        _depthwise((1, 2), 4, same, Numbers(zeros=(127, -128))),
        _depthwise((3, 3), 4, _window(1, 0, 1, 1, 0), Numbers(per_channel=False)),
        _depthwise((6, 3), 6, _window(1, 1, 0, 0, 1), Numbers(zeros=(0, 0))),
        _depthwise((4, 9), 7, _window(1, 0, 0, 0, 0), low=-20.0, high=30.0),
        _depthwise((5, 6), 8, same, _extremes(127)),
        _depthwise((6, 6), 4, _window(2, 0, 0, 1, 1)),
        _depthwise((7, 5), 9, _window(2, 1, 1, 1, 1), Numbers(zeros=(-128, 5))),
        _depthwise((3, 9), 4, _window(2, 1, 0, 0, 1)),
        _depthwise((9, 3), 4, _window(2, 0, 1, 0, 0), low=-3.0),
        _depthwise((1, 1), 4, _window(2, 1, 1, 1, 1)),
    ]


def _others() -> list[Layer]:
    return [
        _depthwise((6, 7), 6, Window((5, 5), pads=(2, 2, 2, 2)), Numbers(zeros=(-128, 0))),
        _depthwise((9, 9), 4, Window((2, 4), (2, 1), (3, 2), (1, 5, 2, 1))),
        _depthwise((4, 4), 4, Window((1, 1), pads=(1, 2, 0, 3))),
        layer(Conv(Window((3, 1), pads=(2, 0, 1, 0)), 5), (1, 7, 5), (5, 1, 3)),
    ]


@each_rounding
def test_host(rounding: Rounding, tmp_path: Path) -> None:
    layers = [*fed_extremes(_layers_3x3()[:3]), *_layers_3x3()[3:]]
    check_host([c.rounded(rounding) for c in layers], FAST, tmp_path)


@each_rounding
def test_host_of_any_geometry(rounding: Rounding, tmp_path: Path) -> None:
    layers = [*_layers_3x3()[::4], *fed_extremes(_others())]
    check_host([c.rounded(rounding) for c in layers], GENERAL, tmp_path)


@pytest.mark.qemu
@each_rounding
@pytest.mark.parametrize("header", [FAST, GENERAL])
def test_board(header: str, rounding: Rounding, tmp_path: Path) -> None:
    layers = _layers_3x3() if header == FAST else [*_layers_3x3()[::4], *_others()]
    extremes = fed_extremes(layers[-1:])
    check_board([c.rounded(rounding) for c in [*layers, *extremes]], header, tmp_path)


def test_what_is_not_offered() -> None:
    same = _window(1, 1, 1, 1, 1)
    good = _depthwise((4, 4), 4, same)
    assert good.offers(FAST) and not good.offers(FAST, "cortex-m55") and not good.offers(FAST, "cortex-m3")
    assert not good.offers(FAST, "host") and not good.offers(GENERAL, "cortex-m0")
    pooled = replace(good, op=replace(good.op, pool=Window((2, 2), (2, 2))))  # type: ignore[type-var]
    batch = _depthwise((4, 4), 4, same)
    x = replace(batch.site.x, shape=(2, 4, 4, 4))
    y = replace(batch.site.y, shape=(2, 4, 4, 4))
    batch = replace(batch, site=replace(batch.site, inputs=(x, *batch.site.inputs[1:]), outputs=(y,)))
    for bad in (pooled, batch, _depthwise((4, 4), 3, same)):
        assert not bad.offers(FAST) and not bad.offers(GENERAL)
    for window in (_window(1, 2, 1, 1, 1), _window(2, 1, 1, 1, 3), Window((3, 3), dilation=(2, 1))):
        assert not _depthwise((8, 8), 4, window).offers(FAST)
    large = _depthwise((4, 4), 4, same, Numbers(scale=0.6))
    assert not large.offers(FAST) and large.offers(GENERAL)


def test_a_tall_map_is_also_offered_by_columns() -> None:
    by_rows, short, by_columns = _depthwise((25, 5), 8, _window(1, 1, 1, 1, 1)).offers(FAST)
    assert by_rows.scratch and not short.scratch and short.cycles > by_rows.cycles
    assert by_columns.cycles < by_rows.cycles
    assert by_rows.rows and by_rows.overlap and not by_columns.rows and not by_columns.overlap
