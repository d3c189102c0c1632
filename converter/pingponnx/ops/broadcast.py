"""The geometry of element-wise operators whose operands are broadcast, as numpy does."""

from collections.abc import Sequence

import numpy as np

from pingponnx.ir import Shape
from pingponnx.ops import OnnxNode

RANK = 6
"""Axes that the kernels loop over, after neighbours that all operands go through alike are merged."""


def broadcast_shape(node: OnnxNode, count: int) -> Shape:
    """The shape of the result of `count` operands; refuses what has too many axes."""
    shapes = [node.shape(i) for i in range(count)]
    shape = tuple(np.broadcast_shapes(*shapes))
    if len(merged(shape, shapes)[0]) > RANK:
        node.unsupported(f"broadcasting over more than {RANK} axes")
    return shape


def merged(shape: Shape, operands: Sequence[Shape]) -> tuple[Shape, list[Shape]]:
    """The output's axes with neighbours merged, and per operand the steps in values (0: broadcast)."""
    rank = len(shape)
    full = [(1,) * (rank - len(s)) + tuple(s) for s in operands]
    axes: list[int] = []
    kinds: list[tuple[bool, ...]] = []
    for axis, n in enumerate(shape):
        spread = tuple(s[axis] == 1 for s in full)
        if n == 1:
            continue
        if kinds and kinds[-1] == spread:
            axes[-1] *= n
        else:
            axes.append(n)
            kinds.append(spread)
    steps: list[Shape] = []
    for k in range(len(operands)):
        step, found = 1, []
        for n, kind in zip(reversed(axes), reversed(kinds), strict=True):
            found.append(0 if kind[k] else step)
            step *= 1 if kind[k] else n
        steps.append(tuple(reversed(found)))
    return tuple(axes), steps


def padded(shape: Shape, steps: Sequence[Shape]) -> tuple[Shape, list[Shape]]:
    """The same with exactly RANK axes."""
    missing = RANK - len(shape)
    return (1,) * missing + shape, [(0,) * missing + s for s in steps]
