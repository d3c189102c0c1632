"""Operators whose result is known at conversion: only shapes, and constants, decide it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pingponnx.calls import Call
from pingponnx.ir import Array, DType, Shape, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site, operator
from pingponnx.ops.cast import TYPES
from pingponnx.ops.copy import Copy


@operator(
    Range="Numbers from a start on, up to a limit, by a step; all three are constants.",
    EyeLike="Ones on a diagonal, else zeros.",
    ConstantOfShape="One value everywhere, in a constant shape.",
    OneHot="The second value at an index's place along an axis, else the first; its length is a constant.",
)
@dataclass(frozen=True, slots=True)
class Known(Operator):
    """A constant."""

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        data = np.ascontiguousarray(getattr(cls, f"_{node.op_type.lower()}")(node))
        return Copy(), (Tensor(node.outputs[0], data.shape, DType(data.dtype.name), data=data),)

    @staticmethod
    def _range(node: OnnxNode) -> Array:
        start, limit, delta = (node.constant(i) for i in range(3))
        assert start is not None and limit is not None and delta is not None
        return np.arange(start.item(), limit.item(), delta.item(), dtype=start.dtype)

    @staticmethod
    def _eyelike(node: OnnxNode) -> Array:
        x = node.inputs[0]
        assert x is not None
        to: Any = node.attributes.get("dtype")
        if to is not None and to not in TYPES:
            node.unsupported(f"ONNX's type {to}")
        dtype = x.dtype if to is None else TYPES[to]
        if len(x.shape) != 2:
            node.unsupported(f"a tensor of rank {len(x.shape)}")
        return np.eye(*x.shape, int(node.attributes.get("k", 0)), dtype.numpy)

    @staticmethod
    def _constantofshape(node: OnnxNode) -> Array:
        value = np.ravel(node.attributes.get("value", np.zeros(1, np.float32)))
        return np.full(node.integers("shape", 0) or (), value[0], value.dtype)

    @staticmethod
    def _onehot(node: OnnxNode) -> Array:
        """With a depth that is known it was written out (onnx_definitions.py)."""
        node.constant(1)
        node.unsupported("its indices have no known shape")

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        raise AssertionError("from_onnx gives a Copy")

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        raise AssertionError("from_onnx gives a Copy")

    def kernels(self, site: Site) -> Sequence[Call]:
        raise AssertionError("from_onnx gives a Copy")
