"""int8 convolution, fully connected and depthwise layers for cores without the DSP extension.

See runtime_c/blocked_s8.h.
Four output channels share every activation that is loaded, and on Cortex-M3 two pixels every weight.
"""

from collections.abc import Iterator
from dataclasses import replace
from math import prod

import numpy as np

from pingponnx.calls import Call, Scratch, Table
from pingponnx.fixed_point import INT32_MAX
from pingponnx.kernels import kernels_for
from pingponnx.kernels.blocks import blocks, depthwise, filled, instead
from pingponnx.kernels.proofs import provable_tables
from pingponnx.kernels.work import Costs, convolution_work, depthwise_work, gemm_work
from pingponnx.ops import Site
from pingponnx.ops.conv import Conv
from pingponnx.ops.gemm import Gemm
from pingponnx.ops.linear import Linear
from pingponnx.targets import Target

_SHORT = 16  # values in a row of a window that is gathered

# Measured: cycles of a block's tap, of one among two pixels and of others, of a block's pixel, of an output.
# They are of copies that gcc specialises for one call: see BLOCKED_KERNEL.
_NARROW: dict[str, Costs] = {  # v6-M
    "conv_blocked_s8": (19.9, 19.9, 315, 0),
    "conv_gathered_s8": (19.8, 19.8, 201, 44.8),
    "depthwise_blocked_s8": (95, 86, 0, 0),
    "gemm_blocked_s8": (20, 20, 0, 58.8),
}
_WIDE: dict[str, Costs] = {
    "conv_blocked_s8": (13.6, 16, 82, 0),
    "conv_gathered_s8": (12.9, 12.9, 167, 14.5),
    "depthwise_blocked_s8": (35, 43, 0, 0),
    "gemm_blocked_s8": (15.8, 15.8, 0, 14.7),
}

_ROW_CYCLES = 35, 60  # of each further row of a window, of a block's pixel; on v6-M


@kernels_for(Conv)
def convolution(op: Conv, site: Site, target: Target) -> Iterator[Call]:
    """Without groups, or depthwise."""
    if not _offered(site, target) or (op.group > 1 and not depthwise(op, site)):
        return
    tables = _tables(op.lower(site))
    name = "conv_blocked_s8" if op.group == 1 else "depthwise_blocked_s8"
    work = convolution_work(op, site) if op.group == 1 else depthwise_work(op, site)
    run, costs = op.window.kernel[1] * site.x.shape[-1], _costs(target)
    for plain in op.kernels(site) if tables else ():
        further = (op.window.kernel[0] - 1) * work.pixels if op.group == 1 else 0
        cycles = work.cycles(costs[name]) + further * _ROW_CYCLES[costs is _NARROW]
        yield instead(plain, name, tables, cycles)
        if op.group == 1 and op.window.kernel[0] > 1 and run <= _SHORT:
            windows = max(2, prod(op.pool.kernel) if op.pool else 1)
            other = instead(
                plain, "conv_gathered_s8", (*tables, Scratch()), work.cycles(costs["conv_gathered_s8"])
            )
            yield replace(other, scratch=windows * op.window.kernel[0] * run)


@kernels_for(Gemm)
def fully_connected(op: Gemm, site: Site, target: Target) -> Iterator[Call]:
    """One row of inputs or several."""
    tables = _tables(op.lower(site)) if _offered(site, target) else ()
    for plain in op.kernels(site) if tables else ():
        costs = _costs(target)["gemm_blocked_s8"]
        yield instead(plain, "gemm_blocked_s8", tables, gemm_work(site).cycles(costs))


def _offered(site: Site, target: Target) -> bool:
    return site.quantized and not target.dsp and not target.mve


def _costs(target: Target) -> dict[str, Costs]:
    return _NARROW if any("cortex-m0" in flag for flag in target.flags) else _WIDE


def _tables(linear: Linear) -> tuple[Table, ...]:
    """Weights and biases by blocks, and scales; nothing where sums or scales are not proven to fit."""
    proven = provable_tables(linear)
    if proven is None:
        return ()
    bias, multiplier, shift = proven
    assert bias.data is not None
    # also while some taps are missing, for any values of the others
    sums = np.abs(linear.weights.reshape(len(linear.weights), -1).astype(np.int64)).sum(axis=1)
    if (np.abs(bias.data.astype(np.int64)) + 256 * sums).max() > INT32_MAX:
        return ()
    return Table("weights", blocks(linear.weights)), Table("bias", filled(bias.data)), multiplier, shift
