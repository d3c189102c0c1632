"""Depthwise convolution of any geometry, four channels at a time (runtime_c/depthwise_quads_s8.h)."""

from collections.abc import Iterator

import numpy as np

from pingponnx.calls import Call, Input, Local, Output, RowPointers, Rows, Struct, Table
from pingponnx.fixed_point import S8_MAX, S8_MIN, Rounding
from pingponnx.ir import Array
from pingponnx.kernels import kernels_for
from pingponnx.kernels.proofs import provable_tables
from pingponnx.ops import Site
from pingponnx.ops.conv import Conv
from pingponnx.ops.linear import Linear
from pingponnx.ops.window import geometry, hw, row_distance, row_window, tap_counts
from pingponnx.targets import Target

_NAME = "depthwise_quads_s8"
_QUAD = 4  # channels that are multiplied together
_ROWS = 8  # of a kernel, at most


@kernels_for(Conv)
def depthwise(op: Conv, site: Site, target: Target) -> Iterator[Call]:
    """Row by row, pixel by pixel, four channels after the other."""
    if not target.dsp or target.mve or not _takes(op, site):
        return
    linear = op.lower(site)
    proven = provable_tables(linear)
    if proven is None:
        return
    scales = proven[1:]
    weights = Table("weights", np.ascontiguousarray(linear.weights.transpose(3, 1, 2, 0)))
    # one for every channel, also where they are equal
    scaling = [Table(t.role, None if t.data is None else _spread(t.data, len(linear.bias))) for t in scales]
    tables = (weights, Table("bias", linear.bias), *scaling)
    fields = {"groups": op.group, "pool_h": 1, "pool_w": 1, "pool_stride_h": 1, "pool_stride_w": 1}
    params = Struct("conv_params_s8", geometry(site, op.window) | fields | linear.kernel_fields())
    (h, w), (_, ow), c = hw(site.x.shape), hw(site.y.shape), site.x.shape[-1]
    header = f"{_NAME}.h"
    yield Call(
        _NAME,
        header,
        (params, Input(), *tables, Local("const int8_t *", op.window.extent[0]), Output()),
        overlap={0: row_distance(op.window, (h, w), w * c, ow * c)},
        macs=op.macs(site),
        cycles=_cycles(op, site, linear),
        rows=Rows(
            f"{_NAME}_row", header, (params, RowPointers(), *tables, Output()), {0: row_window(op.window)}
        ),
    )


def _spread(values: Array, count: int) -> Array:
    return np.ascontiguousarray(np.broadcast_to(values, count))


def _takes(op: Conv, site: Site) -> bool:
    x = site.x.shape
    same = op.group == x[-1] == site.y.shape[-1]
    fits = x[-1] >= _QUAD and op.window.kernel[0] <= _ROWS and x[0] == 1
    return site.quantized and same and fits and op.pool is None


# -- cycles -----------------------------------------------------------------------------------------

_PIXEL = 112
_SUMS = 117  # of four channels of a pixel, without their taps
_ROW = 25  # of a window, for them
_TAP, _DILATED_TAP = 13, 24  # for them
_TFLITE = 30  # more for them
_CLAMP = 9  # a value, where int8 is not the limit


def _cycles(op: Conv, site: Site, linear: Linear) -> int:
    w, (oh, ow), channels = op.window, hw(site.y.shape), site.x.shape[-1]
    rows, columns = (sum(taps) for taps in tap_counts(w, hw(site.x.shape), (0, 0, 0, 0)))
    tap = _TAP if w.dilation[1] == 1 else _DILATED_TAP
    sums = _SUMS + (_TFLITE if site.rounding is Rounding.TFLITE else 0)
    quad = oh * ow * sums + rows * ow * _ROW + rows * columns * tap
    clamp = 0 if (linear.low, linear.high) == (S8_MIN, S8_MAX) else _CLAMP * site.y.size
    return oh * ow * _PIXEL + -(-channels // _QUAD) * quad + clamp
