"""uint8 and int8 views of the same quantized numbers, at the model's boundary."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pingponnx.calls import Call, Input, Output
from pingponnx.ir import Array, DType, Quantization, Shape, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site
from pingponnx.ops.lookup import each_value


@dataclass(frozen=True, slots=True)
class FlipSign(Operator):
    """q - 128 or q + 128: the top bit of every byte flips. Made by rewriting only."""

    to: DType

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        node.unsupported("FlipSign is made by rewriting only")

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        return (inputs[0].shape,)

    def dtype(self, *inputs: Tensor | None) -> DType:
        return self.to

    def quantization(self, *inputs: Tensor | None) -> Quantization | None:
        return None

    def permuted(self, permutation: tuple[int, ...]) -> "FlipSign":
        return self

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        assert arrays[0] is not None
        return (np.ascontiguousarray(arrays[0]).view(np.uint8) ^ np.uint8(0x80)).view(self.to.numpy)

    def kernels(self, site: Site) -> Sequence[Call]:
        return [each_value("flip_sign", "flip_sign.h", (Input(), Output()), site.x.shape, cycles=5)]
