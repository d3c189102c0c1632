"""What the quantizer of onnxruntime wraps, family by family: integers, or a float island with a reason."""

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnxruntime.quantization import CalibrationDataReader, quantize_static
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

from models import HOST, Builder, assert_proven, ops, save
from pingponnx.pipeline import Options, normal_form
from pingponnx.rewrite.unfolded import conversions

Net = Callable[[Builder, str], str]
LINEAR = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
NEAREST = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
TWICE = np.array([1, 1, 2, 2], np.float32)


def _i(*values: int) -> Any:
    return np.array(values, np.int64)


def _split(net: Builder, a: str) -> str:
    net.nodes.append(helper.make_node("Split", [a], ["s0", "s1"], num_outputs=2, axis=1, name="split"))
    return net.add("Concat", "s1", "s0", axis=1)


def _largest(net: Builder, a: str) -> str:
    net.nodes.append(helper.make_node("TopK", [a, net.constant(_i(3))], ["k0", "k1"], axis=3, name="top"))
    return "k0"


def _pooled(net: Builder, a: str, **attributes: Any) -> str:
    return net.add("ReduceMean", a, _i(-1, -2), **attributes)


INTEGER: dict[str, tuple[Net, str]] = {
    "Elu": (lambda net, a: net.add("Elu", a), "Function"),
    "HardSwish": (lambda net, a: net.add("HardSwish", a), "Function"),
    "Clip": (lambda net, a: net.add("Clip", a, np.float32(0.1), np.float32(0.7)), ""),
    "Concat": (lambda net, a: net.add("Concat", a, net.conv(a, 4, 2, pads=[1] * 4), axis=1), "Concat"),
    "Max": (lambda net, a: net.add("Max", a, net.conv(a, 4, 4, pads=[1] * 4)), "Extreme"),
    "Min with a constant": (lambda net, a: net.add("Min", a, np.float32(0.3)), "Extreme"),
    "Where": (
        lambda net, a: net.add("Where", np.arange(8) > 3, a, net.conv(a, 4, 4, pads=[1] * 4)),
        "Where",
    ),
    "ReduceMax": (lambda net, a: net.add("ReduceMax", a, _i(3), keepdims=1), "ReduceExtreme"),
    "ReduceMean": (lambda net, a: _pooled(net, a, keepdims=1), "AveragePool"),
    "ReduceMean, Reshape": (
        lambda net, a: net.add("Reshape", _pooled(net, a, keepdims=0), _i(1, 4, 1, 1)),
        "AveragePool",
    ),
    "Resize nearest": (lambda net, a: net.add("Resize", a, "", TWICE, **NEAREST), "Resize"),
    "Resize linear": (lambda net, a: net.add("Resize", a, "", TWICE, **LINEAR), "Interpolate"),
    "Slice": (lambda net, a: net.add("Slice", a, _i(1, 0), _i(7, 8), _i(2, 3), _i(2, 1)), "Slice"),
    "Split": (_split, "Slice"),
    "Softmax": (lambda net, a: net.add("Softmax", a, axis=-1), "Softmax"),
    "Transpose": (lambda net, a: net.add("Transpose", a, perm=[0, 1, 3, 2]), "Transpose"),
}
SLOPES = np.array([[[0.1]], [[0.25]], [[-0.3]], [[1.5]]], np.float32)
INTEGER |= {
    "PRelu": (lambda net, a: net.add("PRelu", net.conv(a, 4, 4), SLOPES), "PRelu"),
    "PRelu of one slope": (lambda net, a: net.add("PRelu", net.conv(a, 4, 4), SLOPES[0, 0]), "FunctionTable"),
    "Div": (lambda net, a: net.add("Div", a, net.add("Sigmoid", net.conv(a, 4, 4, pads=[1] * 4))), "Div"),
    "InstanceNormalization": (
        lambda net, a: net.add("InstanceNormalization", a, net.normal(4), net.normal(4)),
        "InstanceNorm",
    ),
    "LayerNormalization": (
        lambda net, a: net.add("LayerNormalization", a, net.normal(8), net.normal(8)),
        "LayerNorm",
    ),
    "ReduceMean of channels": (lambda net, a: net.add("ReduceMean", a, _i(1), keepdims=1), "ReduceSum"),
    "ReduceSum": (lambda net, a: net.add("ReduceSum", a, _i(-1, 1), keepdims=0), "ReduceSum"),
    "CumSum": (lambda net, a: net.add("CumSum", a, np.int64(3)), "RunningSum"),
    "TopK": (_largest, "TopValues"),
    "BatchNormalization": (
        lambda net, a: net.add("BatchNormalization", a, *(np.abs(net.normal(4)) for _ in range(4))),
        "ScaleShift",
    ),
    "GatherElements": (
        lambda net, a: net.add("GatherElements", a, net.rng.integers(0, 8, (1, 4, 3, 8)), axis=2),
        "GatherElements",
    ),
    "ScatterElements": (
        lambda net, a: net.add(
            "ScatterElements",
            a,
            np.zeros((1, 4, 1, 8), np.int64),
            net.add("Slice", a, _i(2), _i(3), _i(2)),
            axis=2,
        ),
        "ScatterElements",
    ),
    "GatherND": (lambda net, a: net.add("GatherND", a, np.array([[0, 3], [0, 1]])), "GatherND"),
    "Div by a constant": (lambda net, a: net.add("Div", a, SLOPES), "Div"),
}
WRAPPED_ON_REQUEST = ("PRelu", "Div")  # and with them their constants
ISLANDS: dict[str, tuple[Net, str]] = {
    "LRN": (lambda net, a: net.add("LRN", a, size=3), "LRN"),
}


class _Calibration(CalibrationDataReader):
    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        self.data = iter([{"x": rng.normal(size=(1, 3, 8, 8)).astype(np.float32)} for _ in range(4)])

    def get_next(self) -> Any:
        return next(self.data, None)


def _quantized(function: Net, folder: Path, types: Iterable[str] = ()) -> Path:
    """Conv, Relu, what is tested, Relu, quantized by onnxruntime."""
    net = Builder()
    a = net.add("Relu", net.conv("x", 3, 4, pads=[1, 1, 1, 1]))
    y = net.add("Softmax", net.add("Flatten", function(net, a)))
    path, plain = folder / "model.onnx", save(net.model({"x": [1, 3, 8, 8]}, y, opset=20), folder / "f.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantize_static(
            plain, path, _Calibration(), per_channel=True, op_types_to_quantize=list(types) or None
        )
    return path


@pytest.mark.parametrize("name", INTEGER)
def test_it_runs_on_integers(name: str, tmp_path: Path) -> None:
    function, operator = INTEGER[name]
    path = _quantized(function, tmp_path)
    graph = normal_form(path, HOST)
    assert conversions(graph) == () and (not operator or operator in ops(graph))
    assert_proven(path)


@pytest.mark.parametrize("name", [name for name in INTEGER if name.startswith(WRAPPED_ON_REQUEST)])
def test_its_constants_may_be_wrapped_too(name: str, tmp_path: Path) -> None:
    function, operator = INTEGER[name]
    path = _quantized(function, tmp_path, {*QDQRegistry, *QLinearOpsRegistry, *WRAPPED_ON_REQUEST})
    graph = normal_form(path, HOST)
    assert conversions(graph) == () and operator in ops(graph)
    assert_proven(path)


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_indices_of_extremes_are_found_among_codes(dtype: Any, tmp_path: Path) -> None:
    """The end of a segmentation net: no float32 map."""
    net = Builder()
    a = net.qdq(net.qconv(net.qdq("x", 0.02, 3, dtype), 3, 4), 0.05, -20, dtype)
    y = net.add("ArgMax", a, axis=1)
    path = save(net.model({"x": [1, 3, 8, 8]}, y, opset=21), tmp_path / "model.onnx")
    graph = normal_form(path, HOST)
    assert conversions(graph) == () and "ArgExtreme" in ops(graph)
    assert_proven(path)


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_rows_of_a_quantized_table_stay_codes(dtype: Any, tmp_path: Path) -> None:
    """An embedding: the indices are the model's input."""
    net = Builder()
    codes = net.constant(net.rng.integers(-128, 128, (20, 6), dtype))
    scale, zero = net.constant(np.float32(0.1)), net.constant(dtype(3))
    real = net.add("Gather", net.add("DequantizeLinear", codes, scale, zero), "x")
    coded = net.add("DequantizeLinear", net.add("Gather", codes, "x"), scale, zero)
    for rows, step in ((real, 0.1), (real, 0.23), (coded, 0.23)):
        y = net.qdq(rows, step, 3, dtype)
        model = net.model({"x": [1, 5]}, y, dtype=TensorProto.INT64, opset=21)
        path = save(model, tmp_path / f"{y}.onnx")
        graph = normal_form(path, HOST)
        assert conversions(graph) == () and ops(graph)[0] == "Gather"
        assert_proven(path)


@pytest.mark.qemu
@pytest.mark.parametrize("core", ["cortex-m0", "cortex-m4"])
def test_cores_compute_the_same_bytes(core: str, tmp_path: Path) -> None:
    """Of kernels that CMSIS-NN has no functions for."""

    def one_after_the_other(net: Builder, a: str) -> str:
        first = ("LayerNormalization", "PRelu", "InstanceNormalization", "Div")  # neighbours are wrapped
        for name in (*first, "BatchNormalization", "CumSum", "ReduceMean of channels"):
            a = INTEGER[name][0](net, a)
        return a

    path = _quantized(one_after_the_other, tmp_path)
    options = Options(target=core)
    assert conversions(normal_form(path, options)) == ()
    assert_proven(path, options)


@pytest.mark.parametrize("name", ISLANDS)
def test_it_is_an_island_with_a_reason(name: str, tmp_path: Path) -> None:
    function, operator = ISLANDS[name]
    path = _quantized(function, tmp_path)
    assert {c.reason for c in conversions(normal_form(path, HOST))} == {f"{operator}: no integer kernel"}
    assert_proven(path)
