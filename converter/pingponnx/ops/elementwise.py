"""Functions of two broadcast values in all plain number types, a row each; int8 codes are binary.py's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from pingponnx.calls import Call, Input, Output, Struct
from pingponnx.ir import Array, DType, Shape, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site, keep, operator
from pingponnx.ops.broadcast import broadcast_shape, merged, padded
from pingponnx.ops.functions import INTEGERS, REALS

NUMBERS = REALS + INTEGERS
_BOOL = (DType.BOOL,)
_UNSIGNED = (DType.U8, DType.U16, DType.U32, DType.U64)
_POWERS = (DType.F32, DType.F64, DType.S32, DType.S64)


def _divide(a: Array, b: Array) -> Array:
    """Integers: rounded towards 0, and 0 where b is 0."""
    if a.dtype.kind == "f":
        quotient: Array = a / b
        return quotient
    safe = np.where(b == 0, 1, b).astype(a.dtype)
    rest = np.fmod(a, safe)
    floor: Array = (a - rest) // safe
    return np.where(b == 0, 0, floor)


def _modulo(function: Callable[..., Any]) -> Callable[[Array, Array], Array]:
    def value(a: Array, b: Array) -> Array:
        if a.dtype.kind == "f":
            return np.asarray(function(a, b))
        return np.where(b == 0, 0, function(a, np.where(b == 0, 1, b).astype(a.dtype)))

    return value


def _power(a: Array, b: Array) -> Array:
    if a.dtype.kind != "f" and b.dtype.kind != "f":
        result: Array = np.where(b < 0, 0, np.power(a, np.abs(b).astype(a.dtype)))
        return np.where((b < 0) & (np.abs(a) == 1), np.where(b % 2 == 0, 1, a), result)
    return np.asarray(np.power(a.astype(np.float64), b.astype(np.float64)))


def _shift(*, left: bool) -> Callable[[Array, Array], Array]:
    def value(a: Array, b: Array) -> Array:
        bits = 8 * a.dtype.itemsize
        shifted = (np.left_shift if left else np.right_shift)(a, np.minimum(b, bits - 1).astype(a.dtype))
        return np.where(b >= bits, 0, shifted)

    return value


@dataclass(frozen=True, slots=True)
class Row:
    """A function of two values: its meaning, numpy's version, its types."""

    meaning: str
    value: Callable[[Array, Array], Any]
    types: tuple[DType, ...] = NUMBERS
    to: DType | None = None  # the output's type, where it is not the operands'


ROWS = {
    "Add": Row("a + b.", np.add),
    "Sub": Row("a - b.", np.subtract),
    "Mul": Row("a * b.", np.multiply),
    "Div": Row("a / b; integers are rounded towards 0.", _divide),
    "Mod": Row("The rest of a / b, with the sign of b, or of a (fmod).", _modulo(np.mod)),
    "Fmod": Row("The rest of a / b, with the sign of a.", _modulo(np.fmod)),
    "Pow": Row("a to the power of b.", _power, _POWERS),
    "Max": Row("The larger value.", np.maximum),
    "Min": Row("The smaller value.", np.minimum),
    "PRelu": Row("a, or a * b below 0.", lambda a, b: np.where(a < 0, a * b, a)),
    "Equal": Row("a == b.", np.equal, NUMBERS + _BOOL, DType.BOOL),
    "Greater": Row("a > b.", np.greater, NUMBERS, DType.BOOL),
    "GreaterOrEqual": Row("a >= b.", np.greater_equal, NUMBERS, DType.BOOL),
    "Less": Row("a < b.", np.less, NUMBERS, DType.BOOL),
    "LessOrEqual": Row("a <= b.", np.less_equal, NUMBERS, DType.BOOL),
    "And": Row("Logical and.", np.logical_and, _BOOL),
    "Or": Row("Logical or.", np.logical_or, _BOOL),
    "Xor": Row("Logical exclusive or.", np.logical_xor, _BOOL),
    "BitShift_left": Row("a << b.", _shift(left=True), _UNSIGNED),
    "BitShift_right": Row("a >> b.", _shift(left=False), _UNSIGNED),
    "BitwiseAnd": Row("And of all bits.", np.bitwise_and, INTEGERS),
    "BitwiseOr": Row("Or of all bits.", np.bitwise_or, INTEGERS),
    "BitwiseXor": Row("Exclusive or of all bits.", np.bitwise_xor, INTEGERS),
}


_OTHERS = ("Add", "Sub", "Mul", "Div", "PRelu", "Fmod", "BitShift_left", "BitShift_right")


@operator(*(name for name in ROWS if name not in _OTHERS), "BitShift")
@dataclass(frozen=True, slots=True)
class Elementwise(Operator):
    """A function of two values, broadcast."""

    name: str

    each_value = True

    @classmethod
    def describe(cls, op_type: str) -> str:
        return "a shifted by b bits." if op_type == "BitShift" else ROWS[op_type].meaning

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        name = "Fmod" if node.op_type == "Mod" and node.attributes.get("fmod", 0) else node.op_type
        if name == "BitShift":
            name = f"BitShift_{node.attributes.get('direction', '').lower()}"
        if name not in ROWS or len(node.inputs) != 2:
            node.unsupported(f"{len(node.inputs)} inputs")
        a, b = node.inputs
        assert a is not None and b is not None
        of_a, of_b = (DType.F32 if t.quantized else t.dtype for t in (a, b))  # codes stand for real numbers
        if of_a not in ROWS[name].types or (name == "Pow" and of_b not in NUMBERS):
            node.unsupported(f"{of_a.value} is not supported")
        if of_a is not of_b and name != "Pow":
            node.unsupported(f"operands of two types, {of_a.value} and {of_b.value}")
        broadcast_shape(node, 2)
        return cls(name), keep(2)

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        a, b = inputs
        assert a is not None and b is not None
        return (tuple(np.broadcast_shapes(a.shape, b.shape)),)

    def dtype(self, *inputs: Tensor | None) -> DType:
        return ROWS[self.name].to or Operator.dtype(self, *inputs)

    def permuted(self, permutation: tuple[int, ...]) -> Self:
        return self

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(ROWS[self.name].value(*arrays)).astype(site.y.dtype.numpy)  # type: ignore[arg-type]

    def kernels(self, site: Site) -> Sequence[Call]:
        a, b = site.inputs
        assert a is not None and b is not None
        if a.dtype not in ROWS[self.name].types:
            site.unsupported(self, f"{a.dtype.value} is not supported")
        name = f"each_{self.name.lower()}_{a.dtype.suffix}"
        if self.name == "Pow":
            name += f"_{b.dtype.suffix}"
        shape, steps = padded(*merged(site.y.shape, (a.shape, b.shape)))
        params = Struct("broadcast_params", {"shape": shape, "step_a": steps[0], "step_b": steps[1]})
        wide = [i for i, t in enumerate((a, b)) if t.size == site.y.size and not t.constant]
        # an operand of the output's size is read value by value just before the result is written there
        overlap = {i: 0 for i in wide if site.inputs[i].dtype.bytes >= site.y.dtype.bytes}  # type: ignore[union-attr]
        arguments = (params, Input(0), Input(1), Output())
        return [Call(name, "elementwise.h", arguments, overlap=overlap, cycles=20 * site.y.size)]


@operator("Max", "Min")
@dataclass(frozen=True, slots=True)
class Extreme(Elementwise):
    """The larger or smaller of two values: one of them, so that codes of one quantization will do."""

    moves_data = True
