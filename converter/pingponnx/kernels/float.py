"""float32 convolution, fully connected and depthwise layers for cores with an FPU (runtime_c/blocked_f32.h).

Four output channels of two pixels share every load. Products are added in the plain kernels' order, so the
results are the same to the bit.
"""

from collections.abc import Iterator

import numpy as np

from pingponnx.calls import Call, Table
from pingponnx.kernels import kernels_for
from pingponnx.kernels.blocks import blocks, depthwise, filled, instead
from pingponnx.kernels.work import Costs, convolution_work, depthwise_work, gemm_work
from pingponnx.ops import Site
from pingponnx.ops.conv import Conv
from pingponnx.ops.gemm import Gemm
from pingponnx.ops.linear import Linear
from pingponnx.targets import Target

# Measured on Cortex-M4, as in kernels/blocked.py.
_COSTS: dict[str, Costs] = {
    "conv_blocked_f32": (14.4, 9.1, 0, 0),
    "depthwise_blocked_f32": (30, 30, 0, 0),
    "gemm_blocked_f32": (16.9, 16.9, 0, 14.7),
}


@kernels_for(Conv)
def convolution(op: Conv, site: Site, target: Target) -> Iterator[Call]:
    """Without groups, or depthwise."""
    if site.suffix != "f32" or not target.fpu or (op.group > 1 and not depthwise(op, site)):
        return
    name = "conv_blocked_f32" if op.group == 1 else "depthwise_blocked_f32"
    work = convolution_work(op, site) if op.group == 1 else depthwise_work(op, site)
    for plain in op.kernels(site):
        yield instead(plain, name, _tables(op.lower(site)), work.cycles(_COSTS[name]))


@kernels_for(Gemm)
def fully_connected(op: Gemm, site: Site, target: Target) -> Iterator[Call]:
    """One row of inputs or several."""
    if site.suffix != "f32" or not target.fpu:
        return
    for plain in op.kernels(site):
        yield instead(
            plain,
            "gemm_blocked_f32",
            _tables(op.lower(site)),
            gemm_work(site).cycles(_COSTS["gemm_blocked_f32"]),
        )


def _tables(linear: Linear) -> tuple[Table, ...]:
    return Table("weights", blocks(linear.weights)), Table("bias", filled(np.asarray(linear.bias)))
