"""State that outlives a run: kept in the arena, replaced in place where that is safe, zero after a reset."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from models import HOST, Builder, assert_proven, command_line, converted, save
from pingponnx.errors import Error
from pingponnx.ir import Array
from pingponnx.onnx_model import session
from pingponnx.pipeline import Conversion, Options
from pingponnx.plan import InputMode

STEPS = 6
MAIN = """
#include <stdio.h>
#include "{p}.h"
static {p}_arena arena;
int main(void) {{
    static {ctype} x[{steps}][{P}_INPUT_0_SIZE];
    if (fread(x, sizeof x, 1, stdin) != 1) return 1;
    for (int pass = 0; pass < 2; ++pass) {{ /* the second, after a reset, must repeat the first */
        if ({p}_reset(&arena) != 0) return 2;
        for (int t = 0; t < {steps}; ++t) {{
            for (int i = 0; i < {P}_INPUT_0_SIZE; ++i) {p}_input_0(&arena)[i] = x[t][i];
            if ({p}_run(&arena) != 0) return 3;
            fwrite({p}_output_0(&arena), sizeof *{p}_output_0(&arena), {P}_OUTPUT_0_SIZE, stdout);
        }}
    }}
    return {p}_reset(NULL) == {P}_BAD_ARENA ? 0 : 4;
}}
"""


def _stepped(conversion: Conversion, xs: Array, folder: Path) -> Array:
    """Output 0 of every step, from a program that knows only the header; twice, with a reset between."""
    prefix = conversion.entry.prefix
    for name, text in conversion.sources.items():
        (folder / name).write_text(text)
    x, y = (conversion.graph.tensors[n[0]] for n in (conversion.graph.inputs, conversion.graph.outputs))
    main = MAIN.format(p=prefix, P=prefix.upper(), steps=len(xs), ctype=x.dtype.c)
    (folder / "main.c").write_text(
        main.replace("#include <stdio.h>", "#include <stdio.h>\n#include <stddef.h>")
    )
    sources = [str(p) for p in folder.glob("*.c")]
    flags = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined"]
    subprocess.run(["gcc", *flags, "-I", str(folder), *sources, "-lm", "-o", str(folder / "run")], check=True)
    data = np.ascontiguousarray(xs, x.dtype.numpy).tobytes()
    done = subprocess.run([folder / "run"], input=data, capture_output=True, check=True)
    found = np.frombuffer(done.stdout, y.dtype.numpy).reshape(2, len(xs), *y.shape)
    np.testing.assert_array_equal(found[0], found[1])
    return found[0]


def _unrolled(model: onnx.ModelProto, xs: Array, states: Sequence[tuple[str, str]]) -> list[Array]:
    """onnxruntime, step by step, with the state handed on by hand."""
    run, names = session(model), [o.name for o in model.graph.output]
    shapes = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in model.graph.input}
    kept: dict[str, Array] = {name: np.zeros(shapes[name], np.float32) for name, _ in states}
    found = []
    for x in xs:
        outputs = dict(zip(names, run.run(names, {"x": x, **kept}), strict=True))
        kept = {source: outputs[target] for source, target in states}
        found.append(outputs[names[0]])
    return found


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
    for got, want in zip(_stepped(conversion, xs, tmp_path), _unrolled(model, xs, pairs), strict=True):
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
    got = (_stepped(conversion, codes, tmp_path).astype(np.float32) - y.z) * y.s
    want = np.stack(_unrolled(model, xs, pairs))
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
