"""Integer operators as QDQ pairs: what onnxruntime's own quantizer writes, its own operators, Brevitas."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from models import HOST, Builder, assert_proven, make_model, normal, ops, save
from pingponnx.errors import UnsupportedError
from pingponnx.ir import DType
from pingponnx.pipeline import normal_form
from pingponnx.rewrite import fuse

IMAGE = {"x": [1, 4, 8, 8]}
POOL = {"kernel_shape": [2, 2], "strides": [2, 2]}


class _Calibration(CalibrationDataReader):
    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        self.data = iter([{"x": rng.normal(size=(1, 4, 8, 8)).astype(np.float32)} for _ in range(8)])

    def get_next(self) -> Any:
        return next(self.data, None)


def _network(folder: Path) -> Path:
    net = Builder()
    a = net.add("Relu", net.conv("x", 4, 6, pads=[1, 1, 1, 1]))
    b = net.add("MaxPool", net.conv(a, 6, 6, group=6, pads=[1, 1, 1, 1]), **POOL)
    c = net.add("AveragePool", a, **POOL)
    d = net.add("LeakyRelu", net.add("Concat", net.add("Add", b, c), net.add("Mul", b, c), axis=1))
    e = net.add("Flatten", net.add("GlobalAveragePool", net.add("Sigmoid", net.conv(d, 12, 8))))
    y = net.add("Softmax", net.add("Gemm", e, net.normal(5, 8), net.normal(5), transB=1))
    return save(net.model(IMAGE, y), folder / "float.onnx")


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("kind", [QuantType.QInt8, QuantType.QUInt8])
def test_what_onnxruntime_writes_as_qoperators(kind: QuantType, per_channel: bool, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantize_static(
            _network(tmp_path),
            path,
            _Calibration(),
            quant_format=QuantFormat.QOperator,
            per_channel=per_channel,
            activation_type=kind,
            weight_type=QuantType.QInt8,
        )
    used = {node.op_type for node in onnx.load(path).graph.node}
    assert {"QLinearConv", "QLinearAdd", "QLinearMul", "QLinearConcat", "QGemm"} <= used
    graph = fuse(normal_form(path, HOST))
    computed = [graph.tensors[n.outputs[0]].dtype for n in graph.nodes if not n.op.alias]
    assert computed == [DType.S8] * len(computed)
    found = assert_proven(path)
    assert found.outputs.max_lsb is not None and found.outputs.max_lsb <= 4


def _contrib(op_type: str, inputs: list[Any], tmp_path: Path, **attributes: Any) -> Path:
    """One operator of com.microsoft on the int8 input x."""
    net = Builder()
    names = [i if isinstance(i, str) else net.constant(i) for i in inputs]
    domain = "" if op_type == "QLinearMatMul" else "com.microsoft"
    node = helper.make_node(op_type, names, ["y"], name="node", domain=domain, **attributes)
    net.nodes.append(node)
    model = make_model(net.nodes, {"x": [1, 4, 6, 6]}, ["y"], net.constants, dtype=onnx.TensorProto.INT8)
    model.graph.output[0].CopyFrom(
        helper.make_tensor_value_info("y", onnx.TensorProto.INT8, [1, "a", "b", "c"])
    )
    return save(model, tmp_path / "model.onnx")


S, Z, T, U = np.float32(0.05), np.int8(3), np.float32(0.04), np.int8(-9)
MATRIX = np.random.default_rng(2).integers(-128, 127, (6, 5), np.int8)
CONTRIB = [
    ("QLinearAdd", ["x", S, Z, "x", S, Z, T, U], {}, "Add"),
    ("QLinearMul", ["x", S, Z, "x", S, Z, T, U], {}, "Mul"),
    ("QLinearConcat", [T, U, "x", S, Z, "x", S, Z], {"axis": 1}, "Concat"),
    ("QLinearSigmoid", ["x", S, Z, np.float32(1 / 256), np.int8(-128)], {}, "Sigmoid"),
    ("QLinearLeakyRelu", ["x", S, Z, T, U], {"alpha": 0.2}, "LeakyRelu"),
    ("QLinearSoftmax", ["x", S, Z, np.float32(1 / 256), np.int8(-128)], {"axis": -1, "opset": 18}, "Softmax"),
    ("QLinearGlobalAveragePool", ["x", S, Z, T, U], {}, "AveragePool"),
    ("QLinearAveragePool", ["x", S, Z, T, U], POOL, "AveragePool"),
    (
        "QLinearMatMul",
        ["x", S, Z, MATRIX, np.full(5, T), np.zeros(5, np.int8), np.float32(0.9), U],
        {},
        "Gemm",
    ),
]


@pytest.mark.parametrize(("op_type", "inputs", "attributes", "ours"), CONTRIB, ids=[c[0] for c in CONTRIB])
def test_an_operator_of_onnxruntime(
    op_type: str, inputs: list[Any], attributes: dict[str, Any], ours: str, tmp_path: Path
) -> None:
    path = _contrib(op_type, inputs, tmp_path, **attributes)
    assert [name for name in ops(normal_form(path, HOST)) if name != "Requantize"] == [ours]
    assert_proven(path)


def test_layouts_of_its_optimizer_are_refused_by_name(tmp_path: Path) -> None:
    path = _contrib("QLinearGlobalAveragePool", ["x", S, Z, T, U], tmp_path, channels_last=1)
    with pytest.raises(UnsupportedError, match="channels_last"):
        normal_form(path, HOST)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_codes_limited_to_fewer_bits_as_brevitas_does(dtype: Any, tmp_path: Path) -> None:
    """QCDQ: weights of 4 bits clipped to [-7, 7] before DequantizeLinear, activations to [0, 15] after Q."""
    net = Builder()
    scale, zero = np.float32(0.2), dtype(0)
    x = net.qdq("x", 0.02, 3)
    codes = net.add("Clip", np.arange(-108, 108, dtype=np.int8).reshape(6, 4, 3, 3), np.int8(-7), np.int8(7))
    weights = net.add("DequantizeLinear", codes, np.float32(0.03), np.int8(0))
    conv = net.add("Relu", net.add("Conv", x, weights, net.normal(6)))
    limited = net.add("Clip", net.add("QuantizeLinear", conv, scale, zero), dtype(0), dtype(15))
    y = net.qdq(net.add("MaxPool", net.add("DequantizeLinear", limited, scale, zero), **POOL), 0.2, 0)
    graph = fuse(normal(net.model(IMAGE, y), tmp_path))
    assert [name for name in ops(graph) if name != "Requantize"] == ["Conv"]
    found = assert_proven(tmp_path / "model.onnx")
    assert found.outputs.max_lsb == 0
    constants = [t.data for t in graph.tensors.values() if t.data is not None and t.dtype is DType.S8]
    assert max(int(np.abs(data).max()) for data in constants) == 7
