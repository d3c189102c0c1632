"""If and Loop that fold away, next to onnxruntime, which runs them."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from models import converted, execute, normal, ops, save
from pingponnx.errors import UnsupportedError
from pingponnx.load import load
from pingponnx.samples import random_samples

# What the TorchScript exporter makes of squeeze(1): a branch that looks at the shape; both have a name `k`.
SQUEEZE = """
<ir_version: 8, opset_import: ["": 13]>
net (float[2,1,3] x) => (float[2,3] y)
<int64[1] axis = {1}, int64 one = {1}, float[3] bias = {1.0, 2.0, 3.0}>
{
    b = Add(bias, bias)
    shape = Shape(x)
    size = Gather(shape, one)
    is_one = Equal(size, one)
    s = If(is_one) <
        then_branch = squeezed () => (k) { k = Squeeze(x, axis) },
        else_branch = same () => (k) { k = Identity(x) }
    >
    t = If(is_one) <
        then_branch = outer () => (k) {
            k = If(is_one) <
                then_branch = inner () => (n) { m = Add(s, b) n = Neg(m) },
                else_branch = other () => (o) { o = Identity(s) }
            >
        },
        else_branch = unused () => (k) { k = Identity(s) }
    >
    y = Relu(t)
}
"""

# Three turns of v = v * turn + x, each kept.
LOOP = """
<ir_version: 8, opset_import: ["": OPSET]>
net (float[2] x) => (float[2] last, float[3,2] all)
<int64 turns = {3}, bool yes = {1}, float[2] zero = {0.5, -1.0}>
{
    last, all = Loop(turns, COND, zero) <
        body = step (int64 turn, bool going, float[2] v) => (bool on, float[2] w, float[2] kept) {
            on = Identity(going)
            f = Cast<to = 1>(turn)
            p = Mul(v, f)
            w = Add(p, x)
            kept = Neg(w)
        }
    >
}
"""


def _proven(text: str, folder: Path) -> list[str]:
    model = onnx.parser.parse_model(text)
    conversion = converted(save(model, folder / "proven.onnx"))
    (sample,) = random_samples(conversion.graph)[:1]
    names = [value.name for value in model.graph.input]
    whole = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = whole.run(None, dict(zip(names, sample.inputs, strict=True)))
    (found,) = execute(conversion, [sample])
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    return ops(conversion.graph)


def test_a_known_condition_is_its_branch(tmp_path: Path) -> None:
    assert _proven(SQUEEZE, tmp_path)  # each branch that is not taken would fail: wrong shapes, no sum


@pytest.mark.parametrize(("opset", "cond"), [(11, "yes"), (13, "")])
def test_a_known_number_of_turns_is_written_out(opset: int, cond: str, tmp_path: Path) -> None:
    assert _proven(LOOP.replace("OPSET", str(opset)).replace("COND", cond or '""'), tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("on = Identity(going)", "on = Not(going)", "not supported"),
        ("{3}, bool", "{1000}, bool", "1,000 turns would be 5,000 nodes"),
        ("float[2] x)", "float[2] x, bool c)", "condition must be a constant"),
        ("float[2] x)", "float[2] x, int64 c)", "trip count must be a constant"),
    ],
)
def test_other_loops_are_refused(old: str, new: str, reason: str, tmp_path: Path) -> None:
    text = LOOP.replace(old, new).replace("OPSET", "13")
    if "int64 c" in new:
        text = text.replace("(turns, COND", "(c, yes")
    text = text.replace("COND", "c" if "bool c" in new else "yes")
    with pytest.raises(UnsupportedError, match=reason):
        normal(onnx.parser.parse_model(text), tmp_path)


def test_an_operator_of_the_same_name_is_another_one(tmp_path: Path) -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["": 18, "theirs": 1]>
        net (float[1,4] x) => (float[1,4] y) { y = theirs.Loop(x) }
    """)
    with pytest.raises(UnsupportedError, match=r"theirs.Loop node .*: this operator is not supported"):
        load(save(model, tmp_path / "model.onnx"))
