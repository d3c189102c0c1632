"""An int8 function of int8 values that no operator has a name for: a table of 256 entries."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pingponnx.calls import Call
from pingponnx.ir import Array, Shape, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site
from pingponnx.ops.lookup import lookup_call


@dataclass(frozen=True, slots=True)
class FunctionTable(Operator):
    """y = table[x + 128], what a chain of float32 operators gives. Made by rewriting only."""

    codes: bytes  # 256 int8 values
    of: str  # the operators it stands for

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        node.unsupported("FunctionTable is made by rewriting only")

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        return (inputs[0].shape,)

    def integer(self, site: Site) -> str:
        return ""

    def permuted(self, permutation: tuple[int, ...]) -> "FunctionTable":
        return self

    @property
    def table(self) -> Array:
        """The output for every input, index q + 128."""
        return np.frombuffer(self.codes, np.int8)

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        assert arrays[0] is not None
        return self.table[arrays[0].astype(np.int16) + 128]

    def kernels(self, site: Site) -> Sequence[Call]:
        return [lookup_call(self.table, site.x.shape)]
