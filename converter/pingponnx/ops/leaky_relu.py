"""LeakyRelu, the example of docs/add-an-operator.md."""

from dataclasses import dataclass

import numpy as np

from pingponnx.ir import Array
from pingponnx.ops import Kept, OnnxNode, Operator, keep, operator
from pingponnx.ops.unary import Unary


@operator("LeakyRelu")
@dataclass(frozen=True, slots=True)
class LeakyRelu(Unary):
    """x for positive values, alpha * x for negative ones."""

    alpha: float = 0.01

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        return cls(float(node.attributes.get("alpha", 0.01))), keep(1)

    def function(self, values: Array) -> Array:
        return np.where(values < 0, np.float32(self.alpha) * values, values)

    def parameters(self) -> tuple[float, ...]:
        return (self.alpha,)
