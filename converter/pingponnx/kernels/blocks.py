"""What kernels that make four output channels at once share: their weights, and how they are called."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pingponnx.calls import Argument, Call, Scratch, Table
from pingponnx.ir import Array
from pingponnx.ops import Site
from pingponnx.ops.conv import Conv

CHANNELS = 4


def blocks(linear_weights: Array) -> Array:
    """Weights `oc ...` as `oc/4 taps 4`, filled up with channels of zeros."""
    weights = filled(linear_weights.reshape(len(linear_weights), -1))
    grouped = weights.reshape(-1, CHANNELS, weights.shape[1])
    return np.ascontiguousarray(grouped.transpose(0, 2, 1))


def filled(values: Array) -> Array:
    """As many channels as there are in whole blocks."""
    missing = -len(values) % CHANNELS
    return np.concatenate([values, np.zeros((missing, *values.shape[1:]), values.dtype)])


def depthwise(op: Conv, site: Site) -> bool:
    """A convolution of every channel with itself, in whole blocks."""
    return 1 < op.group == site.x.shape[-1] == site.y.shape[-1] and op.group % CHANNELS == 0


def instead(plain: Call, name: str, tables: Sequence[Table | Scratch], cycles: int) -> Call:
    """A plain kernel's call, of the kernel `name` with other tables."""
    old = plain.header.removesuffix(".h")

    def passed(arguments: tuple[Argument, ...]) -> tuple[Argument, ...]:
        at = next(i for i, a in enumerate(arguments) if isinstance(a, Table))
        others = [a for a in arguments if not isinstance(a, Table)]
        return (*others[:at], *tables, *others[at:])

    rows = plain.rows and replace(
        plain.rows,
        function=plain.rows.function.replace(old, name),
        header=f"{name}.h",
        arguments=passed(plain.rows.arguments),
    )
    return replace(
        plain,
        function=plain.function.replace(old, name),
        header=f"{name}.h",
        arguments=passed(plain.arguments),
        cycles=cycles,
        rows=rows,
    )
