"""Depthwise 3x3 convolution on cores with the DSP extension."""

from collections.abc import Iterator

import numpy as np

from pingponnx.calls import Call, Input, Output, RowPointers, Rows, Struct, Table
from pingponnx.ir import Array
from pingponnx.kernels import kernels_for
from pingponnx.ops import Site
from pingponnx.ops.conv import Conv
from pingponnx.ops.linear import Linear
from pingponnx.ops.window import Window, hw, row_distance, row_window
from pingponnx.targets import Target


@kernels_for(Conv)
def depthwise(op: Conv, site: Site, target: Target) -> Iterator[Call]:
    """3x3, stride 1 or 2, at most one row and column of padding."""
    if not target.dsp or target.mve or not site.quantized or not _takes(op, site):
        return
    linear = op.lower(site)
    if linear.weight_zero_point.any() or not linear.requantizer.plain or linear.low != -128 or linear.high != 127:
        return
    w = op.window
    (h, width), (oh, ow), c = hw(site.x.shape), hw(site.y.shape), site.x.shape[-1]
    params = Struct(
        "depthwise3x3_params_s8",
        {
            "in_h": h,
            "in_w": width,
            "channels": c,
            "out_h": oh,
            "out_w": ow,
            "stride": w.stride[0],
            "pad_top": w.pads[0],
            "pad_left": w.pads[1],
        }
        | linear.fields(),
    )
    table = Table("weights", _table(linear))
    name = "depthwise3x3_s8"
    yield Call(
        name,
        f"{name}.h",
        (params, Input(), table, Output()),
        overlap={0: row_distance(w, (h, width), width * c, ow * c)},
        macs=op.macs(site),
        cycles=20 * site.y.size,
        rows=Rows(f"{name}_row", f"{name}.h", (params, RowPointers(), table, Output()), {0: row_window(w)}),
    )


def _takes(op: Conv, site: Site) -> bool:
    w, channels = op.window, site.x.shape[-1]
    if not (op.group == channels == site.y.shape[-1]) or op.pool or site.x.shape[0] != 1:
        return False
    if w.kernel != (3, 3) or w.dilation != (1, 1) or w.stride not in ((1, 1), (2, 2)):
        return False
    return _middle(w, hw(site.x.shape))


def _middle(w: Window, size: tuple[int, int]) -> bool:
    """True when the middle row and column of every window are inside the input."""
    ends = zip(w.output(*size), w.stride, w.pads[:2], size, strict=True)
    return all(pad <= 1 and (n - 1) * stride - pad + 1 < length for n, stride, pad, length in ends)


def _table(linear: Linear) -> Array:
    """Five words per channel, see depthwise3x3_s8.h."""
    w = linear.weights[..., 0].astype(np.int64)
    bias = linear.bias.astype(np.int64) - linear.input_zero_point * w.sum(axis=(1, 2))
    b = w & 0xFF
    a = b[:, 0, 0] | b[:, 0, 1] << 8 | b[:, 1, 0] << 16 | b[:, 1, 1] << 24
    c = b[:, 0, 2] | b[:, 2, 0] << 8 | b[:, 1, 2] << 16 | b[:, 2, 1] << 24
    d = (w[:, 2, 2] & 0xFFFF) << 16
    m = np.broadcast_to(linear.requantizer.multiplier, len(w)).astype(np.int64)
    return np.stack([a, c, d, bias, m], axis=1).astype(np.uint32).view(np.int32)
