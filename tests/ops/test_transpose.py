"""Transpose: every permutation up to rank four, some beyond, for elements of one and four bytes."""

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from layers import Weights, layer_model
from support import Case, check_c, make_case, quantization, read_node

from models import HOST, assert_proven, normal, ops, save
from pingponnx.errors import UnsupportedError
from pingponnx.ir import DType
from pingponnx.ops.transpose import Transpose

SHAPES = [(5,), (2, 3), (2, 3, 4), (3, 1, 2, 5)]
Q = quantization(0.05, 3)


def _cases(dtype: str) -> list[Case]:
    rng = np.random.default_rng(81)
    wanted = [(shape, p) for shape in SHAPES for p in permutations(range(len(shape)))]
    wanted += [((2, 3, 1, 2, 3), (4, 2, 0, 3, 1)), ((2, 1, 3, 2, 2, 3), (5, 0, 3, 1, 4, 2))]
    cases = []
    for shape, perm in wanted:
        x = rng.integers(-128, 128, shape).astype(dtype)
        cases.append(make_case("Transpose", x, quantized=(Q, Q) if dtype == "int8" else (), perm=list(perm)))
    return cases


def test_float_equals_onnxruntime_and_c(tmp_path: Path) -> None:
    cases = [*_cases("float32"), make_case("Transpose", np.ones((2, 3, 4), np.float32))]
    for case in cases:
        np.testing.assert_array_equal(case.reference, case.expected, case.label)
        assert not case.op.kernels(case.site)[0].overlap
    check_c(cases, tmp_path)


def test_bytes_equal_onnxruntime_and_c(tmp_path: Path) -> None:
    cases = _cases("int8")
    for case in cases:
        np.testing.assert_array_equal(case.reference, case.expected, case.label)
    check_c([*cases, _unsigned(cases[-1])], tmp_path)


def _unsigned(case: Case) -> Case:
    x, y = (replace(t, dtype=DType.U8, quantization=None) for t in (case.site.x, case.site.y))
    site = replace(case.site, inputs=(x,), outputs=(y,))
    return replace(case, site=site, arrays=(case.arrays[0].view(np.uint8),))


def test_uint8_images_in_onnx_order(tmp_path: Path) -> None:
    """With --nchw-io the transposes of a uint8 model stand at its edge."""
    rng = np.random.default_rng(82)
    x, w = (rng.integers(0, 256, s).astype(np.uint8) for s in ((1, 3, 6, 5), (4, 3, 3, 3)))
    scales = (quantization(0.0471, 121), quantization(0.513, 139))
    path = save(layer_model("Conv", x, Weights(w, None, 0.011, 130), scales), tmp_path / "images.onnx")
    assert_proven(path, replace(HOST, nchw_io=True))


def test_other_types_equal_onnxruntime_and_c(tmp_path: Path) -> None:
    x = np.arange(24).reshape(2, 3, 4)
    cases = [
        make_case("Transpose", x.astype(t), perm=[2, 0, 1]) for t in ("int16", "int64", "float64", "bool")
    ]
    for case in cases:
        np.testing.assert_array_equal(case.expected, case.reference, case.label)
    check_c(cases, tmp_path)


def test_unsupported() -> None:
    x = np.zeros((2, 3, 4), np.float32)
    for node in (
        read_node("Transpose", x, perm=[0, 1]),
        read_node("Transpose", x, perm=[0, 1, 1]),
        read_node("Transpose", np.zeros((1,) * 7, np.float32)),
    ):
        with pytest.raises(UnsupportedError):
            Transpose.from_onnx(node)


def test_a_refusal_names_the_models_node(tmp_path: Path) -> None:
    from models import make_model, make_node

    model = make_model([make_node("Transpose", ["x"], "y")], {"x": (2, 3)}, ["y"])
    graph = normal(model, tmp_path)
    assert ops(graph) == ["Transpose"]
    assert graph.nodes[0].name == "transpose_y"
