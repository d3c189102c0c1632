"""Transposed convolution over three axes, channels first, with weights that may be inputs of the model."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from pingponnx.calls import Call, Input, Output, Struct, Table
from pingponnx.ir import Array, Shape, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site, keep
from pingponnx.ops.functions import REALS
from pingponnx.ops.volume import Volume


@dataclass(frozen=True, slots=True)
class ConvTransposeVolume(Operator):
    """What conv_transpose.py does not take: it reads such nodes as this."""

    window: Volume  # `before` is what is cut off the beginning of the output
    group: int = 1

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        node.unsupported("ConvTransposeVolume is made by ConvTranspose only")

    @classmethod
    def of(cls, node: OnnxNode, window: Volume, group: int) -> tuple[Operator, Kept]:
        """The operator and its inputs; conv_transpose.py has read the window."""
        x, weights, *bias = node.inputs
        assert x is not None and weights is not None
        if x.dtype not in REALS or weights.dtype is not x.dtype:
            node.unsupported(f"{x.dtype.value} with weights of type {weights.dtype.value}")
        return cls(window, group), keep(2 + sum(b is not None for b in bias))

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        x, weights = inputs[0], inputs[1]
        assert x is not None and weights is not None
        return ((x.shape[0], weights.shape[1] * self.group, *self.window.output),)

    def macs(self, site: Site) -> int:
        weights = site.inputs[1]
        assert weights is not None
        return site.x.shape[0] * prod(self.window.sizes) * weights.size

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        """Every input value stamps its kernel on the output."""
        x, weights = arrays[0], arrays[1]
        assert x is not None and weights is not None
        w, (n, c) = self.window, x.shape[:2]
        wide: Array = x.astype(np.float64).reshape(n, self.group, c // self.group, *w.sizes)
        kernel = weights.astype(np.float64).reshape(self.group, c // self.group, -1, *w.kernel)
        axes = (w.sizes, w.stride, w.kernel, w.dilation, w.before, w.output)
        full = [max((i - 1) * s + (k - 1) * d + 1, b + o) for i, s, k, d, b, o in zip(*axes, strict=True)]
        y: Array = np.zeros((n, self.group, kernel.shape[2], *full))
        for tap in np.ndindex(*w.kernel):
            at: Any = tuple(
                slice(k * d, k * d + (i - 1) * s + 1, s)
                for k, d, i, s in zip(tap, w.dilation, w.sizes, w.stride, strict=True)
            )
            y[:, :, :, *at] += np.einsum("ngixyz,gio->ngoxyz", wide, kernel[:, :, :, *tap])
        kept: Any = tuple(slice(b, b + o) for b, o in zip(w.before, w.output, strict=True))
        result: Array = y[:, :, :, *kept].reshape(site.y.shape)
        if len(arrays) > 2 and arrays[2] is not None:
            result = result + arrays[2][:, None, None, None]
        return result.astype(x.dtype)

    def kernels(self, site: Site) -> Sequence[Call]:
        weights = site.inputs[1]
        assert weights is not None
        fields = {
            "batch": site.x.shape[0],
            "group": self.group,
            "in_c": site.x.shape[1] // self.group,
            "out_c": weights.shape[1],
        } | self.window.fields()
        bias = Input(2) if site.input(2) is not None else Table("bias", None)
        arguments = (Struct("convtranspose_volume_params", fields), Input(0), Input(1), bias, Output())
        taps = site.y.size * site.x.shape[1] // self.group * prod(self.window.kernel)
        name = f"convtranspose_volume_{site.suffix}"
        return [Call(name, "convtranspose_volume.h", arguments, macs=self.macs(site), cycles=15 * taps)]
