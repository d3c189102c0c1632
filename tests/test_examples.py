"""The shipped LeNet-5: accurate, the same image by image in emitted C, and the same on every core."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models import HOST, assert_proven, command_line, execute
from pingponnx.evaluate import evaluate
from pingponnx.fixed_point import Rounding
from pingponnx.ir import Array
from pingponnx.pipeline import Options, convert, normal_form
from pingponnx.samples import Sample, feeds, read_samples
from pingponnx.targets import load_targets
from pingponnx.verification import close

CORES = ("cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55")
IMAGES, FEW, SOME = 600, 2, 60


@pytest.fixture(scope="module")
def lenet(examples: Path) -> Path:
    return examples / "lenet5"


@pytest.fixture(scope="module")
def labels(lenet: Path) -> Array:
    with np.load(lenet / "lenet5_samples.npz") as data:
        found: Array = data["labels"]
    assert len(found) == IMAGES
    return found


def _samples(path: Path, count: int) -> list[Sample]:
    graph = normal_form(path, HOST)
    return read_samples(path.with_name("lenet5_samples.npz"), graph, count)


def _classes(outputs: list[list[Array]]) -> Array:
    return np.array([y.argmax() for (y,) in outputs])


def _reference(path: Path, samples: list[Sample]) -> list[Array]:
    graph = normal_form(path, HOST)
    (output,) = graph.outputs
    return [evaluate(graph, feeds(graph, sample), HOST.rounding)[output] for sample in samples]


@pytest.fixture(scope="module")
def float_accuracy(lenet: Path, labels: Array) -> float:
    path = lenet / "lenet5_f32.onnx"
    samples = _samples(path, IMAGES)
    outputs = execute(convert(normal_form(path, HOST), HOST), samples)
    for (got,), want in zip(outputs, _reference(path, samples), strict=True):
        assert close(got, want) and got.argmax() == want.argmax()
    return float((_classes(outputs) == labels).mean())


def test_float_accuracy_of_emitted_c(float_accuracy: float) -> None:
    assert float_accuracy >= 0.98


def test_int8_accuracy_of_emitted_c(lenet: Path, labels: Array, float_accuracy: float) -> None:
    path = lenet / "lenet5_int8.onnx"
    samples = _samples(path, IMAGES)
    outputs = execute(convert(normal_form(path, HOST), HOST), samples)
    for (got,), want in zip(outputs, _reference(path, samples), strict=True):
        np.testing.assert_array_equal(got, want)
    assert float((_classes(outputs) == labels).mean()) >= float_accuracy - 0.005


def test_both_exporters_give_the_same_network(lenet: Path) -> None:
    dynamo, legacy = (lenet / f"{name}.onnx" for name in ("lenet5_f32", "lenet5_f32_legacy"))
    samples = _samples(dynamo, FEW)
    outputs = [execute(convert(normal_form(path, HOST), HOST), samples) for path in (dynamo, legacy)]
    for (a,), (b,) in zip(*outputs, strict=True):
        np.testing.assert_array_equal(a, b)
    assert_proven(legacy, samples=samples)


@pytest.mark.qemu
def test_the_board_computes_what_the_host_does(lenet: Path) -> None:
    path = lenet / "lenet5_int8.onnx"
    samples, normal = _samples(path, SOME), normal_form(path, HOST)
    board = execute(convert(normal, replace(HOST, target="cortex-m4")), samples)
    for (got,), want in zip(board, _reference(path, samples), strict=True):
        np.testing.assert_array_equal(got, want)
    assert len(board) == SOME


def test_the_cores_are_all_there_are() -> None:
    assert set(load_targets()) == {*CORES, "host"}


@pytest.mark.qemu
@pytest.mark.parametrize("core", CORES)
def test_float_runs_on_every_core(core: str, lenet: Path) -> None:
    path = lenet / "lenet5_f32.onnx"
    samples, normal = _samples(path, FEW), normal_form(path, HOST)
    board, host = (
        execute(convert(normal, replace(HOST, target=target)), samples) for target in (core, "host")
    )
    for (a,), (b,) in zip(board, host, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.qemu
@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("variant", ["optimised", pytest.param("cmsis-nn", marks=pytest.mark.cmsis)])
@pytest.mark.parametrize("core", CORES)
def test_int8_gives_the_same_bytes_on_every_core(
    core: str, variant: str, rounding: Rounding, lenet: Path
) -> None:
    path = lenet / "lenet5_int8.onnx"
    samples, normal = _samples(path, FEW), normal_form(path, HOST)
    options = Options(target=core, variant=variant, rounding=rounding)
    (output,) = normal.outputs
    for sample, (got,) in zip(samples, execute(convert(normal, options), samples), strict=True):
        want = evaluate(normal, feeds(normal, sample), rounding)[output]
        np.testing.assert_array_equal(got, want)


def test_quantize_makes_a_model_that_verifies(lenet: Path, labels: Array, tmp_path: Path) -> None:
    made = tmp_path / "made_int8.onnx"
    calibration = lenet / "calibration.npz"
    done = command_line("quantize", lenet / "lenet5_f32.onnx", "-o", made, "--samples", calibration)
    assert (done.returncode, done.stdout) == (0, f"{made}: quantized with 200 samples\n"), done.stderr
    samples = lenet / "lenet5_samples.npz"
    done = command_line("verify", made, "--samples", samples, "--limit", "20")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "made_int8: passed" in done.stdout
    graph = normal_form(made, HOST)
    outputs = execute(convert(graph, HOST), read_samples(samples, graph, IMAGES))
    assert float((_classes(outputs) == labels).mean()) >= 0.98


@pytest.mark.parametrize(
    "options", [("--per-tensor",), ("--symmetric",), ("--uint8", "--per-tensor"), ("--int16",)]
)
def test_every_scheme_of_quantize_verifies(options: tuple[str, ...], lenet: Path, tmp_path: Path) -> None:
    made, calibration = tmp_path / "made.onnx", lenet / "calibration.npz"
    done = command_line("quantize", lenet / "lenet5_f32.onnx", "-o", made, "--samples", calibration, *options)
    assert done.returncode == 0, done.stderr
    graph = normal_form(made, HOST)
    found = assert_proven(made, samples=read_samples(lenet / "lenet5_samples.npz", graph, 10))
    assert all(node.integer for node in found.nodes)
    assert found.outputs.same_class == 10


def test_a_quantized_model_is_not_quantized_again(lenet: Path, tmp_path: Path) -> None:
    arguments = (
        lenet / "lenet5_int8.onnx",
        "-o",
        tmp_path / "made.onnx",
        "--samples",
        lenet / "calibration.npz",
    )
    done = command_line("quantize", *arguments)
    assert done.returncode == 2 and "quantized already" in done.stderr
    done = command_line("quantize", lenet / "lenet5_f32.onnx", *arguments[1:], "--int16", "--uint8")
    assert done.returncode == 2 and "int16 and uint8" in done.stderr
    assert list(tmp_path.iterdir()) == []
