"""Transposed convolution: any kernel, stride, dilation, padding and groups; 1-D; fused clip."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Self

import numpy as np

from pingponnx.calls import Argument, Call, Input, Output, Struct, Table
from pingponnx.fixed_point import clamp_s8
from pingponnx.ir import Array, Shape, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site, clip_twice, operator
from pingponnx.ops.conv_transpose_volume import ConvTransposeVolume
from pingponnx.ops.linear import Linear, clamp_f32, lower_linear
from pingponnx.ops.volume import RANK, Volume
from pingponnx.ops.window import Pair, Window, geometry, given_kernel, hw, with_hw


@operator("ConvTranspose")
@dataclass(frozen=True, slots=True)
class ConvTranspose(Operator):
    """Transposed convolution over 1 to 3 dimensions, with bias; the activation is fused in up to 2."""

    window: Window  # its pads are what is cut off the output
    size: Pair  # height and width of the output
    group: int = 1
    low: float = -inf
    high: float = inf
    computed: bool = False  # weights or bias are not constant: `ic oc/group [kh] [kw]`, as in ONNX

    channels_last = True

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        weights = node.inputs[1]
        bias = node.inputs[2] if len(node.inputs) > 2 else None
        assert weights is not None
        group = int(node.attributes.get("group", 1))
        if node.shape()[1] != weights.shape[0] or weights.shape[0] % group:
            shapes = f"{node.shape()[1]} input channels, weights {weights.shape}"
            node.unsupported(f"{shapes} and group {group} disagree")
        node.expect(2, (weights.shape[1] * group,))
        axes = _read_axes(node, given_kernel(node))
        if len(axes) > 2:
            kernel, stride, dilation, before, sizes, output = zip(*axes, strict=True)
            volume = Volume(kernel, stride, dilation, before, sizes, output, sizes)
            return ConvTransposeVolume.of(node, volume, group)
        (kh, sh, dh, top, _, oh), *rest = axes
        kw, sw, dw, left, _, ow = rest[0] if rest else (1, 1, 1, 0, 1, 1)
        window, size = Window((kh, kw), (sh, sw), (dh, dw), (top, left, 0, 0)), (oh, ow)
        fixed = weights.constant and (bias is None or bias.constant)
        kept: list[int | Tensor] = [0, _by_output(node, weights, group) if fixed else 1]
        return cls(window, size, group, computed=not fixed), (*kept, *([] if bias is None else [2]))

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        x, weights = inputs[0], inputs[1]
        assert x is not None and weights is not None
        channels = weights.shape[1] * self.group if self.computed else weights.shape[0]
        return (with_hw(x.shape, self.size, channels),)

    def integer(self, site: Site) -> str:
        weights = site.inputs[1]
        assert weights is not None
        return "" if weights.quantized and not self.computed else "its weights are not quantized constants"

    def with_clamp(self, low: float, high: float) -> Self | None:
        low, high = clip_twice((self.low, self.high), low, high)
        return replace(self, low=low, high=high)

    def macs(self, site: Site) -> int:
        weights = site.inputs[1]
        assert weights is not None
        height, width = hw(site.x.shape)
        return site.x.shape[0] * height * width * weights.size

    def lower(self, site: Site) -> Linear:
        """Weights as `oc kh kw ic`, int32 bias, zero points and multipliers."""
        return lower_linear(self, site, self.low, self.high)

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        assert arrays[0] is not None
        linear = self._given(*arrays[1:]) if self.computed else self.lower(site)
        acc = self._accumulate(site, arrays[0], linear)
        if not site.quantized:
            return clamp_f32(acc, linear).reshape(site.y.shape)
        y = linear.requantizer.apply(acc) + linear.output_zero_point
        return clamp_s8(y, linear.low, linear.high).reshape(site.y.shape)

    def _given(self, weights: Array | None, bias: Array | None = None) -> Linear:
        """The same of run-time weights."""
        assert weights is not None
        four = weights.reshape(*weights.shape[:2], *self.window.kernel)
        grouped = four.reshape(self.group, -1, *four.shape[1:])  # group ic oc kh kw
        packed = grouped.transpose(0, 2, 3, 4, 1).reshape(-1, *self.window.kernel, grouped.shape[1])
        zeros = np.zeros(len(packed), np.int32)
        return Linear(packed, zeros if bias is None else bias, zeros, self.low, self.high)

    def _accumulate(self, site: Site, x: Array, linear: Linear) -> Array:
        """Sums of products plus bias, `n oh ow oc`: every input pixel stamps its kernel on the output."""
        w, (kh, kw), (h, width) = self.window, self.window.kernel, hw(site.x.shape)
        n, c, outputs = x.shape[0], x.shape[-1], len(linear.weights)
        wide = np.dtype(np.int64) if site.quantized else np.dtype(np.float64)
        real: Array = x.reshape(n, h, width, self.group, -1).astype(wide) - linear.input_zero_point
        weights = linear.weights.astype(wide) - linear.weight_zero_point.reshape(-1, 1, 1, 1)
        kernel = weights.reshape(self.group, outputs // self.group, kh, kw, c // self.group)
        (sh, sw), (eh, ew), (top, left) = w.stride, w.extent, w.pads[:2]
        oh, ow = self.size
        rows, columns = max((h - 1) * sh + eh, top + oh), max((width - 1) * sw + ew, left + ow)
        acc: Array = np.zeros((n, rows, columns, outputs), wide)
        for ky in range(kh):
            for kx in range(kw):
                stamp = np.einsum("nhwgi,goi->nhwgo", real, kernel[:, :, ky, kx], optimize=True)
                y0, x0 = ky * w.dilation[0], kx * w.dilation[1]
                at = acc[:, y0 : y0 + (h - 1) * sh + 1 : sh, x0 : x0 + (width - 1) * sw + 1 : sw]
                at += stamp.reshape(at.shape)
        return acc[:, top : top + oh, left : left + ow] + linear.bias.astype(wide)

    def kernels(self, site: Site) -> Sequence[Call]:
        name, macs = f"convtranspose_{site.suffix}", self.macs(site)
        fields: dict[str, Any] = geometry(site, self.window) | {"groups": self.group}
        arguments: tuple[Argument, ...]
        if self.computed:
            fields |= self._strides(site) | {"low": self.low, "high": self.high}
            arguments = (Input(1), Input(2) if site.input(2) else Table("bias", None))
        else:
            linear = self.lower(site)
            fields |= ({} if site.quantized else self._strides(site)) | linear.kernel_fields()
            arguments = linear.tables(linear.weights)
        params = Struct(f"convtranspose_params_{site.suffix}", fields)
        return [Call(name, f"{name}.h", (params, Input(), *arguments, Output()), macs=macs, cycles=14 * macs)]

    def _strides(self, site: Site) -> dict[str, int]:
        """Weights from a group, an output, a tap and an input to the next."""
        taps = self.window.kernel[0] * self.window.kernel[1]
        inputs, outputs = site.x.shape[-1] // self.group, site.y.shape[-1] // self.group
        group = inputs * outputs * taps
        if self.computed:
            return {"w_group": group, "w_out": taps, "w_tap": 1, "w_in": outputs * taps}
        return {"w_group": group, "w_out": taps * inputs, "w_tap": inputs, "w_in": 1}


def _by_output(node: OnnxNode, weights: Tensor, group: int) -> Tensor:
    """Weights `ic oc/group [kh] [kw]` as `oc ic/group [kh] [kw]`, their quantization axis with them."""
    assert weights.data is not None
    inputs, per_group, *kernel = weights.shape
    data = weights.data.reshape(group, inputs // group, per_group, *kernel).swapaxes(1, 2)
    data = np.ascontiguousarray(data.reshape(group * per_group, inputs // group, *kernel))
    q = weights.quantization
    if q is not None and q.axis is not None:
        if q.axis != 1:
            node.unsupported(f"weights quantized along axis {q.axis}", "quantize them per output channel")
        q = replace(q, scale=np.tile(q.scale, group), zero_point=np.tile(q.zero_point, group), axis=0)
    name = f"{weights.name}@{node.name}"
    return replace(weights, name=name, shape=data.shape, data=data, quantization=q, origin=None)


def _read_axes(node: OnnxNode, kernel: Shape) -> list[tuple[int, ...]]:
    """Per axis: kernel, stride, dilation, what the output loses in front, sizes of input and output."""
    sizes, rank = node.shape()[2:], len(node.shape()) - 2
    if rank not in (1, 2, RANK):
        node.unsupported(f"{rank}-dimensional windows", f"up to {RANK} dimensions are supported")
    strides = node.integers("strides") or (1,) * rank
    dilations = node.integers("dilations") or (1,) * rank
    extra = node.integers("output_padding") or (0,) * rank
    if min(*strides, *dilations, *kernel) < 1 or min(extra) < 0:
        node.unsupported("strides, dilations and kernel must be positive, output_padding not negative")
    full = [
        (n - 1) * s + e + (k - 1) * d + 1
        for n, s, e, k, d in zip(sizes, strides, extra, kernel, dilations, strict=True)
    ]
    begins, wanted = _cut(node, full, [n * s for n, s in zip(sizes, strides, strict=True)])
    if min(begins) < 0 or min(wanted) < 1:
        node.unsupported(f"pads {begins} and an output of {wanted}")
    return list(zip(kernel, strides, dilations, begins, sizes, wanted, strict=True))


def _cut(node: OnnxNode, full: list[int], same: list[int]) -> tuple[list[int], list[int]]:
    """Per axis: what is cut off the beginning, and what is left."""
    auto, rank = node.attributes.get("auto_pad", "NOTSET"), len(full)
    shape = node.integers("output_shape")
    if auto in ("SAME_UPPER", "SAME_LOWER") or shape is not None:
        wanted = same if shape is None else list(shape[-rank:])
        total = [max(f - w, 0) for f, w in zip(full, wanted, strict=True)]
        return [t // 2 if auto == "SAME_UPPER" else t - t // 2 for t in total], wanted
    if auto not in ("NOTSET", "VALID"):
        node.unsupported(f"auto_pad {auto!r}")
    pads = (auto == "NOTSET" and node.integers("pads")) or (0,) * (2 * rank)
    wanted = [f - b - e for f, b, e in zip(full, pads[:rank], pads[rank:], strict=True)]
    return list(pads[:rank]), wanted
