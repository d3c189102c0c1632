"""Functions of one value: activations. int8 versions are lookup tables made from the real function."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Self

import numpy as np

from pingponnx.calls import Argument, Call, Input, Output
from pingponnx.fixed_point import dequantize_array, quantize_array
from pingponnx.ir import Array, DType, Shape, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site, clip_twice, keep, operator
from pingponnx.ops.dtypes import kernel_suffix
from pingponnx.ops.lookup import each_value, lookup_call
from pingponnx.ops.rescale import rescale, rescale_call, rescale_reason


class Unary(Operator):
    """y[i] = function(x[i]); float32 kernels run in place and are named after the class."""

    __slots__ = ()

    each_value = True

    @abstractmethod
    def function(self, values: Array) -> Array:
        """The real function on float32 values."""

    def parameters(self) -> tuple[float, ...]:
        """Extra float arguments of the C kernel."""
        return ()

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        return (inputs[0].shape,)

    def integer(self, site: Site) -> str:
        return ""

    def permuted(self, permutation: tuple[int, ...]) -> Self:
        return self

    def table(self, site: Site) -> Array:
        """The int8 output for each int8 input, index q + 128."""
        assert site.x.quantization is not None and site.y.quantization is not None
        real = self.function(dequantize_array(np.arange(-128, 128, dtype=np.int8), site.x.quantization))
        return quantize_array(real, site.y.quantization).astype(np.int8)

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        x = arrays[0]
        assert x is not None
        if site.quantized:
            return self.table(site)[x.astype(np.int16) + 128]
        return self.function(x).astype(np.float32)

    def kernels(self, site: Site) -> Sequence[Call]:
        if site.quantized:
            return [lookup_call(self.table(site), site.x.shape)]
        name = f"{type(self).__name__.lower()}_{kernel_suffix(self, site, (DType.F32,))}"
        arguments: tuple[Argument, ...] = (*self.parameters(), Input(), Output())
        return [each_value(name, f"{name}.h", arguments, site.x.shape, cycles=30)]


@operator("Clip", Relu="max(x, 0); fused into the node before it where possible.")
@dataclass(frozen=True, slots=True)
class Clip(Unary):
    """min(max(x, low), high); fused into the node before it where possible."""

    low: float = -inf
    high: float = inf

    int16 = True

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        if node.op_type == "Relu":
            return cls(0.0, inf), keep(1)
        bounds = []
        for index, (name, default) in enumerate((("min", -inf), ("max", inf)), 1):
            value = node.constant(index)
            bounds.append(float(node.attributes.get(name, default) if value is None else value.ravel()[0]))
        low, high = bounds
        return cls(min(low, high), high), keep(1)  # where the bounds cross, the upper one wins

    def integer(self, site: Site) -> str:
        return rescale_reason(site) if site.wide else ""

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        if site.wide and arrays[0] is not None:
            return rescale(site, arrays[0], self.low, self.high)
        return Unary.reference(self, site, *arrays)

    def kernels(self, site: Site) -> Sequence[Call]:
        return [rescale_call(site, self.low, self.high)] if site.wide else Unary.kernels(self, site)

    def clamp(self) -> tuple[float, float]:
        return self.low, self.high

    def with_clamp(self, low: float, high: float) -> Self:
        return type(self)(*clip_twice((self.low, self.high), low, high))

    def function(self, values: Array) -> Array:
        return np.minimum(np.maximum(values, np.float32(self.low)), np.float32(self.high))

    def parameters(self) -> tuple[float, ...]:
        return (self.low, self.high)


@operator("Sigmoid")
@dataclass(frozen=True, slots=True)
class Sigmoid(Unary):
    """1 / (1 + exp(-x))."""

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        return cls(), keep(1)

    def function(self, values: Array) -> Array:
        with np.errstate(over="ignore"):
            return 1 / (1 + np.exp(-values.astype(np.float64)))


@operator("Tanh")
@dataclass(frozen=True, slots=True)
class Tanh(Unary):
    """Hyperbolic tangent."""

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        return cls(), keep(1)

    def function(self, values: Array) -> Array:
        return np.tanh(values.astype(np.float64))
