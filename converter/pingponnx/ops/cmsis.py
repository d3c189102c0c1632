"""Where CMSIS-NN's convolutions are right: they check little, and some cores' code gets some shapes wrong.

What is said of 4.0.0 was read in its sources and is tested on the cores; what is said of later releases
was read only.
"""

import numpy as np

from pingponnx.fixed_point import INT32_MAX, S8_MAX, S8_MIN, Rounding
from pingponnx.ops import CmsisNN, Site
from pingponnx.ops.linear import Linear
from pingponnx.ops.window import Window, hw

_SIDE = 2**15 - 1  # positions are int16 in the depthwise functions
_TAPS = 2**16 - 1  # the length of a column is uint16


def scaling_reason(linear: Linear) -> str:
    """Why CMSIS-NN's scaling would leave int32 for some input; empty when it provably does not.

    It shifts the accumulator left before it multiplies: by s where s > 0, and under single rounding on MVE
    by s + 1.
    """
    reach = max(abs(S8_MIN - linear.input_zero_point), abs(S8_MAX - linear.input_zero_point))
    sums = np.abs(linear.weights.astype(np.int64)).reshape(len(linear.weights), -1).sum(axis=1)
    worst = sums * reach + np.abs(linear.bias.astype(np.int64))
    extra = 1 if linear.requantizer.rounding is Rounding.SINGLE else 0
    left = np.maximum(linear.requantizer.shift.astype(np.int64) + extra, 0)
    if (worst.astype(np.float64) * 2.0**left).max(initial=0) > INT32_MAX:
        return "an accumulator could overflow where CMSIS-NN shifts it left before it multiplies"
    return ""


def convolution_reason(site: Site, window: Window, linear: Linear, depthwise: bool) -> str:
    """Why CMSIS-NN would not compute this convolution right; empty when it would."""
    (in_h, in_w), (out_h, out_w) = hw(site.x.shape), hw(site.y.shape)
    taps = window.kernel[0] * window.kernel[1] * (1 if depthwise else site.x.shape[-1])
    if max(in_h, in_w, out_h, out_w, site.x.shape[-1], site.y.shape[-1]) > _SIDE or taps > _TAPS:
        return "CMSIS-NN's indices have 16 bits only"
    if depthwise and _takes_3x3(site, window) and _last_column(window, out_w) + 1 >= in_w:
        return "arm_depthwise_conv_3x3_s8 takes no window whose middle column is padding"
    return scaling_reason(linear)


def _takes_3x3(site: Site, window: Window) -> bool:
    """True where arm_depthwise_conv_wrapper_s8 picks arm_depthwise_conv_3x3_s8 on cores without MVE."""
    same = site.x.shape[0] == 1 and site.x.shape[-1] == site.y.shape[-1] and window.dilation == (1, 1)
    return same and window.kernel == (3, 3) and max(window.pads[:2]) <= 1


def takes_general(site: Site, window: Window, library: CmsisNN) -> bool:
    """True where arm_convolve_wrapper_s8 picks a special function that is wrong for this shape."""
    (in_h, in_w), (out_h, out_w) = hw(site.x.shape), hw(site.y.shape)
    last = _last_column(window, out_w)
    if window.kernel == (1, 1) and window.dilation == (1, 1) and window.pads[:2] == (0, 0):
        # its functions for 1x1 kernels know no padding on the right and below either
        return last >= in_w or (out_h - 1) * window.stride[0] >= in_h
    if in_h != 1 or window.kernel[0] != 1 or window.dilation[1] != 1:
        return False
    # arm_convolve_1_x_n_s8 makes one row, and on MVE a window beyond the input has a negative length
    left, width = window.pads[1], window.kernel[1]
    if out_h != 1 or left > width or last > in_w:
        return True
    if "arm_vector_sum_s8" not in library.functions:
        return False
    # since 2024 it assumes that the padding is as even as TensorFlow's, and on the right less than a stride
    right = last + width - in_w
    exact = left == 0 and right == 0
    return in_w < width or not (exact or (window.stride[1] == 1 and right in (left, left + 1)))


def _last_column(window: Window, out_w: int) -> int:
    """Where the last window starts, in input columns."""
    return (out_w - 1) * window.stride[1] - window.pads[1]
