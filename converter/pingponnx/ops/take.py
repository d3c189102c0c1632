"""Gather at indices that are known: it only moves data, so int8 values stay what they are."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Self

import numpy as np

from pingponnx.calls import Call, Input, Output, Struct, Table
from pingponnx.ir import Array, Shape, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site


@dataclass(frozen=True, slots=True)
class Take(Operator):
    """Slices along an axis, at indices from 0 on; gather.py reads such nodes as this."""

    axis: int
    indices: tuple[int, ...]
    shape: Shape  # of the indices

    moves_data = True
    int16 = True

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        node.unsupported("Take is made by Gather only")

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        x = inputs[0]
        assert x is not None
        return ((*x.shape[: self.axis], *self.shape, *x.shape[self.axis + 1 :]),)

    def permuted(self, permutation: tuple[int, ...]) -> Self | None:
        return replace(self, axis=permutation.index(self.axis)) if len(self.shape) == 1 else None

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        assert arrays[0] is not None
        return np.take(arrays[0], np.array(self.indices, np.int64).reshape(self.shape), self.axis)

    def kernels(self, site: Site) -> Sequence[Call]:
        shape = site.x.shape
        fields = {
            "outer": prod(shape[: self.axis]),
            "length": shape[self.axis],
            "count": len(self.indices),
            "bytes": prod(shape[self.axis + 1 :]) * site.x.dtype.bytes,
        }
        table = Table("indices", np.array(self.indices, np.int32))
        arguments = (Struct("gather_params", fields), Input(), table, Output())
        return [Call("gather_s32", "gather.h", arguments, cycles=6 * site.y.size)]
