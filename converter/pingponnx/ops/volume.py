"""Windows over any number of axes, channels first: what conv.py and pool.py do not take.

These kernels are plain loops: three dimensions, weights that are inputs of the model, other number types.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from pingponnx.ir import Array, Shape
from pingponnx.ops import OnnxNode
from pingponnx.ops.window import rounded_up

RANK = 3


@dataclass(frozen=True, slots=True)
class Volume:
    """A window over three axes, the first ones of size 1 where there are fewer."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    before: tuple[int, ...]
    sizes: tuple[int, ...]  # of the input
    output: tuple[int, ...]
    counted: tuple[int, ...]  # padding at the end that counts for an average, up to which index

    def fields(self) -> dict[str, Any]:
        return {
            "in": self.sizes,
            "out": self.output,
            "kernel": self.kernel,
            "stride": self.stride,
            "dilation": self.dilation,
            "pad": self.before,
        }

    def windows(self, x: Array, fill: Any) -> Array:
        """`n c` + output + kernel: what each output sees, `fill` outside of the input."""
        n, c = x.shape[:2]
        x = x.reshape(n, c, *self.sizes)
        reach = [
            (o - 1) * s + (k - 1) * d + 1
            for o, s, k, d in zip(self.output, self.stride, self.kernel, self.dilation, strict=True)
        ]
        ends = [max(r - b - size, 0) for r, b, size in zip(reach, self.before, self.sizes, strict=True)]
        pads = [(0, 0), (0, 0), *zip(self.before, ends, strict=True)]
        padded = np.pad(x, pads, constant_values=fill)
        extent = [(k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True)]
        seen = sliding_window_view(padded, extent, axis=(2, 3, 4))
        for axis in range(RANK):
            index = [slice(None)] * seen.ndim
            index[2 + axis] = slice(None, (self.output[axis] - 1) * self.stride[axis] + 1, self.stride[axis])
            index[5 + axis] = slice(None, None, self.dilation[axis])
            seen = seen[tuple(index)]
        return np.asarray(seen)

    def counts(self, *, padding: bool) -> Array:
        """Values that each window covers, of the input or of its padding too."""
        each = []
        for axis in range(RANK):
            taps = np.arange(self.kernel[axis]) * self.dilation[axis]
            at = np.arange(self.output[axis])[:, None] * self.stride[axis] - self.before[axis] + taps
            low, high = (-self.before[axis], self.counted[axis]) if padding else (0, self.sizes[axis])
            each.append(((at >= low) & (at < high)).sum(axis=1))
        return np.asarray(each[0][:, None, None] * each[1][:, None] * each[2])


def read_volume(node: OnnxNode, kernel: Shape) -> Volume:
    """The window of a Conv- or Pool-like ONNX node; refuses what has more axes or makes no output."""
    sizes = node.shape()[2:]
    rank = len(sizes)
    if not 1 <= rank <= RANK or len(kernel) != rank:
        node.unsupported(f"windows over {rank} axes with a kernel of {len(kernel)}")
    stride = node.integers("strides") or (1,) * rank
    dilation = node.integers("dilations") or (1,) * rank
    before, after = _pads(node, kernel, stride, dilation, sizes)
    output = []
    for i in range(rank):
        room = sizes[i] + before[i] + after[i] - ((kernel[i] - 1) * dilation[i] + 1)
        count = room // stride[i] + 1
        if node.attributes.get("ceil_mode", 0):
            count = rounded_up(sizes[i], kernel[i], stride[i], dilation[i], before[i], after[i])
        output.append(count)
    if min(output) < 1 or min(stride) < 1 or min(before) < 0:
        node.unsupported("the window does not fit its input")
    missing = RANK - rank

    def full(values: Any, fill: int) -> tuple[int, ...]:
        return (fill,) * missing + tuple(values)

    counted = full((s + a for s, a in zip(sizes, after, strict=True)), 1)
    return Volume(
        full(kernel, 1),
        full(stride, 1),
        full(dilation, 1),
        full(before, 0),
        full(sizes, 1),
        full(output, 1),
        counted,
    )


def _pads(
    node: OnnxNode, kernel: Shape, stride: Shape, dilation: Shape, sizes: Shape
) -> tuple[list[int], list[int]]:
    rank, auto = len(kernel), node.attributes.get("auto_pad", "NOTSET")
    if auto not in ("SAME_UPPER", "SAME_LOWER"):
        pads = list((node.integers("pads") if auto == "NOTSET" else None) or (0,) * (2 * rank))
        return pads[:rank], pads[rank:]
    totals = [
        max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
        for size, s, k, d in zip(sizes, stride, kernel, dilation, strict=True)
    ]
    small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
    return (small, large) if auto == "SAME_UPPER" else (large, small)


def shape_of(rank: int, channels: tuple[int, int], window: Volume) -> Shape:
    """`n c` and as many axes as the input has."""
    return (*channels, *window.output[RANK - (rank - 2) :])
