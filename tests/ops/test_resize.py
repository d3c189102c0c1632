"""Resize in its modes next to onnxruntime, whole models of many nodes; what only moves values stays int8."""

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import Case, Constant, assert_close, check_c, make_case, read_node

from models import HOST, Builder, assert_proven, converted, ops, save
from pingponnx.errors import UnsupportedError
from pingponnx.fixed_point import Rounding
from pingponnx.ops.resize import Resize

NONE = Constant(np.zeros(0, np.float32))
TRANSFORMS = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric"]
ROUNDINGS = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]


def _case(shape: tuple[int, ...], to: tuple[float, ...], **attributes: Any) -> Case:
    """`to`: sizes if integers, else scales."""
    x = np.random.default_rng(4).normal(size=shape).astype(np.float32)
    inputs = [NONE, Constant(np.array(to, np.float32))]
    if all(isinstance(v, int) for v in to):
        inputs = [NONE, NONE, Constant(np.array(to, np.int64))]
    return make_case("Resize", x, *inputs, opset=19, **attributes)


def _cases() -> list[Case]:
    # lengths are whole: align_corners of others is not the same in onnxruntime and in ONNX's own tests;
    # scales are sums of powers of two, so that float32 has the ties where they are
    up, down = (1.0, 1.0, 1.625, 2.0), (1.0, 1.0, 0.625, 0.5)
    cases = [
        _case((1, 2, 8, 4), scales, mode="nearest", coordinate_transformation_mode=t, nearest_mode=r)
        for scales, t, r in product((up, down), TRANSFORMS, ROUNDINGS)
    ]
    cases += [
        _case((1, 2, 8, 4), scales, mode=mode, coordinate_transformation_mode=t)
        for scales, mode, t in product((up, down), ("linear", "cubic"), TRANSFORMS)
    ]
    cases += [
        _case((1, 1, 6, 6), (1, 1, 9, 3), mode="cubic", cubic_coeff_a=-0.5, exclude_outside=1),
        _case((1, 1, 6, 6), (1, 1, 2, 4), mode="linear", antialias=1),
        _case((1, 1, 6, 6), (1, 1, 4, 3), mode="cubic", antialias=1),
        _case((1, 2, 6), (1, 2, 9), mode="linear"),
        _case((1, 2, 4, 4), (7, 7), mode="nearest", axes=[2, 3], keep_aspect_ratio_policy="not_larger"),
    ]
    return cases


def test_float_equals_onnxruntime_and_c(tmp_path: Path) -> None:
    cases = _cases()
    for case in cases:
        assert_close(case.expected, case.reference, case.label)
    check_c(cases[::3] + cases[-5:], tmp_path)


def test_a_region_of_interest_is_a_table_too(tmp_path: Path) -> None:
    x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    roi = Constant(np.array([0, 0, 0.4, -0.2, 1, 1, 0.8, 1.3], np.float32))
    sizes = Constant(np.array([1, 1, 3, 5], np.int64))
    case = make_case(
        "Resize",
        x,
        roi,
        NONE,
        sizes,
        opset=19,
        mode="linear",
        coordinate_transformation_mode="tf_crop_and_resize",
        extrapolation_value=9.0,
    )
    assert_close(case.expected, case.reference)
    assert (case.reference == 9).any()
    check_c([case], tmp_path)


def test_it_follows_the_layout_of_images(tmp_path: Path) -> None:
    b = Builder()
    y = b.add("Resize", b.conv("x", 2, 3), "", np.float32([1, 1, 2, 2]), mode="linear")
    y = b.add("Resize", b.conv(y, 3, 2), "", np.float32([1, 1, 2, 2]), mode="nearest")
    path = save(b.model({"x": [1, 2, 6, 5]}, y), tmp_path / "model.onnx")
    assert_proven(path)
    assert ops(converted(path).graph) == ["Conv", "Interpolate", "Conv", "Resize"]


def test_nearest_stays_int8(tmp_path: Path) -> None:
    b = Builder()
    y = b.add("Resize", b.qdq("x", 0.02, 3), "", np.float32([1, 1, 2, 2]))
    path = save(b.model({"x": [1, 2, 4, 5]}, b.qdq(y, 0.02, 3)), tmp_path / "model.onnx")
    assert_proven(path)
    assert "resize_nearest" in {call.function for call in converted(path).calls if call is not None}
    assert all(t.dtype.value == "int8" for t in converted(path).graph.tensors.values())


@pytest.mark.parametrize("rounding", list(Rounding))
def test_interpolation_is_proven_in_int8(rounding: Rounding, tmp_path: Path) -> None:
    b = Builder()
    outputs = []
    for mode, scales, out in (
        ("linear", [1, 1, 2, 2], 0.02),
        ("cubic", [1, 1, 1.7, 0.8], 0.03),
        ("linear", [1, 1, 1, 3], 0.01),
    ):
        y = b.add("Resize", b.qdq("x", 0.02, 3), "", np.float32(scales), mode=mode)
        outputs.append(b.qdq(y, out, -5))
    path = save(b.model({"x": [1, 3, 9, 8]}, *outputs), tmp_path / "model.onnx")
    assert_proven(path, replace(HOST, rounding=rounding))
    functions = [call.function for call in converted(path).calls if call is not None]
    assert functions.count("interpolate_s8") == 3 and "interpolate_f32" not in functions


def test_the_old_operator() -> None:
    x = np.zeros((1, 1, 2, 3), np.float32)
    op, _ = Resize.from_onnx(read_node("Upsample", x, Constant(np.float32([1, 1, 2, 3])), opset=9))
    assert isinstance(op, Resize)
    assert [t.columns.ravel().tolist() for t in op.axes] == [[0, 0, 1, 1], [0, 0, 0, 1, 1, 1, 2, 2, 2]]


@pytest.mark.parametrize(
    ("inputs", "attributes", "reason"),
    [
        ((NONE, Constant(np.float32([2, 2, 2, 2]))), {}, "resizing 4 axes"),
        ((NONE, NONE), {}, "neither scales nor sizes"),
        ((NONE, Constant(np.float32([1, 1, 0.1, 1]))), {}, "empty"),
        ((NONE, Constant(np.float32([1, 1, 2, 2]))), {"mode": "magic"}, "mode 'magic'"),
        ((NONE, Constant(np.float32([1, 1, 2, 2]))), {"nearest_mode": "up"}, "nearest_mode 'up'"),
        (
            (NONE, Constant(np.float32([1, 1, 2, 2]))),
            {"coordinate_transformation_mode": "odd"},
            "coordinate_transformation_mode 'odd'",
        ),
        ((NONE, np.float32([1, 1, 2, 2])), {}, "input 2 must be a constant"),
    ],
)
def test_what_cannot_be_is_refused(inputs: Any, attributes: dict[str, Any], reason: str) -> None:
    x = np.zeros((1, 2, 3, 4), np.float32)
    with pytest.raises(UnsupportedError, match=reason):
        Resize.from_onnx(read_node("Resize", x, *inputs, opset=13, **attributes))
