"""Geometry of sliding windows (convolution, pooling): padding, output size, safe in-place distance."""

from dataclasses import dataclass, replace
from typing import Self

from pingponnx.calls import Scalar
from pingponnx.ir import Shape
from pingponnx.ops import OnnxNode, Site

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Window:
    """A window over height and width (1-D uses height 1); pads are top, left, bottom, right."""

    kernel: Pair
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)

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

    def then(self, pool: "Window") -> Self:
        """The window of this convolution followed by an unpadded pool: rows that one pooled row needs."""
        kernel = tuple(e + (p - 1) * s for e, p, s in zip(self.extent, pool.kernel, self.stride, strict=True))
        stride = tuple(s * p for s, p in zip(self.stride, pool.stride, strict=True))
        return replace(self, kernel=kernel, stride=stride, dilation=(1, 1))  # type: ignore[arg-type]


def hw(shape: Shape) -> Pair:
    """Height and width of a channels-last shape; height is 1 for `n w c`."""
    return (shape[1], shape[2]) if len(shape) == 4 else (1, shape[1])


def with_hw(shape: Shape, size: Pair, channels: int) -> Shape:
    """The channels-last shape of the same rank with another size and channel count."""
    return (shape[0], *size, channels) if len(shape) == 4 else (shape[0], size[1], channels)


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
            extent = (kernel[i] - 1) * dilations[i] + 1
            rest = (sizes[i] + pads[i] + ends[i] - extent) % strides[i]
            steps = -(-(sizes[i] + pads[i] + ends[i] - extent) // strides[i])
            # a last window that would start inside the end padding is dropped
            if rest and steps * strides[i] < sizes[i] + pads[i]:
                ends[i] += strides[i] - rest
    window = _two_dimensional(kernel, strides, dilations, (*pads[:rank], *ends))
    if min(window.output(*((1,) * (2 - rank) + tuple(sizes)))) < 1:
        node.unsupported("the window is larger than its padded input")
    return window


def _two_dimensional(
    kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...], pads: tuple[int, ...]
) -> Window:
    """A 1-D window is a 2-D one of height 1."""
    if len(kernel) == 1:
        left, right = pads
        return Window((1, kernel[0]), (1, stride[0]), (1, dilation[0]), (0, left, 0, right))
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
