"""Every model of ../shared/models: each converts, and is proven."""

import tomllib
from pathlib import Path

import numpy as np
import onnx
import pytest

from models import assert_proven, converted, execute
from pingponnx.fixed_point import Rounding
from pingponnx.ir import DType
from pingponnx.measure import find_samples
from pingponnx.ops.transpose import Transpose
from pingponnx.oracle import Oracle
from pingponnx.pipeline import Options, normal_form
from pingponnx.rewrite import fuse
from pingponnx.samples import Sample, random_samples, read_samples
from stepping import stepped, unrolled

EXPECTED = tomllib.loads(Path(__file__).with_name("shared_models.toml").read_text())
PROVEN: list[str] = [*EXPECTED["models"], *(f"ops/{name}" for name in EXPECTED["ops"])]
INTEGER = [
    name
    for name in PROVEN
    if any(mark in name for mark in ("_int8", "_u8", "_qdq", "_pt2e")) or name[8:].startswith("q")
]
COMPARED = [
    "lenet5_mnist_int8_pc",
    "lenet5_mnist_u8u8_pt",
    "mlperf_kws_int8",
    "mlperf_ad_int8",
    "resnet8_cifar_int8_pc",
]
FEW = 5


def _samples(path: Path, count: int) -> list[Sample]:
    graph, file = normal_form(path, Options()), find_samples(path)
    return read_samples(file, graph, count) if file else random_samples(graph)[:count]


def test_no_model_is_forgotten(shared_models: Path) -> None:
    present = {str(p.relative_to(shared_models).with_suffix("")) for p in shared_models.rglob("*.onnx")}
    assert present == set(PROVEN)


@pytest.mark.parametrize("name", PROVEN)
def test_a_model_is_proven(name: str, shared_models: Path) -> None:
    path = shared_models / f"{name}.onnx"
    found = assert_proven(path, samples=_samples(path, FEW))
    assert found.outputs.samples >= 3


@pytest.mark.parametrize("name", PROVEN)
def test_its_normal_form_is_channels_last_and_integer(name: str, shared_models: Path) -> None:
    graph = fuse(normal_form(shared_models / f"{name}.onnx", Options()))
    nodes = [node for node in graph.nodes if not node.op.alias]
    transposes = [node for node in nodes if isinstance(node.op, Transpose)]
    assert len(transposes) == EXPECTED["transposes"].get(name, 0)
    if name in INTEGER and name not in EXPECTED["islands"]:
        computed = [graph.tensors[node.outputs[0]].dtype for node in nodes]
        assert computed == [DType.S8] * len(nodes)


@pytest.mark.parametrize("name", INTEGER)
def test_an_integer_model_is_proven_under_tflite_rounding(name: str, shared_models: Path) -> None:
    path = shared_models / f"{name}.onnx"
    options = Options(target="host", rounding=Rounding.TFLITE)
    assert_proven(path, options, _samples(path, FEW))


@pytest.mark.qemu
@pytest.mark.cmsis
@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("name", COMPARED)
def test_both_variants_give_the_same_bytes(name: str, rounding: Rounding, shared_models: Path) -> None:
    path = shared_models / f"{name}.onnx"
    samples = _samples(path, 2)
    outputs = []
    for variant in ("optimised", "cmsis-nn"):
        conversion = converted(path, variant=variant, target="cortex-m4", rounding=rounding)
        outputs.append(execute(conversion, samples))
    kernels = {call.function for call in conversion.calls if call is not None}
    assert any(kernel.startswith("cmsis_") for kernel in kernels), kernels
    for ours, theirs in zip(*outputs, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b)


def test_keyword_spotting_is_as_accurate_as_onnxruntime(shared_models: Path) -> None:
    """MLPerf Tiny's accuracy test: 1,000 real inputs, 90.2 %."""
    path = shared_models / "mlperf_kws_int8.onnx"
    with np.load(shared_models / "kws01_1000.npz") as data:
        inputs, labels = data["x"], data["y"]
    samples = [Sample((x[None],)) for x in inputs]
    found = np.array([y[0].argmax() for y in execute(converted(path), samples)])
    oracle = Oracle(path)
    golden = np.array([oracle.outputs(sample)[0].argmax() for sample in samples])
    assert float((found == golden).mean()) >= 0.99
    assert round(float((found == labels).mean()), 3) >= 0.902


def test_two_lstm_layers_keep_their_state_as_onnxruntime_does(shared_models: Path, tmp_path: Path) -> None:
    """h and c of both layers: outputs of a run, inputs of the next, in the same bytes."""
    path = shared_models / "patterns" / "lstm_state.dynamo.onnx"
    model = onnx.load(path)
    pairs = tuple(zip(("h", "c"), (o.name for o in model.graph.output[1:]), strict=True))
    conversion = converted(path, states=pairs)
    offsets = conversion.plan.offsets
    assert all(offsets[old] == offsets[new] for old, new in conversion.graph.states.items())
    xs = np.random.default_rng(0).normal(size=(6, 5, 1, 6)).astype(np.float32)
    for got, want in zip(stepped(conversion, xs, tmp_path), unrolled(model, xs, pairs), strict=True):
        np.testing.assert_allclose(got.reshape(want.shape), want, atol=1e-5)
