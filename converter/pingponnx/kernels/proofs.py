"""What kernels that add raw values, and scale sums in a few instructions, need to know of a layer."""

import numpy as np

from pingponnx.calls import Table
from pingponnx.fixed_point import INT32_MAX, S8_MAX, S8_MIN, Rounding
from pingponnx.ops.linear import Linear

_DOUBLED_MAX = 2**30 - 1


def provable_tables(linear: Linear, extra: int = 0, factor: int = 1) -> tuple[Table, ...] | None:
    """Bias, multiplier and shift for sums of values times weights as they are, zero point and all.

    `extra` is added to the bias, then it is multiplied by `factor`. None: some number provably fits only
    where kernels are careful (see runtime_c/requantize_s8.h), or weights have a zero point.
    """
    if linear.weight_zero_point.any():
        return None
    weights = linear.weights.reshape(len(linear.weights), -1).astype(np.int64)
    bias = linear.bias.astype(np.int64) - linear.input_zero_point * weights.sum(axis=1) + extra
    widest = max(S8_MAX - linear.input_zero_point, linear.input_zero_point - S8_MIN)
    largest = np.abs(weights).sum(axis=1) * widest + np.abs(linear.bias.astype(np.int64))
    tflite = linear.requantizer.rounding is Rounding.TFLITE
    if tflite and ((linear.requantizer.shift > -1).any() or largest.max() > _DOUBLED_MAX):
        return None
    if max(np.abs(bias).max(), largest.max()) * factor > INT32_MAX:
        return None
    _, _, _, multiplier, shift = linear.tables(linear.weights)
    return Table("bias", (bias * factor).astype(np.int32)), multiplier, shift
