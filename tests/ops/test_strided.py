"""Slice, Split, Expand and Tile."""

from itertools import permutations
from pathlib import Path

import numpy as np
from support import Case, Constant, check_c, check_permutations, make_case, quantization

from models import HOST, Builder, assert_proven, converted, execute, make_model, make_node, save
from pingponnx.oracle import Oracle
from pingponnx.pipeline import normal_form
from pingponnx.samples import random_samples

X = np.arange(120, dtype=np.float32).reshape(2, 3, 4, 5)


def _slice(starts: list[int], ends: list[int], axes: list[int], steps: list[int], x: np.ndarray = X) -> Case:
    return make_case("Slice", x, *(Constant(np.array(v)) for v in (starts, ends, axes, steps)))


def test_moves_equal_onnxruntime_and_c(tmp_path: Path) -> None:
    cases = [
        _slice([1], [3], [2], [1]),
        _slice([-1], [-9], [3], [-2]),
        _slice([0, 1], [2, 99], [1, 3], [1, 2]),
        _slice([10], [-100], [0], [-1]),
        _slice([1], [2], [1], [1], X.astype(np.int64)),
        _slice([1], [2], [1], [1], X.astype(np.uint8)),
        make_case("Tile", X[0], Constant(np.array([2, 1, 3]))),
        make_case("Expand", X[:, :1], Constant(np.array([2, 3, 4, 5]))),
        make_case("Expand", X[0, 0], Constant(np.array([3, 1, 5]))),
    ]
    for case in cases:
        np.testing.assert_array_equal(case.expected, case.reference, case.label)
    check_c(cases, tmp_path)


def test_transposes_pass() -> None:
    assert check_permutations(_slice([1], [3], [2], [1]), permutations(range(4))) == 24


def test_int8_codes_are_moved(tmp_path: Path) -> None:
    q = quantization(0.1, 3)
    x = np.arange(24, dtype=np.int8).reshape(1, 2, 3, 4)
    case = make_case("Tile", x, Constant(np.array([1, 1, 2, 1])), quantized=[q, q])
    np.testing.assert_array_equal(case.expected, case.reference)
    check_c([case], tmp_path)


def test_parts_are_slices(tmp_path: Path) -> None:
    node = make_node("Split", ["x", "sizes"], "a", axis=1)
    node.output.extend(["b", "c"])
    join = make_node("Concat", ["c", "a", "b"], "y", axis=1)
    model = make_model([node, join], {"x": [2, 7, 3]}, ["y"], {"sizes": np.array([2, 1, 4])})
    assert_proven(save(model, tmp_path / "m.onnx"))


def test_fully_optimised_code_sees_that_values_are_copied(tmp_path: Path) -> None:
    """Compilers may reorder accesses of different types, so a copy of floats must not pass for another."""
    b = Builder()
    x = b.add("Gemm", "x", b.normal(48, 6), b.normal(48), transB=1)
    h = b.add("Gemm", "h", b.normal(48, 16), b.normal(48), transB=1)
    parts = [
        [b.add("Slice", y, np.array([k]), np.array([k + 16]), np.array([1])) for k in (0, 16, 32)]
        for y in (x, h)
    ]
    (xr, xz, xn), (hr, hz, hn) = parts
    r, z = b.add("Sigmoid", b.add("Add", xr, hr)), b.add("Sigmoid", b.add("Add", xz, hz))
    n = b.add("Tanh", b.add("Add", xn, b.add("Mul", r, hn)))
    y = b.add("Add", n, b.add("Mul", z, b.add("Sub", "h", n)))
    path = save(b.model({"x": [1, 6], "h": [1, 16]}, y), tmp_path / "m.onnx")
    sample = random_samples(normal_form(path, HOST))[0]
    ((got,),) = execute(converted(path), [sample])
    np.testing.assert_allclose(got, Oracle(path).outputs(sample)[0], rtol=1e-5, atol=1e-5)
