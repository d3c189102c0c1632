"""Kernels whose output walks over the input in fixed steps, for values of any size."""

from typing import Any

from pingponnx.calls import Call, Input, Output, Struct
from pingponnx.ir import Shape
from pingponnx.ops import Operator, Site

_RANK = 6


def steps_of(shape: Shape) -> list[int]:
    """Values between neighbours along each axis."""
    steps = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        steps[axis] = steps[axis + 1] * shape[axis + 1]
    return steps


def joined(shape: Shape, steps: Shape) -> tuple[Shape, Shape]:
    """The same walk over as few axes as it takes."""
    axes: list[tuple[int, int]] = []
    for n, step in zip(shape, steps, strict=True):
        if n == 1:
            continue
        if axes and axes[-1][1] == n * step:
            axes[-1] = (axes[-1][0] * n, step)
        else:
            axes.append((n, step))
    return tuple(n for n, _ in axes), tuple(step for _, step in axes)


def walk(site: Site, op: Operator, shape: Shape, steps: Shape, start: int = 0) -> Call:
    """The kernel that reads input `start + sum of index * step` for every index of `shape`."""
    sizes, strides = joined(shape, steps)
    missing = _RANK - len(sizes)
    if missing < 0:
        site.unsupported(op, f"more than {_RANK} axes")
    fields: dict[str, Any] = {
        "shape": (1,) * missing + sizes,
        "step": (0,) * missing + strides,
        "start": start,
    }
    name = f"walk_{8 * site.x.dtype.bytes}"
    return Call(name, "walk.h", (Struct("walk_params", fields), Input(), Output()), cycles=8 * site.y.size)
