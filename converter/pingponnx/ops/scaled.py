"""PRelu and Div. An int8 result is the first operand, less its zero point, times a factor from a table."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pingponnx.calls import Argument, Call, Input, Output, Rows, RowWindow, Struct, Table
from pingponnx.fixed_point import S8_MIN, clamp_s8, halfway, requantize
from pingponnx.ir import Array, Quantization, Shape, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site, operator
from pingponnx.ops.binary import RANK, collapse, row_shapes
from pingponnx.ops.elementwise import ROWS, Elementwise

_LEFT_SHIFT = 20  # extra bits that codes get before they are scaled, as in additions
_SATURATES = 512.0  # a factor by which every code but the zero point's leaves int8
_CODES = np.arange(-128, 128)


@dataclass(frozen=True, slots=True, eq=False)
class _Scales:
    """Factors as multipliers with one shift, which the largest of them needs.

    requantize(code << 20, multiplier, shift) is off by at most 2**-14 of a step.
    """

    real: Array
    multipliers: NDArray[np.int32]
    shift: int

    @classmethod
    def of(cls, factors: Array) -> "_Scales":
        bounded = np.clip(factors, -_SATURATES, _SATURATES)
        largest, shift = float(np.abs(bounded).max(initial=0.0)), -31
        while round(largest * 2.0 ** (31 - _LEFT_SHIFT - shift)) >= 2**31:
            shift += 1
        multipliers = np.rint(bounded * 2.0 ** (31 - _LEFT_SHIFT - shift)).astype(np.int32)
        return cls(bounded, multipliers, shift)


@dataclass(frozen=True, slots=True)
class Scaled(Elementwise):
    """A function that is linear in its first operand, on either side of 0."""

    @abstractmethod
    def factors(self, site: Site) -> Array:
        """Per value of a constant second operand, or per code of a computed one: output steps per step of
        the first operand, float64."""

    def above(self, site: Site) -> float | None:
        """The factor of all values that are not negative, if they have one of their own."""
        return None

    @abstractmethod
    def computed(self, site: Site) -> str:
        """Why the second operand cannot be computed; empty when it can."""

    def integer(self, site: Site) -> str:
        a, b = _operands(site)
        if any(t.constant and t.size == 1 for t in (a, b)) and site.y.shape in (a.shape, b.shape):
            return "a constant that is one number makes it a table"
        coded = (a, site.y) if b.constant else (a, b, site.y)
        if any(t.quantization is None or not t.quantization.per_tensor for t in coded):
            return "an operand is not quantized per tensor"
        if len(collapse(site.y.shape, a.shape, b.shape)[0]) > RANK:
            return f"broadcasting over more than {RANK} axes"
        if not b.constant:
            return self.computed(site)
        return "" if np.isfinite(self.factors(site)).all() else "a constant makes a factor infinite"

    def _scales(self, site: Site) -> tuple[_Scales, int]:
        """Of the second operand, and the multiplier of values that are not negative."""
        factors, above = self.factors(site), self.above(site)
        found = _Scales.of(np.append(factors.ravel(), above or 0.0))
        first = [a[:-1].reshape(factors.shape) for a in (found.real, found.multipliers)]
        return _Scales(first[0], first[1], found.shift), int(found.multipliers[-1])

    def _places(self, site: Site, *arrays: Array | None) -> tuple[Array, Array, Array, int]:
        """Per value of the output: the first operand's steps from 0, its factor and multiplier; the shift."""
        a, b = arrays
        assert a is not None and b is not None and site.x.quantization is not None
        steps = a.astype(np.int64) - site.x.quantization.z
        scales, above = self._scales(site)
        tables = [scales.real, scales.multipliers.astype(np.int64)]
        if not _operands(site)[1].constant:
            tables = [table[b.astype(np.int16) + 128] for table in tables]
        own = self.above(site)
        if own is not None:
            tables = [np.where(steps < 0, t, v) for t, v in zip(tables, (own, above), strict=True)]
        return steps, tables[0], tables[1], scales.shift

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        if not site.quantized:
            return Elementwise.reference(self, site, *arrays)
        steps, _, multipliers, shift = self._places(site, *arrays)
        scaled = requantize(steps << _LEFT_SHIFT, multipliers, np.array(shift), site.rounding)
        codes = clamp_s8(scaled + _quantization(site.y).z)
        b = _operands(site)[1]
        if b.constant:
            return codes
        nothing = (steps == 0) & (arrays[1] == _quantization(b).z)
        return np.where(nothing, np.int8(S8_MIN), codes)  # 0 / 0 is not a number, and that the smallest code

    def undecided(self, site: Site, *arrays: Array | None) -> Array | None:
        if not site.quantized:
            return None
        steps, factors, _, _ = self._places(site, *arrays)
        return halfway(steps * factors, np.abs(steps * factors))

    def kernels(self, site: Site) -> Sequence[Call]:
        if not site.quantized:
            return Elementwise.kernels(self, site)
        a, b = _operands(site)
        scales, above = self._scales(site)
        name = "scaled_s8" if b.constant else "scaled_by_code_s8"
        table = Table("multipliers", scales.multipliers)
        operands: tuple[Argument, ...] = (Input(), *(() if b.constant else (Input(1),)), table)
        numbers = {
            "zero_a": _quantization(a).z,
            "zero_b": 0 if b.constant else _quantization(b).z,
            "zero_y": _quantization(site.y).z,
            "shift": scales.shift,
            "split": int(self.above(site) is not None),
            "above": above,
        }

        def arguments(*shapes: Shape) -> tuple[Argument, ...]:
            geometry = zip(("shape", "stride_a", "stride_b"), collapse(*shapes), strict=True)
            return Struct("scaled_params_s8", {**dict(geometry), **numbers}), *operands, Output()

        computed = [i for i, t in enumerate((a, b)) if not t.constant]
        alike = [i for i in computed if (a, b)[i].size == site.y.size]
        shapes = row_shapes(site.y, (a, b))
        windows = {i: RowWindow() for i in computed}
        rows = None
        if shapes is not None:
            rows = Rows(name, "scaled_s8.h", arguments(*shapes), windows, elementwise=alike == computed)
        whole = arguments(site.y.shape, a.shape, b.shape)
        # an operand of the output's size is read value by value just before the result is written there
        overlap = dict.fromkeys(alike, 0)
        return [Call(name, "scaled_s8.h", whole, overlap=overlap, cycles=25 * site.y.size, rows=rows)]


@operator(PRelu=ROWS["PRelu"].meaning)
@dataclass(frozen=True, slots=True)
class PRelu(Scaled):
    """The slope is a factor of negative values."""

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        found = super(PRelu, cls).from_onnx(node)
        if np.broadcast_shapes(node.shape(), node.shape(1)) != node.shape():
            node.broken(f"a slope of shape {node.shape(1)} for an input of shape {node.shape()}")
        return found

    def factors(self, site: Site) -> Array:
        return _operands(site)[1].real().astype(np.float64) * self.above(site)

    def above(self, site: Site) -> float:
        return _scale(site.x) / _scale(site.y)

    def computed(self, site: Site) -> str:
        return "its slope is computed"


@operator(Div=ROWS["Div"].meaning)
@dataclass(frozen=True, slots=True)
class Div(Scaled):
    """The divisor's reciprocal is the factor; by 0 everything saturates, as in onnxruntime."""

    def factors(self, site: Site) -> Array:
        b = _operands(site)[1]
        real = b.real().astype(np.float64) if b.constant else (_CODES - _quantization(b).z) * _scale(b)
        ratio = _scale(site.x) / _scale(site.y)
        with np.errstate(divide="ignore"):
            return np.asarray(np.where(real == 0, np.inf if b.constant else _SATURATES, ratio / real))

    def computed(self, site: Site) -> str:
        return ""


def _operands(site: Site) -> tuple[Tensor, Tensor]:
    a, b = site.inputs
    assert a is not None and b is not None
    return a, b


def _quantization(tensor: Tensor) -> Quantization:
    assert tensor.quantization is not None
    return tensor.quantization


def _scale(tensor: Tensor) -> float:
    return float(_quantization(tensor).s)
