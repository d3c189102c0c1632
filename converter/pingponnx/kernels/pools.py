"""Pooling, four channels at a time on cores with the DSP extension."""

from collections.abc import Iterator
from dataclasses import replace

from pingponnx.calls import ALL_ROWS, Call, Input, Output, Struct
from pingponnx.fixed_point import S8_MAX, S8_MIN
from pingponnx.kernels import kernels_for
from pingponnx.ops import Site
from pingponnx.ops.pool import AveragePool, MaxPool
from pingponnx.ops.window import hw, tap_counts
from pingponnx.targets import Target

_QUAD = 4


def _quads(site: Site, target: Target) -> bool:
    return target.dsp and not target.mve and site.suffix == "s8" and site.x.shape[-1] >= _QUAD


@kernels_for(MaxPool)
def max_pool(op: MaxPool, site: Site, target: Target) -> Iterator[Call]:
    """runtime_c/max_pool_quads_s8.h, called as the plain kernel is."""
    if not _quads(site, target):
        return
    plain = op.kernels(site)[0]
    if plain.function != "max_pool_s8" or plain.rows is None:
        return
    name, header = "max_pool_quads_s8", "max_pool_quads_s8.h"
    rows = replace(plain.rows, function=f"{name}_row", header=header)
    yield replace(plain, function=name, header=header, cycles=_max_cycles(op, site, plain), rows=rows)


@kernels_for(AveragePool)
def mean_map(op: AveragePool, site: Site, target: Target) -> Iterator[Call]:
    """runtime_c/mean_map_s8.h: the mean of a whole map."""
    if not _quads(site, target) or not site.quantized or site.x.shape[0] != 1:
        return
    plain = op.kernels(site)[0]
    if plain.rows is None or plain.rows.units != ALL_ROWS:
        return
    params, *_ = plain.rows.arguments
    _, _, *tables, _, _ = plain.arguments  # of the whole: params, input, tables, pointers, output
    name, header = "mean_map_s8", "mean_map_s8.h"
    yield replace(
        plain,
        function=name,
        header=header,
        arguments=(params, Input(), *tables, Output()),
        overlap={0: 0},
        cycles=_mean_cycles(site),
        rows=replace(plain.rows, function=f"{name}_part", header=header),
    )


# -- cycles -----------------------------------------------------------------------------------------

_MAX_QUAD, _MAX_ROW, _MAX_TAP, _CLAMP = 14, 10, 9, 9
_MEAN_QUAD, _MEAN_PIXEL, _MEAN_VALUE = 53, 8.4, 32


def _max_cycles(op: MaxPool, site: Site, call: Call) -> int:
    """Of quads, their rows and their taps."""
    (oh, ow), channels = hw(site.y.shape), site.x.shape[-1]
    rows, columns = (sum(taps) for taps in tap_counts(op.window, hw(site.x.shape), (0, 0, 0, 0)))
    quad = oh * ow * (_MAX_QUAD + _MAX_ROW * op.window.kernel[0]) + rows * columns * _MAX_TAP
    quads = channels // _QUAD + channels % _QUAD
    params = call.arguments[0]
    assert isinstance(params, Struct)
    clamped = (params.fields["low"], params.fields["high"]) != (S8_MIN, S8_MAX)
    return site.x.shape[0] * (quads * quad + (_CLAMP * oh * ow * channels if clamped else 0))


def _mean_cycles(site: Site) -> int:
    (h, w), channels = hw(site.x.shape), site.x.shape[-1]
    quads = channels // _QUAD + channels % _QUAD
    return int(quads * (_MEAN_QUAD + _MEAN_PIXEL * h * w) + _MEAN_VALUE * channels)
