"""Reductions over any axes."""

from itertools import permutations
from pathlib import Path

import numpy as np
from support import Constant, assert_close, check_c, check_permutations, make_case

from pingponnx.ops.reduce import ROWS

X = np.random.default_rng(5).uniform(0.5, 2, (2, 3, 4, 5)).astype(np.float32)
AXES = [[1], [-1, -2], [0, 2], [0, 1, 2, 3], [3]]


def test_float_equals_onnxruntime_and_c(tmp_path: Path) -> None:
    cases = []
    for name in ROWS:
        for axes in AXES:
            cases += [make_case(name, X, Constant(np.array(axes)), keepdims=k) for k in (0, 1)]
        cases.append(make_case(name, X))
        cases.append(make_case(name, X, opset=11, axes=[1]))
        cases.append(make_case(name, X, Constant(np.array([1, -3, 1]))))  # one axis, named three times
    for case in cases:
        assert_close(case.expected, case.reference, case.label)
    check_c(cases, tmp_path)


def test_integers_equal_onnxruntime_and_c(tmp_path: Path) -> None:
    x = np.arange(-12, 12, dtype=np.int32).reshape(2, 3, 4)
    names = ("ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceMean")
    cases = [make_case(name, x, Constant(np.array([1])), keepdims=0) for name in names]
    for case in cases:
        np.testing.assert_array_equal(case.expected, case.reference, case.label)
    check_c(cases, tmp_path)


def test_transposes_pass() -> None:
    assert (
        check_permutations(make_case("ReduceMean", X, Constant(np.array([1, 3]))), permutations(range(4)))
        == 24
    )


def test_none_of_the_axes(tmp_path: Path) -> None:
    case = make_case("ReduceSum", X, Constant(np.array([], np.int64)), noop_with_empty_axes=1)
    np.testing.assert_array_equal(case.expected, case.reference)
