"""QuantizeLinear, DequantizeLinear and Requantize: every code, ties, extremes, NaN."""

from dataclasses import replace
from math import inf, nan
from pathlib import Path

import numpy as np
import pytest
from support import Case, Constant, check_c, make_case, quantization, read_node, run_onnx

from models import assert_proven, make_model, make_node, normal, ops, save
from pingponnx.errors import UnsupportedError
from pingponnx.fixed_point import dequantize_array
from pingponnx.ir import Array, DType, Quantization, Tensor
from pingponnx.ops import Site
from pingponnx.ops.quantize import DequantizeLinear, QuantizeLinear, Requantize, read_quantization

CODES = np.arange(-128, 128, dtype=np.int8).reshape(16, 16)
QUANTIZATIONS = [quantization(s, z) for s, z in ((0.05, 0), (1.0, -128), (1e-30, 127), (1e30, 5), (0.3, -7))]


def _scales(q: Quantization) -> tuple[Constant, Constant]:
    return Constant(np.array(q.s)), Constant(np.array(q.z, np.int8))


def _quantize(x: Array, q: Quantization) -> Case:
    scale, zero = _scales(q)
    model = make_model(
        [make_node("QuantizeLinear", ["x", "s", "z"], "y")],
        {"x": x.shape},
        ["y"],
        {"s": scale.data, "z": zero.data},
    )
    op, _ = QuantizeLinear.from_onnx(read_node("QuantizeLinear", x, scale, zero))
    source, y = Tensor("x", x.shape, DType.F32), Tensor("y", x.shape, DType.S8, q)
    assert (op.infer(source), op.dtype(source), op.quantization(source)) == ((x.shape,), DType.S8, q)
    return Case(op, Site("node", (source,), (y,)), (x,), run_onnx(model, {"x": x}), f"{q.s} {q.z}")


def _reals(q: Quantization) -> Array:
    """Multiples of half a step around all codes (half of them ties), extremes and random values."""
    rng = np.random.default_rng(91)
    with np.errstate(over="ignore"):
        steps = np.arange(-600, 600, dtype=np.float32) * np.float32(0.5) * q.s
        near = np.nextafter(steps, np.float32(inf)), np.nextafter(steps, np.float32(-inf))
        random = (rng.normal(size=600) * 100).astype(np.float32) * q.s
    extremes = np.array([0.0, -0.0, inf, -inf, nan, 3e38, -3e38, 1e-45], np.float32)
    return np.concatenate([steps, *near, random, extremes]).reshape(1, -1)


def test_quantize_equals_onnxruntime_and_c(tmp_path: Path) -> None:
    cases = [_quantize(_reals(q), q) for q in QUANTIZATIONS]
    for case in cases:
        np.testing.assert_array_equal(case.reference, case.expected, case.label)
    check_c(cases, tmp_path)


def test_quantize_with_scale_one_is_rint(tmp_path: Path) -> None:
    case = _quantize(_reals(quantization(1.0, 0)), quantization(1.0, 0))
    finite = np.isfinite(case.arrays[0])
    want = np.clip(np.rint(case.arrays[0][finite]), -128, 127)
    np.testing.assert_array_equal(case.reference[finite], want)


def _dequantize(q: Quantization) -> Case:
    case = make_case("DequantizeLinear", CODES, *_scales(q))
    site = replace(case.site, inputs=(replace(case.site.x, quantization=q),))
    return replace(case, op=DequantizeLinear(), site=site, arrays=case.arrays[:1])  # as load makes it


def test_dequantize_equals_onnxruntime_and_c(tmp_path: Path) -> None:
    cases = [_dequantize(q) for q in QUANTIZATIONS]
    for case in cases:
        assert case.reference.dtype == np.float32
        np.testing.assert_array_equal(case.reference, case.expected, case.label)
        assert not case.op.kernels(case.site)[0].overlap  # the output is four times the input
    check_c(cases, tmp_path)


@pytest.mark.parametrize("zx", [-128, 0, 127])
def test_requantize_equals_onnxruntime_for_every_code(tmp_path: Path, zx: int) -> None:
    cases = []
    for sx, q in (
        (0.05, quantization(0.05, 3)),
        (0.05, quantization(0.013, -100)),
        (0.01, quantization(2.0, 9)),
    ):
        x = quantization(sx, zx)
        twice = make_case("Identity", CODES, quantized=(x, q))
        cases.append(replace(twice, op=Requantize()))
    for case in cases:
        np.testing.assert_array_equal(case.reference, case.expected)
        assert case.op.integer(case.site) == ""
    check_c(cases, tmp_path)


def test_a_pair_with_other_scales_becomes_a_table(tmp_path: Path) -> None:
    nodes = [
        make_node("DequantizeLinear", ["x", "s", "z"], "real"),
        make_node("QuantizeLinear", ["real", "t", "z"], "y"),
    ]
    constants = {"s": np.float32(0.05), "t": np.float32(0.021), "z": np.int8(-3)}
    model = make_model(nodes, {"x": (4, 64)}, ["y"], constants, dtype=3)
    assert ops(normal(model, tmp_path)) == ["Requantize"]
    assert_proven(save(model, tmp_path / "model.onnx"))


def test_missing_zero_point_means_uint8() -> None:
    node = read_node("DequantizeLinear", np.zeros(3, np.uint8), Constant(np.array(0.5, np.float32)))
    found, dtype = read_quantization(node)
    assert (found, dtype) == (quantization(0.5, 0), DType.U8)


def test_per_channel_parameters_of_a_constant() -> None:
    w = np.zeros((2, 3), np.int8)
    scale, zero = Constant(np.array([1, 2, 3], np.float32)), Constant(np.zeros(3, np.int8))
    for attributes, axis in (({}, 1), ({"axis": -1}, 1)):
        found, _ = read_quantization(read_node("DequantizeLinear", w, scale, zero, **attributes))
        assert found.axis == axis and not found.per_tensor


def test_dequantized_codes_are_the_constants_real_values() -> None:
    for q in QUANTIZATIONS:
        np.testing.assert_array_equal(dequantize_array(CODES, q), _dequantize(q).expected)


def test_unsupported() -> None:
    x = np.zeros((2, 3), np.float32)
    one, zero = Constant(np.array(1, np.float32)), Constant(np.array(0, np.int8))
    for node in (
        *(read_node("QuantizeLinear", x, Constant(np.array(s, np.float32)), zero) for s in (0, -1, inf, nan)),
        read_node("QuantizeLinear", x, one, Constant(np.array(0, np.int32))),
        read_node("QuantizeLinear", x, one, output_dtype=22),
        read_node("QuantizeLinear", x.astype(np.int32), one, zero),
    ):
        with pytest.raises(UnsupportedError):
            QuantizeLinear.from_onnx(node)
    with pytest.raises(UnsupportedError):
        Requantize.from_onnx(read_node("Identity", x))
    assert DequantizeLinear().permuted((1, 0)) == DequantizeLinear()
