"""ConvInteger: both signs, groups, strides, padding, 1-D, against onnxruntime; and a network of codes."""

from pathlib import Path
from typing import Any

import numpy as np
from support import Case, Constant, check_c, make_case

from models import assert_proven, make_model, make_node, save
from pingponnx.ir import Array

RNG = np.random.default_rng(23)
PAIRS = [(np.uint8, np.uint8), (np.uint8, np.int8)]  # onnxruntime has no ConvInteger of int8 inputs


def _codes(dtype: Any, *shape: int) -> Array:
    info = np.iinfo(dtype)
    found: Array = RNG.integers(info.min, info.max, shape, dtype, endpoint=True)
    return found


def _convolutions() -> list[Case]:
    found = []
    for x, w in PAIRS:
        found += [
            make_case("ConvInteger", _codes(x, 2, 3, 7, 6), Constant(_codes(w, 4, 3, 3, 2)), _codes(x)),
            make_case(
                "ConvInteger",
                _codes(x, 1, 4, 8, 7),
                _codes(w, 6, 2, 3, 3),
                _codes(x),
                _codes(w),
                group=2,
                pads=[1, 0, 2, 1],
                strides=[2, 1],
                dilations=[1, 2],
            ),
            make_case("ConvInteger", _codes(x, 1, 2, 9), _codes(w, 3, 2, 3), _codes(x), pads=[1, 1]),
        ]
    return found


def test_convolutions_equal_onnxruntime_and_c(tmp_path: Path) -> None:
    cases = _convolutions()
    for case in cases:
        np.testing.assert_array_equal(case.reference, case.expected, case.label)
    check_c(cases, tmp_path)


def test_a_network_of_codes(tmp_path: Path) -> None:
    nodes = [
        make_node("ConvInteger", ["x", "w", "zx"], "a"),
        make_node("Flatten", ["x"], "flat"),
        make_node("MatMulInteger", ["flat", "m", "zx"], "b"),
    ]
    constants = {"w": _codes(np.int8, 4, 3, 3, 3), "m": _codes(np.int8, 108, 5), "zx": np.uint8(131)}
    model = make_model(nodes, {"x": [1, 3, 6, 6]}, ["a", "b"], constants, dtype=2)
    found = assert_proven(save(model, tmp_path / "model.onnx"))
    assert all(n.max_lsb == 0 for n in found.nodes)
