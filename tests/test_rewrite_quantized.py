"""QDQ folding: what becomes integer, what stays a float32 island, and that both compute the right thing."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from models import HOST, Builder, assert_proven, normal, ops
from pingponnx.fixed_point import Rounding
from pingponnx.ir import DType, Graph
from pingponnx.pipeline import Options
from pingponnx.rewrite import fuse

IMAGE = {"x": [1, 3, 8, 8]}
TFLITE = Options(target="host", rounding=Rounding.TFLITE)
TYPES = pytest.mark.parametrize(("dtype", "zero"), [(np.int8, -11), (np.uint8, 117)])


def _check(model: onnx.ModelProto, folder: Path, expected: list[str], *, integer: bool = True) -> Graph:
    graph = fuse(normal(model, folder))
    assert ops(graph) == expected
    if integer:
        assert {graph.tensors[n.outputs[0]].dtype for n in graph.nodes} <= {DType.S8}
    path = folder / "model.onnx"
    assert_proven(path, HOST)
    assert_proven(path, TFLITE)
    return graph


@TYPES
def test_a_quantized_network_is_integer_from_end_to_end(dtype: Any, zero: int, tmp_path: Path) -> None:
    net = Builder()
    x, lowest = net.qdq("x", 0.02, zero, dtype), np.iinfo(dtype).min
    a = net.qdq(net.add("Relu", net.qconv(x, 3, 4)), 0.03, lowest, dtype)
    b = net.qdq(net.add("MaxPool", a, kernel_shape=[2, 2], strides=[2, 2]), 0.03, lowest, dtype)
    c = net.qdq(net.add("Flatten", b), 0.03, lowest, dtype)
    y = net.qdq(net.add("Gemm", c, net.weights(5, 36), transB=1), 0.1, zero, dtype)
    graph = _check(net.model(IMAGE, y), tmp_path, ["Conv", "Gemm"])
    (port,) = (graph.tensors[n] for n in graph.inputs)
    expected = zero if dtype is np.int8 else zero - 128
    assert port.dtype is DType.S8 and port.quantization is not None and port.quantization.z == expected


@TYPES
def test_weights_of_the_same_type(dtype: Any, zero: int, tmp_path: Path) -> None:
    """uint8 weights have zero points of their own."""
    net = Builder()
    x = net.qdq("x", 0.02, zero, dtype)
    y = net.qdq(net.add("Conv", x, net.weights(4, 3, 3, 3, dtype=dtype)), 0.07, zero, dtype)
    _check(net.model(IMAGE, y), tmp_path, ["Conv"])


def test_relu_between_operator_and_quantizer(tmp_path: Path) -> None:
    """As PT2E writes it: Conv, Q, DQ, Relu, Q, DQ."""
    net = Builder()
    a = net.qdq(net.qconv(net.qdq("x", 0.02, 3), 3, 4), 0.05, -20)
    y = net.qdq(net.add("Relu", a), 0.05, -20)
    _check(net.model(IMAGE, y), tmp_path, ["Conv"])


def test_relu_with_a_quantization_of_its_own_is_a_table(tmp_path: Path) -> None:
    net = Builder()
    a = net.qdq(net.qconv(net.qdq("x", 0.02, 3), 3, 4), 0.05, -20)
    y = net.qdq(net.add("Relu", a), 0.025, -128)
    _check(net.model(IMAGE, y), tmp_path, ["Conv", "Clip"])


@TYPES
def test_concat_of_different_scales(dtype: Any, zero: int, tmp_path: Path) -> None:
    net = Builder()
    x = net.qdq("x", 0.02, zero, dtype)
    a = net.qdq(net.qconv(x, 3, 4), 0.05, zero, dtype)
    b = net.qdq(net.qconv(x, 3, 2), 0.02, zero + 5, dtype)
    y = net.qdq(net.add("Concat", a, b, a, axis=1), 0.05, zero, dtype)
    _check(net.model(IMAGE, y), tmp_path, ["Conv", "Conv", "Requantize", "Concat"])


def test_max_pool_of_different_scales_pools_first(tmp_path: Path) -> None:
    net = Builder()
    x = net.qdq("x", 0.02, 3)
    y = net.qdq(net.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2]), 0.03, -7)
    _check(net.model(IMAGE, y), tmp_path, ["MaxPool", "Requantize"])


def test_moves_of_codes_need_no_arithmetic(tmp_path: Path) -> None:
    net = Builder()
    x = net.qdq("x", 0.02, 3)
    r = net.qdq(net.add("Reshape", x, np.array([1, 6, 32])), 0.02, 3)
    t = net.qdq(net.add("Transpose", r, perm=[0, 2, 1]), 0.02, 3)
    p = net.qdq(net.add("Pad", t, np.array([0, 1, 0, 0, 0, 2])), 0.02, 3)
    y = net.qdq(net.add("Squeeze", p, np.array([0])), 0.02, 3)
    graph = normal(net.model(IMAGE, y), tmp_path)
    assert ops(graph) == ["Transpose", "Pad"] or ops(graph) == ["Pad", "Transpose"]
    assert_proven(tmp_path / "model.onnx")


def test_two_inputs_two_outputs(tmp_path: Path) -> None:
    net = Builder()
    a, b = net.qdq("x", 0.02, 3), net.qdq("z", 0.03, -9)
    total = net.qdq(net.add("Add", a, b), 0.05, 0)
    product = net.qdq(net.add("Mul", a, b), 0.01, 20)
    graph = _check(net.model({"x": [1, 6], "z": [1, 6]}, total, product), tmp_path, ["Add", "Mul"])
    assert [graph.ports[n].name for n in graph.inputs] == ["x", "z"]


@pytest.mark.parametrize("op_type", ["Add", "Sub", "Mul"])
def test_a_constant_operand(op_type: str, tmp_path: Path) -> None:
    net = Builder()
    x = net.qdq("x", 0.02, 3)
    c = net.add(
        "DequantizeLinear", net.rng.integers(-128, 128, (3, 1, 1), np.int8), np.float32(0.01), np.int8(4)
    )
    y = net.qdq(net.add(op_type, c, x), 0.04, -3)
    _check(net.model(IMAGE, y), tmp_path, [op_type])


def test_activations_become_tables(tmp_path: Path) -> None:
    net = Builder()
    x = net.qdq("x", 0.05, 3)
    a = net.qdq(net.add("Sigmoid", x), 1 / 256, -128)
    b = net.qdq(net.add("Tanh", net.qdq(net.add("LeakyRelu", x, alpha=0.2), 0.05, -60)), 1 / 128, 0)
    y = net.qdq(net.add("Mul", a, b), 1 / 128, 0)
    graph = normal(net.model(IMAGE, y), tmp_path)
    assert sorted(ops(graph)) == ["LeakyRelu", "Mul", "Sigmoid", "Tanh"]
    assert_proven(tmp_path / "model.onnx")


# -- islands ----------------------------------------------------------------------------------------


def test_what_has_no_quantizer_stays_float(tmp_path: Path) -> None:
    net = Builder()
    a = net.qdq(net.qconv(net.qdq("x", 0.02, 3), 3, 4), 0.05, -20)
    y = net.qdq(net.qconv(net.qdq(net.conv(a, 4, 4), 0.04, 5), 4, 2), 0.1, 0)
    expected = ["Conv", "DequantizeLinear", "Conv", "QuantizeLinear", "Conv"]
    graph = _check(net.model(IMAGE, y), tmp_path, expected, integer=False)
    types = [graph.tensors[n.outputs[0]].dtype for n in graph.nodes if not n.op.alias]
    assert types == [DType.S8, DType.F32, DType.F32, DType.S8, DType.S8]


def test_an_operator_without_an_integer_kernel_is_an_island(tmp_path: Path) -> None:
    net = Builder()
    x = net.qdq("x", 0.02, 3)
    y = net.qdq(net.add("LRN", x, size=3), 0.05, 1)
    expected = ["DequantizeLinear", "LRN", "QuantizeLinear"]
    _check(net.model(IMAGE, y), tmp_path, expected, integer=False)


def test_float_weights_keep_a_layer_in_float(tmp_path: Path) -> None:
    net = Builder()
    y = net.qdq(net.add("Gemm", net.qdq("x", 0.02, 3), net.normal(6, 5)), 0.05, 1)
    _check(
        net.model({"x": [1, 6]}, y), tmp_path, ["DequantizeLinear", "Gemm", "QuantizeLinear"], integer=False
    )


def test_float_activations_with_quantized_weights(tmp_path: Path) -> None:
    """Weight-only quantization, as tf2onnx writes for pointwise layers: computed in float32."""
    net = Builder()
    y = net.add("Relu", net.add("Conv", "x", net.weights(4, 3, 3, 3), net.normal(4)))
    graph = _check(net.model(IMAGE, y), tmp_path, ["Conv"], integer=False)
    assert {t.dtype for t in graph.tensors.values()} == {DType.F32}


def test_a_tensor_quantized_in_two_ways_stays_float_until_then(tmp_path: Path) -> None:
    net = Builder()
    c = net.qconv(net.qdq("x", 0.02, 3), 3, 4)
    one, two = net.qdq(c, 0.05, -20), net.qdq(c, 0.1, 7)
    expected = ["DequantizeLinear", "Conv", "QuantizeLinear", "QuantizeLinear"]
    _check(net.model(IMAGE, one, two), tmp_path, expected, integer=False)


def test_a_tensor_quantized_twice_alike_is_quantized_once(tmp_path: Path) -> None:
    net = Builder()
    c = net.qconv(net.qdq("x", 0.02, 3), 3, 4)
    a, b = net.qdq(c, 0.05, -20), net.qdq(c, 0.05, -20)
    y = net.qdq(net.add("Mul", a, b), 0.1, 0)
    _check(net.model(IMAGE, y), tmp_path, ["Conv", "Mul"])


def test_a_float_bias_is_quantized_as_the_accumulator(tmp_path: Path) -> None:
    net = Builder()
    x = net.qdq("x", 0.02, 3)
    y = net.qdq(net.add("Conv", x, net.weights(4, 3, 3, 3), net.normal(4)), 0.06, -5)
    _check(net.model(IMAGE, y), tmp_path, ["Conv"])


def test_scales_of_a_half_and_more(tmp_path: Path) -> None:
    """The requantization scale is about 2 * 0.5 * 0.0075 / 0.002 = 3.75: multipliers with a left shift."""
    net = Builder()
    x = net.qdq("x", 0.5, 3)
    y = net.qdq(net.qconv(x, 3, 4, kernel=1), 0.002, 0)
    _check(net.model(IMAGE, y), tmp_path, ["Conv"])
