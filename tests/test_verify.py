"""The `verify` command: what it runs without samples, what samples expect, what it says of both."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from models import Builder, assert_refused, converted, make_model, make_node, save
from pingponnx import cli
from pingponnx.evaluate import evaluate
from pingponnx.fixed_point import Rounding
from pingponnx.ir import Array
from pingponnx.load import load
from pingponnx.oracle import Oracle
from pingponnx.samples import Sample, feeds, random_samples, read_samples
from pingponnx.terminal import guarded
from pingponnx.verification import unexpected, verify

ROWS, WIDTH = 11, 4
TABLE = np.random.default_rng(3).normal(size=(ROWS, WIDTH)).astype(np.float32)


def _embedding(before: tuple[str, ...] = (), table: Array = TABLE) -> onnx.ModelProto:
    """Rows of a table at ids, which may be moved or changed before."""
    nodes, ids = [], "ids"
    for op_type in before:
        second = {"Add": ["two"], "Unsqueeze": ["axis"]}.get(op_type, [])
        attributes = {"to": TensorProto.INT32} if op_type == "Cast" else {}
        nodes.append(make_node(op_type, [ids, *second], f"{op_type}_ids", **attributes))
        ids = f"{op_type}_ids"
    nodes.append(make_node("Gather", ["table", ids], "rows"))
    nodes.append(make_node("Cast", ["rows"], "y", to=TensorProto.DOUBLE))
    constants = {"table": table, "two": np.array(2), "axis": np.array([0])}
    return make_model(nodes, {"ids": [1, 6]}, ["y"], constants, dtype=TensorProto.INT64)


@pytest.mark.parametrize("before", [(), ("Unsqueeze", "Cast"), ("Identity",), ("Transpose",)])
def test_made_up_indices_are_rows_of_the_table(before: tuple[str, ...], tmp_path: Path) -> None:
    path = save(_embedding(before), tmp_path / "model.onnx")
    samples = random_samples(load(path), 20)
    ids = np.stack([sample.inputs[0] for sample in samples])
    assert (ids.min(), ids.max()) == (0, ROWS - 1)
    assert all(len(Oracle(path).outputs(sample)) == 1 for sample in samples)


def test_made_up_indices_fit_every_operator_that_picks(tmp_path: Path) -> None:
    """One input that picks along three axes: of 3, of 5, and by pairs of 2 and 4."""
    x = {f"x{i}": np.ones(shape, np.float32) for i, shape in enumerate([(3, 2), (5, 2), (2, 4)])}
    nodes = [
        make_node("Gather", ["x0", "ids"], "a"),
        make_node("GatherElements", ["x1", "ids"], "b"),
        make_node("GatherND", ["x2", "ids"], "c"),
        make_node("ScatterND", ["x2", "ids", "c"], "d"),
        make_node("ScatterElements", ["x1", "ids", "b"], "e"),
    ]
    model = make_model(nodes, {"ids": [5, 2]}, [*"abcde"], x, dtype=TensorProto.INT64)
    path = save(model, tmp_path / "model.onnx")
    samples = random_samples(load(path))
    assert {int(i) for sample in samples for i in sample.inputs[0].ravel()} == {0, 1}
    assert len(Oracle(path).outputs(samples[0])) == 5


def test_what_onnxruntime_refuses_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ids plus two: out of range, as nothing tells what bounds a sum."""
    path = save(_embedding(("Add",)), tmp_path / "model.onnx")
    code = guarded(lambda: cli.app(["verify", str(path)]))
    captured = capsys.readouterr()
    assert_refused(code, captured.out, captured.err)
    assert "Gather node" in captured.err and "out of data bounds" in captured.err
    assert "--samples" in captured.err


# -- what samples expect -----------------------------------------------------------------------------


def _found(
    model: onnx.ModelProto, folder: Path, expected: Array, tolerance: float | None = None
) -> list[int]:
    """Indices of the first value that is not as expected, if there is any; `expected` is what to add."""
    path = save(model, folder / "model.onnx")
    graph = converted(path).graph
    (sample,) = random_samples(graph, 1)
    golden = Oracle(path).outputs(sample)
    values = evaluate(graph, feeds(graph, sample), Rounding.SINGLE)
    outputs = [values[name] for name in graph.outputs]
    wanted = Sample(sample.inputs, (golden[0] + expected.astype(golden[0].dtype),))
    found = unexpected(graph, outputs, golden, wanted, tolerance)
    return [found.index] if found else []


def _one(at: int, by: float, shape: tuple[int, ...]) -> Array:
    change = np.zeros(shape)
    change.ravel()[at] = by
    return change


def test_float32_values_may_be_off_by_a_ten_thousandth_of_the_largest(tmp_path: Path) -> None:
    net = Builder()
    model = net.model({"x": [1, 3, 4, 5]}, net.conv("x", 3, 2))
    shape = (1, 2, 2, 3)
    assert _found(model, tmp_path, _one(7, 0, shape)) == []
    assert _found(model, tmp_path, _one(7, 0.01, shape)) == [7]  # in ONNX's order of axes, not in ours
    assert _found(model, tmp_path, _one(7, 0.01, shape), 0.1) == []
    assert _found(model, tmp_path, _one(7, np.nan, shape)) == [7]


def test_quantized_values_may_be_off_by_two_steps_of_a_hundred(tmp_path: Path) -> None:
    net = Builder()
    model = net.model({"x": [1, 3, 4, 5]}, net.qdq(net.qconv(net.qdq("x", 0.02, 3), 3, 2), 0.05, 0))
    shape = (1, 2, 2, 3)
    assert _found(model, tmp_path, _one(7, 0.05, shape)) == []
    assert _found(model, tmp_path, _one(7, 1.0, shape)) == [7]
    assert _found(model, tmp_path, _one(7, 1000.0, shape)) == [7]  # beyond what int8 can hold


def test_integers_that_stand_for_themselves_must_be_equal(tmp_path: Path) -> None:
    net = Builder()
    model = net.model({"x": [1, 300]}, net.add("ArgMax", "x", axis=1, keepdims=0))
    assert _found(model, tmp_path, np.array([0])) == []
    assert _found(model, tmp_path, np.array([1])) == [0]


def test_one_of_two_outputs_may_be_known(tmp_path: Path) -> None:
    net = Builder()
    path = save(net.model({"x": [1, 4]}, net.add("Abs", "x"), net.add("Neg", "x")), tmp_path / "model.onnx")
    np.savez(tmp_path / "s.npz", in0=np.ones((2, 1, 4)), out1=np.ones((2, 1, 4)))
    graph = load(path)
    sample = read_samples(tmp_path / "s.npz", graph)[0]
    golden = Oracle(path).outputs(sample)
    assert sample.outputs[0] is None
    found = unexpected(graph, golden, golden, sample)
    assert found is not None and (found.op, found.expected, found.got) == ("Function", 1.0, -1.0)


def test_verify_fails_and_names_samples_and_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file beside the model is taken, and that is said."""
    net = Builder()
    path = save(net.model({"x": [1, 4]}, net.add("Abs", "x")), tmp_path / "model.onnx")
    x = np.arange(-4, 4, dtype=np.float32).reshape(2, 1, 4)
    wrong = np.abs(x)
    wrong[1, 0, 2] = 7
    np.savez(path.with_suffix(".npz"), in0=x, out0=wrong)
    assert guarded(lambda: cli.app(["verify", str(path), "--json"])) == 1
    result = json.loads(capsys.readouterr().out)
    assert not result["passed"] and result["first_difference"] is None
    assert result["samples"] == {"file": "model.npz", "seed": None, "count": 2}
    value = {"sample": 1, "index": 2, "expected": 7.0, "got": 2.0}
    assert result["first_unexpected"] == {"node": "abs_t0", "op": "Function"} | value
    assert guarded(lambda: cli.app(["verify", str(path)])) == 1
    lines = capsys.readouterr().out
    assert "Samples: model: 2 of model.npz." in lines
    assert "node 'abs_t0': sample 1, value 2: expected 7, got 2" in lines


# What the markers between nodes hide: only the shipped library has it.
SHIPPED = """
#if !defined(PINGPONNX_TRACE)
    ((float *)(void *)(base + OUTPUT))[3] += 1.0f;
#endif
"""


def test_verify_runs_the_c_as_it_is_shipped(tmp_path: Path) -> None:
    net = Builder()
    path = save(net.model({"x": [1, 8]}, net.add("Sin", net.add("Abs", "x"))), tmp_path / "model.onnx")
    conversion, oracle = converted(path), Oracle(path)
    samples = random_samples(conversion.graph)[:2]
    assert verify(conversion, oracle, samples).passed
    offset = conversion.plan.offsets[conversion.graph.outputs[0]]
    end = "    return MODEL_OK;\n"
    source = conversion.sources["model.c"]
    assert source.count(end) == 1
    wrong = SHIPPED.replace("OUTPUT", str(offset)) + end
    broken = {**conversion.sources, "model.c": source.replace(end, wrong)}
    found = verify(replace(conversion, sources=broken), oracle, samples)
    assert not found.passed and found.difference is not None
    assert "as it is shipped" in found.difference.node and (
        found.difference.sample,
        found.difference.index,
    ) == (0, 3)
