"""QuantizeLinear and DequantizeLinear in general: scales that are inputs, many scales, 16 and 32 bits.

These never fold: what lies between them is computed in float32.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from pingponnx.calls import Argument, Call, Input, Output, Struct, Table
from pingponnx.ir import Array, DType, Shape, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site

_QUANTIZED = {DType.S8, DType.U8, DType.S16, DType.U16}
_OUTPUT_TYPES = {0: DType.U8, 2: DType.U8, 3: DType.S8, 4: DType.U16, 5: DType.S16}  # ONNX's numbers
_BEYOND = 131072.0  # steps, more than 16 bits and a zero point can be away


@dataclass(frozen=True, slots=True)
class _Scaled(Operator):
    """Inputs x, scale and perhaps zero point; `axis` counts for many scales, `block` values share one."""

    axis: int = 0
    block: int = 0

    prefix: ClassVar[str] = ""

    @abstractmethod
    def value(self, x: Array, scale: Array, zero: Array, dtype: DType) -> Array:
        """The meaning, scales and zero points broadcast to x."""

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        return (inputs[0].shape,)

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        x, scale = arrays[0], arrays[1]
        assert x is not None and scale is not None
        zero = arrays[2] if len(arrays) > 2 and arrays[2] is not None else np.zeros_like(scale, np.int32)
        scale, zero = (self._spread(a, x.shape) for a in (scale, zero))
        return self.value(x, scale.astype(np.float32), zero.astype(np.int64), site.y.dtype)

    def _spread(self, values: Array, shape: Shape) -> Array:
        if values.size == 1:
            return values.reshape((1,) * len(shape))
        if self.block:
            repeated: Array = np.repeat(values, self.block, axis=self.axis)
            return repeated.take(range(shape[self.axis]), axis=self.axis)
        return values.reshape([-1 if i == self.axis else 1 for i in range(len(shape))])

    def _geometry(self, shape: Shape, scales: int) -> dict[str, int]:
        """The fields of quantize_linear_params."""
        if scales == 1:
            return _fields(1, 1, prod(shape), 1, 0, 0, 0)
        outer, axis, inner = prod(shape[: self.axis]), shape[self.axis], prod(shape[self.axis + 1 :])
        if not self.block:
            return _fields(outer, axis, inner, 1, 0, 1, 0)
        return _fields(outer, axis, inner, self.block, -(-axis // self.block) * inner, inner, 1)

    def kernels(self, site: Site) -> Sequence[Call]:
        scale, zero = site.inputs[1], site.input(2)
        assert scale is not None
        integer = site.x if site.y.dtype is DType.F32 else site.y
        params = Struct("quantize_linear_params", self._geometry(site.x.shape, scale.size))
        last: Argument = Table("zero_point", None) if zero is None else Input(2)
        name = f"{self.prefix}_{integer.dtype.suffix}"
        arguments = (params, Input(0), Input(1), last, Output())
        return [Call(name, "quantize_linear.h", arguments, cycles=25 * site.x.size)]


@dataclass(frozen=True, slots=True)
class QuantizeValues(_Scaled):
    """float32 -> 8 or 16 bits: round half to even, saturate."""

    to: DType = DType.U8

    prefix = "quantize_linear"

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        axis, block, kept = _read(node)
        zero = node.inputs[2] if len(kept) > 2 else None
        to = (
            zero.dtype if zero is not None else _OUTPUT_TYPES.get(int(node.attributes.get("output_dtype", 0)))
        )
        if to not in _QUANTIZED or to is None:
            node.unsupported(f"codes of type {to.value if to else 'of fewer than 8 bits'}")
        if node.inputs[0] is not None and node.inputs[0].dtype is not DType.F32:
            node.unsupported(f"quantization of {node.inputs[0].dtype.value}", "only float32 is quantized")
        return cls(axis, block, to), kept

    def dtype(self, *inputs: Tensor | None) -> DType:
        return self.to

    def value(self, x: Array, scale: Array, zero: Array, dtype: DType) -> Array:
        info = np.iinfo(dtype.numpy)
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            steps = np.nan_to_num(x / scale, nan=-_BEYOND, posinf=_BEYOND, neginf=-_BEYOND)
        limited = np.rint(np.clip(steps, -_BEYOND, _BEYOND)).astype(np.int64)
        codes: Array = np.clip(limited + zero, info.min, info.max)
        return codes


@dataclass(frozen=True, slots=True)
class DequantizeValues(_Scaled):
    """8, 16 or 32 bits -> float32."""

    prefix = "dequantize_linear"

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        axis, block, kept = _read(node)
        x = node.inputs[0]
        if x is None or x.dtype not in _QUANTIZED | {DType.S32}:
            node.unsupported(f"codes of type {x.dtype.value if x else 'nothing'}")
        return cls(axis, block), kept

    def dtype(self, *inputs: Tensor | None) -> DType:
        return DType.F32

    def value(self, x: Array, scale: Array, zero: Array, dtype: DType) -> Array:
        real: Array = (x.astype(np.int64) - zero).astype(np.float32) * scale
        return real


def _fields(*values: int) -> dict[str, int]:
    names = ("outer", "axis", "inner", "block", "outer_step", "axis_step", "inner_step")
    return dict(zip(names, values, strict=True))


def _read(node: OnnxNode) -> tuple[int, int, tuple[int, ...]]:
    """Axis, block size and the inputs that are there; refuses scales that do not fit."""
    x, scale = node.inputs[0], node.inputs[1]
    assert x is not None and scale is not None
    if scale.dtype is not DType.F32:
        node.unsupported(f"scales of type {scale.dtype.value}", "use float32 scales")
    axis = int(node.attributes.get("axis", 1)) % max(len(x.shape), 1)
    block = int(node.attributes.get("block_size", 0)) if len(scale.shape) > 1 else 0
    blocks = (
        (*x.shape[:axis], -(-x.shape[axis] // block), *x.shape[axis + 1 :]) if block else x.shape[axis:][:1]
    )
    fits = scale.size == 1 or scale.shape == blocks
    if not fits:
        node.unsupported(f"scales of shape {scale.shape} for {x.shape} along axis {axis}")
    zero = node.inputs[2] if len(node.inputs) > 2 else None
    if zero is not None and zero.size != scale.size:
        node.broken(f"{zero.size} zero points for {scale.size} scales")
    return axis, block, (0, 1) if zero is None else (0, 1, 2)
