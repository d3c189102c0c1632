"""Range, EyeLike, ConstantOfShape: constants that the shapes decide."""

from pathlib import Path

import numpy as np
from onnx import helper

from models import assert_proven, make_model, make_node, save
from pingponnx.backend import prepare


def test_a_unit_matrix_is_a_constant(tmp_path: Path) -> None:
    nodes = [make_node("EyeLike", ["x"], "e", k=1), make_node("Add", ["x", "e"], "y")]
    assert_proven(save(make_model(nodes, {"x": [3, 4]}, ["y"]), tmp_path / "m.onnx"))


def test_a_range_is_fixed_when_it_is_run() -> None:
    inputs = [helper.make_tensor_value_info(n, 6, []) for n in ("start", "limit", "step")]
    graph = helper.make_graph(
        [make_node("Range", ["start", "limit", "step"], "y")],
        "range",
        inputs,
        [helper.make_tensor_value_info("y", 6, [None])],
    )
    model = prepare(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8))
    for bounds in ((0, 5, 2), (9, 1, -3)):
        (found,) = model.run([np.array(b, np.int32) for b in bounds])
        np.testing.assert_array_equal(found, np.arange(*bounds))
    assert model.fixed == ("start", "limit", "step")
