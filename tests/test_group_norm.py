"""Group normalization as PyTorch's exporters write it: one node of ours, and what only looks like it."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from models import Builder, assert_proven, normal, ops, save


def _model(
    scale: Any = (1, 1, 1), channel: tuple[int, ...] = (6, 1, 1), back: tuple[int, ...] = (1, 6, 4, 5)
) -> onnx.ModelProto:
    """Reshape, InstanceNormalization, Reshape, Mul and Add behind a convolution."""
    b = Builder()
    y = b.add("Reshape", b.conv("x", 2, 6), np.array([1, 3, -1]))
    y = b.add("InstanceNormalization", y, np.float32(scale), np.float32([0, 0, 0.5]), epsilon=1e-3)
    y = b.add("Reshape", y, np.array(back))
    y = b.add("Add", b.add("Mul", y, b.normal(*channel)), b.normal(*channel))
    return b.model({"x": [1, 2, 6, 7]}, b.add("Relu", y))


@pytest.mark.parametrize("scale", [(1, 1, 1), (2, 0.5, 1)])
@pytest.mark.parametrize("channel", [(6, 1, 1), (1, 6, 1, 1), (1,)])
def test_the_pattern_is_one_node(scale: Any, channel: tuple[int, ...], tmp_path: Path) -> None:
    model = _model(scale, channel)
    assert ops(normal(model, tmp_path)) == ["Conv", "GroupNorm", "Clip"]


def test_it_is_proven(tmp_path: Path) -> None:
    assert_proven(save(_model((2, 0.5, 1)), tmp_path / "model.onnx"))


def test_other_factors_stay_what_they_are(tmp_path: Path) -> None:
    found = ops(normal(_model(channel=(6, 4, 1)), tmp_path))
    assert "GroupNorm" in found and "Mul" in found and "Add" in found


def test_another_shape_behind_it_is_no_group_norm(tmp_path: Path) -> None:
    found = ops(normal(_model(channel=(1,), back=(1, 6, 5, 4)), tmp_path))
    assert "InstanceNorm" in found and "GroupNorm" not in found
