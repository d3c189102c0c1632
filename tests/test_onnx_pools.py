"""ceil_mode windows that start in the end padding, which older shape inference counts and nobody computes."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from models import make_model, make_node, save
from pingponnx.errors import ModelError
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


def test_endless_pools_are_refused(tmp_path: Path) -> None:
    endless = {"kernel_shape": [9, 9], "strides": [2, 2], "pads": [8, 8, 8, 8], "ceil_mode": 1}
    with pytest.raises(ModelError, match="more than 32 pools with ceil_mode"):
        load(save(_model("MaxPool", [endless] * 40), tmp_path / "model.onnx"))
