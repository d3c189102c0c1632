"""The table of supported operators, made from the operators themselves."""

import inspect

from pingponnx.ops import Operator, registry


def describe() -> list[dict[str, str]]:
    """One row per ONNX op type: what it does, and in which types."""
    return [
        {
            "operator": op_type,
            "float32": "yes",
            "int8": _integer(cls),
            "meaning": (inspect.getdoc(cls) or "").splitlines()[0],
        }
        for op_type, cls in registry().items()
    ]


def _integer(cls: type[Operator]) -> str:
    if cls.moves_data:
        return "yes"
    return "yes" if cls.integer is not Operator.integer else "-"
