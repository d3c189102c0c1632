"""MatMulInteger: a matrix product of 8-bit codes, in int32."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pingponnx.calls import Argument, Call, Input, Output, Struct, Table
from pingponnx.ir import Array, DType, Shape, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site, operator
from pingponnx.ops.matmul import MatMul, batch_of, columns_of, matrix_of, steps_of

_CODES = (DType.S8, DType.U8)
_RANK = 4


@operator("MatMulInteger")
@dataclass(frozen=True, slots=True)
class MatMulInteger(Operator):
    """Sums of (a - zero point) (b - zero point) as int32; zero points per row of a, per column of b."""

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        a, b = node.inputs[:2]
        assert a is not None and b is not None
        check_codes(node)
        if not (1 <= len(a.shape) <= _RANK and 1 <= len(b.shape) <= _RANK):
            node.unsupported(f"matrices of rank {len(a.shape)} and {len(b.shape)}", f"use rank 1 to {_RANK}")
        for index, count in ((2, matrix_of(a)[-2]), (3, columns_of(b)[-1])):
            zero = node.inputs[index] if index < len(node.inputs) else None
            if zero is not None and zero.size not in (1, count):
                node.unsupported(
                    f"zero points of shape {zero.shape}", "use one for all, per row or per column"
                )
        return cls(), tuple(range(len(node.inputs)))

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        return MatMul().infer(*inputs)

    def dtype(self, *inputs: Tensor | None) -> DType:
        return DType.S32

    def macs(self, site: Site) -> int:
        return site.y.size * site.x.shape[-1]

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        a, b, a_zero, b_zero = (*arrays, None, None)[:4]
        assert a is not None and b is not None
        left = a.reshape(matrix_of(site.x)).astype(np.int64)
        assert site.inputs[1] is not None
        right = b.reshape(columns_of(site.inputs[1])).astype(np.int64)
        if a_zero is not None:
            left = left - a_zero.astype(np.int64).reshape(-1, 1)
        if b_zero is not None:
            right = right - b_zero.astype(np.int64).reshape(1, -1)
        product: Array = np.matmul(left, right)
        return product.astype(np.int32)

    def kernels(self, site: Site) -> Sequence[Call]:
        a, b = site.inputs[:2]
        assert a is not None and b is not None
        (m, k), n = matrix_of(a)[-2:], columns_of(b)[-1]
        batch = batch_of(a, b)
        batch = (1,) * (_RANK - 2 - len(batch)) + batch
        fields: dict[str, Any] = {
            "batch": batch,
            "a_step": steps_of(matrix_of(a), batch),
            "b_step": steps_of(columns_of(b), batch),
            "m": m,
            "k": k,
            "n": n,
            "a_signed": int(a.dtype is DType.S8),
            "b_signed": int(b.dtype is DType.S8),
            "a_zero_step": zero_step(site, 2),
            "b_zero_step": zero_step(site, 3),
        }
        params, macs = Struct("matmul_integer_params", fields), self.macs(site)
        arguments = (params, Input(0), Input(1), zero_point(site, 2), zero_point(site, 3), Output())
        return [Call("matmul_integer", "matmul_integer.h", arguments, macs=macs, cycles=14 * macs)]


def check_codes(node: OnnxNode) -> None:
    """Refuse operands that are no 8-bit codes."""
    for index, tensor in enumerate(node.inputs[:2]):
        if tensor is not None and tensor.dtype not in _CODES:
            node.unsupported(f"input {index} of type {tensor.dtype.value}", "it must be int8 or uint8")


def zero_point(site: Site, index: int) -> Argument:
    """The zero points that are input `index`; NULL when they are left out."""
    return Table("zero_point", None) if site.input(index) is None else Input(index)


def zero_step(site: Site, index: int) -> int:
    """1 for many zero points, 0 for one or none."""
    tensor = site.input(index)
    return int(tensor is not None and tensor.size > 1)
