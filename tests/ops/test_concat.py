"""Concat along any axis; every input may be where the output is, as far as declared."""

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from support import Case, check_c, check_permutations, make_case, quantization, read_node

from models import assert_proven, make_model, make_node, normal, ops, save
from pingponnx.errors import UnsupportedError
from pingponnx.ops.concat import Concat

Q = quantization(0.1, 3)
SHAPES = [
    ([(1, 2, 3, 4), (1, 5, 3, 4)], 1),
    ([(2, 3), (2, 1), (2, 4)], -1),
    ([(2, 3, 2), (1, 3, 2)], 0),
    ([(3, 2, 2), (3, 2, 5), (3, 2, 1)], 2),
    ([(4, 3)], 1),
    ([(6,), (2,)], 0),
]


def _cases(*, codes: bool) -> list[Case]:
    rng = np.random.default_rng(5)
    cases = []
    for shapes, axis in SHAPES:
        arrays = [
            rng.integers(-128, 128, s, np.int8) if codes else rng.normal(size=s).astype(np.float32)
            for s in shapes
        ]
        quantized = (Q,) * (len(arrays) + 1) if codes else ()
        cases.append(make_case("Concat", *arrays, quantized=quantized, axis=axis))
    return cases


@pytest.mark.parametrize("codes", [False, True])
def test_equals_onnxruntime_and_c(tmp_path: Path, codes: bool) -> None:
    cases = _cases(codes=codes)
    for case in cases:
        np.testing.assert_array_equal(case.reference, case.expected, err_msg=case.label)
    check_c(cases, tmp_path)


def test_permuted() -> None:
    for case in _cases(codes=False):
        orders = list(permutations(range(case.arrays[0].ndim)))
        assert check_permutations(case, orders) == len(orders)


def test_a_tensor_named_twice_is_safe_in_both_places() -> None:
    case = _cases(codes=True)[1]
    x = case.site.x
    site = replace(case.site, inputs=(x, x), outputs=(replace(case.site.y, shape=(2, 6)),))
    overlap = case.op.kernels(site)[0].overlap
    assert overlap[0] == overlap[1] == 6


def test_distance_is_the_smallest() -> None:
    for case in _cases(codes=True):
        call, output = case.op.kernels(case.site)[0], case.site.y.size
        outer = int(np.prod(case.site.y.shape[: case.op.axis]))  # type: ignore[attr-defined]
        blocks = [a.size // outer for a in case.arrays]
        for index, distance in call.overlap.items():
            written, need = 0, []
            for o in range(outer):
                for i, block in enumerate(blocks):
                    if i == index:
                        need.append(written - o * block)
                    written += block
            assert written == output
            assert distance == max(need)


def test_integer_needs_equal_quantization() -> None:
    case = _cases(codes=True)[0]
    assert case.op.integer(case.site) == ""
    other = replace(case.site.x, quantization=quantization(0.2, 3))
    assert case.op.integer(replace(case.site, inputs=(other, *case.site.inputs[1:])))


def test_unsupported() -> None:
    with pytest.raises(UnsupportedError):
        Concat.from_onnx(read_node("Concat", np.zeros((2, 2), np.float32), axis=2))


def test_constants_of_other_quantization_are_made_at_conversion(tmp_path: Path) -> None:
    """Only the activation needs a lookup at run time, and only once although it is named twice."""
    rng = np.random.default_rng(5)
    constants = {
        "c": rng.integers(-128, 128, (2, 4)).astype(np.int8),
        "f": rng.normal(size=(1, 4)).astype(np.float32),
        **{name: np.float32(v) for name, v in (("cs", 0.031), ("s", 0.05), ("t", 0.3))},
        "z": np.int8(3),
    }
    nodes = [
        make_node("DequantizeLinear", ["x", "s", "z"], "x_real"),
        make_node("DequantizeLinear", ["c", "cs", "z"], "c_real"),
        make_node("Concat", ["c_real", "x_real", "f", "x_real"], "joined", axis=0),
        make_node("QuantizeLinear", ["joined", "t", "z"], "y"),
    ]
    model = make_model(nodes, {"x": (3, 4)}, ["y"], constants, dtype=3)
    assert ops(normal(model, tmp_path)) == ["Requantize", "Concat"]
    assert_proven(save(model, tmp_path / "model.onnx"))
