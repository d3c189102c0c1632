"""Networks with int16 activations as onnxruntime's quantizer writes them: integers all the way to QEMU."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

from models import HOST, Builder, assert_proven, execute, ops, save
from pingponnx.evaluate import evaluate
from pingponnx.pipeline import convert, normal_form
from pingponnx.rewrite.unfolded import conversions
from pingponnx.samples import feeds, random_samples
from pingponnx.verification import noisy, wrong


class _Calibration(CalibrationDataReader):
    def __init__(self) -> None:
        rng = np.random.default_rng(5)
        self.data = iter([{"x": rng.normal(size=(1, 3, 12, 12)).astype(np.float32)} for _ in range(4)])

    def get_next(self) -> Any:
        return next(self.data, None)


def _network(folder: Path, *, symmetric: bool) -> Path:
    """Residual, depthwise and grouped convolutions, every pool, Concat, Pad and a transpose that stays."""
    net = Builder()
    a = net.add("Relu", net.conv("x", 3, 8, pads=[1] * 4))
    b = net.add("Clip", net.conv(a, 8, 8, pads=[1] * 4, group=8), np.float32(-0.7), np.float32(6))
    a = net.add("Relu", net.add("Add", a, net.conv(b, 8, 8, kernel=1)))
    a = net.add("MaxPool", net.conv(a, 8, 8, group=2, pads=[1] * 4), kernel_shape=[2, 2], strides=[2, 2])
    b = net.add("AveragePool", a, kernel_shape=[3, 3], pads=[1] * 4)
    a = net.add("Mul", net.add("Concat", a, b, axis=1), np.float32(1.7))
    a = net.add("Transpose", net.add("Pad", a, np.array([0, 0, 1, 0, 0, 0, 1, 0])), perm=[0, 1, 3, 2])
    b = net.add("MaxPool", a, kernel_shape=[3, 3], pads=[1] * 4)
    a = net.add("GlobalAveragePool", net.add("Sub", a, b))
    y = net.add("Gemm", net.add("Flatten", a), net.normal(5, 16), net.normal(5), transB=1)
    return _quantized(net, y, folder, symmetric=symmetric)


def _quantized(net: Builder, y: str, folder: Path, *, symmetric: bool) -> Path:
    plain = save(net.model({"x": [1, 3, 12, 12]}, y, opset=21), folder / "float.onnx")
    path = folder / "model.onnx"
    kinds = {"activation_type": QuantType.QInt16, "weight_type": QuantType.QInt8}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"ActivationSymmetric": symmetric}
        quantize_static(plain, path, _Calibration(), per_channel=True, extra_options=options, **kinds)
    return path


@pytest.mark.parametrize("symmetric", [True, False])
def test_everything_runs_on_integers(tmp_path: Path, symmetric: bool) -> None:
    path = _network(tmp_path, symmetric=symmetric)
    graph = normal_form(path, HOST)
    assert conversions(graph) == ()
    types = {t.dtype.value for t in graph.tensors.values() if not t.constant}
    assert types == {"int16"}
    expected = {"Conv", "Add", "Mul", "Sub", "Gemm", "Concat", "AveragePool", "MaxPool", "Pad", "Transpose"}
    assert expected <= set(ops(graph))
    assert_proven(path)


@pytest.mark.qemu
@pytest.mark.parametrize("variant", ["optimised", pytest.param("cmsis-nn", marks=pytest.mark.cmsis)])
def test_qemu_gives_the_bytes_of_the_reference(tmp_path: Path, variant: str) -> None:
    options = replace(HOST, target="cortex-m4", variant=variant)
    graph = normal_form(_network(tmp_path, symmetric=True), options)
    conversion, samples = convert(graph, options), random_samples(graph, 2)
    for sample, (got,) in zip(samples, execute(conversion, samples), strict=True):
        values = evaluate(conversion.graph, feeds(conversion.graph, sample), options.rounding)
        np.testing.assert_array_equal(got, values[conversion.graph.outputs[0]])
    reasons = {call.fallback for call in conversion.calls if call is not None}
    assert reasons == {"" if variant == "optimised" else "int16: CMSIS-NN's int8 functions do not apply"}


@pytest.mark.parametrize("op_type", ["Elu", "Resize"])
def test_codes_behind_a_float32_island_are_proven_too(tmp_path: Path, op_type: str) -> None:
    """256 times finer steps than int8's: noise in float32 decides some of them."""
    net = Builder()
    a = net.conv("x", 3, 4, pads=[1] * 4)
    more = ("", np.array([1, 1, 2, 2], np.float32)) if op_type == "Resize" else ()
    y = net.conv(net.add(op_type, a, *more, **({"mode": "linear"} if more else {})), 4, 3)
    path = _quantized(net, y, tmp_path, symmetric=False)
    graph = normal_form(path, HOST)
    assert {c.reason.split(": ")[1] for c in conversions(graph)} == {"no int16 kernel"}
    (island,) = (n for n in graph.nodes if n.name == conversions(graph)[0].beside)
    later = {n for node in graph.nodes[graph.nodes.index(island) :] for n in node.outputs}
    wide = {n for n in later if graph.tensors[n].dtype.value == "int16"}
    floats = {n for n in later if graph.tensors[n].dtype.value == "float32"}
    assert wide and noisy(graph) - floats == wide
    assert not noisy(graph) & set(island.outputs)
    assert_proven(path)


def test_only_noisy_codes_may_be_a_step_away() -> None:
    want = np.array([-32768, 5, 20000], np.int16)
    for off, allowed in ((0, True), (1, True), (32, True), (33, False)):
        got = want + np.array([0, 0, off], np.int16)
        assert wrong(got, want, noise=True).any() != allowed
        assert wrong(got, want, noise=False).any() == (off > 0)
    assert wrong(np.array([3], np.int16), np.array([1], np.int16), noise=True).all()
