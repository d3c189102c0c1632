"""Random small networks, float32 and quantized: rewritten graph and C agree with onnxruntime."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models import HOST, Builder, prove, save
from pingponnx.calibrate import Scheme, quantize
from pingponnx.pipeline import Options
from pingponnx.samples import Sample
from pingponnx.verification import NodeDistance, Verification

Shape = tuple[int, ...]
SAMPLES = 4
few = settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])


class Network:
    """A network that grows at random; `values` are the tensors that the next operator may read."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw, self.net = draw, Builder(seed=draw(st.integers(0, 1000)))
        self.values: dict[str, Shape] = {"x": (1, draw(st.integers(1, 5)), *self._pair(5, 9))}
        self.shape = self.values["x"]

    def _pair(self, low: int, high: int) -> list[int]:
        return [self.draw(st.integers(low, high)), self.draw(st.integers(low, high))]

    def _pick(self, suitable: list[str]) -> str:
        return self.draw(st.sampled_from(suitable))

    def image(self) -> str:
        return self._pick([name for name, shape in self.values.items() if min(shape[2:]) >= 2])

    def keep(self, name: str, shape: Shape) -> None:
        self.values[name] = shape

    def conv(self, x: str) -> None:
        """Dense, grouped or depthwise; strides, dilations and padding at random."""
        _, channels, *size = self.values[x]
        kernel, group = self._pair(1, 3), self.draw(st.sampled_from([1, channels]))
        strides, pads = self._pair(1, 2), self._pair(0, 1) + self._pair(0, 1)
        out = [(n + pads[i] + pads[i + 2] - kernel[i]) // strides[i] + 1 for i, n in enumerate(size)]
        if min(out) < 1:
            return
        into = group * self.draw(st.integers(1, 3))
        fan_in = kernel[0] * kernel[1] * channels // group
        weights = self.net.normal(into, channels // group, *kernel) / np.float32(fan_in**0.5)
        attributes: dict[str, Any] = {
            "group": group,
            "strides": strides,
            "pads": pads,
            "kernel_shape": kernel,
        }
        y = self.net.add("Conv", x, weights, self.net.normal(into), **attributes)
        self.keep(y, (1, into, *out))

    def pool(self, x: str) -> None:
        _, channels, *size = self.values[x]
        kernel, strides = self._pair(1, 2), self._pair(1, 3)
        op_type = self.draw(st.sampled_from(["MaxPool", "AveragePool"]))
        out = [(n - k) // s + 1 for n, k, s in zip(size, kernel, strides, strict=True)]
        self.keep(self.net.add(op_type, x, kernel_shape=kernel, strides=strides), (1, channels, *out))

    def activation(self, x: str) -> None:
        op_type = self.draw(st.sampled_from(["Relu", "Clip", "LeakyRelu", "Sigmoid"]))
        bounds = [np.float32(-0.5), np.float32(1.0)] if op_type == "Clip" else []
        self.keep(self.net.add(op_type, x, *bounds), self.values[x])

    def add(self, x: str) -> None:
        """The sum with another tensor of the same shape."""
        other = self._pick([name for name, shape in self.values.items() if shape == self.values[x]])
        self.keep(self.net.add(self.draw(st.sampled_from(["Add", "Mul"])), x, other), self.values[x])

    def concat(self, x: str) -> None:
        shape = self.values[x]
        others = [name for name, s in self.values.items() if (s[0], *s[2:]) == (shape[0], *shape[2:])]
        other = self._pick(others)
        channels = shape[1] + self.values[other][1]
        if channels <= 16:
            self.keep(self.net.add("Concat", x, other, axis=1), (1, channels, *shape[2:]))

    def head(self, x: str) -> str:
        """Flatten, by one of its spellings, and a fully connected layer."""
        count = int(np.prod(self.values[x]))
        spelled = self.draw(st.booleans())
        flat = self.net.add("Flatten", x) if spelled else self.net.add("Reshape", x, np.array([1, -1]))
        weights = self.net.normal(4, count) / np.float32(count**0.5)
        return self.net.add("Gemm", flat, weights, self.net.normal(4), transB=1)


@st.composite
def networks(draw: st.DrawFn) -> onnx.ModelProto:
    made = Network(draw)
    steps = [made.conv, made.pool, made.activation, made.add, made.concat]
    made.conv("x")
    for step in draw(st.lists(st.sampled_from(steps), min_size=2, max_size=6)):
        step(made.image())
    last = list(made.values)[-1]
    y = made.head(last) if draw(st.booleans()) or last == "x" else last
    return made.net.model({"x": made.shape}, y)


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
