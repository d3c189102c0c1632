"""Options of the command line -> values."""

from typing import Any

from pingponnx.errors import Error


def options_of(**given: Any) -> Any:
    """Options from the command line's strings; raises Error for unknown names."""
    from pingponnx.fixed_point import Rounding
    from pingponnx.pipeline import Options
    from pingponnx.select import Goal

    given["goal"] = _choice(Goal, given.get("goal", "balanced"), "goal")
    given["rounding"] = _choice(Rounding, given.get("rounding", "single"), "rounding")
    given["input_shapes"] = dict(_shape(text) for text in given.pop("input_shapes", None) or [])
    return Options(**given)


def _choice(kind: Any, text: str, what: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise Error(f"unknown {what} {text!r}", f"choose one of: {', '.join(kind)}") from None


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, dims = text.rpartition("=")
    try:
        shape = tuple(int(d) for d in dims.replace("x", ",").split(","))
    except ValueError:
        shape = ()
    if not name or not shape or min(shape) < 1:
        raise Error(f"cannot read the input shape {text!r}", "write NAME=1,3,32,32")
    return name, shape
