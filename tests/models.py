"""Small ONNX models for tests, onnxruntime's answers to them, and the generated C's."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pingponnx.ir import Array, Graph, Shape
from pingponnx.load import load
from pingponnx.oracle import Oracle
from pingponnx.pipeline import Conversion, Options, convert, firmware, normal_form
from pingponnx.rewrite import rewrite
from pingponnx.run import run
from pingponnx.samples import Sample, input_bytes, random_samples
from pingponnx.verification import Verification, decode, verify

HOST = Options(target="host")
Inputs = Mapping[str, Sequence[int | str | None]]


def make_node(op_type: str, inputs: Sequence[str], output: str, **attributes: Any) -> onnx.NodeProto:
    """A node with one output, named after it."""
    return helper.make_node(op_type, list(inputs), [output], name=f"{op_type.lower()}_{output}", **attributes)


def make_model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Inputs,
    outputs: Sequence[str],
    constants: Mapping[str, Any] | None = None,
    *,
    opset: int = 18,
    dtype: int = TensorProto.FLOAT,
    name: str = "test",
) -> onnx.ModelProto:
    """A model whose outputs have no declared type, as shape inference finds it."""
    graph = helper.make_graph(
        list(nodes),
        name,
        [helper.make_tensor_value_info(n, dtype, list(shape)) for n, shape in inputs.items()],
        [
            helper.make_tensor_value_info(n, dtype, list(inputs[n]))
            if n in inputs
            else helper.make_empty_tensor_value_info(n)
            for n in outputs
        ],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in (constants or {}).items()],
    )
    domains = {"": opset, **{n.domain: 1 for n in nodes if n.domain}}
    imports = [helper.make_opsetid(domain, version) for domain, version in domains.items()]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8)
    return onnx.shape_inference.infer_shapes(model)


def save(model: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def normal(model: onnx.ModelProto, folder: Path, **options: Any) -> Graph:
    """The rewritten graph of a model."""
    shapes: dict[str, Shape] = options.pop("input_shapes", {})
    return rewrite(load(save(model, folder / "model.onnx"), shapes), **options)


def ops(graph: Graph) -> list[str]:
    """The operators in order of execution, without those that cost nothing."""
    return [type(node.op).__name__ for node in graph.nodes if not node.op.alias]


def prove(path: Path, options: Options = HOST, samples: Sequence[Sample] = ()) -> Verification:
    """Everything that `pingponnx verify` checks."""
    graph = normal_form(path, options)
    found = samples or random_samples(graph)
    return verify(convert(graph, options), Oracle(path, options.input_shapes), found)


def assert_proven(path: Path, options: Options = HOST, samples: Sequence[Sample] = ()) -> Verification:
    found = prove(path, options, samples)
    assert found.passed, (found.difference, [n for n in found.nodes if not n.holds(options.rounding)])
    return found


def execute(conversion: Conversion, samples: Sequence[Sample], **build: Any) -> list[list[Array]]:
    """The outputs of the generated C, in our layout, sample by sample."""
    with tempfile.TemporaryDirectory(prefix="pingponnx-test-") as folder:
        built = firmware(conversion, Path(folder), **build)
        found = run(built, input_bytes(conversion.graph, samples), timeout=300)
    return [decode(conversion.graph, outputs) for outputs in found.outputs]


def converted(path: Path, **changes: Any) -> Conversion:
    options = replace(HOST, **changes)
    return convert(normal_form(path, options), options)


def command_line(
    *arguments: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, without colours."""
    return subprocess.run(
        [sys.executable, "-m", "pingponnx", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1", "TERM": "dumb", **(env or {})},
    )


def listing(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def assert_refused(code: int, stdout: str, stderr: str) -> None:
    """Exit code 2, and nothing but one error with a hint on stderr."""
    assert code == 2, stderr
    assert stdout == ""
    assert stderr.startswith("error: ") and "\nhint: " in stderr
    assert "Traceback" not in stderr and "internal error" not in stderr


class Builder:
    """Collects nodes and constants, naming them by counting; every method returns the output's name."""

    def __init__(self, seed: int = 1) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Any] = {}

    def add(self, op_type: str, *inputs: Any, name: str = "", **attributes: Any) -> str:
        """A node; inputs that are not names become constants."""
        names = [i if isinstance(i, str) else self.constant(i) for i in inputs]
        output = name or f"t{len(self.nodes)}"
        self.nodes.append(make_node(op_type, names, output, **attributes))
        return output

    def constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name

    def qdq(self, x: str, scale: float, zero: int, dtype: Any = np.int8) -> str:
        """QuantizeLinear, then DequantizeLinear."""
        s, z = self.constant(np.float32(scale)), self.constant(dtype(zero))
        return self.add("DequantizeLinear", self.add("QuantizeLinear", x, s, z), s, z)

    def normal(self, *shape: int) -> Array:
        found: Array = self.rng.normal(size=shape).astype(np.float32)
        return found

    def weights(self, *shape: int, dtype: Any = np.int8) -> str:
        """Quantized weights, per output channel, dequantized."""
        info = np.iinfo(dtype)
        values = self.rng.integers(max(info.min, -127), info.max, shape, dtype, endpoint=True)
        scales = self.rng.uniform(0.005, 0.01, shape[0]).astype(np.float32)
        zeros = np.full(shape[0], 0 if dtype is np.int8 else 128, dtype)
        return self.add("DequantizeLinear", values, scales, zeros, axis=0)

    def conv(self, x: str, channels: int, into: int, kernel: int = 3, **attributes: Any) -> str:
        """A float32 convolution with bias."""
        group = attributes.get("group", 1)
        weights = self.normal(into, channels // group, kernel, kernel) / np.float32(kernel * channels**0.5)
        return self.add("Conv", x, weights, self.normal(into), kernel_shape=[kernel] * 2, **attributes)

    def qconv(self, x: str, channels: int, into: int, kernel: int = 3, **attributes: Any) -> str:
        """A convolution with quantized weights and no bias; its output is still to be quantized."""
        return self.add("Conv", x, self.weights(into, channels, kernel, kernel), **attributes)

    def model(self, inputs: Inputs, *outputs: str, **options: Any) -> onnx.ModelProto:
        return make_model(self.nodes, inputs, outputs, self.constants, **options)
