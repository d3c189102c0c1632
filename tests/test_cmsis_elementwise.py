"""Add and Mul through a CMSIS-NN that has them: the copy in the wheel, completed by a stand-in of ours."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from models import converted, execute, make_model, make_node, save
from pingponnx import cmsis
from pingponnx.evaluate import evaluate
from pingponnx.fixed_point import Rounding
from pingponnx.samples import feeds, random_samples

pytestmark = [pytest.mark.qemu, pytest.mark.cmsis]
STAND_IN = Path(__file__).parent / "data" / "cmsis" / "elementwise.c"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = cmsis.find()
    root = tmp_path_factory.mktemp("cmsis") / "nn"
    shutil.copytree(found.include_dirs[0].parent, root)
    (root / "Source" / "BasicMathFunctions").mkdir()
    shutil.copy(STAND_IN, root / "Source" / "BasicMathFunctions")
    return root


def _model(op_type: str, shapes: Sequence[Sequence[int]], scales: Sequence[float]) -> onnx.ModelProto:
    zeros = (-128, 127, 3)
    constants: dict[str, Any] = {}
    for name, scale, zero in zip("aby", scales, zeros, strict=True):
        constants |= {f"{name}_s": np.array(scale, np.float32), f"{name}_z": np.array(zero, np.int8)}

    def crossing(kind: str, source: str, name: str, output: str) -> onnx.NodeProto:
        return make_node(kind, [source, f"{name}_s", f"{name}_z"], output)

    nodes = [crossing("QuantizeLinear", n, n, f"{n}q") for n in "ab"]
    nodes += [crossing("DequantizeLinear", f"{n}q", n, f"{n}r") for n in "ab"]
    nodes += [make_node(op_type, ["ar", "br"], "r"), crossing("QuantizeLinear", "r", "y", "y")]
    return make_model(nodes, dict(zip("ab", shapes, strict=True)), ["y"], constants)


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("target", ["cortex-m0", "cortex-m4", "cortex-m55"])
@pytest.mark.parametrize(
    ("op_type", "scales"), [("Add", (0.03, 0.9, 0.7)), ("Add", (0.5, 0.5, 1.1)), ("Mul", (0.04, 0.03, 0.02))]
)
def test_equals_the_reference(
    op_type: str, scales: tuple[float, ...], target: str, rounding: Rounding, checkout: Path, tmp_path: Path
) -> None:
    path = save(_model(op_type, [[1, 5, 7]] * 2, scales), tmp_path / "net.onnx")
    conversion = converted(path, variant="cmsis-nn", target=target, rounding=rounding, cmsis_nn=checkout)
    (call,) = [c for c in conversion.calls if c is not None]
    assert (call.function, call.fallback) == (f"cmsis_{op_type.lower()}_s8", "")
    samples = random_samples(conversion.graph, 8)
    for sample, (got,) in zip(samples, execute(conversion, samples), strict=True):
        values = evaluate(conversion.graph, feeds(conversion.graph, sample), rounding)
        np.testing.assert_array_equal(got, values[conversion.graph.outputs[0]])


def test_broadcasting_falls_back(checkout: Path, tmp_path: Path) -> None:
    path = save(_model("Add", [[1, 5, 7], [1, 1, 7]], (0.03, 0.9, 0.7)), tmp_path / "net.onnx")
    conversion = converted(path, variant="cmsis-nn", target="cortex-m4", cmsis_nn=checkout)
    (call,) = [c for c in conversion.calls if c is not None]
    assert call.function == "add_s8" and "broadcast" in call.fallback


def test_the_wheel_has_neither(tmp_path: Path) -> None:
    path = save(_model("Add", [[1, 5, 7]] * 2, (0.03, 0.9, 0.7)), tmp_path / "net.onnx")
    (call,) = [c for c in converted(path, variant="cmsis-nn", target="cortex-m4").calls if c is not None]
    assert call.fallback == "this CMSIS-NN lacks arm_elementwise_add_s8"
