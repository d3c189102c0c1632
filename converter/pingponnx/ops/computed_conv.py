"""Convolution whose weights are not constant: graph inputs, or computed by the model. float32 only."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Self

import numpy as np

from pingponnx.calls import Call, Input, Output, Struct, Table
from pingponnx.ir import Array, Shape, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site, clip_twice
from pingponnx.ops.dtypes import kernel_suffix
from pingponnx.ops.window import Window, geometry, hw, read_window, with_hw


@dataclass(frozen=True, slots=True)
class ComputedConv(Operator):
    """Convolution over 1 or 2 dimensions by run-time weights `oc ic/group [kh] [kw]`; a clip is fused."""

    window: Window
    group: int = 1
    low: float = -inf
    high: float = inf

    channels_last = True

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        weights = node.inputs[1]
        assert weights is not None
        group = int(node.attributes.get("group", 1))
        return cls(read_window(node, weights.shape[2:]), group), tuple(range(len(node.inputs)))

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        x, weights = inputs[:2]
        assert x is not None and weights is not None
        return (with_hw(x.shape, self.window.output(*hw(x.shape)), weights.shape[0]),)

    def integer(self, site: Site) -> str:
        return "its weights are not constant"

    def with_clamp(self, low: float, high: float) -> Self | None:
        low, high = clip_twice((self.low, self.high), low, high)
        return replace(self, low=low, high=high)

    def macs(self, site: Site) -> int:
        weights = site.inputs[1]
        assert weights is not None
        return site.y.size * weights.size // weights.shape[0]

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        x, weights, bias = (*arrays, None)[:3]
        assert x is not None and weights is not None
        n, (h, w), c = x.shape[0], hw(site.x.shape), x.shape[-1]
        top, left, bottom, right = self.window.pads
        padded = np.pad(x.reshape(n, h, w, c), ((0, 0), (top, bottom), (left, right), (0, 0)))
        (oh, ow), count = self.window.output(h, w), len(weights)
        kernel = weights.reshape(self.group, count // self.group, c // self.group, *self.window.kernel)
        total = np.zeros((n, oh, ow, self.group, count // self.group), np.float32)
        for ky in range(self.window.kernel[0]):
            for kx in range(self.window.kernel[1]):
                y0, x0 = ky * self.window.dilation[0], kx * self.window.dilation[1]
                taps = padded[:, y0 :: self.window.stride[0], x0 :: self.window.stride[1]][:, :oh, :ow]
                grouped = taps.reshape(n, oh, ow, self.group, c // self.group)
                total += np.einsum("nhwgi,goi->nhwgo", grouped, kernel[:, :, :, ky, kx], optimize=True)
        result = total.reshape(n, oh, ow, count) + (0 if bias is None else bias)
        clipped: Array = np.clip(result, np.float32(self.low), np.float32(self.high))
        return clipped.reshape(site.y.shape)

    def kernels(self, site: Site) -> Sequence[Call]:
        name, macs = f"computedconv_{kernel_suffix(self, site)}", self.macs(site)
        fields = geometry(site, self.window) | {
            "groups": self.group,
            "pool_h": 1,
            "pool_w": 1,
            "pool_stride_h": 1,
            "pool_stride_w": 1,
            "low": self.low,
            "high": self.high,
        }
        bias = Table("bias", None) if site.input(2) is None else Input(2)
        arguments = (Struct("conv_params_f32", fields), Input(0), Input(1), bias, Output())
        return [Call(name, f"{name}.h", arguments, macs=macs, cycles=14 * macs)]
