"""QuantizeLinear and DequantizeLinear in general: run-time scales, many of them, blocks, 16 and 32 bits."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from support import Case, Constant, check_c, make_case

from models import HOST, Builder, assert_proven, make_model, make_node, normal, ops, save
from pingponnx.errors import UnsupportedError
from pingponnx.ir import Array
from pingponnx.pipeline import normal_form
from pingponnx.rewrite.unfolded import conversions

RNG = np.random.default_rng(17)
TYPES = (np.int8, np.uint8, np.int16, np.uint16)


def _real(*shape: int) -> Array:
    """Random values, multiples of half a step, and what saturates."""
    x = (RNG.normal(size=shape) * 300).astype(np.float32)
    flat = x.ravel()
    flat[::3] = np.round(flat[::3] * 2) / 2
    flat[:4] = 1e30, -1e30, np.inf, -np.inf
    return x


def _scales(count: int) -> Array:
    return RNG.choice(np.array([0.25, 0.5, 1.0, 2.0], np.float32), count)


def _codes(dtype: Any, *shape: int) -> Array:
    info = np.iinfo(dtype)
    return RNG.integers(info.min, info.max, shape, dtype, endpoint=True)


def _cases() -> list[Case]:
    found = []
    for dtype in TYPES:
        one, many = _codes(dtype, 1).reshape(()), _codes(dtype, 5)
        found += [
            make_case("QuantizeLinear", _real(3, 5, 4), np.array(0.37, np.float32), one, opset=21),
            make_case("QuantizeLinear", _real(3, 5, 4), _scales(5), many, opset=21, axis=1),
            make_case("DequantizeLinear", _codes(dtype, 3, 5, 4), np.array(0.37, np.float32), one, opset=21),
            make_case("DequantizeLinear", _codes(dtype, 3, 4, 5), _scales(5), many, opset=21, axis=-1),
        ]
        blocks, zeros = _scales(24).reshape(3, 2, 4), _codes(dtype, 3, 2, 4)
        found += [
            make_case("QuantizeLinear", _real(3, 5, 4), blocks, zeros, opset=21, axis=1, block_size=3),
            make_case(
                "DequantizeLinear", _codes(dtype, 3, 5, 4), blocks, zeros, opset=21, axis=1, block_size=3
            ),
        ]
    words = _codes(np.int32, 3, 5)
    found.append(make_case("DequantizeLinear", words, np.array(0.01, np.float32), opset=21))
    return found


def test_all_kinds_equal_onnxruntime_and_c(tmp_path: Path) -> None:
    cases = _cases()
    for case in cases:
        np.testing.assert_array_equal(case.reference, case.expected, case.label)
    check_c(cases, tmp_path)


def test_a_scale_that_does_not_fit_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="scales of shape"):
        make_case("DequantizeLinear", _codes(np.int16, 3, 5), Constant(_scales(4)), opset=21)


def test_unsigned_activations_of_16_bits_are_computed_in_float32(tmp_path: Path) -> None:
    net = Builder()
    y = net.qdq(net.add("Relu", net.qdq("x", 0.001, 40000, np.uint16)), 0.0005, 3, np.uint16)
    path = save(net.model({"x": [1, 3, 8, 8]}, y, opset=21), tmp_path / "model.onnx")
    graph = normal_form(path, HOST)
    assert_proven(path)
    left = conversions(graph)
    assert "Clip" in ops(graph) and len(left) == 4
    assert all("uint16: there are integer kernels for int8, uint8 and int16 only" in c.reason for c in left)


def test_codes_that_are_computed_are_not_taken_for_quantized_ones(tmp_path: Path) -> None:
    """uint8 codes that an operator computes with must keep their values, whoever dequantizes them."""
    weights = RNG.integers(0, 255, (4, 3), np.uint8)
    nodes = [
        make_node("MatMulInteger", ["x", "w"], "y"),
        make_node("DequantizeLinear", ["x", "s", "z"], "real"),
    ]
    constants = {"w": weights, "s": np.float32(0.1), "z": np.uint8(7)}
    model = make_model(nodes, {"x": [2, 4]}, ["y", "real"], constants, dtype=onnx.TensorProto.UINT8)
    with pytest.raises(UnsupportedError, match="reads the uint8 codes 'x'"):
        normal(model, tmp_path)
