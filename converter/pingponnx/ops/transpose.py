"""Transpose: the permutations that layout planning could not remove."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pingponnx.calls import Call, Input, Output, Struct
from pingponnx.ir import Array, DType, Shape, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site, keep, operator
from pingponnx.ops.dtypes import kernel_suffix
from pingponnx.ops.walk import walk

_MAX_RANK = 6
_TYPES = (DType.S8, DType.U8, DType.F32)  # uint8: the edge of a model that keeps ONNX's axis order


@operator("Transpose")
@dataclass(frozen=True, slots=True)
class Transpose(Operator):
    """Permutes axes: output axis i is input axis permutation[i]."""

    permutation: tuple[int, ...]

    moves_data = True
    int16 = True

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        rank = len(node.shape())
        permutation = node.integers("perm") or tuple(reversed(range(rank)))
        if sorted(permutation) != list(range(rank)):
            node.unsupported(f"perm {permutation} does not permute {rank} axes")
        if rank > _MAX_RANK:
            node.unsupported(f"rank {rank}", f"at most {_MAX_RANK} axes are supported")
        return cls(permutation), keep(1)

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        return (tuple(inputs[0].shape[axis] for axis in self.permutation),)

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        assert arrays[0] is not None
        return np.ascontiguousarray(arrays[0].transpose(self.permutation))

    def kernels(self, site: Site) -> Sequence[Call]:
        shape = site.x.shape
        strides = [1] * len(shape)
        for axis in range(len(shape) - 2, -1, -1):
            strides[axis] = strides[axis + 1] * shape[axis + 1]
        missing = _MAX_RANK - len(shape)
        params = Struct(
            "transpose_params",
            {
                "shape": (*(1,) * missing, *site.y.shape),
                "stride": (*(0,) * missing, *(strides[axis] for axis in self.permutation)),
            },
        )
        if site.x.dtype not in _TYPES:
            return [walk(site, self, site.y.shape, tuple(strides[axis] for axis in self.permutation))]
        name = f"transpose_{kernel_suffix(self, site, _TYPES)}"
        return [Call(name, "transpose.h", (params, Input(), Output()), cycles=12 * site.x.size)]
