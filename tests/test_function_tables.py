"""Float32 islands that are a function of one int8 value become tables of 256 entries."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models import HOST, Builder, assert_proven, normal, ops
from pingponnx.rewrite import fuse
from pingponnx.rewrite.unfolded import conversions

IMAGE = {"x": [1, 3, 8, 8]}


def _swish(net: Builder, a: str) -> str:
    return net.add("Mul", a, net.add("Sigmoid", a))


def _polynomial(net: Builder, a: str) -> str:
    half = net.add("Mul", a, np.float32(0.5))
    return net.add("Add", net.add("Mul", half, half), np.array([0.25], np.float32))


@pytest.mark.parametrize("function", [_swish, _polynomial])
@pytest.mark.parametrize(("dtype", "zero"), [(np.int8, -20), (np.uint8, 100)])
def test_a_chain_of_functions_is_one_table(
    function: Callable[[Builder, str], str], dtype: type, zero: int, tmp_path: Path
) -> None:
    net = Builder()
    a = net.qdq(net.qconv(net.qdq("x", 0.02, zero, dtype), 3, 4), 0.05, zero, dtype)
    y = net.qdq(function(net, a), 0.04, zero, dtype)
    graph = fuse(normal(net.model(IMAGE, y), tmp_path))
    assert ops(graph) == ["Conv", "FunctionTable"] and conversions(graph) == ()
    found = assert_proven(tmp_path / "model.onnx", HOST)
    assert found.outputs.max_lsb is not None and found.outputs.max_lsb <= 1


def test_what_others_read_as_real_numbers_stays(tmp_path: Path) -> None:
    net = Builder()
    a = net.qdq(net.qconv(net.qdq("x", 0.02, 3), 3, 4), 0.05, -20)
    s = _swish(net, a)
    y = net.qdq(s, 0.04, -20)
    graph = fuse(normal(net.model(IMAGE, y, s), tmp_path))
    assert {"FunctionTable", "DequantizeLinear", "Sigmoid", "Mul"} <= set(ops(graph))
    assert_proven(tmp_path / "model.onnx")


def test_a_function_of_two_tensors_or_of_many_numbers_is_none(tmp_path: Path) -> None:
    net = Builder()
    x = net.qdq("x", 0.02, 3)
    a, b = net.qdq(net.qconv(x, 3, 4), 0.05, -20), net.qdq(net.qconv(x, 3, 4), 0.04, 7)
    two = net.qdq(net.add("Tanh", net.add("Mul", net.add("Sigmoid", a), b)), 0.01, 0)
    many = net.qdq(net.add("Tanh", net.add("Mul", net.add("Sigmoid", a), net.normal(4, 1, 1))), 0.01, 0)
    graph = fuse(normal(net.model(IMAGE, two, many), tmp_path))
    assert "FunctionTable" not in ops(graph) and len(conversions(graph)) == 4
    assert_proven(tmp_path / "model.onnx")
