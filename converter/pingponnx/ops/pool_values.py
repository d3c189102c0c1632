"""What pools compute, in numpy: the values of a window tap by tap, their sums and means."""

from collections.abc import Iterator

import numpy as np

from pingponnx.fixed_point import Rounding
from pingponnx.ir import Array
from pingponnx.ops.window import Window


def with_width(x: Array) -> Array:
    return x if x.ndim == 4 else x[:, :, None]


def taps(x: Array, window: Window, fill: float) -> Iterator[Array]:
    """For each tap of the window, in the kernels' order, its value for all outputs `n oh ow c`."""
    n, h, w, c = x.shape
    top, left, bottom, right = window.pads
    padded = np.full((n, h + top + bottom, w + left + right, c), fill, x.dtype)
    padded[:, top : top + h, left : left + w] = x
    oh, ow = window.output(h, w)
    for ky in range(0, window.extent[0], window.dilation[0]):
        for kx in range(0, window.extent[1], window.dilation[1]):
            yield padded[:, ky :: window.stride[0], kx :: window.stride[1]][:, :oh, :ow]


def sum_of(taps: Iterator[Array]) -> Array:
    result = next(taps).copy()
    for tap in taps:
        result += tap
    return result


def mean_of(acc: Array, counts: Array, zero: int, rounding: Rounding) -> Array:
    """acc / counts + zero, where acc are sums of values less `zero`."""
    if rounding is Rounding.TFLITE:  # of the raw sum, halves away from zero, as CMSIS-NN does
        raw = acc + counts * zero
        rounded: Array = np.sign(raw) * ((np.abs(raw) + counts // 2) // counts)
        return rounded
    quotient, twice = acc // counts, 2 * (acc % counts)
    nearest: Array = quotient + ((twice > counts) | ((twice == counts) & (quotient & 1 == 1)))
    return nearest + zero
