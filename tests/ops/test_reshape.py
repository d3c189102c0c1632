"""Shapes without bytes: Reshape, Flatten, Squeeze, Unsqueeze, Identity, Dropout."""

from typing import Any

import numpy as np
import pytest
from support import Constant, make_case, quantization, read_node

from pingponnx.errors import UnsupportedError
from pingponnx.ops.reshape import Reshape


def _ints(*values: int) -> Constant:
    return Constant(np.array(values, np.int64))


CASES: list[tuple[str, tuple[int, ...], tuple[Constant, ...], dict[str, Any]]] = [
    ("Reshape", (2, 3, 4), (_ints(6, 4),), {}),
    ("Reshape", (2, 3, 4), (_ints(0, -1),), {}),
    ("Reshape", (2, 3, 4), (_ints(-1, 0, 2),), {}),
    ("Reshape", (2, 3, 4), (_ints(24),), {}),
    ("Reshape", (1,), (_ints(1, 1, 1),), {}),
    ("Reshape", (2, 3, 4), (_ints(4, 6),), {"allowzero": 1}),
    *(("Flatten", (2, 3, 4, 5), (), {"axis": axis}) for axis in range(-4, 5)),
    ("Flatten", (2, 3, 4), (), {}),
    ("Flatten", (7,), (), {"axis": 0}),
    ("Squeeze", (1, 3, 1, 5), (), {}),
    ("Squeeze", (1, 3, 1, 5), (_ints(0),), {}),
    ("Squeeze", (1, 3, 1, 5), (_ints(-2, 0),), {}),
    ("Squeeze", (1, 3, 1, 5), (), {"opset": 11, "axes": [-2]}),
    ("Unsqueeze", (3, 5), (_ints(0),), {}),
    ("Unsqueeze", (3, 5), (_ints(-1, 1),), {}),
    ("Unsqueeze", (3, 5), (_ints(4, 0, 2),), {}),
    ("Unsqueeze", (3, 5), (), {"opset": 11, "axes": [0, -1]}),
    ("Identity", (2, 3), (), {}),
    ("Dropout", (2, 3), (), {}),
    ("Dropout", (2, 3), (), {"opset": 10, "ratio": 0.25}),
    ("Dropout", (2, 3), (Constant(np.array(0.5, np.float32)), Constant(np.array(False))), {}),
]


@pytest.mark.parametrize(("op_type", "shape", "constants", "attributes"), CASES)
def test_shape_and_values_equal_onnxruntime(
    op_type: str, shape: tuple[int, ...], constants: tuple[Constant, ...], attributes: dict[str, Any]
) -> None:
    x = np.random.default_rng(71).normal(size=shape).astype(np.float32)
    case = make_case(op_type, x, *constants, **attributes)
    np.testing.assert_array_equal(case.reference, case.expected)
    assert case.reference.shape == case.site.y.shape
    assert case.op.alias and not case.op.kernels(case.site)


def test_codes_keep_their_quantization() -> None:
    q = quantization(0.05, 3)
    x = np.arange(-12, 12, dtype=np.int8).reshape(2, 12)
    case = make_case("Reshape", x, _ints(3, 8), quantized=(q, q))
    np.testing.assert_array_equal(case.reference, case.expected)
    assert case.op.integer(case.site) == ""
    assert case.op.quantization(case.site.x) == q


def test_unsupported() -> None:
    x = np.zeros((2, 3, 4), np.float32)
    for node in (
        read_node("Reshape", x),
        read_node("Reshape", x, np.array([6, 4], np.int64)),
        read_node("Reshape", x, _ints(5, 5)),
        read_node("Reshape", x, _ints(5, -1)),
        read_node("Squeeze", x, _ints(1)),
        read_node("Flatten", x, axis=4),
        read_node("Flatten", x, axis=-4),
        read_node("Dropout", x, None, Constant(np.array(True))),
        read_node("Dropout", x, outputs=("y", "mask")),
    ):
        with pytest.raises(UnsupportedError):
            Reshape.from_onnx(node)
