"""Gather at known indices."""

from pathlib import Path

import numpy as np
from support import Constant, check_c, make_case

from models import Builder, assert_proven, normal, ops, save
from pingponnx.ir import DType
from pingponnx.ops.take import Take

RNG = np.random.default_rng(3)
X = RNG.normal(size=(3, 4, 5)).astype(np.float32)


def test_equals_onnxruntime_and_c(tmp_path: Path) -> None:
    cases = [
        make_case("Gather", X, Constant(np.array(indices, dtype)), axis=axis)
        for axis, indices in ((0, [2, 0, -1]), (1, [[3, 1], [0, 0]]), (-1, [4, -5, 2, 2]))
        for dtype in (np.int32, np.int64)
    ]
    for case in cases:
        assert isinstance(case.op, Take)
        np.testing.assert_array_equal(case.expected, case.reference, case.label)
    check_c(cases, tmp_path)


def test_permuted() -> None:
    order, op = (2, 0, 1), Take(1, (3, 0, 0), (3,))
    moved = op.permuted(order)
    assert moved is not None
    np.testing.assert_array_equal(
        np.take(X.transpose(order), op.indices, moved.axis), np.take(X, op.indices, op.axis).transpose(order)
    )


def test_between_quantizers_it_moves_codes(tmp_path: Path) -> None:
    """Channels in another order, as a channel shuffle does it; nothing is float32."""
    net = Builder()
    a = net.qdq(net.qconv(net.qdq("x", 0.02, 3), 3, 4), 0.05, -20)
    shuffled = net.qdq(net.add("Gather", a, np.array([0, 2, 1, 3]), axis=1), 0.05, -20)
    y = net.qdq(net.qconv(shuffled, 4, 2), 0.1, 4)
    model = net.model({"x": (1, 3, 8, 8)}, y)
    graph = normal(model, tmp_path)
    assert ops(graph) == ["Conv", "Take", "Conv"]
    assert {graph.tensors[n.outputs[0]].dtype for n in graph.nodes} == {DType.S8}
    assert assert_proven(save(model, tmp_path / "model.onnx")).outputs.close
