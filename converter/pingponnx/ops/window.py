"""Geometry of sliding windows (convolution, pooling): padding, output size, safe in-place distance."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from pingponnx.calls import RowWindow, Scalar
from pingponnx.ir import Shape
from pingponnx.ops import OnnxNode, Site

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]  # top, left, bottom, right


@dataclass(frozen=True, slots=True)
class Window:
    """A window over height and width (1-D has width 1)."""

    kernel: Pair
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)

    @property
    def extent(self) -> Pair:
        """Height and width of the input region that one window covers."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))  # type: ignore[return-value]

    @property
    def disjoint(self) -> bool:
        """True when no two windows share an input value (stride at least the extent)."""
        return all(s >= e for s, e in zip(self.stride, self.extent, strict=True))

    def output(self, height: int, width: int) -> Pair:
        """Output height and width, rounding down; bottom and right pads already include ceil_mode's."""
        top, left, bottom, right = self.pads
        eh, ew = self.extent
        return (height + top + bottom - eh) // self.stride[0] + 1, (width + left + right - ew) // self.stride[
            1
        ] + 1

    @property
    def transposed(self) -> "Window":
        """The same window with height and width exchanged."""
        return Window(self.kernel[::-1], self.stride[::-1], self.dilation[::-1], transposed(self.pads))

    def then(self, pool: "Window") -> Self:
        """The window of this convolution followed by an unpadded pool: rows that one pooled row needs."""
        kernel = tuple(e + (p - 1) * s for e, p, s in zip(self.extent, pool.kernel, self.stride, strict=True))
        stride = tuple(s * p for s, p in zip(self.stride, pool.stride, strict=True))
        return replace(self, kernel=kernel, stride=stride, dilation=(1, 1))  # type: ignore[arg-type]


def transposed(pads: Pads) -> Pads:
    """The pads when height and width are exchanged."""
    top, left, bottom, right = pads
    return left, top, right, bottom


def hw(shape: Shape) -> Pair:
    """Height and width of a channels-last shape; `n w c` is w rows of width 1: a row is a time step."""
    return (shape[1], shape[2]) if len(shape) == 4 else (shape[1], 1)


def with_hw(shape: Shape, size: Pair, channels: int) -> Shape:
    """The channels-last shape of the same rank with another size and channel count."""
    return (shape[0], *size, channels) if len(shape) == 4 else (shape[0], size[0], channels)


def read_kernel(node: OnnxNode, group: int) -> tuple[int, ...]:
    """Sizes of the windows of weights `oc ic/group [kh] [kw]`, which are refused where they do not fit."""
    channels, weights = node.shape()[1], node.shape(1)
    if channels != weights[1] * group or weights[0] % group:
        node.unsupported(f"{channels} input channels, weights {weights} and group {group} disagree")
    return given_kernel(node)


def given_kernel(node: OnnxNode) -> tuple[int, ...]:
    """Sizes of the windows of the weights; raises ModelError where kernel_shape says others."""
    weights = node.shape(1)
    node.expect(1, (*weights[:2], *(node.integers("kernel_shape") or weights[2:])))
    return weights[2:]


def read_window(node: OnnxNode, kernel: tuple[int, ...]) -> Window:
    """Strides, dilations, pads, auto_pad and ceil_mode of a Conv- or Pool-like ONNX node."""
    rank = len(node.shape()) - 2
    if rank not in (1, 2):
        node.unsupported(f"{rank}-dimensional windows", "only 1-D and 2-D are supported")
    if len(kernel) != rank:
        node.unsupported("kernel_shape does not match the input's rank")
    sizes = node.shape()[2:]
    strides = node.integers("strides") or (1,) * rank
    dilations = node.integers("dilations") or (1,) * rank
    pads = _pads(node, kernel, strides, dilations, sizes)
    if min(strides) < 1 or min(dilations) < 1 or min(kernel) < 1 or min(pads) < 0:
        node.unsupported("strides, dilations and kernel must be positive, pads not negative")
    ends = list(pads[rank:])
    if node.attributes.get("ceil_mode", 0):
        for i in range(rank):
            count = rounded_up(sizes[i], kernel[i], strides[i], dilations[i], pads[i], ends[i])
            covered = (count - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1
            ends[i] = max(ends[i], covered - sizes[i] - pads[i])
    window = _two_dimensional(kernel, strides, dilations, (*pads[:rank], *ends))
    if min(window.output(sizes[0], sizes[1] if rank == 2 else 1)) < 1:
        node.unsupported("the window is larger than its padded input")
    return window


def rounded_up(size: int, kernel: int, stride: int, dilation: int, before: int, after: int) -> int:
    """Windows along an axis with ceil_mode; one that would start in the padding at the end is dropped."""
    steps = -(-(size + before + after - ((kernel - 1) * dilation + 1)) // stride)
    return steps if steps * stride >= size + before else steps + 1


def _two_dimensional(
    kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...], pads: tuple[int, ...]
) -> Window:
    """A 1-D window is a 2-D one of width 1."""
    if len(kernel) == 1:
        top, bottom = pads
        return Window((kernel[0], 1), (stride[0], 1), (dilation[0], 1), (top, 0, bottom, 0))
    top, left, bottom, right = pads
    (kh, kw), (sh, sw), (dh, dw) = kernel, stride, dilation
    return Window((kh, kw), (sh, sw), (dh, dw), (top, left, bottom, right))


def _pads(
    node: OnnxNode,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
    sizes: tuple[int, ...],
) -> tuple[int, ...]:
    rank = len(kernel)
    auto = node.attributes.get("auto_pad", "NOTSET")
    if auto == "VALID":
        return (0,) * (2 * rank)
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        begins, ends = [], []
        for k, s, d, size in zip(kernel, strides, dilations, sizes, strict=True):
            total = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
            small, large = total // 2, total - total // 2
            begins.append(small if auto == "SAME_UPPER" else large)
            ends.append(large if auto == "SAME_UPPER" else small)
        return (*begins, *ends)
    if auto != "NOTSET":
        node.unsupported(f"auto_pad {auto!r}")
    return node.integers("pads") or (0,) * (2 * rank)


def tap_counts(window: Window, size: tuple[int, int], counted: Pads) -> tuple[list[int], list[int]]:
    """Per output row and per output column: the taps inside the input and its counted padding."""
    result = []
    for axis, outputs in enumerate(window.output(*size)):
        low, high = -counted[axis], size[axis] + counted[axis + 2]
        reach = range(0, window.extent[axis], window.dilation[axis])
        starts = (o * window.stride[axis] - window.pads[axis] for o in range(outputs))
        result.append([sum(low <= start + k < high for k in reach) for start in starts])
    return result[0], result[1]


def pixel_distance(window: Window, size: tuple[int, int], channels: int) -> int:
    """Smallest safe D, in values, of a kernel that makes its outputs one by one in the order y, x, c.

    Every output is stored after its own window was read, so output j may destroy only what no output
    after j reads: (end of output j) - (lowest value that outputs after j read) <= D for all j. Within a
    pixel the next channel reads from `first + c + 1` on, after it the pixels that follow read from the
    lowest of their windows on. Without padding and with windows that are disjoint (or at least step by
    the stride over as many pixels as they produce) pixel p starts to read at or above pixel p, so D = 0:
    the pool runs in place.
    """
    rows, columns = window.output(*size)
    starts = zip((rows, columns), window.stride, window.pads[:2], window.dilation, strict=True)
    # the first tap at or after index 0
    y, x = (np.where(v < 0, v % d, v) for n, s, p, d in starts for v in [np.arange(n) * s - p])
    first = ((y[:, None] * size[1] + x[None, :]) * channels).ravel()
    # after the last pixel nothing is read any more; ending above the input is never worth having
    end = size[0] * size[1] * channels
    later = np.minimum.accumulate(np.append(first[1:], end)[::-1])[::-1]
    pixel = np.arange(len(first)) * channels
    distance = int((pixel + channels - later).max())
    return distance if channels == 1 else max(distance, int((pixel - first).max()))


def row_window(window: Window) -> RowWindow:
    """The rows that it covers."""
    return RowWindow(window.extent[0], window.stride[0], window.pads[0])


def row_distance(window: Window, size: Pair, in_row: int, out_row: int) -> int:
    """Smallest safe D when each output row is written while its window's rows are still read.

    `size` is the input's height and width, `in_row` and `out_row` are bytes per row. Forward row order:
    the output may start at input - D. Source: memory.md B.4 (D_row), Blacker et al., arXiv:2010.01668.
    """
    rows = window.output(*size)[0]
    first = (min(max(0, y * window.stride[0] - window.pads[0]), size[0]) for y in range(rows))
    return max((y + 1) * out_row - row * in_row for y, row in enumerate(first))


def geometry(site: Site, window: Window) -> dict[str, Scalar]:
    """The leading fields that the parameter structs of all windowed kernels share."""
    (in_h, in_w), (out_h, out_w) = hw(site.x.shape), hw(site.y.shape)
    return {
        "batch": site.x.shape[0],
        "in_h": in_h,
        "in_w": in_w,
        "in_c": site.x.shape[-1],
        "out_h": out_h,
        "out_w": out_w,
        "out_c": site.y.shape[-1],
        "kernel_h": window.kernel[0],
        "kernel_w": window.kernel[1],
        "stride_h": window.stride[0],
        "stride_w": window.stride[1],
        "dilation_h": window.dilation[0],
        "dilation_w": window.dilation[1],
        "pad_top": window.pads[0],
        "pad_left": window.pads[1],
    }


def lying(site: Site, window: Window) -> tuple[Site, Window]:
    """A 1-D layer as a layer over images of height 1 instead of width 1: one long row, no row pointers."""
    if len(site.x.shape) == 4:
        return site, window
    x, y = (replace(t, shape=(t.shape[0], 1, *t.shape[1:])) for t in (site.x, site.y))
    return replace(site, inputs=(x, *site.inputs[1:]), outputs=(y,)), window.transposed
