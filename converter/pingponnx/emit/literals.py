"""Numbers, arrays and structs as C text."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pingponnx.ir import Array

C_TYPES = {"int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "uint16": "uint16_t"} | {
    "int32": "int32_t",
    "uint32": "uint32_t",
    "int64": "int64_t",
    "uint64": "uint64_t",
    "float32": "float",
    "float64": "double",
    "bool": "uint8_t",
}
_PER_LINE = 16


def spell(value: Any) -> str:
    if isinstance(value, tuple):
        return "{" + ", ".join(number(v) for v in value) + "}"
    return number(value)


def number(value: int | float) -> str:
    """A C literal, a double for numpy's float64; with as many digits as bring the value back exactly."""
    if isinstance(value, bool | int):
        named = {-(2**31): "INT32_MIN", -(2**63): "INT64_MIN"}
        return named.get(value) or f"{int(value)}{'u' if value >= 2**63 else ''}"
    if np.isnan(value):
        return "NAN"
    if np.isinf(value):
        return "INFINITY" if value > 0 else "-INFINITY"
    if isinstance(value, np.float64):
        return np.format_float_scientific(value, unique=True, trim="0")
    text = np.format_float_scientific(np.float32(value), unique=True, trim="0")
    return f"{text}f"


def rows_of(data: Array) -> list[str]:
    """The values of an array, some to a line; an empty array gets one, for C has none."""
    items = data.ravel() if data.dtype == np.float64 else data.ravel().tolist()
    values = [number(v) for v in items] or ["0"]
    return [", ".join(values[i : i + _PER_LINE]) for i in range(0, len(values), _PER_LINE)]


def struct(ctype: str, name: str, fields: Mapping[str, Any]) -> str:
    """A file-scope constant, its values in the order of the declaration and named in comments."""
    values = [f"    {spell(value)}, /* {field} */" for field, value in fields.items()]
    return f"static const {ctype} {name} = {{\n" + "\n".join(values) + "\n};"
