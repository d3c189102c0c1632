"""ArgMax, ArgMin, CumSum, TopK along any axis."""

from pathlib import Path

import numpy as np
from support import Constant, check_c, make_case

from models import assert_proven, make_model, make_node, save

X = np.random.default_rng(6).integers(-4, 4, (3, 4, 5))


def test_arg_extremes_equal_onnxruntime_and_c(tmp_path: Path) -> None:
    cases = [
        make_case(name, X.astype(dtype), axis=axis, keepdims=keep, select_last_index=last)
        for name in ("ArgMax", "ArgMin")
        for dtype in (np.float32, np.int32)
        for axis, keep, last in ((0, 1, 0), (1, 0, 1), (-1, 1, 1), (-1, 0, 0))
    ]
    for case in cases:
        np.testing.assert_array_equal(case.expected, case.reference, case.label)
    check_c(cases, tmp_path)


def test_running_sums_equal_onnxruntime_and_c(tmp_path: Path) -> None:
    cases = [
        make_case("CumSum", X.astype(dtype), Constant(np.array(axis)), exclusive=exclusive, reverse=reverse)
        for dtype in (np.float32, np.int64)
        for axis in (0, 1, -1)
        for exclusive, reverse in ((0, 0), (1, 0), (0, 1), (1, 1))
    ]
    for case in cases:
        np.testing.assert_array_equal(case.expected, case.reference, case.label)
    check_c(cases, tmp_path)


def test_top_k_equals_onnxruntime(tmp_path: Path) -> None:
    for axis, largest in ((1, 1), (2, 0)):
        node = make_node("TopK", ["x", "k"], "y", axis=axis, largest=largest)
        node.output.append("i")
        cast = make_node("Cast", ["i"], "z", to=1)
        model = make_model([node, cast], {"x": [3, 4, 5]}, ["y", "z"], {"k": np.array([3])})
        assert_proven(save(model, tmp_path / "m.onnx"))
