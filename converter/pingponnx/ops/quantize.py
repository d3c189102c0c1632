"""Crossing between real numbers and codes: QuantizeLinear, DequantizeLinear, and codes to other codes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from pingponnx.calls import Argument, Call, Input, Output, Rows, RowWindow, Struct, rows_of
from pingponnx.fixed_point import code_range, dequantize_array, quantize_array
from pingponnx.ir import Array, DType, Quantization, Shape, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site, keep, operator
from pingponnx.ops.lookup import lookup_call
from pingponnx.ops.quantize_linear import DequantizeValues, QuantizeValues
from pingponnx.ops.rescale import rescale, rescale_call, rescale_reason

_INTEGERS = {DType.S8, DType.U8, DType.S16}


def read_quantization(node: OnnxNode, axis_default: int = 1) -> tuple[Quantization, DType]:
    """Scale and zero point of a Q or DQ node (inputs 1 and 2) and the integer type; checks the scale."""
    scale = node.constant(1)
    assert scale is not None
    scale = np.atleast_1d(scale.astype(np.float32))
    if not scale.size or not np.isfinite(scale).all() or (scale <= 0).any():
        node.unsupported("a scale is zero, negative, infinite or NaN", "quantize the model again")
    tensor = node.inputs[2] if len(node.inputs) > 2 else None
    zero = np.zeros(len(scale), np.int32)
    dtype = DType.U8
    if tensor is not None:
        if tensor.data is None:
            node.unsupported("the zero point must be a constant")
        zero, dtype = np.atleast_1d(tensor.data.astype(np.int32)), tensor.dtype
    if node.attributes.get("block_size", 0):
        node.unsupported("blocked quantization")
    axis = None
    if len(scale) > 1:
        axis = int(node.attributes.get("axis", axis_default)) % max(len(node.shape()), 1)
        if (len(scale),) != node.shape()[axis : axis + 1] or len(zero) not in (1, len(scale)):
            counts = f"{len(scale)} scales and {len(zero)} zero points"
            node.broken(f"{counts} for a tensor of shape {node.shape()} along axis {axis}")
    return Quantization(scale, np.ascontiguousarray(np.broadcast_to(zero, scale.shape)), axis), dtype


def folds(node: OnnxNode) -> bool:
    """True for a Q or DQ of activations that folding understands: one constant scale, 8 bits or int16."""
    given = [node.inputs[i] for i in (1, 2) if i < len(node.inputs) and node.inputs[i] is not None]
    if any(t is None or not t.constant for t in given) or node.attributes.get("block_size", 0):
        return False
    if node.attributes.get("output_dtype", 0) and len(given) < 2:
        return False
    x, scale = node.inputs[0], given[0]
    assert x is not None and scale is not None
    codes = x if node.op_type == "DequantizeLinear" else given[-1] if len(given) > 1 else None
    return scale.size == 1 and (codes is None or codes.dtype in _INTEGERS)


@operator("QuantizeLinear")
@dataclass(frozen=True, slots=True)
class QuantizeLinear(Operator):
    """float32 -> 8 or 16 bits: round half to even, saturate; 8 bits and int16 per tensor fold."""

    to: Quantization
    integer_type: DType

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        if not folds(node):
            return QuantizeValues.from_onnx(node)
        quantization, dtype = read_quantization(node)
        x = node.inputs[0]
        if x is not None and x.dtype is not DType.F32:
            node.unsupported(f"quantization of {x.dtype.value}", "only float32 is quantized")
        return cls(quantization, dtype), keep(1)

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        return (inputs[0].shape,)

    def dtype(self, *inputs: Tensor | None) -> DType:
        return self.integer_type

    def quantization(self, *inputs: Tensor | None) -> Quantization | None:
        return self.to

    def permuted(self, permutation: tuple[int, ...]) -> "QuantizeLinear":
        return self

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        assert arrays[0] is not None
        dtype = self.integer_type
        return quantize_array(arrays[0], self.to, *code_range(dtype)).astype(dtype.numpy)

    def kernels(self, site: Site) -> Sequence[Call]:
        # the output is a part of the input, written front to back after the value was read
        call = _crossing("quantize", site.y.dtype, self.to, site.x.shape, cycles=20)
        return [replace(call, overlap={0: 0})]


@operator("DequantizeLinear")
@dataclass(frozen=True, slots=True)
class DequantizeLinear(Operator):
    """8, 16 or 32 bits -> float32; 8 bits and int16 per tensor fold, constants at conversion."""

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        return DequantizeValues.from_onnx(node)  # load makes those that fold

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        return (inputs[0].shape,)

    def dtype(self, *inputs: Tensor | None) -> DType:
        return DType.F32

    def permuted(self, permutation: tuple[int, ...]) -> "DequantizeLinear":
        return self

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        assert arrays[0] is not None and site.x.quantization is not None
        return dequantize_array(arrays[0], site.x.quantization)

    def kernels(self, site: Site) -> Sequence[Call]:
        q = site.x.quantization
        assert q is not None
        return [_crossing("dequantize", site.x.dtype, q, site.x.shape, cycles=12)]


def _crossing(name: str, dtype: DType, q: Quantization, shape: Shape, cycles: int) -> Call:
    """A call of either direction; `cycles` are for one value."""

    def arguments(count: int) -> tuple[Argument, ...]:
        fields = {"count": count, "scale": float(q.s), "zero_point": q.z}
        return Struct("quantize_params", fields), Input(), Output()

    function, header, count = f"{name}_{dtype.suffix}", f"quantize_{dtype.suffix}.h", prod(shape)
    rows = Rows(function, header, arguments(rows_of(shape)[2]), {0: RowWindow()})
    return Call(function, header, arguments(count), cycles=cycles * count, rows=rows)


@dataclass(frozen=True, slots=True)
class Requantize(Operator):
    """Codes under another scale, zero point or type: int8 by lookup table, int16 by multiplication."""

    int16 = True
    mixed = True

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        node.unsupported("Requantize is made by rewriting only")

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        return (inputs[0].shape,)

    def integer(self, site: Site) -> str:
        return rescale_reason(site) if site.wide else ""

    def permuted(self, permutation: tuple[int, ...]) -> "Requantize":
        return self

    def table(self, site: Site) -> Array:
        """Output for each of the 256 inputs, index q + 128."""
        assert site.x.quantization is not None and site.y.quantization is not None
        codes = np.arange(-128, 128, dtype=np.int8)
        return quantize_array(dequantize_array(codes, site.x.quantization), site.y.quantization).astype(
            np.int8
        )

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        assert arrays[0] is not None
        if site.wide:
            return rescale(site, arrays[0])
        return self.table(site)[arrays[0].astype(np.int16) + 128]

    def kernels(self, site: Site) -> Sequence[Call]:
        if site.wide:
            return [rescale_call(site)]
        return [lookup_call(self.table(site), site.x.shape)]
