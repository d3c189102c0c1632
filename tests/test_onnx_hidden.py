"""Nodes hidden from shape inference: what follows from them is right, and nothing ends the process."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from models import make_model, make_node, save
from pingponnx.errors import Error
from pingponnx.evaluate import evaluate
from pingponnx.fixed_point import Rounding
from pingponnx.load import load

LATE = {"kernel_shape": [1, 1], "strides": [1, 3], "ceil_mode": 1}  # of 5 columns the third window has none
MIXED = {"kernel_shape": [2, 1], "strides": [2, 3], "ceil_mode": 1}  # rows end with a window of one row
PADDED = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1}


def _model(kind: str, windows: list[dict[str, Any]], opset: int = 18, said: bool = True) -> onnx.ModelProto:
    """Pools after one another, what follows from their shapes, and what onnx says of these, if wanted."""
    nodes = [make_node(kind, [f"p{i}"], f"p{i + 1}", **w) for i, w in enumerate(windows)]
    last = f"p{len(windows)}"
    nodes += [make_node("Add", [last, last], "sum"), make_node("Shape", ["sum"], "shape")]
    nodes += [make_node("Expand", ["one", "shape"], "ones"), make_node("Sub", ["sum", "ones"], "y")]
    ones = np.ones((1, 1, 1, 1), np.float32)
    model = make_model(nodes, {"p0": [1, 2, 5, 5]}, ["y", last], {"one": ones}, opset=opset)
    if not said:
        del model.graph.value_info[:]
    return model


@pytest.mark.parametrize("said", [False, True])
@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("windows", [[LATE], [MIXED], [PADDED, PADDED], [MIXED, LATE]], ids=str)
def test_what_follows_has_the_size_that_onnxruntime_gives(
    kind: str, windows: list[dict[str, Any]], said: bool, tmp_path: Path
) -> None:
    path = save(_model(kind, windows, said=said), tmp_path / "model.onnx")
    x = np.random.default_rng(1).normal(size=(1, 2, 5, 5)).astype(np.float32)
    options = onnxruntime.SessionOptions()  # optimized, it would trust its own wrong inference
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options)
    graph = load(path)
    values = evaluate(graph, {"p0": x}, Rounding.SINGLE)
    for name, expected in zip(graph.outputs, session.run(None, {"p0": x}), strict=True):
        np.testing.assert_allclose(values[name], expected, rtol=1e-6)


def test_a_declared_size_that_is_right_is_no_contradiction(tmp_path: Path) -> None:
    """As PyTorch writes it, which drops these windows too."""
    model = _model("MaxPool", [LATE], said=False)
    model.graph.value_info.append(helper.make_tensor_value_info("sum", onnx.TensorProto.FLOAT, [1, 2, 5, 2]))
    assert load(save(model, tmp_path / "model.onnx")).nodes


def test_slices_that_go_backwards(tmp_path: Path) -> None:
    """Also of nothing, for which onnx ends the process."""
    for rows in (2, 0):
        stored = {
            "c": np.ones((rows, 3), np.float32),
            "start": np.array([-1]),
            "end": np.array([-9]),
            "step": np.array([-1]),
        }
        parts = ["start", "end", "axis", "step"]
        nodes = [make_node("Neg", ["c"], "n"), make_node("Slice", ["n", *parts], "d")]
        nodes += [make_node("Concat", ["x", "d"], "e", axis=0), make_node("Slice", ["e", *parts], "y")]
        model = make_model(
            [make_node("Relu", ["x"], "y")], {"x": [2, 3]}, ["y"], stored | {"axis": np.array([0])}
        )
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 2 + rows
        graph = load(save(model, tmp_path / "model.onnx"))
        x = np.arange(6, dtype=np.float32).reshape(2, 3)
        expected = np.concatenate([x, -stored["c"]])[::-1]
        np.testing.assert_array_equal(evaluate(graph, {"x": x}, Rounding.SINGLE)[graph.outputs[0]], expected)


def test_a_slice_of_less_than_nothing(tmp_path: Path) -> None:
    """What is left of an input by a convolution too large for it: onnx ends the process at the slice."""
    nodes = [make_node("Conv", ["x", "w"], "c"), make_node("Slice", ["c", "zero", "two", "axis"], "y")]
    bounds = {"zero": np.array([0]), "two": np.array([2]), "axis": np.array([2])}
    model = make_model(nodes[:1], {"x": [1, 1, 4]}, ["c"], bounds | {"w": np.ones((1, 1, 9), np.float32)})
    model.graph.node.append(nodes[1])
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 1, 2]))
    with pytest.raises(Error, match=r"'c' has the shape \[1, 1, -4\]"):
        load(save(model, tmp_path / "model.onnx"))


def test_many_slices_after_one_another(tmp_path: Path) -> None:
    bounds = {"one": np.array([1]), "end": np.array([100]), "axis": np.array([1])}
    nodes = [make_node("Slice", [f"s{i}", "one", "end", "axis"], f"s{i + 1}") for i in range(90)]
    graph = load(save(make_model(nodes, {"s0": [1, 100]}, ["s90"], bounds), tmp_path / "model.onnx"))
    assert graph.tensors[graph.outputs[0]].shape == (1, 10)


def test_an_expand_to_too_many_axes(tmp_path: Path) -> None:
    """Inference of opset 11 would make room for all of them."""
    axes = 2**26
    nodes = [make_node("Cast", ["long"], "shape", to=onnx.TensorProto.INT64)]
    nodes.append(make_node("Expand", ["x", "shape"], "y"))
    model = make_model([make_node("Relu", ["x"], "y")], {"x": [1], "long": [axes]}, ["y"], opset=11)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    with pytest.raises(Error, match=f"Expand node 'expand_y' has {axes} dimensions"):
        load(save(model, tmp_path / "model.onnx"))
