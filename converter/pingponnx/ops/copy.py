"""A copy: what remains of an output that is a constant."""

from collections.abc import Sequence
from dataclasses import dataclass

from pingponnx.calls import Call, Input, Output
from pingponnx.ir import Array, Shape, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site


@dataclass(frozen=True, slots=True)
class Copy(Operator):
    """The same values at another place. Made by loading only."""

    moves_data = True
    int16 = True

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        node.unsupported("Copy is made by loading only")

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        return (inputs[0].shape,)

    def permuted(self, permutation: tuple[int, ...]) -> "Copy":
        return self

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        assert arrays[0] is not None
        return arrays[0]

    def kernels(self, site: Site) -> Sequence[Call]:
        count = site.y.bytes
        return [Call("copy_bytes", "move.h", (count, Input(), Output()), cycles=count)]
