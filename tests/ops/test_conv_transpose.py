"""Transposed convolution: every way to give its size, next to onnxruntime; int8 through QDQ models."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import Constant, read_node

from models import Builder, assert_proven, converted, save
from pingponnx.errors import UnsupportedError
from pingponnx.ir import Array
from pingponnx.ops.conv_transpose import ConvTranspose

GEOMETRIES: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    # input `c h w`, weights `ic oc/group kh kw`
    ((4, 5, 6), (4, 3, 3, 3), {}),
    ((4, 5, 6), (4, 3, 2, 2), {"strides": [2, 2]}),
    ((4, 5, 6), (4, 3, 3, 4), {"strides": [2, 3], "pads": [1, 0, 1, 2], "output_padding": [1, 2]}),
    ((4, 5, 6), (4, 2, 3, 3), {"group": 2, "dilations": [2, 1]}),
    ((4, 5, 6), (4, 1, 4, 4), {"group": 4, "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ((2, 4, 3), (2, 3, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    ((2, 4, 3), (2, 3, 4, 4), {"strides": [3, 2], "auto_pad": "SAME_LOWER"}),
    ((2, 4, 3), (2, 3, 3, 3), {"strides": [2, 2], "auto_pad": "VALID"}),
    ((2, 4, 3), (2, 3, 3, 3), {"strides": [3, 2], "output_shape": [10, 8], "output_padding": [1, 1]}),
    ((3, 8), (3, 5, 4), {"strides": [2], "pads": [1, 1]}),
    ((3, 8), (3, 2, 3), {"strides": [1], "dilations": [2], "group": 1}),
]


def test_float_geometries_are_proven(tmp_path: Path) -> None:
    """All in one model: one program to compile, every node compared with onnxruntime."""
    b = Builder()
    inputs: dict[str, list[int]] = {}
    outputs = []
    for i, (shape, weights, attributes) in enumerate(GEOMETRIES):
        inputs[f"x{i}"] = [1, *shape]
        out = weights[1] * attributes.get("group", 1)
        bias = [b.normal(out)] if i % 2 else []
        given: Any = b.normal(*weights)
        if i % 4 == 3:  # computed ones are read in ONNX's order
            inputs[f"w{i}"], given = list(weights), f"w{i}"
        y = b.add("ConvTranspose", f"x{i}", given, *bias, **attributes)
        outputs.append(b.add("Relu", y) if i % 3 else y)
    found = assert_proven(save(b.model(inputs, *outputs), tmp_path / "model.onnx"))
    assert sum(node.op == "ConvTranspose" for node in found.nodes) == len(GEOMETRIES)


@pytest.mark.parametrize("axis", [1, None])
def test_int8_is_proven(axis: int | None, tmp_path: Path) -> None:
    b = Builder()
    x = b.qdq("x", 0.02, 3)
    weights = b.rng.integers(-127, 127, (4, 3, 3, 3), np.int8, endpoint=True)
    scale = b.rng.uniform(0.002, 0.004, 3 if axis else ()).astype(np.float32)
    w = b.add("DequantizeLinear", weights, scale, **({"axis": axis} if axis else {}))
    y = b.qdq(b.add("ConvTranspose", x, w, b.normal(6), group=2, strides=[2, 2]), 0.05, -7)
    path = save(b.model({"x": [1, 4, 5, 4]}, y), tmp_path / "model.onnx")
    assert_proven(path)
    functions = {call.function for call in converted(path).calls if call is not None}
    assert "convtranspose_s8" in functions and "convtranspose_f32" not in functions


@pytest.mark.parametrize(
    ("weights", "attributes", "reason"),
    [
        ((3, 2, 3, 3), {}, "disagree"),
        ((4, 2, 3, 3), {"group": 3}, "disagree"),
        ((4, 2, 3, 3), {"auto_pad": "SOME"}, "auto_pad"),
        ((4, 2, 3, 3), {"pads": [9, 9, 9, 9]}, "an output of"),
        ((4, 2, 3, 3), {"strides": [0, 1]}, "positive"),
        ((4, 2, 3, 3, 3, 3), {}, "4-dimensional"),
    ],
)
def test_what_cannot_be_is_refused(
    weights: tuple[int, ...], attributes: dict[str, object], reason: str
) -> None:
    x: Array = np.zeros((1, 4, *(5,) * (len(weights) - 2)), np.float32)
    with pytest.raises(UnsupportedError, match=reason):
        ConvTranspose.from_onnx(
            read_node("ConvTranspose", x, Constant(np.zeros(weights, np.float32)), **attributes)
        )
