"""Rewriting: what is fused, folded and absorbed, and what must not be; every result is proven by running."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from models import Builder, assert_proven, make_model, make_node, normal, ops
from pingponnx.ir import DType, Graph
from pingponnx.load import load
from pingponnx.ops.conv import Conv
from pingponnx.ops.gemm import Gemm
from pingponnx.ops.pool import MaxPool
from pingponnx.rewrite import fuse, rewrite

IMAGE = {"x": [1, 3, 8, 8]}


def _check(model: onnx.ModelProto, folder: Path, expected: list[str]) -> Graph:
    """The operators of our engine's graph are these, and the C of it is right."""
    graph = fuse(normal(model, folder))
    assert ops(graph) == expected
    assert_proven(folder / "model.onnx")
    return graph


def _chain(*steps: tuple[str, dict[str, Any]], inputs: Any = None) -> onnx.ModelProto:
    """Conv, then these operators."""
    net = Builder()
    y = net.conv("x", 3, 4)
    for op_type, attributes in steps:
        y = net.add(op_type, y, *attributes.pop("inputs", ()), **attributes)
    return net.model(inputs or IMAGE, y)


# -- activations ------------------------------------------------------------------------------------


def _clip(low: float | None, high: float | None) -> tuple[str, dict[str, Any]]:
    bounds = ["" if v is None else np.float32(v) for v in (low, high)]
    return "Clip", {"inputs": bounds}


RELU: tuple[str, dict[str, Any]] = ("Relu", {})
CLIPS = {
    "Relu": ([RELU], (0.0, np.inf)),
    "Relu6": ([_clip(0, 6)], (0.0, 6.0)),
    "Clip below": ([_clip(-0.5, None)], (-0.5, np.inf)),
    "Clip above": ([_clip(None, 0.25)], (-np.inf, 0.25)),
    "two that nest": ([RELU, _clip(-1, 1)], (0.0, 1.0)),
    "two that do not meet": ([_clip(0, 0.5), _clip(1, 2)], (1.0, 1.0)),
    "two the other way round": ([_clip(1, 2), _clip(0, 0.5)], (0.5, 0.5)),
    "nothing is left": ([RELU, _clip(-2, -1)], (-1.0, -1.0)),
}


@pytest.mark.parametrize("name", CLIPS)
def test_clips_become_bounds_of_the_producer(name: str, tmp_path: Path) -> None:
    steps, bounds = CLIPS[name]
    steps = [(op_type, dict(attributes)) for op_type, attributes in steps]
    graph = _check(_chain(*steps), tmp_path, ["Conv"])
    (op,) = (node.op for node in graph.nodes if isinstance(node.op, Conv))
    assert (op.low, op.high) == bounds


@pytest.mark.parametrize("producer", ["Add", "Sub", "Mul", "MaxPool", "AveragePool", "Gemm", "MatMul"])
def test_relu_is_fused_into(producer: str, tmp_path: Path) -> None:
    net = Builder()
    shape = [1, 3, 8, 8] if producer.endswith("Pool") else [4, 6]
    if producer.endswith("Pool"):
        y = net.add(producer, "x", kernel_shape=[2, 2], strides=[1, 2])
    elif producer == "Gemm":
        y = net.add(producer, "x", net.normal(6, 5), net.normal(5))
    else:
        y = net.add(producer, "x", net.add("Transpose", "x", perm=[1, 0]) if producer == "MatMul" else "x")
    before = ["Transpose"] if producer == "MatMul" else []
    _check(net.model({"x": shape}, net.add("Relu", y)), tmp_path, [*before, producer])


def test_a_clip_with_two_readers_of_its_input_stays(tmp_path: Path) -> None:
    net = Builder()
    c = net.conv("x", 3, 4)
    y = net.add("Add", net.add("Relu", c), c)
    _check(net.model(IMAGE, y), tmp_path, ["Conv", "Clip", "Add"])


# -- constants that move into weights ---------------------------------------------------------------


def test_batch_normalization_moves_into_the_weights(tmp_path: Path) -> None:
    statistics = [
        np.array(v, np.float32) for v in ([1, -2, 0.5, 3], [0, 1, 2, 3], [0.1, 0.2, -0.3, 0], [1, 2, 3, 4])
    ]
    model = _chain(("BatchNormalization", {"inputs": statistics}), RELU)
    _check(model, tmp_path, ["Conv"])


def test_batch_normalization_alone_stays(tmp_path: Path) -> None:
    net = Builder()
    statistics = [np.abs(net.normal(3)) for _ in range(4)]
    y = net.add("BatchNormalization", net.add("Relu", "x"), *statistics)
    _check(net.model(IMAGE, y), tmp_path, ["Clip", "ScaleShift"])


@pytest.mark.parametrize("swapped", [False, True])
def test_matmul_and_add_are_fully_connected(swapped: bool, tmp_path: Path) -> None:
    net = Builder()
    product = net.add("MatMul", "x", net.normal(6, 5))
    terms = (net.normal(5), product) if swapped else (product, net.normal(5))
    graph = _check(net.model({"x": [2, 6]}, net.add("Relu", net.add("Add", *terms))), tmp_path, ["Gemm"])
    assert len(next(n for n in graph.nodes if isinstance(n.op, Gemm)).inputs) == 3


def test_an_addition_that_varies_over_rows_is_no_bias(tmp_path: Path) -> None:
    net = Builder()
    y = net.add("Add", net.add("MatMul", "x", net.normal(6, 5)), net.normal(2, 5))
    _check(net.model({"x": [2, 6]}, y), tmp_path, ["Gemm", "Add"])


def test_zero_padding_moves_into_the_convolution(tmp_path: Path) -> None:
    net = Builder()
    padded = net.add("Pad", "x", np.array([0, 0, 1, 2, 0, 0, 3, 0]))
    _check(net.model(IMAGE, net.conv(padded, 3, 4, pads=[1, 0, 1, 0])), tmp_path, ["Conv"])


def test_other_padding_stays(tmp_path: Path) -> None:
    net = Builder()
    padded = net.add("Pad", "x", np.array([0, 0, 1, 1, 0, 0, 1, 1]), np.float32(0.5))
    _check(net.model(IMAGE, net.conv(padded, 3, 4)), tmp_path, ["PadValue", "Conv"])


# -- convolution and max-pool -----------------------------------------------------------------------

POOLS: dict[str, tuple[dict[str, Any], bool]] = {
    "2x2": ({"kernel_shape": [2, 2], "strides": [2, 2]}, True),
    "gaps": ({"kernel_shape": [2, 1], "strides": [3, 2]}, True),
    "overlapping": ({"kernel_shape": [3, 3], "strides": [2, 2]}, False),
    "padded": ({"kernel_shape": [2, 2], "strides": [2, 2], "pads": [1, 1, 1, 1]}, False),
    "rounding up": ({"kernel_shape": [4, 4], "strides": [4, 4], "ceil_mode": 1}, False),
    "dilated": ({"kernel_shape": [2, 2], "strides": [3, 3], "dilations": [2, 2]}, False),
}


@pytest.mark.parametrize("name", POOLS)
def test_a_max_pool_is_fused_only_where_windows_are_apart(name: str, tmp_path: Path) -> None:
    attributes, legal = POOLS[name]
    model = _chain(RELU, ("MaxPool", dict(attributes)), _clip(0.1, 0.8))
    graph = _check(model, tmp_path, ["Conv"] if legal else ["Conv", "MaxPool"])
    (conv,) = (node.op for node in graph.nodes if isinstance(node.op, Conv))
    assert (conv.pool is not None) == legal


def test_a_max_pool_is_not_fused_when_the_map_is_read_again(tmp_path: Path) -> None:
    net = Builder()
    c = net.conv("x", 3, 4)
    pooled = net.add("MaxPool", c, kernel_shape=[2, 2], strides=[2, 2])
    mean = net.add("GlobalAveragePool", c)
    _check(
        net.model(IMAGE, net.add("Add", pooled, mean)), tmp_path, ["Conv", "MaxPool", "AveragePool", "Add"]
    )


def test_a_max_pool_is_not_fused_when_the_map_is_an_output(tmp_path: Path) -> None:
    net = Builder()
    c = net.conv("x", 3, 4)
    pooled = net.add("MaxPool", c, kernel_shape=[2, 2], strides=[2, 2])
    _check(net.model(IMAGE, c, pooled), tmp_path, ["Conv", "MaxPool"])


def test_only_our_engine_fuses_pools(examples: Path) -> None:
    graph = rewrite(load(examples / "paper_cifar" / "paper_cifar_int8.onnx"))
    assert ops(graph) == ["Conv", "MaxPool"] * 3 + ["Gemm"]
    assert ops(fuse(graph)) == ["Conv"] * 3 + ["Gemm"]


# -- layout -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["lenet5/lenet5_f32", "lenet5/lenet5_f32_legacy", "lenet5/lenet5_int8"])
def test_lenet_has_no_transpose(model: str, examples: Path) -> None:
    graph = fuse(rewrite(load(examples / f"{model}.onnx")))
    assert ops(graph) == ["Conv", "Conv", "Gemm", "Gemm", "Gemm"]


def test_a_residual_network_stays_channels_last(tmp_path: Path) -> None:
    net = Builder()
    a = net.add("Relu", net.conv("x", 3, 4, pads=[1] * 4))
    b = net.conv(net.add("Relu", net.conv(a, 4, 4, pads=[1] * 4)), 4, 4, pads=[1] * 4)
    c = net.add("Relu", net.add("Add", a, b))
    both = net.add("Concat", c, net.add("Mul", c, net.normal(4, 1, 1)), axis=1)
    flat = net.add("Flatten", net.add("AveragePool", both, kernel_shape=[4, 4], strides=[4, 4]))
    y = net.add("Gemm", flat, net.normal(32, 5), net.normal(5))
    expected = ["Conv", "Conv", "Conv", "Add", "Mul", "Concat", "AveragePool", "Gemm"]
    _check(net.model(IMAGE, y), tmp_path, expected)


def test_transposes_of_other_frameworks_meet_and_vanish(tmp_path: Path) -> None:
    """tf2onnx: the input is channels-last, and every layer is wrapped in transposes."""
    net = Builder()
    a = net.add("Transpose", "x", perm=[0, 3, 1, 2])
    b = net.add("Transpose", net.conv(a, 3, 4), perm=[0, 2, 3, 1])
    c = net.add("Transpose", net.add("Relu", b), perm=[0, 3, 1, 2])
    d = net.add("Transpose", net.conv(c, 4, 2), perm=[0, 2, 3, 1])
    graph = _check(net.model({"x": [1, 8, 8, 3]}, d), tmp_path, ["Conv", "Conv"])
    assert graph.tensors[graph.inputs[0]].shape == (1, 8, 8, 3)


def test_a_transpose_that_moves_data_stays(tmp_path: Path) -> None:
    net = Builder()
    y = net.add("Softmax", net.add("Transpose", net.add("Relu", "x"), perm=[1, 0]))
    _check(net.model({"x": [3, 5]}, y), tmp_path, ["Clip", "Softmax", "Transpose"])


def test_a_transpose_of_unit_axes_is_free(tmp_path: Path) -> None:
    net = Builder()
    y = net.add("Relu", net.add("Transpose", "x", perm=[2, 0, 1]))
    _check(net.model({"x": [1, 6, 1]}, y), tmp_path, ["Clip"])


def test_flatten_after_a_map_permutes_the_weights_not_the_map(tmp_path: Path) -> None:
    net = Builder()
    pooled = net.add("MaxPool", net.conv("x", 3, 4), kernel_shape=[2, 2], strides=[2, 2])
    y = net.add("Gemm", net.add("Reshape", pooled, np.array([1, -1])), net.normal(5, 36), transB=1)
    graph = _check(net.model(IMAGE, y), tmp_path, ["Conv", "Gemm"])
    assert not any(isinstance(node.op, MaxPool) for node in graph.nodes)


def test_one_dimensional_convolutions(tmp_path: Path) -> None:
    net = Builder()
    a = net.add("Relu", net.add("Conv", "x", net.normal(4, 3, 5), net.normal(4), dilations=[2], pads=[4, 0]))
    b = net.add("MaxPool", a, kernel_shape=[2], strides=[2])
    y = net.add("Squeeze", net.add("GlobalAveragePool", b), np.array([2]))
    graph = _check(net.model({"x": [1, 3, 20]}, y), tmp_path, ["Conv", "AveragePool"])
    assert all(t.dtype is DType.F32 for t in graph.tensors.values())


def test_dropout_and_identity_are_gone(tmp_path: Path) -> None:
    nodes = [
        make_node("Dropout", ["x"], "a"),
        make_node("Relu", ["a"], "b"),
        make_node("Identity", ["b"], "y"),
    ]
    graph = _check(make_model(nodes, IMAGE, ["y"]), tmp_path, ["Clip"])
    assert [type(n.op).__name__ for n in graph.nodes].count("Reshape") <= 1


def test_chains_of_nodes_that_change_nothing_vanish(tmp_path: Path) -> None:
    """A transpose of unit axes that is an identity, then reshapes of which some are identities too."""
    b = Builder()
    y = b.add("Transpose", b.add("Tanh", "x"), perm=[0, 2, 1, 3])
    for shape in ((1, 1, 8), (1, 1, 8), (1, 8), (1, 8)):
        y = b.add("Reshape", y, np.array(shape))
    _check(b.model({"x": [1, 1, 1, 8]}, b.add("Relu", y)), tmp_path, ["Tanh", "Clip"])
