"""Padding with a constant, the edge or the reflection; negative constant padding crops."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Self

import numpy as np

from pingponnx.calls import Call, Input, Output, Rows, RowWindow, Struct
from pingponnx.fixed_point import code_range, quantize_array
from pingponnx.ir import Array, DType, Shape, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site, operator
from pingponnx.ops.dtypes import CODES_AND_FLOAT, kernel_suffix

_RANK = 5  # axes of the C struct
_MODES = {"constant": 0, "edge": 1, "reflect": 2}


@operator("Pad")
@dataclass(frozen=True, slots=True)
class Pad(Operator):
    """Values added before and after each axis: zeros, a constant, the edge, or the reflection."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    mode: str = "constant"
    value: float = 0.0

    moves_data = True
    int16 = True

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        shape, mode = node.shape(), node.attributes.get("mode", "constant")
        before, after = _read_pads(node)
        if mode not in _MODES:
            node.unsupported(f"mode {mode!r}", f"use one of {', '.join(_MODES)}")
        if len(shape) > _RANK:
            node.unsupported(f"{len(shape)} dimensions, at most {_RANK} are supported")
        sizes = [s + b + a for s, b, a in zip(shape, before, after, strict=True)]
        if min(sizes) < 1:
            node.unsupported("the output is empty")
        if mode != "constant" and min(*before, *after) < 0:
            node.unsupported(f"negative pads with mode {mode!r}", "crop with a Slice instead")
        if mode == "reflect" and any(max(b, a) >= s for s, b, a in zip(shape, before, after, strict=True)):
            node.unsupported("a reflection that is longer than the axis")
        if mode == "constant" and _dtype(node) in (DType.S8, DType.U8):
            # its value is a code, which means nothing until the scale is known
            node.unsupported("constant padding of quantized integers", "pad before QuantizeLinear")
        value = _read_value(node) if mode == "constant" else 0.0
        kind = PadValue if value else Pad
        return kind(before, after, mode, value), (0,)

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        return (tuple(s + b + a for s, b, a in zip(inputs[0].shape, self.before, self.after, strict=True)),)

    def permuted(self, permutation: tuple[int, ...]) -> Self:
        before, after = (tuple(pads[axis] for axis in permutation) for pads in (self.before, self.after))
        return replace(self, before=before, after=after)

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        x = arrays[0]
        assert x is not None
        for axis, pads in enumerate(zip(self.before, self.after, strict=True)):
            x = np.take(x, range(-min(pads[0], 0), x.shape[axis] + min(pads[1], 0)), axis)
        widths = [(max(b, 0), max(a, 0)) for b, a in zip(self.before, self.after, strict=True)]
        if self.mode == "constant":
            return np.pad(x, widths, constant_values=self._fill(site))
        return np.pad(x, widths, mode="edge" if self.mode == "edge" else "reflect")

    def _fill(self, site: Site) -> Any:
        """The constant in the output's type."""
        if site.y.quantization is not None:
            return int(quantize_array(np.array(self.value), site.y.quantization, *code_range(site.y.dtype)))
        return site.y.dtype.numpy.type(self.value).item()

    def kernels(self, site: Site) -> Sequence[Call]:
        name = f"pad_{kernel_suffix(self, site, CODES_AND_FLOAT)}"
        arguments = (self._params(site, site.x.shape), Input(), Output())
        overlap = {} if self.mode != "constant" else {0: self._distance(site) * site.x.dtype.bytes}
        rows = self._rows(site, name)
        return [Call(name, f"{name}.h", arguments, overlap=overlap, cycles=2 * site.y.size, rows=rows)]

    def _params(self, site: Site, shape: Shape) -> Struct:
        """For an input of the given shape."""
        sizes, before, after, block = self._axes(shape)
        fields: dict[str, Any] = {
            "in": sizes,
            "out": tuple(s + b + a for s, b, a in zip(sizes, before, after, strict=True)),
            "before": before,
            "block": block,
            "mode": _MODES[self.mode],
            "value": self._fill(site),
        }
        return Struct(f"pad_params_{site.suffix}", fields)

    def _rows(self, site: Site, name: str) -> Rows | None:
        """A row is padded as an image of its own; rows above and below are padding, which is constant."""
        outer = 2 if len(site.x.shape) in (3, 4) else 0
        top, bottom = (self.before[1], self.after[1]) if outer else (0, 0)
        if outer and (self.before[0] or self.after[0] or ((top or bottom) and self.mode != "constant")):
            return None
        row = replace(self, before=self.before[outer:], after=self.after[outer:])
        arguments = (row._params(site, site.x.shape[outer:]), Input(), Output())
        return Rows(name, f"{name}.h", arguments, {0: RowWindow(pad=top)})

    def _axes(self, shape: Shape) -> tuple[Shape, Shape, Shape, int]:
        """Sizes and pads as the kernel takes them: five axes of blocks, made of trailing unpadded axes."""
        count = len(shape)
        while count > 1 and not (self.before[count - 1] or self.after[count - 1]):
            count -= 1
        missing = _RANK - count
        sizes = (1,) * missing + shape[:count]
        before, after = ((0,) * missing + pads[:count] for pads in (self.before, self.after))
        return sizes, before, after, prod(shape[count:])

    def _distance(self, site: Site) -> int:
        """Smallest safe D, in values, of constant padding.

        The output is written front to back; each run of the last padded axis is moved at once (memmove), so
        only what was written before a run's destination matters: D = max(destination - source) over all
        runs. Both are sums over the axes of index * step, so each axis contributes its maximum on its own,
        at its first or last kept index; on the last axis a run starts at its first kept index.
        """
        sizes, before, after, block = self._axes(site.x.shape)
        distance, in_step, out_step = 0, block, block
        for axis in reversed(range(_RANK)):
            size, b, a = sizes[axis], before[axis], after[axis]
            kept = (max(0, -b), size - 1 + min(0, a))
            ends = kept[:1] if axis == _RANK - 1 else kept
            distance += max((i + b) * out_step - i * in_step for i in ends)
            in_step, out_step = in_step * size, out_step * (size + b + a)
        return distance


@dataclass(frozen=True, slots=True)
class PadValue(Pad):
    """Padding with a constant other than zero: the input's quantization need not be able to express it."""

    moves_data = False

    def integer(self, site: Site) -> str:
        if site.x.quantization == site.y.quantization:
            return ""
        return "input and output of padding with a value are quantized differently"


def _dtype(node: OnnxNode) -> DType:
    assert node.inputs[0] is not None
    return node.inputs[0].dtype


def _read_pads(node: OnnxNode) -> tuple[Shape, Shape]:
    """Values to add before and after every axis."""
    rank, pads = len(node.shape()), node.integers("pads", 1)
    if pads is None:
        node.unsupported("pads are missing")
    axes = node.integers("axes", 3) or tuple(range(rank))
    if len(pads) != 2 * len(axes) or not all(-rank <= axis < rank for axis in axes):
        node.unsupported("pads do not match the axes")
    before, after = [0] * rank, [0] * rank
    for i, axis in enumerate(axes):
        before[axis], after[axis] = pads[i], pads[i + len(axes)]
    return tuple(before), tuple(after)


def _read_value(node: OnnxNode) -> float:
    """The constant: an attribute before opset 11, since then an optional input; 0 when left out."""
    if node.opset < 11:
        return float(node.attributes.get("value", 0.0))
    value = node.constant(2)
    return 0.0 if value is None or not value.size else float(value.ravel()[0])
