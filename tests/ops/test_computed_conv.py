"""Convolution with weights and bias that come at run time."""

from pathlib import Path

import numpy as np
from support import Case, Constant, check_c, make_case

from models import assert_proven, make_model, make_node, save
from pingponnx.ir import Array
from pingponnx.ops.computed_conv import ComputedConv

RNG = np.random.default_rng(31)


def _real(*shape: int) -> Array:
    found: Array = RNG.normal(size=shape).astype(np.float32)
    return found


def _cases() -> list[Case]:
    odd = {"group": 2, "pads": [1, 0, 2, 1], "strides": [2, 1], "dilations": [1, 2]}
    return [
        make_case("Conv", _real(2, 3, 7, 6), _real(4, 3, 3, 2)),
        make_case("Conv", _real(1, 4, 8, 7), _real(6, 2, 3, 3), _real(6), **odd),
        make_case("Conv", _real(1, 2, 9), _real(3, 2, 3), _real(3), pads=[1, 1]),
        make_case("Conv", _real(1, 3, 5, 5), _real(3, 1, 3, 3), Constant(_real(3)), group=3),
    ]


def test_they_equal_onnxruntime_and_c(tmp_path: Path) -> None:
    cases = _cases()
    for case in cases:
        assert isinstance(case.op, ComputedConv)
        np.testing.assert_allclose(case.reference, case.expected, atol=1e-5, err_msg=case.label)
    check_c(cases, tmp_path)


def test_in_a_network_with_a_clip_behind(tmp_path: Path) -> None:
    nodes = [make_node("Conv", ["x", "w"], "a"), make_node("Relu", ["a"], "y")]
    model = make_model(nodes, {"x": [1, 3, 6, 6], "w": [4, 3, 3, 3]}, ["y"])
    assert_proven(save(model, tmp_path / "model.onnx"))
