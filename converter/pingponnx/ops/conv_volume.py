"""Convolution over any number of axes, channels first, with weights that may be inputs of the model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pingponnx.calls import Call, Input, Output, Struct, Table
from pingponnx.ir import Array, Shape, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site, keep
from pingponnx.ops.functions import REALS
from pingponnx.ops.volume import Volume, read_volume, shape_of
from pingponnx.ops.window import read_kernel


@dataclass(frozen=True, slots=True)
class ConvVolume(Operator):
    """What conv.py does not take: it reads such nodes as this."""

    window: Volume
    group: int = 1

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        x, weights, *bias = node.inputs
        assert x is not None and weights is not None
        if x.dtype not in REALS or weights.dtype is not x.dtype:
            node.unsupported(f"{x.dtype.value} with weights of type {weights.dtype.value}")
        group = int(node.attributes.get("group", 1))
        return cls(read_volume(node, read_kernel(node, group)), group), keep(
            2 + sum(b is not None for b in bias)
        )

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        x, weights = inputs[0], inputs[1]
        assert x is not None and weights is not None
        return (shape_of(len(x.shape), (x.shape[0], weights.shape[0]), self.window),)

    def macs(self, site: Site) -> int:
        weights = site.inputs[1]
        assert weights is not None
        return site.y.size * weights.size // weights.shape[0]

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        x, weights = arrays[0], arrays[1]
        assert x is not None and weights is not None
        seen = self.window.windows(x.astype(np.float64), 0)
        n, c = x.shape[:2]
        seen = seen.reshape(n, self.group, c // self.group, *seen.shape[2:])
        each = weights.reshape(self.group, -1, c // self.group, *self.window.kernel)
        y: Array = np.einsum("ngcxyzijk,gocijk->ngoxyz", seen, each).reshape(n, -1, *self.window.output)
        if len(arrays) > 2 and arrays[2] is not None:
            y = y + arrays[2][:, None, None, None]
        return y.astype(x.dtype).reshape(site.y.shape)

    def kernels(self, site: Site) -> Sequence[Call]:
        weights = site.inputs[1]
        assert weights is not None
        fields = {
            "batch": site.x.shape[0],
            "group": self.group,
            "in_c": site.x.shape[1] // self.group,
            "out_c": weights.shape[0] // self.group,
        } | self.window.fields()
        bias = Input(2) if site.input(2) is not None else Table("bias", None)
        arguments = (Struct("conv_volume_params", fields), Input(0), Input(1), bias, Output())
        macs = self.macs(site)
        name = f"conv_volume_{site.suffix}"
        return [Call(name, "conv_volume.h", arguments, macs=macs, cycles=15 * macs)]
