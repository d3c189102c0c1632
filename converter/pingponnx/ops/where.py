"""A choice between two tensors, value by value."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from pingponnx.calls import Call, Input, Output, Struct
from pingponnx.ir import Array, DType, Shape, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site, keep, operator
from pingponnx.ops.broadcast import broadcast_shape, merged, padded


@operator("Where")
@dataclass(frozen=True, slots=True)
class Where(Operator):
    """The second operand where the first is true, else the third; all are broadcast."""

    each_value = True
    moves_data = True

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        broadcast_shape(node, 3)
        return cls(), keep(3)

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        return (tuple(np.broadcast_shapes(*(t.shape for t in inputs if t is not None))),)

    def dtype(self, *inputs: Tensor | None) -> DType:
        assert inputs[1] is not None
        return inputs[1].dtype

    def permuted(self, permutation: tuple[int, ...]) -> Self:
        return self

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        condition, x, y = arrays
        assert condition is not None and x is not None and y is not None
        return np.where(condition, x, y)

    def kernels(self, site: Site) -> Sequence[Call]:
        tensors = [t for t in site.inputs if t is not None]
        shape, steps = padded(*merged(site.y.shape, [t.shape for t in tensors]))
        fields = {"shape": shape} | {
            f"step_{name}": step for name, step in zip(("condition", "x", "y"), steps, strict=True)
        }
        # an operand of the output's size is read value by value just before the result is written there
        overlap = {i: 0 for i in (1, 2) if tensors[i].size == site.y.size and not tensors[i].constant}
        arguments = (Struct("where_params", fields), Input(0), Input(1), Input(2), Output())
        name = f"where_{8 * site.y.dtype.bytes}"
        return [Call(name, "where.h", arguments, overlap=overlap, cycles=20 * site.y.size)]
