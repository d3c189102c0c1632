"""State that outlives a run: kept in the arena, replaced in place where that is safe, zero after a reset."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from models import HOST, Builder, assert_proven, command_line, converted, save
from pingponnx.errors import Error
from pingponnx.ir import Array
from pingponnx.pipeline import Options
from pingponnx.plan import InputMode
from stepping import stepped, unrolled

STEPS = 6


def _cell(*, late: bool = False, quantized: bool = False) -> onnx.ModelProto:
    """h' = tanh(W x + U h + b); `late` reads the old state after the new one is made."""
    net = Builder()

    def q(name: str, scale: float) -> str:
        return net.qdq(name, scale, 0) if quantized else name

    def weights(*shape: int) -> str:
        return net.weights(*shape) if quantized else net.constant(net.normal(*shape) / 3)

    old = q("h", 1 / 128)
    a = q(net.add("Gemm", q("x", 0.02), weights(7, 5), net.normal(7), transB=1), 0.05)
    b = q(net.add("Gemm", old, weights(7, 7), transB=1), 0.05)
    new = q(net.add("Tanh", q(net.add("Add", a, b), 0.05)), 1 / 128)
    y = q(net.add("Gemm", new, weights(3, 7), transB=1), 0.05)
    if late:
        y = net.add("Concat", y, old, axis=1)
    return net.model({"x": [1, 5], "h": [1, 7]}, y, new)


def _xs(model: onnx.ModelProto) -> Array:
    return np.random.default_rng(5).normal(size=(STEPS, 1, 5)).astype(np.float32)


@pytest.mark.parametrize("late", [False, True])
def test_a_recurrent_cell_steps_as_onnxruntime_does(late: bool, tmp_path: Path) -> None:
    model = _cell(late=late)
    path, pairs = save(model, tmp_path / "cell.onnx"), (("h", model.graph.output[1].name),)
    conversion = converted(path, states=pairs)
    (h, new), plan = next(iter(conversion.graph.states.items())), conversion.plan
    assert (plan.offsets[h] == plan.offsets[new]) is not late
    assert ("memcpy(base" in conversion.sources["cell.c"]) is late
    xs = _xs(model)
    for got, want in zip(stepped(conversion, xs, tmp_path), unrolled(model, xs, pairs), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5)
    assert_proven(path, Options(target="host", states=pairs))


def test_the_state_costs_its_bytes_once_in_place(tmp_path: Path) -> None:
    model = _cell()
    path, pairs = save(model, tmp_path / "cell.onnx"), (("h", model.graph.output[1].name),)
    without, kept = (converted(path, states=p).plan for p in ((), pairs))
    assert kept.arena <= without.arena + 32
    assert sum("h" in block.tensors for block in kept.blocks) == 1


def test_a_quantized_state(tmp_path: Path) -> None:
    model = _cell(quantized=True)
    path, pairs = save(model, tmp_path / "cell.onnx"), (("h", model.graph.output[1].name),)
    conversion = converted(path, states=pairs)
    xs, graph = _xs(model), conversion.graph
    x, y = (graph.tensors[names[0]].quantization for names in (graph.inputs, graph.outputs))
    assert x is not None and y is not None
    codes = np.clip(np.rint(xs / x.s) + x.z, -128, 127)
    got = (stepped(conversion, codes, tmp_path).astype(np.float32) - y.z) * y.s
    want = np.stack(unrolled(model, xs, pairs))
    assert np.abs(got - want).max() <= 2 * y.s  # one step in the state may become one in the output


def test_wrong_pairs_are_refused(tmp_path: Path) -> None:
    path = save(model := _cell(), tmp_path / "cell.onnx")
    y, new = (o.name for o in model.graph.output)
    cases: list[tuple[Any, str]] = [
        ((("nothing", new),), "no input 'nothing'"),
        ((("h", "nothing"),), "no output 'nothing'"),
        ((("h", y),), "their shapes are"),
        ((("h", new), ("h", new)), "uses a name twice"),
    ]
    for states, message in cases:
        with pytest.raises(Error, match=message):
            converted(path, states=states)
    with pytest.raises(Error, match="one piece"):
        Options(states=(("h", new),), input_mode=InputMode.EXTERNAL)
    done = command_line("convert", path, "--state", "h", "-o", tmp_path / "out")
    assert done.returncode == 2 and "INPUT=OUTPUT" in done.stderr


def test_the_command_line_takes_pairs(tmp_path: Path) -> None:
    path = save(model := _cell(), tmp_path / "cell.onnx")
    state = f"h={model.graph.output[1].name}"
    done = command_line("convert", path, "--target", "host", "--state", state, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "cell_reset" in (tmp_path / "out" / "cell.h").read_text()
    assert HOST.states == ()
