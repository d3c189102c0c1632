"""The ONNX backend by its own interface; what it computes, test_conformance.py shows."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from models import Builder, make_model, make_node
from pingponnx import backend
from pingponnx.errors import Error


def test_a_model_runs_at_once() -> None:
    net = Builder()
    (y,) = backend.run_model(net.model({"x": [1, 3]}, net.add("Neg", "x")), [np.float32([[1, -2, 3]])])
    np.testing.assert_array_equal(y, np.float32([[-1, 2, -3]]))


@pytest.mark.parametrize(
    ("device", "known"), [("CPU", True), ("CPU:0", True), ("CUDA", False), ("", False), ("x", False)]
)
def test_only_the_host_is_a_device(device: str, known: bool) -> None:
    assert backend.supports_device(device) is known


def test_other_devices_are_refused() -> None:
    model = make_model([make_node("Neg", ["x"], "y")], {"x": [1, 3]}, ["y"])
    with pytest.raises(Error, match="no device 'CUDA'"):
        backend.run_model(model, [np.zeros((1, 3), np.float32)], "CUDA")
    assert not backend.is_compatible(model, "CUDA")
    assert not backend.is_compatible(_half())


def _half() -> onnx.ModelProto:
    return make_model([make_node("Neg", ["x"], "y")], {"x": [1, 3]}, ["y"], dtype=TensorProto.FLOAT16)
