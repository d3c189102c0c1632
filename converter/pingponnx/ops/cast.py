"""Conversion between element types."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pingponnx.calls import Call, Input, Output
from pingponnx.errors import IN_FLOAT32
from pingponnx.ir import Array, DType, Shape, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site, keep, operator
from pingponnx.ops.lookup import each_value
from pingponnx.ops.reshape import Reshape

TYPES = {
    1: DType.F32,
    2: DType.U8,
    3: DType.S8,
    4: DType.U16,
    5: DType.S16,
    6: DType.S32,
    7: DType.S64,
    9: DType.BOOL,
    11: DType.F64,
    12: DType.U32,
    13: DType.U64,
}


@operator("Cast")
@dataclass(frozen=True, slots=True)
class Cast(Operator):
    """Another element type: towards 0, modulo the integer's range; nothing but 0 is false."""

    to: DType

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        to: Any = node.attributes.get("to")
        x = node.inputs[0]
        assert x is not None
        if to not in TYPES:
            hint = f"float16 and bfloat16 are 10 and 16: {IN_FLOAT32}"
            node.unsupported(f"a cast to ONNX's type {to}", hint)
        return (Reshape(x.shape) if x.dtype is TYPES[to] else cls(TYPES[to])), keep(1)

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        return (inputs[0].shape,)

    def dtype(self, *inputs: Tensor | None) -> DType:
        return self.to

    def permuted(self, permutation: tuple[int, ...]) -> "Cast":
        return self

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        x, to = arrays[0], self.to
        assert x is not None
        if to is DType.BOOL:
            return np.not_equal(x, 0)
        with np.errstate(all="ignore"):
            if x.dtype.kind == "f" and to not in (DType.F32, DType.F64, DType.U64):
                x = x.astype(np.int64)
            return x.astype(to.numpy)

    def kernels(self, site: Site) -> Sequence[Call]:
        name = f"cast_{site.suffix}_{self.to.suffix}"
        call = each_value(name, "cast.h", (Input(), Output()), site.x.shape, cycles=15)
        grows = self.to.bytes > site.x.dtype.bytes
        return [replace(call, rows=None, overlap={} if grows else call.overlap)]
