"""Add, Sub and Mul with numpy broadcasting; int8 as TensorFlow Lite and CMSIS-NN compute them."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, ldexp, prod
from typing import Any, Self

import numpy as np

from pingponnx.calls import Call, Input, Output, Rows, RowWindow, Scalar, Struct, rows_of
from pingponnx.fixed_point import Requantizer, Rounding, halfway, requantizer, wide_requantizer, widest
from pingponnx.ir import Array, Shape, Tensor
from pingponnx.ops import CmsisNN, Kept, OnnxNode, Operator, Site, clip_twice, fallback, keep, operator
from pingponnx.ops.linear import clamp_bounds

RANK = 4
"""Axes that the kernels loop over."""
_WIDE_INPUT_BITS = 17  # of 16-bit codes less a zero point
_LEFT_SHIFT = 20  # extra bits that inputs get before they are brought to a common scale (TFLite's choice)


@dataclass(frozen=True, slots=True)
class Binary(Operator):
    """Two inputs, element by element, broadcast; the activation is fused."""

    low: float = -inf
    high: float = inf

    each_value = True
    int16 = True

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        if all(x is not None and x.dtype.value != "float32" and not x.quantized for x in node.inputs):
            from pingponnx.ops.elementwise import Elementwise  # plain integers, which are not codes

            return Elementwise.from_onnx(node)
        shape = np.broadcast_shapes(node.shape(0), node.shape(1))
        if len(collapse(shape, node.shape(0), node.shape(1))[0]) > RANK:
            node.unsupported(f"broadcasting over more than {RANK} axes")
        return cls(), keep(2)

    @abstractmethod
    def real(self, a: Array, b: Array) -> Array:
        """The function on float32 arrays."""

    @abstractmethod
    def magnitude(self, a: Array, b: Array) -> Array:
        """What the rounding errors of a float32 result are proportional to; a and b without signs."""

    @abstractmethod
    def integer_fields(self, site: Site) -> dict[str, Scalar]:
        """Trailing fields of the int8 kernel's parameters, also used by the reference."""

    @abstractmethod
    def integer_value(self, site: Site, a: Array, b: Array) -> Array:
        """int64 results before the output zero point and clamp; a and b without zero points."""

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        a, b = inputs
        assert a is not None and b is not None
        return (tuple(np.broadcast_shapes(a.shape, b.shape)),)

    def integer(self, site: Site) -> str:
        tensors = [*site.inputs, site.y]
        if any(t is None or t.quantization is None or not t.quantization.per_tensor for t in tensors):
            return "an operand is not quantized per tensor"
        if site.wide and any(t and t.dtype is not site.y.dtype for t in tensors):
            return "its operands have other codes"
        sa, sb, sy = _scales(site)
        worst = self._worst(site)
        steps = float(self.magnitude(np.array(worst[0] * sa), np.array(worst[1] * sb))) / sy
        return "the output scale is so small that int32 results could overflow" if steps > 2**30 else ""

    def permuted(self, permutation: tuple[int, ...]) -> Self:
        return self

    def with_clamp(self, low: float, high: float) -> Self | None:
        low, high = clip_twice((self.low, self.high), low, high)
        return replace(self, low=low, high=high)

    def _zero_points(self, site: Site) -> tuple[int, int, int]:
        tensors = (*site.inputs, site.y)
        return tuple(t.quantization.z for t in tensors if t and t.quantization)  # type: ignore[return-value]

    def _worst(self, site: Site) -> list[int]:
        """The largest magnitudes of both inputs less their zero points."""
        return [widest(t.quantization, t.dtype) for t in site.inputs if t and t.quantization]

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        a, b = arrays
        assert a is not None and b is not None
        if not site.quantized:
            return np.clip(self.real(a, b), np.float32(self.low), np.float32(self.high)).astype(np.float32)
        za, zb, zy = self._zero_points(site)
        assert site.y.quantization is not None
        value = self.integer_value(site, a.astype(np.int64) - za, b.astype(np.int64) - zb)
        dtype = site.y.dtype
        bounds = clamp_bounds(self.low, self.high, site.y.quantization, dtype)
        codes: Array = np.clip(value + zy, *bounds).astype(dtype.numpy)
        return codes

    def undecided(self, site: Site, *arrays: Array | None) -> Array | None:
        if not site.quantized:
            return None
        real = [
            (array.astype(np.float64) - zero) * scale
            for array, zero, scale in zip(arrays, self._zero_points(site), _scales(site), strict=False)
            if array is not None
        ]
        exact, terms = self.real(*real), self.magnitude(*(np.abs(value) for value in real))
        step = _scales(site)[2]
        return halfway(exact / step, terms / step)

    def kernels(self, site: Site) -> Sequence[Call]:
        a, b = site.inputs
        assert a is not None and b is not None
        name = self._kernel(site)
        # an operand of the output's shape is read value by value just before the result is written there
        overlap = {i: 0 for i, t in enumerate((a, b)) if t.size == site.y.size and not t.constant}
        return [
            Call(
                name,
                f"{name}.h",
                (self._params(site, site.y.shape, a.shape, b.shape), Input(0), Input(1), Output()),
                overlap=overlap,
                cycles=(40 if site.quantized else 15) * site.y.size,
                rows=self._rows(site, name, a, b),
            )
        ]

    def _kernel(self, site: Site) -> str:
        return f"{type(self).__name__.lower()}_{site.suffix}"

    def _params(self, site: Site, shape: Shape, a: Shape, b: Shape) -> Struct:
        """For the whole tensors or a row of them."""
        fields: dict[str, Any] = dict(
            zip(("shape", "stride_a", "stride_b"), collapse(shape, a, b), strict=True)
        )
        if not site.quantized:
            return Struct("binary_params_f32", fields | {"low": self.low, "high": self.high})
        assert site.y.quantization is not None
        low, high = clamp_bounds(self.low, self.high, site.y.quantization, site.y.dtype)
        zeros = dict(zip(("zero_a", "zero_b", "zero_y"), self._zero_points(site), strict=True))
        fields |= {**zeros, "low": low, "high": high, **self.integer_fields(site)}
        return Struct(f"{self._kernel(site)}_params", fields)

    def _rows(self, site: Site, name: str, *operands: Tensor) -> Rows | None:
        y, shapes = site.y, row_shapes(site.y, operands)
        if shapes is None:
            return None
        params = self._params(site, *shapes)
        windows = {i: RowWindow() for i, t in enumerate(operands) if not t.constant}
        return Rows(
            name,
            f"{name}.h",
            (params, Input(0), Input(1), Output()),
            windows,
            elementwise=all(operands[i].size == y.size for i in windows),
        )

    def cmsis_nn(self, site: Site, library: CmsisNN) -> Call:
        plain = self.kernels(site)[0]
        name = type(self).__name__.lower()
        function = f"arm_elementwise_{name}_s8"
        if not site.quantized:
            return fallback(plain, "float32: CMSIS-NN's int8 functions do not apply")
        if function not in library.functions:
            return fallback(plain, f"this CMSIS-NN lacks {function}")
        if any(x is not None and x.size != site.y.size for x in site.inputs):
            return fallback(plain, "CMSIS-NN's element-wise functions do not broadcast")
        # the same parameters; that CMSIS-NN may write over its operands is not documented
        return Call(f"cmsis_{name}_s8", f"cmsis_{name}_s8.h", plain.arguments, checked=True)


def row_shapes(y: Tensor, operands: Sequence[Tensor]) -> list[Shape] | None:
    """The shapes of a row of the output and of each operand; None where an operand has other rows than the
    output, or is a constant that differs by row."""
    rank, outer = len(y.shape), 2 if len(y.shape) in (3, 4) else 0
    shapes = [(1,) * (rank - len(t.shape)) + t.shape for t in operands]
    for t, shape in zip(operands, shapes, strict=True):
        alike = max(shape[:outer], default=1) == 1 if t.constant else _same_rows(t, y)
        if not alike:
            return None
    return [shape[outer:] for shape in (y.shape, *shapes)]


def _same_rows(t: Tensor, y: Tensor) -> bool:
    return rows_of(t.shape)[:2] == rows_of(y.shape)[:2]


def collapse(shape: Shape, a: Shape, b: Shape) -> tuple[Shape, Shape, Shape]:
    """Output shape and element strides (0: broadcast), neighbouring axes merged, padded to four axes."""
    rank = len(shape)
    a, b = ((1,) * (rank - len(s)) + s for s in (a, b))
    merged: list[tuple[int, bool, bool]] = []
    for n, da, db in zip(shape, a, b, strict=True):
        spread = (da == 1 and n > 1, db == 1 and n > 1)
        if n == 1:
            continue
        if merged and merged[-1][1:] == spread:
            merged[-1] = (merged[-1][0] * n, *spread)
        else:
            merged.append((n, *spread))
    strides: list[list[int]] = [[], []]
    for operand in (0, 1):
        step = 1
        for axis in reversed(merged):
            spread_here = axis[1 + operand]
            strides[operand].insert(0, 0 if spread_here else step)
            step *= 1 if spread_here else axis[0]
    missing = max(RANK - len(merged), 0)
    dims = (1,) * missing + tuple(n for n, *_ in merged)
    return dims, (0,) * missing + tuple(strides[0]), (0,) * missing + tuple(strides[1])


def _scales(site: Site) -> tuple[float, float, float]:
    return tuple(float(t.quantization.s) for t in (*site.inputs, site.y) if t and t.quantization)  # type: ignore[return-value]


class _Sum(Binary):
    """Add and Sub: both inputs are brought to twice the larger scale with 20 extra bits, then added.

    16-bit ones are multiplied with 31 bits each, and their exact sum is scaled once.
    """

    __slots__ = ()
    sign = 1

    def magnitude(self, a: Array, b: Array) -> Array:
        return a + b

    def _requantizers(self, site: Site) -> list[Requantizer]:
        sa, sb, sy = _scales(site)
        common = 2 * max(sa, sb)
        scales = (sa / common, sb / common, common / (sy * 2**_LEFT_SHIFT))
        return [requantizer(s, site.rounding, precise=True) for s in scales]

    def _kernel(self, site: Site) -> str:
        return "add_s16" if site.wide else super()._kernel(site)

    def _wide(self, site: Site) -> tuple[int, int, int]:
        """Multipliers of an int16 site's inputs and the shift of their sum, with 31 bits for the larger."""
        sa, sb, sy = _scales(site)
        scale = wide_requantizer(max(sa, sb) / sy, 2**_WIDE_INPUT_BITS, Rounding.SINGLE)
        total = 31 - int(scale.shift[0])
        a, b = (round(ldexp(s / sy, total)) for s in (sa, sb))
        return a, self.sign * b, total

    def integer_value(self, site: Site, a: Array, b: Array) -> Array:
        if site.wide:
            multiplier_a, multiplier_b, total = self._wide(site)
            rounded: Array = (a * multiplier_a + b * multiplier_b + (1 << (total - 1))) >> total
            return rounded
        ra, rb, ry = self._requantizers(site)
        wide_a, wide_b = ra.apply(a << _LEFT_SHIFT), rb.apply(b << _LEFT_SHIFT)
        return ry.apply(wide_a + self.sign * wide_b)

    def integer_fields(self, site: Site) -> dict[str, Scalar]:
        fields: dict[str, Scalar] = {}
        if site.wide:
            return dict(zip(("multiplier_a", "multiplier_b", "shift"), self._wide(site), strict=True))
        for name, r in zip("aby", self._requantizers(site), strict=True):
            fields |= {f"multiplier_{name}": int(r.multiplier[0]), f"shift_{name}": int(r.shift[0])}
        return fields


@operator("Add")
@dataclass(frozen=True, slots=True)
class Add(_Sum):
    """a + b."""

    def real(self, a: Array, b: Array) -> Array:
        total: Array = a + b
        return total


@operator("Sub")
@dataclass(frozen=True, slots=True)
class Sub(_Sum):
    """a - b."""

    sign = -1

    def real(self, a: Array, b: Array) -> Array:
        difference: Array = a - b
        return difference


@operator("Mul")
@dataclass(frozen=True, slots=True)
class Mul(Binary):
    """a * b; the int8 product is exact in int32 and scaled once."""

    def _requantizer(self, site: Site) -> Requantizer:
        sa, sb, sy = _scales(site)
        if site.wide:
            return wide_requantizer(sa * sb / sy, prod(self._worst(site)), site.rounding)
        return requantizer(sa * sb / sy, site.rounding, precise=True)

    def real(self, a: Array, b: Array) -> Array:
        product: Array = a * b
        return product

    def magnitude(self, a: Array, b: Array) -> Array:
        return self.real(a, b)

    def integer_value(self, site: Site, a: Array, b: Array) -> Array:
        return self._requantizer(site).apply(a * b)

    def integer_fields(self, site: Site) -> dict[str, Scalar]:
        r = self._requantizer(site)
        return {"multiplier_y": int(r.multiplier[0]), "shift_y": int(r.shift[0])}
