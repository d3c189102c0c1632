"""Functions of one value, a row each; int8 versions are lookup tables, as for all of unary.py."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import erf, inf
from typing import Any

import numpy as np

from pingponnx.calls import Argument, Call, Input, Output
from pingponnx.ir import Array, DType, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site, keep, operator
from pingponnx.ops.lookup import each_value
from pingponnx.ops.unary import Unary

REALS = (DType.F32, DType.F64)
INTEGERS = (DType.S8, DType.U8, DType.S16, DType.U16, DType.S32, DType.U32, DType.S64, DType.U64)

_erf = np.vectorize(erf, otypes=[np.float64])


def _softplus(x: Array) -> Array:
    found: Array = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
    return found


def _gelu_tanh(x: Array) -> Array:
    found: Array = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return found


def _is_infinite(x: Array, negative: float, positive: float) -> Array:
    found: Array = ((x == -inf) & (negative > 0)) | ((x == inf) & (positive > 0))
    return found


@dataclass(frozen=True, slots=True)
class Row:
    """A function: its meaning, the ONNX attributes that it takes with their defaults, and numpy's version."""

    meaning: str
    value: Callable[..., Any]
    attributes: tuple[tuple[str, float], ...] = ()
    types: tuple[DType, ...] = REALS
    to: DType | None = None  # the output's type, where it is not the input's


_ALPHA = ("alpha", 1.0)

ROWS = {
    "Abs": Row("|x|.", np.abs, types=REALS + INTEGERS),
    "Neg": Row("-x.", np.negative, types=REALS + INTEGERS),
    "Sign": Row("-1, 0 or 1.", np.sign, types=REALS + INTEGERS),
    "Exp": Row("e to the power of x.", np.exp),
    "Log": Row("Natural logarithm.", np.log),
    "Sqrt": Row("Square root.", np.sqrt),
    "Reciprocal": Row("1 / x.", np.reciprocal),
    "Floor": Row("The next integer downwards.", np.floor),
    "Ceil": Row("The next integer upwards.", np.ceil),
    "Round": Row("The nearest integer, halves to even.", np.rint),
    "Erf": Row("Gauss error function.", _erf),
    "Sin": Row("Sine.", np.sin),
    "Cos": Row("Cosine.", np.cos),
    "Tan": Row("Tangent.", np.tan),
    "Asin": Row("Inverse sine.", np.arcsin),
    "Acos": Row("Inverse cosine.", np.arccos),
    "Atan": Row("Inverse tangent.", np.arctan),
    "Sinh": Row("Hyperbolic sine.", np.sinh),
    "Cosh": Row("Hyperbolic cosine.", np.cosh),
    "Asinh": Row("Inverse hyperbolic sine.", np.arcsinh),
    "Acosh": Row("Inverse hyperbolic cosine.", np.arccosh),
    "Atanh": Row("Inverse hyperbolic tangent.", np.arctanh),
    "Softsign": Row("x / (1 + |x|).", lambda x: x / (1 + np.abs(x))),
    "Softplus": Row("log(1 + exp(x)).", _softplus),
    "Mish": Row("x * tanh(log(1 + exp(x))).", lambda x: x * np.tanh(_softplus(x))),
    "HardSwish": Row("x * max(0, min(1, x / 6 + 1/2)).", lambda x: x * np.clip(x / 6 + 0.5, 0, 1)),
    "Gelu": Row("x / 2 * (1 + erf(x / sqrt 2)).", lambda x: 0.5 * x * (1 + _erf(x / np.sqrt(2)))),
    "Gelu_tanh": Row("Gelu approximated by tanh.", _gelu_tanh),
    "Elu": Row(
        "x, or alpha * (exp(x) - 1) below 0.", lambda x, a: np.where(x < 0, a * np.expm1(x), x), (_ALPHA,)
    ),
    "Celu": Row(
        "x, or alpha * (exp(x / alpha) - 1) below 0.",
        lambda x, a: np.where(x < 0, a * np.expm1(x / a), x),
        (_ALPHA,),
    ),
    "Swish": Row("x / (1 + exp(-alpha * x)).", lambda x, a: x / (1 + np.exp(-a * x)), (_ALPHA,)),
    "ThresholdedRelu": Row("x above alpha, else 0.", lambda x, a: np.where(x > a, x, 0), (_ALPHA,)),
    "Selu": Row(
        "gamma * (x, or alpha * (exp(x) - 1) below 0).",
        lambda x, a, g: g * np.where(x > 0, x, a * np.expm1(x)),
        (("alpha", 1.67326319217681884765625), ("gamma", 1.05070102214813232421875)),
    ),
    "HardSigmoid": Row(
        "max(0, min(1, alpha * x + beta)).",
        lambda x, a, b: np.clip(a * x + b, 0, 1),
        (("alpha", 0.2), ("beta", 0.5)),
    ),
    "Shrink": Row(
        "x moved by bias towards 0, 0 between -lambd and lambd.",
        lambda x, a, b: np.where(x < -a, x + b, np.where(x > a, x - b, 0)),
        (("lambd", 0.5), ("bias", 0.0)),
        types=REALS + INTEGERS,
    ),
    "IsNaN": Row("Whether x is not a number.", np.isnan, to=DType.BOOL),
    "IsInf": Row(
        "Whether x is infinite.",
        _is_infinite,
        (("detect_negative", 1.0), ("detect_positive", 1.0)),
        to=DType.BOOL,
    ),
    "Not": Row("Logical negation.", np.logical_not, types=(DType.BOOL,)),
    "BitwiseNot": Row("All bits inverted.", np.bitwise_not, types=INTEGERS),
}

_PLAIN = {"Abs": "plain_abs", "Neg": "plain_neg", "Sign": "plain_sign", "Shrink": "plain_shrink"}


@operator(*(name for name in ROWS if "_" not in name))
@dataclass(frozen=True, slots=True)
class Function(Unary):
    """A function of one value."""

    name: str
    constants: tuple[float, ...] = ()

    @classmethod
    def describe(cls, op_type: str) -> str:
        return ROWS[op_type].meaning

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        name, x = node.op_type, node.inputs[0]
        if name == "Gelu" and node.attributes.get("approximate", "none") == "tanh":
            name = "Gelu_tanh"
        row = ROWS[name]
        assert x is not None
        if x.dtype not in row.types:
            node.unsupported(f"{x.dtype.value} is not supported")
        return cls(
            name, tuple(float(node.attributes.get(key, value)) for key, value in row.attributes)
        ), keep(1)

    def dtype(self, *inputs: Tensor | None) -> DType:
        assert inputs[0] is not None
        return ROWS[self.name].to or inputs[0].dtype

    def integer(self, site: Site) -> str:
        return "it gives truth values" if ROWS[self.name].to else ""

    def function(self, values: Array) -> Array:
        constants = (np.float64(np.float32(c)) for c in self.constants)
        with np.errstate(all="ignore"):
            if values.dtype.kind == "f" and ROWS[self.name].to is None:
                values = values.astype(np.float64)
            found: Array = np.asarray(ROWS[self.name].value(values, *constants))
            return found

    def parameters(self) -> tuple[float, ...]:
        return self.constants

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        if site.quantized:
            return Unary.reference(self, site, *arrays)
        assert arrays[0] is not None
        return self.function(arrays[0]).astype(site.y.dtype.numpy)

    def kernels(self, site: Site) -> Sequence[Call]:
        if site.quantized:
            return Unary.kernels(self, site)
        if site.x.dtype not in ROWS[self.name].types:
            site.unsupported(self, f"{site.x.dtype.value} is not supported")
        name = {"BitwiseNot": "bitwise_not"}.get(self.name, self.name.lower())
        if site.x.dtype in INTEGERS:
            name = _PLAIN.get(self.name, name)
        arguments: tuple[Argument, ...] = (*self.parameters(), Input(), Output())
        call = each_value(f"{name}_{site.suffix}", "functions.h", arguments, site.x.shape, cycles=60)
        return [replace(call, rows=None) if ROWS[self.name].to else call]  # truth values are smaller
