"""Gather, GatherElements, GatherND, ScatterElements, ScatterND."""

from pathlib import Path

import numpy as np
from support import Case, check_c, make_case

RNG = np.random.default_rng(9)
X = RNG.normal(size=(3, 4, 5)).astype(np.float32)


def _gathers() -> list[Case]:
    made = []
    for dtype in (np.int32, np.int64):
        for axis, length in ((0, 3), (1, 4), (-1, 5)):
            indices = RNG.integers(-length, length, (2, 3)).astype(dtype)
            made.append(make_case("Gather", X, indices, axis=axis))
            elements = RNG.integers(-length, length, (3, 4, 5)).astype(dtype)
            made.append(make_case("GatherElements", X, elements, axis=axis))
    made.append(make_case("Gather", RNG.integers(0, 9, (4, 3)).astype(np.uint8), np.array(2)))
    made.append(make_case("GatherND", X, np.array([[0, 1], [2, -1]])))
    made.append(make_case("GatherND", X, np.array([[[0], [1]], [[2], [3]], [[3], [0]]]), batch_dims=1))
    return made


def _scatters() -> list[Case]:
    indices = np.array([[[1, 0, 3, 2, 1]]])
    updates = RNG.normal(size=(1, 1, 5)).astype(np.float32)
    return [
        make_case("ScatterElements", X, indices, updates, axis=1),
        make_case("ScatterND", X, np.array([[0], [2]]), RNG.normal(size=(2, 4, 5)).astype(np.float32)),
        make_case("ScatterND", X, np.array([[0, 1], [2, -1]]), RNG.normal(size=(2, 5)).astype(np.float32)),
    ]


def test_equals_onnxruntime_and_c(tmp_path: Path) -> None:
    cases = _gathers() + _scatters()
    for case in cases:
        np.testing.assert_array_equal(case.expected, case.reference, case.label)
    check_c(cases, tmp_path)
