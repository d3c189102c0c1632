"""Random small networks, float32 and quantized: rewritten graph and C agree with onnxruntime."""

import tempfile
from pathlib import Path

import numpy as np
import onnx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models import HOST, prove, save
from pingponnx.calibrate import Scheme, quantize
from pingponnx.pipeline import Options
from pingponnx.samples import Sample
from pingponnx.verification import NodeDistance, Verification
from random_networks import networks

SAMPLES = 4
few = settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])


def _samples(model: onnx.ModelProto) -> list[Sample]:
    dims = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    rng = np.random.default_rng(3)
    return [Sample((rng.normal(size=dims).astype(np.float32),)) for _ in range(SAMPLES)]


def _assert_close(found: Verification) -> None:
    """The contract; a handful of values is too few for 99.9 %, so that one may be off by one step."""
    assert found.difference is None, found.difference
    integers = [node for node in found.nodes if node.integer]
    assert all(node.close for node in found.nodes if not node.integer)
    assert all(node.max_lsb <= 1 for node in integers)
    off = sum(_off(node) for node in integers)
    assert off <= 1 + 0.002 * sum(node.values for node in integers), integers


def _off(node: NodeDistance) -> int:
    return node.values - node.equal - node.undecided


@few
@given(networks())
def test_float_networks(model: onnx.ModelProto) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = prove(save(model, Path(folder) / "model.onnx"), HOST, _samples(model))
    _assert_close(found)
    assert found.passed


SCHEMES = st.sampled_from([Scheme(), Scheme(per_channel=False), Scheme(unsigned_activations=True)])


@few
@given(networks(), SCHEMES, st.booleans())
def test_quantized_networks(model: onnx.ModelProto, scheme: Scheme, nchw_io: bool) -> None:
    samples = _samples(model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path, out, data = folder / "model.onnx", folder / "made.onnx", folder / "data.npz"
        np.savez(data, in0=np.stack([s.inputs[0] for s in samples]))
        quantize(save(model, path), out, data, scheme)
        _assert_close(prove(out, Options(target="host", nchw_io=nchw_io), samples))
