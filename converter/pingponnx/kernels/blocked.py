"""Convolution, fully connected and depthwise layers for cores without the DSP extension (runtime_c/blocked_s8.h).

Four output channels share every activation that is loaded, and on Cortex-M3 two pixels every weight.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from pingponnx.calls import Argument, Call, Rows, Struct, Table
from pingponnx.fixed_point import INT32_MAX
from pingponnx.ir import Array
from pingponnx.kernels import kernels_for
from pingponnx.kernels.proofs import provable_tables
from pingponnx.ops import Site
from pingponnx.ops.conv import Conv
from pingponnx.ops.gemm import Gemm
from pingponnx.ops.linear import Linear
from pingponnx.targets import Target

_CHANNELS = 4  # of a block


@kernels_for(Conv)
def convolution(op: Conv, site: Site, target: Target) -> Iterator[Call]:
    """The plain kernel's calls with other constants, for blocks of channels."""
    if not site.quantized or target.dsp or target.mve:
        return
    channels = site.x.shape[-1]
    depthwise = op.group == channels == site.y.shape[-1] and channels % _CHANNELS == 0
    tables = _tables(op.lower(site)) if op.group == 1 or depthwise else None
    if tables is None:
        return
    old, new = ("conv_s8", "conv_blocked_s8") if op.group == 1 else ("depthwise_s8", "depthwise_blocked_s8")
    for plain in op.kernels(site):
        yield _instead(plain, old, new, tables, 5 * plain.macs)


@kernels_for(Gemm)
def fully_connected(op: Gemm, site: Site, target: Target) -> Iterator[Call]:
    """The plain kernel's calls with other constants, for blocks of outputs."""
    if not site.quantized or target.dsp or target.mve:
        return
    tables = _tables(op.lower(site))
    if tables is None:
        return
    for plain in op.kernels(site):
        yield _instead(plain, "gemm_s8", "gemm_blocked_s8", tables, 5 * plain.macs)


def _instead(plain: Call, old: str, new: str, tables: tuple[Table, ...], cycles: int) -> Call:
    """A plain kernel's call, of another function with other tables."""

    def passed(arguments: tuple[Argument, ...]) -> tuple[Argument, ...]:
        at = next(i for i, a in enumerate(arguments) if isinstance(a, Table))
        kept = [a for a in arguments if not isinstance(a, Table)]
        return (*kept[:at], *tables, *kept[at:])

    rows = plain.rows and replace(
        plain.rows,
        function=plain.rows.function.replace(old, new),
        header=f"{new}.h",
        arguments=passed(plain.rows.arguments),
    )
    return replace(
        plain,
        function=plain.function.replace(old, new),
        header=f"{new}.h",
        arguments=passed(plain.arguments),
        cycles=cycles,
        rows=rows,
    )


def _tables(linear: Linear) -> tuple[Table, ...] | None:
    """Weights and biases by blocks of channels, and scales; None where sums or scales are not proven to fit."""
    proven = provable_tables(linear)
    if proven is None:
        return None
    bias, multiplier, shift = proven
    assert bias.data is not None
    count = len(linear.weights)
    weights = linear.weights.reshape(count, -1)
    # also while taps are missing, at any value of the others
    if (np.abs(bias.data.astype(np.int64)) + 256 * np.abs(weights.astype(np.int64)).sum(axis=1)).max() > INT32_MAX:
        return None
    filled = -(-count // _CHANNELS) * _CHANNELS - count
    blocks = np.pad(weights, ((0, filled), (0, 0))).reshape(-1, _CHANNELS, weights.shape[1])
    packed = Table("weights", np.ascontiguousarray(blocks.transpose(0, 2, 1)))
    return packed, Table("bias", np.pad(bias.data, (0, filled))), multiplier, shift
