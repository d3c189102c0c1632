"""int16 convolution, depthwise and fully connected layers with the DSP extension.

Weights are packed for runtime_c/packed_s16.h. Sums are taken modulo 2^32 of the values as they are; that the
layer's own sums, zero points and all, fit 32 bits is proven, so what comes out at the end is right.
"""

from collections.abc import Iterator
from dataclasses import replace
from math import prod

import numpy as np

from pingponnx.calls import (
    Accumulator,
    Argument,
    Call,
    First,
    Input,
    Last,
    Local,
    Output,
    Part,
    RowPointers,
    Rows,
    RowValues,
    Scalar,
    Scratch,
    Struct,
    Table,
)
from pingponnx.fixed_point import Requantizer
from pingponnx.ir import Array
from pingponnx.kernels import kernels_for
from pingponnx.ops import Site
from pingponnx.ops.conv import Conv
from pingponnx.ops.gemm import Gemm
from pingponnx.ops.linear import Linear
from pingponnx.ops.window import Window, hw, row_window
from pingponnx.targets import Target

_BLOCK = 4  # PACKED_S16_BLOCK
_FEW = 2  # channels, of which half a block would be missing


def _pack(linear: Linear) -> tuple[Table, ...] | None:
    """Weights, biases and scales; None for 64-bit sums, weights with a zero point, and large scales."""
    multiplier, shift = _normalised(linear.requantizer)
    if linear.long or linear.weight_zero_point.any() or (shift > -2).any():
        return None
    rows = _rows(linear)
    bias = linear.bias.astype(np.int64) - linear.input_zero_point * rows.astype(np.int64).sum(axis=(1, 2))
    channels, height, values = rows.shape
    padded = np.zeros((-(-channels // _BLOCK) * _BLOCK, height, -(-values // 2) * 2), np.int8)
    padded[:channels, :, :values] = rows
    # block, channel pair, channel, value pair, value -> block, value pair, channel pair, value, channel
    stream = padded.reshape(-1, 2, 2, height * padded.shape[2] // 2, 2).transpose(0, 3, 1, 4, 2)
    scale = np.zeros((channels, 2), np.int32)
    scale[:, 0], scale[:, 1] = multiplier, -1 - shift
    return (
        Table("weights", np.ascontiguousarray(stream).ravel()),
        Table("bias", _wrapped(np.append(bias, np.zeros(_BLOCK - 1, np.int64)))),
        Table("scale", scale),
    )


def _rows(linear: Linear) -> Array:
    """Weights by channel and by row of the window; the pairs of values do not go across rows."""
    w = linear.weights
    return w.reshape(len(w), w.shape[1] if w.ndim == 4 else 1, -1)


def _normalised(scaling: Requantizer) -> tuple[Array, Array]:
    """The same scales, their multipliers of 31 bits: more zeros behind them round alike."""
    bits = np.array([int(m).bit_length() or 31 for m in scaling.multiplier], np.int32)
    more = np.minimum(31 - bits, scaling.shift + 31)
    return scaling.multiplier << more, scaling.shift - more


def _wrapped(values: Array) -> Array:
    """int64 modulo 2^32, as int32."""
    return (values & 0xFFFFFFFF).astype(np.uint32).view(np.int32)


@kernels_for(Conv, int16=True)
def convolution(op: Conv, site: Site, target: Target) -> Iterator[Call]:
    """Any geometry without groups, with a fused pool or not; as a whole and by rows."""
    if not target.dsp or op.group != 1 or site.y.shape[-1] <= _FEW:
        return
    packed = _pack(op.lower(site))
    if packed is None:
        return
    (plain, *_) = op.kernels(site)
    old = plain.arguments[0]
    assert isinstance(old, Struct)
    fields = _fields(old) | {"pairs": _pairs(op, site)}
    params, name, header = Struct("conv_packed_params_s16", fields), "conv_packed_s16", "conv_packed_s16.h"
    whole = op.window.then(op.pool) if op.pool else op.window
    constants: tuple[Argument, ...] = (*packed, Scratch())
    pointers = Local("const int16_t *", whole.extent[0])
    yield replace(
        plain,
        function=name,
        header=header,
        arguments=(params, Input(), *constants, pointers, Output()),
        scratch=_scratch(op, site),
        cycles=_cycles(op, site),
        rows=Rows(
            f"{name}_row",
            header,
            (params, RowPointers(), *constants, Output()),
            {0: row_window(whole)},
        ),
    )


def _fields(plain: Struct) -> dict[str, Scalar | tuple[Scalar, ...]]:
    """Those of the plain kernel that the packed ones have too."""
    return {k: v for k, v in plain.fields.items() if k not in ("long_sums", "channel_step")}


def _pairs(op: Conv, site: Site) -> int:
    """Of values in a window."""
    height, width = op.window.kernel
    return height * -(-width * site.x.shape[-1] // 2)


def _scratch(op: Conv, site: Site) -> int:
    """Columns of two windows each."""
    pixels = prod(op.pool.kernel) if op.pool else 2
    return -(-pixels // 2) * 8 * _pairs(op, site)


@kernels_for(Gemm, int16=True)
def fully_connected(op: Gemm, site: Site, target: Target) -> Iterator[Call]:
    """As a whole, and by parts of the input in any order."""
    narrow = target.mve or not target.dsp or site.y.shape[-1] <= _FEW
    packed = None if narrow else _pack(op.lower(site))
    if packed is None:
        return
    (plain,) = op.kernels(site)
    old = plain.arguments[0]
    assert isinstance(old, Struct)
    fields = {k: v for k, v in _fields(old).items() if k != "input_zero_point"}
    params, name, header = Struct("gemm_packed_params_s16", fields), "gemm_packed_s16", "gemm_packed_s16.h"
    told = (Input(), Part(), RowValues(), First(), Last())
    sums = -(-site.y.shape[-1] // _BLOCK) * _BLOCK
    yield replace(
        plain,
        function=name,
        header=header,
        arguments=(params, Input(), *packed, Output()),
        cycles=int(2.2 * plain.macs + 30 * site.y.size),
        rows=plain.rows
        and replace(
            plain.rows,
            function=f"{name}_part",
            header=header,
            arguments=(params, *told, *packed, Accumulator(), Output()),
            accumulator=4 * sums,
        ),
    )


@kernels_for(Conv, int16=True)
def depthwise(op: Conv, site: Site, target: Target) -> Iterator[Call]:
    """One input channel for each output channel, four at a time; no pool."""
    channels = site.x.shape[-1]
    linear = op.lower(site)
    alike = op.group == channels == site.y.shape[-1] and channels % _BLOCK == 0
    if target.mve or not (target.dsp and alike and op.pool is None and linear.input_zero_point == 0):
        return
    packed = _pack(linear)
    if packed is None:
        return
    (plain, *_) = op.kernels(site)
    old, name, header = plain.arguments[0], "depthwise_s16", "depthwise_s16.h"
    assert isinstance(old, Struct) and plain.rows is not None
    fours = linear.weights.transpose(1, 2, 0, 3).reshape(-1, _BLOCK)[:, [0, 2, 1, 3]]
    tables = (Table("weights", np.ascontiguousarray(fours)), *packed[1:])
    fields = {k: v for k, v in _fields(old).items() if k != "input_zero_point"}
    params = Struct("depthwise_params_s16", fields)
    yield replace(
        plain,
        function=name,
        header=header,
        arguments=(params, Input(), *tables, *plain.arguments[-2:]),
        cycles=int(5.5 * plain.macs + 45 * site.y.size),
        rows=replace(
            plain.rows,
            function=f"{name}_row",
            header=header,
            arguments=(params, RowPointers(), *tables, Output()),
        ),
    )


# Fitted to what the model of the Cortex-M4 counts on the layers of three networks.
_PAIR_CYCLES = 11.4  # of a pair of values, for four channels of a pixel
_BLOCK_CYCLES = 110  # biases, scaling and storing of four channels of a pixel
_FILL_CYCLES = 9  # of a pair of values of a window
_FILL_ROW_CYCLES = 100


def _cycles(op: Conv, site: Site) -> int:
    """Of a layer; of an odd number of pixels in a row, or in a window of the pool, one is made twice."""
    pool, (height, width) = op.pool or Window((1, 1)), hw(site.y.shape)
    row = -(-width // 2) * 2 if op.pool is None else width * (-(-prod(pool.kernel) // 2) * 2)
    columns, pairs = row * height * site.x.shape[0], _pairs(op, site)
    blocks = -(-site.y.shape[-1] // _BLOCK)
    each = pairs * (blocks * _PAIR_CYCLES + _FILL_CYCLES) + op.window.kernel[0] * _FILL_ROW_CYCLES
    return int(columns * (each + blocks * _BLOCK_CYCLES))
