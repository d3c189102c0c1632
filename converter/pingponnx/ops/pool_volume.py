"""Pooling over any number of axes, channels first, in all number types."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pingponnx.calls import Call, Input, Output, Struct
from pingponnx.ir import Array, DType, Shape, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site, keep, operator
from pingponnx.ops.functions import INTEGERS, REALS
from pingponnx.ops.volume import Volume, read_volume, shape_of


@operator("LpPool", GlobalLpPool="Norm of the whole map of a channel.")
@dataclass(frozen=True, slots=True)
class PoolVolume(Operator):
    """Norm of the values in windows of up to 3 dimensions."""

    kind: str  # max, index, average or norm
    window: Volume
    p: int = 2
    padding: bool = False  # counts for the average
    column_major: bool = False  # order of the indices
    each_output = True

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        x = node.inputs[0]
        assert x is not None
        kind = {"Lp": "norm", "Av": "average", "Ma": "max"}[node.op_type.removeprefix("Global")[:2]]
        if kind == "max" and node.output:
            kind = "index"
        if x.dtype not in (REALS + INTEGERS if kind in ("max", "index") else REALS):
            node.unsupported(f"{x.dtype.value} is not supported")
        whole = node.op_type.startswith("Global")
        kernel = node.shape()[2:] if whole else node.integers("kernel_shape")
        if kernel is None:
            node.unsupported("kernel_shape is missing")
        window = read_volume(node, kernel)
        padding = bool(node.attributes.get("count_include_pad", 0))
        if kind in ("average", "max", "index") and not window.counts(padding=padding).min():
            node.unsupported(
                "a pooling window covers nothing but padding", "use pads smaller than the kernel"
            )
        p, order = int(node.attributes.get("p", 2)), bool(node.attributes.get("storage_order", 0))
        if p < 1:
            node.broken(f"p is {p}")
        return cls(kind, window, p, padding, order), keep(1)

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        shape = inputs[0].shape
        return (shape_of(len(shape), (shape[0], shape[1]), self.window),)

    def dtype(self, *inputs: Tensor | None) -> DType:
        assert inputs[0] is not None
        return DType.S64 if self.kind == "index" else inputs[0].dtype

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        x = arrays[0]
        assert x is not None
        if self.kind == "average":
            total = self.window.windows(x.astype(np.float64), 0).sum(axis=(-3, -2, -1))
            mean: Array = total / self.window.counts(padding=self.padding)
            return mean.astype(x.dtype).reshape(site.y.shape)
        if self.kind == "norm":
            powers = np.abs(self.window.windows(x.astype(np.float64), 0)) ** self.p
            norm: Array = powers.sum(axis=(-3, -2, -1)) ** (1 / self.p)
            return norm.astype(x.dtype).reshape(site.y.shape)
        lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        seen = self.window.windows(x, lowest)
        if self.kind == "max":
            return np.asarray(seen.max(axis=(-3, -2, -1))).reshape(site.y.shape)
        places = self.window.windows(self._places(x.shape), -1)
        seen, places = (a.reshape(*a.shape[:-3], -1) for a in (seen, places))
        best = (seen == seen.max(axis=-1, keepdims=True)) & (places >= 0)
        return np.take_along_axis(places, best.argmax(axis=-1)[..., None], -1).reshape(site.y.shape)

    def _places(self, shape: Shape) -> Array:
        """The index of every value in the whole tensor, in the order wished for."""
        n, c, *sizes = shape
        within = np.arange(int(np.prod(sizes))).reshape(sizes, order="F" if self.column_major else "C")
        first = np.arange(n * c).reshape(n, c, *(1,) * len(sizes)) * int(np.prod(sizes))
        return np.asarray(first + within, np.int64)

    def kernels(self, site: Site) -> Sequence[Call]:
        fields = {"maps": site.x.shape[0] * site.x.shape[1]} | self.window.fields()
        fields |= {"counted": self.window.counted, "padding": int(self.padding), "p": self.p}
        fields["column_major"] = int(self.column_major)
        name = f"pool_{self.kind}_{site.suffix}"
        work = site.y.size * int(np.prod(self.window.kernel))
        arguments = (Struct("pool_volume_params", fields), Input(), Output())
        return [Call(name, "pool_volume.h", arguments, cycles=20 * work)]
