"""A sequence of steps as nested loops: what is regular in it is written once."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

_LONGEST = 4096  # beyond it a table is shorter than any loops found


@dataclass(frozen=True, slots=True)
class Loop:
    """`body` run `count` times."""

    count: int
    body: "Program"


Program = tuple["Hashable | Loop", ...]


def fold(steps: Sequence[Hashable]) -> Program:
    """The steps with repetitions as loops, those that save most first; they unfold to the same steps."""
    names = {step: i for i, step in enumerate(dict.fromkeys(steps))}
    if len(steps) > _LONGEST:
        return tuple(steps)
    return _fold(tuple(steps), np.array([names[s] for s in steps]))


def _fold(steps: tuple[Hashable, ...], codes: np.ndarray) -> Program:
    best, start, period, count = 0, 0, 0, 0
    for p in range(1, len(codes) // 2 + 1):
        if best >= len(codes) - p:
            break
        length, at = _longest_run(codes[:-p] == codes[p:])
        times = length // p + 1
        saved = (times - 1) * p
        if times > 1 and saved > best:
            best, start, period, count = saved, at, p, times
    if not best:
        return steps
    stop = start + period * count
    body = _fold(steps[start : start + period], codes[start : start + period])
    return (*_fold(steps[:start], codes[:start]), Loop(count, body), *_fold(steps[stop:], codes[stop:]))


def _longest_run(flags: np.ndarray) -> tuple[int, int]:
    """Length and start of the first longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(np.int8), [0]))))
    if not len(edges):
        return 0, 0
    lengths = edges[1::2] - edges[::2]
    best = int(lengths.argmax())
    return int(lengths[best]), int(edges[2 * best])


def leaves(program: Program) -> int:
    """How many steps are written."""
    return sum(leaves(item.body) if isinstance(item, Loop) else 1 for item in program)
