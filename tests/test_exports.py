"""Real exports of both exporters of PyTorch, as examples/exports makes them: no torch is needed here."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from models import HOST, assert_proven, converted, execute
from pingponnx.evaluate import evaluate
from pingponnx.ir import Graph
from pingponnx.pipeline import Options, normal_form
from pingponnx.samples import Sample, feeds, read_samples
from pingponnx.verification import close, to_ours

FOLDER = Path(__file__).with_name("exports")
MODELS = sorted(path.stem for path in FOLDER.glob("*.onnx"))
NETS = sorted(path.stem for path in FOLDER.glob("*.npz"))
KINDS = ["dynamo", "dynamo_dyn", "legacy", "legacy_dyn"]
ON_CORTEX_M4 = ["gru.legacy_dyn.17", "unet.dynamo.18"]


def _path(name: str) -> Path:
    return FOLDER / f"{name}.onnx"


@cache
def _normal(name: str) -> Graph:
    return normal_form(_path(name), Options())


def _samples(name: str) -> list[Sample]:
    """The same for all exports of a network, for their weights are the same too."""
    return read_samples(FOLDER / f"{name.split('.')[0]}.npz", _normal(name))


def test_every_network_has_every_export() -> None:
    assert len(NETS) == 11
    assert [".".join(name.split(".")[:2]) for name in MODELS] == [f"{n}.{k}" for n in NETS for k in KINDS]


@pytest.mark.parametrize("name", MODELS)
def test_an_export_means_what_the_network_does(name: str) -> None:
    """Loading and rewriting keep the meaning; stored outputs are those of onnxruntime."""
    graph = _normal(name)
    for sample in _samples(name):
        values = evaluate(graph, feeds(graph, sample), Options().rounding)
        for output, want in zip(graph.outputs, sample.outputs, strict=True):
            assert close(values[output], to_ours(graph, output, want)), name


@pytest.mark.parametrize("net", NETS)
def test_an_export_is_proven(net: str) -> None:
    """The C of one export of every network, node by node."""
    name = next(n for n in MODELS if n.startswith(f"{net}.dynamo."))
    found = assert_proven(_path(name), HOST, _samples(name))
    assert found.expected is not None and found.expected.close


@pytest.mark.qemu
@pytest.mark.cmsis
@pytest.mark.parametrize("name", ON_CORTEX_M4)
def test_both_variants_run_on_a_core(name: str) -> None:
    samples = _samples(name)[:1]
    for variant in ("optimised", "cmsis-nn"):
        conversion = converted(_path(name), variant=variant, target="cortex-m4")
        ((got,),) = execute(conversion, samples)
        (output,) = conversion.graph.outputs
        want = to_ours(conversion.graph, output, samples[0].outputs[0])
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)
