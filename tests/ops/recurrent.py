"""Cases for the tests of RNN, GRU and LSTM."""

from dataclasses import replace
from typing import Any

import numpy as np
from support import Case, make_case

from pingponnx.ir import Array

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
STEPS, BATCH, INPUTS, UNITS = 6, 2, 3, 4
DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}


def operands(op_type: str, directions: int, seed: int = 5) -> list[Array]:
    """X, W, R and B."""
    rng = np.random.default_rng(seed)
    rows = GATES[op_type] * UNITS
    shapes = [
        (STEPS, BATCH, INPUTS),
        (directions, rows, INPUTS),
        (directions, rows, UNITS),
        (directions, 2 * rows),
    ]
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def states(op_type: str, directions: int) -> list[Array]:
    """sequence_lens, initial_h and what comes after it."""
    rng = np.random.default_rng(8)
    given: list[Array] = [np.array([STEPS, 3], np.int32)]
    shape = (directions, BATCH, UNITS)
    given += [rng.normal(size=shape).astype(np.float32) for _ in range(2 if op_type == "LSTM" else 1)]
    if op_type == "LSTM":
        given.append(rng.normal(size=(directions, 3 * UNITS)).astype(np.float32))
    return given


def case(op_type: str, direction: str = "forward", *, full: bool = False, **attributes: Any) -> Case:
    """A layer with all inputs, or with X, W, R and B only."""
    directions = DIRECTIONS[direction]
    inputs = operands(op_type, directions) + (states(op_type, directions) if full else [])
    return make_case(op_type, *inputs, opset=14, hidden_size=UNITS, direction=direction, **attributes)


def batchwise(of: Case) -> Case:
    """The same with `sample step value` tensors, which onnxruntime does not take."""

    def swapped(array: Array) -> Array:
        return np.ascontiguousarray(array.swapaxes(0, 1))

    op = replace(of.op, layout=1)  # type: ignore[type-var]
    arrays = [swapped(of.arrays[0]), *of.arrays[1:5], *(swapped(a) for a in of.arrays[5:7]), *of.arrays[7:]]
    expected = np.ascontiguousarray(of.expected.transpose(2, 0, 1, 3))
    x, *rest = of.site.inputs
    assert x is not None
    inputs = [replace(x, shape=arrays[0].shape), *rest]
    inputs[5:7] = [replace(t, shape=a.shape) for t, a in zip(inputs[5:7], arrays[5:7], strict=True) if t]
    y = replace(of.site.y, shape=expected.shape)
    site = replace(of.site, inputs=tuple(inputs), outputs=(y,))
    assert op.infer(*inputs) == (expected.shape,)
    return Case(op, site, tuple(arrays), expected, f"{of.label} batchwise")


def all_cases(op_type: str, option: str, **clipped: Any) -> list[Case]:
    """Directions, options, lengths, states, clipping and both layouts."""
    plain = [case(op_type, direction) for direction in DIRECTIONS]
    full = [case(op_type, direction, full=True) for direction in DIRECTIONS]
    more = [case(op_type, full=True, clip=0.5), case(op_type, "bidirectional", full=True, **clipped)]
    if option:
        more += [case(op_type, **{option: 1}), case(op_type, "bidirectional", full=True, **{option: 1})]
    return [*plain, *full, *more, batchwise(full[2])]
