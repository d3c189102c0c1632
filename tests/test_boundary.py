"""The model's edge: layouts and types that callers see, inputs and outputs of every shape and number."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from models import HOST, Builder, assert_proven, execute, make_model, make_node, normal, ops, save
from pingponnx.ir import Array, DType, Graph
from pingponnx.oracle import Oracle
from pingponnx.pipeline import convert, normal_form
from pingponnx.samples import random_samples, to_real

IMAGE = {"x": [1, 3, 8, 8]}


def _onnx_values(graph: Graph, outputs: list[Array]) -> list[Array]:
    """Our outputs as real numbers in ONNX's layout."""
    found = []
    for name, value in zip(graph.outputs, outputs, strict=True):
        real, port = to_real(graph.tensors[name], value), graph.ports[name]
        if port.permutation is not None:
            real = real.transpose(np.argsort(port.permutation))
        found.append(real)
    return found


def _compare(
    model: onnx.ModelProto, folder: Path, *, float_io: bool, nchw_io: bool, tolerance: float
) -> Graph:
    """Run the C of a model with these options, onnxruntime with the same inputs; returns the graph."""
    path = save(model, folder / "model.onnx")
    options = replace(HOST, float_io=float_io, nchw_io=nchw_io)
    graph = normal_form(path, options)
    oracle, samples = Oracle(path), random_samples(normal_form(path, HOST))
    conversion = convert(graph, options)
    for sample, outputs in zip(samples, execute(conversion, samples, sanitize=True), strict=True):
        for got, want in zip(_onnx_values(conversion.graph, outputs), oracle.outputs(sample), strict=True):
            assert got.shape == want.shape
            np.testing.assert_allclose(got, want, rtol=0, atol=tolerance)
    return conversion.graph


def _image_to_image(*, quantized: bool) -> onnx.ModelProto:
    net = Builder()
    if not quantized:
        return net.model(IMAGE, net.conv(net.add("Relu", net.conv("x", 3, 4)), 4, 2))
    a = net.qdq(net.add("Relu", net.qconv(net.qdq("x", 0.02, 3), 3, 4)), 0.03, -128)
    return net.model(IMAGE, net.qdq(net.qconv(a, 4, 2), 0.05, 7))


BOTH = pytest.mark.parametrize("float_io", [False, True])
ORDERS = pytest.mark.parametrize("nchw_io", [False, True])


@BOTH
@ORDERS
def test_a_quantized_image_network(float_io: bool, nchw_io: bool, tmp_path: Path) -> None:
    model = _image_to_image(quantized=True)
    graph = _compare(model, tmp_path, float_io=float_io, nchw_io=nchw_io, tolerance=0.0501)
    (x,), (y,) = ([graph.tensors[n] for n in names] for names in (graph.inputs, graph.outputs))
    assert {x.dtype, y.dtype} == {DType.F32 if float_io else DType.S8}
    assert (x.shape, y.shape) == (((1, 3, 8, 8), (1, 2, 4, 4)) if nchw_io else ((1, 8, 8, 3), (1, 4, 4, 2)))
    crossings = ["QuantizeLinear", "DequantizeLinear"] if float_io else []
    expected = sorted(["Conv", "Conv", *crossings, *(["Transpose", "Transpose"] if nchw_io else [])])
    assert sorted(ops(graph)) == expected


@BOTH
@ORDERS
def test_a_float_image_network(float_io: bool, nchw_io: bool, tmp_path: Path) -> None:
    model = _image_to_image(quantized=False)
    graph = _compare(model, tmp_path, float_io=float_io, nchw_io=nchw_io, tolerance=1e-5)
    assert graph.tensors[graph.inputs[0]].shape == ((1, 3, 8, 8) if nchw_io else (1, 8, 8, 3))
    assert sorted(ops(graph)) == sorted(["Conv", "Conv", *(["Transpose", "Transpose"] if nchw_io else [])])


def test_the_header_says_what_callers_need(tmp_path: Path) -> None:
    path = save(_image_to_image(quantized=True), tmp_path / "model.onnx")
    header = convert(normal_form(path, HOST), HOST).sources["model.h"]
    for line in (
        '/* Input 0, "x": int8_t 1x8x8x3, channels last (n h w c); real = (value - zero point) * scale */',
        "#define MODEL_INPUT_0_SIZE 192",
        "#define MODEL_INPUT_0_SCALE 2.0e-02f",
        "#define MODEL_INPUT_0_ZERO_POINT (3)",
        "#define MODEL_OUTPUT_0_SIZE 32",
        "#define MODEL_OUTPUT_0_SCALE 5.0e-02f",
        "#define MODEL_OUTPUT_0_ZERO_POINT (7)",
        "int model_quantize_input_0(model_arena *arena, const float *real);",
        "int model_dequantize_output_0(const model_arena *arena, float *real);",
    ):
        assert line in header, line
    options = replace(HOST, float_io=True, nchw_io=True)
    header = convert(normal_form(path, options), options).sources["model.h"]
    assert '"x": float 1x3x8x8 */' in header
    assert "SCALE" not in header and "channels last" not in header


def test_unsigned_inputs_and_outputs_stay_unsigned(tmp_path: Path) -> None:
    """An ONNX model that itself takes and gives uint8."""
    s, z = np.float32(0.05), np.uint8(120)
    net = Builder()
    x = net.add("DequantizeLinear", "x", s, z)
    y = net.add("QuantizeLinear", net.add("Conv", x, net.weights(4, 3, 3, 3, dtype=np.uint8)), s, z)
    model = net.model(IMAGE, y, dtype=TensorProto.UINT8)
    graph = normal(model, tmp_path)
    assert {graph.tensors[n].dtype for n in (*graph.inputs, *graph.outputs)} == {DType.U8}
    assert sorted(ops(graph)) == ["Conv", "FlipSign", "FlipSign"]
    assert_proven(tmp_path / "model.onnx")


# -- number and kind of inputs and outputs ----------------------------------------------------------


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    net = Builder()
    a, b = net.conv("x", 3, 4), net.conv("z", 2, 4)
    total = net.add("Add", a, b)
    mean = net.add("Flatten", net.add("GlobalAveragePool", total))
    scaled = net.add("Mul", mean, "v")
    model = net.model({**IMAGE, "z": [1, 2, 8, 8], "v": [1, 4]}, scaled, total, mean)
    graph = normal(model, tmp_path)
    assert [graph.ports[n].name for n in graph.inputs] == ["x", "z", "v"]
    assert [graph.ports[n].name for n in graph.outputs] == [scaled, total, mean]
    assert "Transpose" not in ops(graph)
    assert_proven(tmp_path / "model.onnx")


def test_an_output_that_is_read_inside(tmp_path: Path) -> None:
    net = Builder()
    a = net.add("Relu", net.conv("x", 3, 4))
    y = net.conv(a, 4, 2)
    _compare(net.model(IMAGE, a, y), tmp_path, float_io=False, nchw_io=False, tolerance=1e-5)
    assert_proven(tmp_path / "model.onnx")


def test_a_quantized_output_that_is_read_inside(tmp_path: Path) -> None:
    net = Builder()
    a = net.qdq(net.add("Relu", net.qconv(net.qdq("x", 0.02, 3), 3, 4)), 0.03, -128)
    y = net.qdq(net.qconv(a, 4, 2), 0.05, 7)
    graph = _compare(net.model(IMAGE, a, y), tmp_path, float_io=False, nchw_io=False, tolerance=0.0501)
    assert {graph.tensors[n].dtype for n in graph.outputs} == {DType.S8}
    assert_proven(tmp_path / "model.onnx")


def test_one_value_under_two_output_names(tmp_path: Path) -> None:
    net = Builder()
    a = net.conv("x", 3, 4)
    same = net.add("Identity", a)
    _compare(net.model(IMAGE, a, same), tmp_path, float_io=False, nchw_io=False, tolerance=1e-5)


NOTHING = {
    "the input itself": ([], "x"),
    "its identity": ([make_node("Identity", ["x"], "y")], "y"),
    "its shape changed": ([make_node("Flatten", ["x"], "y")], "y"),
    "only transposed": ([make_node("Transpose", ["x"], "y", perm=[0, 2, 3, 1])], "y"),
    "transposed otherwise": ([make_node("Transpose", ["x"], "y", perm=[3, 0, 2, 1])], "y"),
}


@ORDERS
@pytest.mark.parametrize("name", NOTHING)
def test_a_model_that_computes_nothing(name: str, nchw_io: bool, tmp_path: Path) -> None:
    nodes, output = NOTHING[name]
    relu = make_node("Relu", ["x"], "other")
    model = make_model([*nodes, relu], {"x": [1, 3, 4, 2]}, [output, "other"])
    _compare(model, tmp_path, float_io=False, nchw_io=nchw_io, tolerance=0)


def test_an_input_that_is_not_read(tmp_path: Path) -> None:
    model = make_model([make_node("Relu", ["z"], "y")], {**IMAGE, "z": [1, 5]}, ["y"])
    graph = _compare(model, tmp_path, float_io=False, nchw_io=False, tolerance=0)
    assert len(graph.inputs) == 2


def test_an_output_that_no_input_reaches_is_copied(tmp_path: Path) -> None:
    net = Builder()
    constant = net.add("Relu", net.normal(1, 5))
    model = net.model({"x": [1, 5]}, net.add("Add", "x", constant), constant)
    graph = _compare(model, tmp_path, float_io=False, nchw_io=False, tolerance=0)
    assert [type(node.op).__name__ for node in graph.nodes] == ["Add", "Copy"]


def test_an_input_quantized_twice_alike_is_quantized_by_the_caller(tmp_path: Path) -> None:
    net = Builder()
    a, b = net.qdq("x", 0.02, 3), net.qdq("x", 0.02, 3)
    y = net.qdq(net.add("Add", net.qdq(net.add("Sigmoid", a), 1 / 256, -128), b), 0.02, 3)
    graph = _compare(net.model({"x": [1, 7]}, y), tmp_path, float_io=False, nchw_io=False, tolerance=0.0201)
    assert graph.tensors[graph.inputs[0]].dtype is DType.S8


def test_an_input_quantized_in_two_ways_stays_float(tmp_path: Path) -> None:
    net = Builder()
    y = net.qdq(net.add("Add", net.qdq("x", 0.02, 3), net.qdq("x", 0.04, 0)), 0.05, 0)
    graph = _compare(net.model({"x": [1, 7]}, y), tmp_path, float_io=False, nchw_io=False, tolerance=0.0501)
    assert graph.tensors[graph.inputs[0]].dtype is DType.F32


def test_squeeze_and_excite_keeps_the_map_where_it_is(tmp_path: Path) -> None:
    net = Builder()
    a = net.conv("x", 3, 4)
    gate = net.add("Relu", net.conv(net.add("GlobalAveragePool", a), 4, 2, kernel=1))
    gate = net.add("Sigmoid", net.conv(gate, 2, 4, kernel=1))
    model = net.model(IMAGE, net.conv(net.add("Mul", a, gate), 4, 2))
    graph = normal(model, tmp_path)
    assert "Transpose" not in ops(graph)
    assert_proven(tmp_path / "model.onnx")
