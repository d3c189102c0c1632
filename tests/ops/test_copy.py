"""Copy: an output that is a constant."""

from pathlib import Path

import numpy as np
import onnx

from models import assert_proven, make_model, make_node, save


def test_a_constant_output_of_every_type(tmp_path: Path) -> None:
    types = ["float32", "float64", "int8", "uint16", "int64", "uint64", "bool"]
    nodes = [make_node("Identity", [f"c{i}"], f"y{i}") for i in range(len(types))]
    constants = {f"c{i}": np.array([0, 1, 1], t) for i, t in enumerate(types)}
    model = make_model([make_node("Relu", ["x"], "y"), *nodes], {"x": [1, 3]}, ["y"], constants)
    for i, t in enumerate(types):
        kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(t))
        model.graph.output.append(onnx.helper.make_tensor_value_info(f"y{i}", kind, [3]))
    assert_proven(save(model, tmp_path / "m.onnx"))
