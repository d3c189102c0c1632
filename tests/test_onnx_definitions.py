"""Operators that are written out as others: next to onnxruntime, which has them."""

from pathlib import Path

import numpy as np
import pytest

from models import Builder, assert_proven, normal, ops, save

BLOCKS = [
    ("DepthToSpace", (1, 8, 2, 3), {"mode": "DCR"}),
    ("DepthToSpace", (1, 8, 2, 3), {"mode": "CRD"}),
    ("SpaceToDepth", (1, 2, 4, 6), {}),
]


def test_blocks_of_pixels_are_proven(tmp_path: Path) -> None:
    b = Builder()
    inputs = {f"x{i}": shape for i, (_, shape, _) in enumerate(BLOCKS)}
    outputs = [
        b.add(op_type, f"x{i}", blocksize=2, **attributes)
        for i, (op_type, _, attributes) in enumerate(BLOCKS)
    ]
    path = save(b.model(inputs, *outputs), tmp_path / "model.onnx")
    assert assert_proven(path).outputs.close


@pytest.mark.parametrize("axis", [0, 1])
def test_what_has_a_kernel_stays(axis: int, tmp_path: Path) -> None:
    b = Builder()
    y = b.add("Max", "x", np.float32([[1, 2, 3]]) if axis else np.float32([[1], [2]]))
    assert ops(normal(b.model({"x": (2, 3)}, y), tmp_path)) == ["Extreme"]
