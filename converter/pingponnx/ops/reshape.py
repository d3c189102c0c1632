"""Operators that only give the same bytes another shape, or nothing at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from pingponnx.calls import Call
from pingponnx.ir import Array, Shape, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site, keep, operator


@operator(
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    Identity="The same values; costs nothing.",
    Dropout="The same values, outside of training; costs nothing.",
)
@dataclass(frozen=True, slots=True)
class Reshape(Operator):
    """The same values under another shape; costs nothing."""

    shape: Shape

    alias = True
    moves_data = True
    int16 = True

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        shape = getattr(cls, f"_{node.op_type.lower()}")(node)
        if prod(shape) != prod(node.shape()):
            node.unsupported(f"cannot give the shape {node.shape()} the shape {shape}")
        return cls(shape), keep(1)

    @staticmethod
    def _reshape(node: OnnxNode) -> Shape:
        wanted, old = node.integers("shape", 1), node.shape()
        if wanted is None:
            node.unsupported("no target shape")
        if not node.attributes.get("allowzero", 0):
            wanted = tuple(old[i] if d == 0 and i < len(old) else d for i, d in enumerate(wanted))
        if -1 in wanted:
            rest = prod(d for d in wanted if d != -1)
            wanted = tuple(prod(old) // rest if d == -1 and rest else d for d in wanted)
        return wanted

    @staticmethod
    def _flatten(node: OnnxNode) -> Shape:
        old = node.shape()
        axis = int(node.attributes.get("axis", 1))
        if not -len(old) <= axis <= len(old):
            node.unsupported(f"axis {axis} of a tensor of rank {len(old)}")
        axis += len(old) if axis < 0 else 0
        return (prod(old[:axis]), prod(old[axis:]))

    @staticmethod
    def _squeeze(node: OnnxNode) -> Shape:
        old, axes = node.shape(), node.integers("axes", 1)
        gone = {i for i, d in enumerate(old) if d == 1} if axes is None else {a % len(old) for a in axes}
        return tuple(d for i, d in enumerate(old) if i not in gone)

    @staticmethod
    def _unsqueeze(node: OnnxNode) -> Shape:
        old, axes = list(node.shape()), node.integers("axes", 1)
        assert axes is not None
        rank = len(old) + len(axes)
        for axis in sorted(a % rank for a in axes):
            old.insert(axis, 1)
        return tuple(old)

    @staticmethod
    def _identity(node: OnnxNode) -> Shape:
        return node.shape()

    @staticmethod
    def _dropout(node: OnnxNode) -> Shape:
        training = node.constant(2)
        if training is not None and bool(training):
            node.unsupported("training mode", "export the model with model.eval()")
        if len([name for name in node.outputs if name]) > 1:
            node.unsupported("the mask output is used")
        return node.shape()

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        return (self.shape,)

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        assert arrays[0] is not None
        return arrays[0].reshape(self.shape)

    def kernels(self, site: Site) -> Sequence[Call]:
        return []
