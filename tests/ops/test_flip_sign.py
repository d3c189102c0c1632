"""FlipSign: uint8 and int8 views of the same number, both ways."""

from pathlib import Path

import numpy as np
import pytest
from support import Case, check_c, quantization, read_node

from models import assert_proven, make_model, make_node, normal, ops, save
from pingponnx.errors import UnsupportedError
from pingponnx.ir import DType, Tensor
from pingponnx.ops import Site
from pingponnx.ops.flip_sign import FlipSign

BYTES = np.arange(256, dtype=np.uint8)


def _case(source: DType, target: DType) -> Case:
    x, y = (Tensor(name, (256,), dtype) for name, dtype in (("x", source), ("y", target)))
    difference = 128 if target is DType.U8 else -128
    data = BYTES.view(source.numpy)
    expected = (data.astype(np.int16) + difference).astype(target.numpy)
    return Case(FlipSign(target), Site("node", (x,), (y,)), (data,), expected)


def test_adds_and_subtracts_128(tmp_path: Path) -> None:
    cases = [_case(DType.U8, DType.S8), _case(DType.S8, DType.U8)]
    for case in cases:
        np.testing.assert_array_equal(case.reference, case.expected)
        assert case.op.infer(case.site.x) == ((256,),)
        assert case.op.dtype(case.site.x) is case.site.y.dtype
        assert dict(case.op.kernels(case.site)[0].overlap) == {0: 0}
    check_c(cases, tmp_path)


def test_stands_at_both_ends_of_a_uint8_model(tmp_path: Path) -> None:
    q = quantization(0.05, 0)
    constants = {"s": np.array(q.s), "z": np.uint8(131), "w": np.float32([[0.5]])}
    nodes = [
        make_node("DequantizeLinear", ["x", "s", "z"], "real"),
        make_node("Sigmoid", ["real"], "r"),
        make_node("QuantizeLinear", ["r", "s", "z"], "y"),
    ]
    model = make_model(nodes, {"x": (2, 128)}, ["y"], constants, dtype=2)
    assert ops(normal(model, tmp_path)) == ["FlipSign", "Sigmoid", "FlipSign"]
    assert_proven(save(model, tmp_path / "model.onnx"))


def test_is_no_onnx_operator() -> None:
    with pytest.raises(UnsupportedError):
        FlipSign.from_onnx(read_node("Identity", np.zeros(3, np.uint8)))
    assert FlipSign(DType.S8).permuted((1, 0)) == FlipSign(DType.S8)
