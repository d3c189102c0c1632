"""Matrix product of two activations; with a constant matrix it is a fully connected layer (gemm.py)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Self

import numpy as np

from pingponnx.calls import Call, Input, Output, Struct
from pingponnx.errors import ModelError
from pingponnx.fixed_point import INT32_MAX, S8_MAX, S8_MIN, clamp_s8, requantizer
from pingponnx.ir import Array, Quantization, Shape, Tensor
from pingponnx.ops import CmsisNN, Kept, OnnxNode, Operator, Site, clip_twice, fallback, operator
from pingponnx.ops.dtypes import kernel_suffix
from pingponnx.ops.linear import clamp_bounds

_RANK = 4


@operator("MatMul")
@dataclass(frozen=True, slots=True)
class MatMul(Operator):
    """Matrix product over the last two axes; leading axes are equal or 1."""

    low: float = -inf
    high: float = inf

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        a, b = node.inputs[0], node.inputs[1]
        assert a is not None and b is not None
        if b.constant and len(b.shape) == 2:
            from pingponnx.ops.gemm import Gemm  # that operator, not its module, is what is needed here

            return Gemm.from_onnx(node)
        if not (1 <= len(a.shape) <= _RANK and 1 <= len(b.shape) <= _RANK):
            node.unsupported(f"matrices of rank {len(a.shape)} and {len(b.shape)}", f"use rank 1 to {_RANK}")
        return cls(), (0, 1)

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        a, b = inputs[0], inputs[1]
        assert a is not None and b is not None
        if matrix_of(a)[-1] != columns_of(b)[-2]:
            raise ModelError(f"matrices of shape {a.shape} and {b.shape} cannot be multiplied")
        return ((*batch_of(a, b), *a.shape[-2:-1], *(b.shape[-1:] if len(b.shape) > 1 else ())),)

    def integer(self, site: Site) -> str:
        operands = [x.quantization for x in site.inputs if x is not None]
        y = site.y.quantization
        if any(q is None or not q.per_tensor for q in operands) or y is None:
            return "an operand is not quantized per tensor"
        worst, scale = site.x.shape[-1], 1.0 / float(y.s)
        for q in operands:
            assert q is not None
            worst *= max(abs(S8_MIN - q.z), abs(S8_MAX - q.z))
            scale *= float(q.s)
        return "an int32 result could overflow" if worst * max(scale, 1.0) > INT32_MAX // 2 else ""

    def with_clamp(self, low: float, high: float) -> Self | None:
        low, high = clip_twice((self.low, self.high), low, high)
        return replace(self, low=low, high=high)

    def macs(self, site: Site) -> int:
        return site.y.size * site.x.shape[-1]

    def _lower(self, site: Site) -> dict[str, Any]:
        """Zero points, multiplier, shift and clamp: the trailing fields of the parameter struct."""
        if not site.quantized:
            return {"low": self.low, "high": self.high}
        a, b, y = (_quantization(t) for t in (site.inputs[0], site.inputs[1], site.y))
        scaling = requantizer(float(a.s) * float(b.s) / float(y.s), site.rounding)
        low, high = clamp_bounds(self.low, self.high, y)
        return {
            "a_zero_point": a.z,
            "b_zero_point": b.z,
            "output_zero_point": y.z,
            "multiplier": int(scaling.multiplier[0]),
            "shift": int(scaling.shift[0]),
            "low": low,
            "high": high,
        }

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        a, b = arrays[0], arrays[1]
        assert a is not None and b is not None
        if not site.quantized:
            product: Array = np.matmul(a, b)
            return product.clip(np.float32(self.low), np.float32(self.high))
        qa, qb, qy = (_quantization(t) for t in (site.inputs[0], site.inputs[1], site.y))
        acc = np.matmul(a.astype(np.int64) - qa.z, b.astype(np.int64) - qb.z)
        scaling = requantizer(float(qa.s) * float(qb.s) / float(qy.s), site.rounding)
        return clamp_s8(scaling.apply(acc) + qy.z, *clamp_bounds(self.low, self.high, qy))

    def kernels(self, site: Site) -> Sequence[Call]:
        suffix = kernel_suffix(self, site)
        a, b = site.inputs[0], site.inputs[1]
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
        }
        name, macs = f"matmul_{suffix}", self.macs(site)
        params = Struct(f"matmul_params_{suffix}", fields | self._lower(site))
        return [Call(name, f"{name}.h", (params, Input(0), Input(1), Output()), macs=macs, cycles=10 * macs)]

    def cmsis_nn(self, site: Site, library: CmsisNN) -> Call:
        reason = "arm_batch_matmul_s8 (CMSIS-NN 6 and later) is not called"
        return fallback(self.kernels(site)[0], reason if site.quantized else "not an int8 node")


def matrix_of(a: Tensor) -> Shape:
    """The shape of the left operand: a vector is a row."""
    return a.shape if len(a.shape) > 1 else (1, *a.shape)


def columns_of(b: Tensor) -> Shape:
    """The shape of the right operand: a vector is a column."""
    return b.shape if len(b.shape) > 1 else (*b.shape, 1)


def batch_of(a: Tensor, b: Tensor) -> Shape:
    return tuple(np.broadcast_shapes(matrix_of(a)[:-2], columns_of(b)[:-2]))


def steps_of(shape: Shape, batch: Shape) -> tuple[int, int]:
    """Values that the operand moves on when each of the two batch indices grows; 0: it is broadcast."""
    full = (1,) * (_RANK - len(shape)) + shape
    matrix = full[2] * full[3]
    steps = (full[1] * matrix, matrix)
    return tuple(s if f == b else 0 for s, f, b in zip(steps, full[:2], batch, strict=True))  # type: ignore[return-value]


def _quantization(tensor: Tensor | None) -> Quantization:
    assert tensor is not None and tensor.quantization is not None
    return tensor.quantization
