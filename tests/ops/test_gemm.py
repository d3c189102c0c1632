"""Fully connected layers: every spelling in ONNX, integer arithmetic, and what must be refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from layers import Then, Weights, layer
from support import EVERY_CMSIS, Case, Constant, agreement, assert_close, check_c, quantization, read_node

from pingponnx.errors import UnsupportedError
from pingponnx.fixed_point import Rounding
from pingponnx.ir import DType
from pingponnx.ops.gemm import Gemm

IN, OUT = quantization(0.0471, -7), quantization(0.0913, 11)
ENDS = [(-128, 127), (127, -128), (-128, -128), (127, 127)]
RNG = np.random.default_rng(41)


def _flags(rounding: Rounding) -> list[str]:
    return ["-DPINGPONNX_ROUNDING_TFLITE"] if rounding is Rounding.TFLITE else []


def _real(rows: int, inputs: int, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(42)
    return rng.normal(size=(rows, inputs)).astype(np.float32), rng.normal(size=(inputs, outputs)).astype(
        np.float32
    )


def _codes(rows: int, inputs: int, outputs: int, *, per_channel: bool, zero: int = 0) -> tuple:  # type: ignore[type-arg]
    """Input and weights `in out` with which outputs fill most of int8."""
    rng = np.random.default_rng(43)
    x, w = (
        rng.integers(-128, 128, (rows, inputs), np.int8),
        rng.integers(-128, 128, (inputs, outputs), np.int8),
    )
    spread = rng.uniform(0.4, 1.2, outputs) if per_channel else np.array(0.7)
    bias = rng.integers(-2000, 2000, outputs).astype(np.int32)
    scale = (spread * 0.03 / np.sqrt(inputs)).astype(np.float32)
    return x, Weights(w, bias, scale, zero, axis=1)


def test_float_equals_onnxruntime_and_c(tmp_path: Path) -> None:
    cases = []
    for sizes in ((1, 1, 1), (1, 17, 5), (3, 8, 4), (4, 4, 4)):
        x, w = _real(*sizes)
        bias = RNG.normal(size=sizes[2]).astype(np.float32)
        cases += [
            layer("Gemm", x, Weights(w), tmp_path),
            layer("Gemm", x, Weights(w, bias), tmp_path),
            layer("Gemm", x, Weights(w, bias[None]), tmp_path, alpha=0.5, beta=-2.0),
            layer("Gemm", x, Weights(w, bias[:1]), tmp_path, alpha=-1.5),
            layer("Gemm", x, Weights(w, bias[:1].reshape(1, 1)), tmp_path),
            layer("Gemm", x, Weights(w, bias[0]), tmp_path, beta=0.0),
            layer("Gemm", x, Weights(np.ascontiguousarray(w.T), bias), tmp_path, transB=1, alpha=2.0),
            layer("Gemm", x, Weights(w, bias), tmp_path, then=[Then("Relu")]),
        ]
    for case in cases:
        assert_close(case.expected, case.reference, case.label)
    check_c(cases, tmp_path)


def test_matmul_with_a_constant_matrix(tmp_path: Path) -> None:
    cases = []
    for shape in ((6,), (2, 6), (2, 3, 6), (1, 2, 3, 6)):
        x = RNG.normal(size=shape).astype(np.float32)
        w = RNG.normal(size=(6, 4)).astype(np.float32)
        case = layer("MatMul", x, Weights(w), tmp_path)
        assert_close(case.expected, case.reference, case.label)
        cases.append(case)
    check_c(cases, tmp_path)


def _integer_cases(folder: Path) -> list[Case]:
    cases = []
    for sizes in ((1, 1, 1), (1, 17, 5), (3, 64, 40), (40, 33, 30)):
        for per_channel in (False, True):
            for zero in (0, 9):
                x, weights = _codes(*sizes, per_channel=per_channel, zero=zero)
                cases.append(layer("Gemm", x, weights, folder, (IN, OUT)))
                turned = replace(weights, data=np.ascontiguousarray(weights.data.T), axis=0)
                cases.append(layer("Gemm", x, turned, folder, (IN, OUT), transB=1))
                np.testing.assert_array_equal(cases[-2].reference, cases[-1].reference)
        cases.append(layer("Gemm", x, weights, folder, (IN, OUT), [Then("Relu")], alpha=1.0))
    return cases


@pytest.mark.parametrize("rounding", list(Rounding))
def test_int8_c_equals_reference(tmp_path: Path, rounding: Rounding) -> None:
    check_c([c.with_rounding(rounding) for c in _integer_cases(tmp_path)], tmp_path, _flags(rounding))


def test_int8_agrees_with_onnxruntime(tmp_path: Path) -> None:
    cases = _integer_cases(tmp_path)
    assert len(np.unique(np.concatenate([c.reference.ravel() for c in cases]))) > 200
    equal, worst = agreement((c.reference, c.expected) for c in cases)
    assert worst <= 1
    assert equal >= 0.999
    tflite = [c.with_rounding(Rounding.TFLITE) for c in cases]
    assert agreement((c.reference, c.expected) for c in tflite)[1] <= 1


def test_alpha_and_beta_of_quantized_constants_scale_them(tmp_path: Path) -> None:
    x, weights = _codes(5, 17, 6, per_channel=True)
    case = layer("Gemm", x, weights, tmp_path, (IN, OUT), alpha=0.5, beta=0.25)
    assert agreement([(case.reference, case.expected)])[1] <= 1
    with pytest.raises(UnsupportedError, match="alpha of -1"):
        layer("Gemm", x, weights, tmp_path, (IN, OUT), alpha=-1.0)


@pytest.mark.parametrize("rounding", list(Rounding))
def test_adversarial_codes_and_scales(tmp_path: Path, rounding: Rounding) -> None:
    scales = np.float32([0.5, np.nextafter(np.float32(0.5), np.float32(0)), 1.0, 3.1, 2.0**-20, 2.0**-31])
    cases = []
    for zx, zy in ENDS:
        q = (quantization(1.0, zx), quantization(1.0, zy))
        for code, weight in ((-128, -128), (-128, 127), (127, 127)):
            x, w = np.full((2, 300), code, np.int8), np.full((300, 6), weight, np.int8)
            cases.append(layer("Gemm", x, Weights(w, None, scales, axis=1), tmp_path, q))
            cases.append(layer("Gemm", x, Weights(w, None, scales[:1], 127, axis=1), tmp_path, q))
        near = np.clip(zx + RNG.integers(-3, 4, (9, 5)), -128, 127).astype(np.int8)
        cases.append(layer("Gemm", near, Weights(w[:5], None, scales, axis=1), tmp_path, q))
    cases = [c.with_rounding(rounding) for c in cases]
    check_c(cases, tmp_path, _flags(rounding))
    assert agreement((c.reference, c.expected) for c in cases)[1] <= 1


@pytest.mark.parametrize(("bias", "out"), [(2**31 - 1, 1e9), (-(2**31), 1e9), (0, 1e-7)])
def test_what_could_overflow_is_refused(tmp_path: Path, bias: int, out: float) -> None:
    weights = Weights(np.ones((1, 1), np.int8), np.array([bias], np.int32), 1.0)
    with pytest.raises(UnsupportedError, match="overflow"):
        layer(
            "Gemm", np.zeros((1, 1), np.int8), weights, tmp_path, (quantization(1.0, 0), quantization(out, 0))
        )


def test_no_overlap_is_declared(tmp_path: Path) -> None:
    x, weights = _codes(2, 17, 5, per_channel=False)
    case = layer("Gemm", x, weights, tmp_path, (IN, OUT))
    assert not case.op.kernels(case.site)[0].overlap
    assert "lacks arm_" in case.op.cmsis_nn(case.with_rounding(Rounding.TFLITE).site, EVERY_CMSIS).fallback


def test_unsupported() -> None:
    x, w = np.zeros((3, 4), np.float32), Constant(np.zeros((4, 3), np.float32))
    for node in (
        read_node("Gemm", x, w.data),
        read_node("Gemm", x, w, transA=1),
        read_node("Gemm", x, w, np.zeros(3, np.float32)),
        read_node("Gemm", x, w, Constant(np.zeros((3, 3), np.float32))),
        read_node("Gemm", x, w, Constant(np.zeros((3, 1), np.float32))),  # one value per row, not per output
        read_node("Gemm", x, w, Constant(np.zeros(4, np.float32))),
    ):
        with pytest.raises(UnsupportedError):
            Gemm.from_onnx(node)


def test_other_integers_are_refused(tmp_path: Path) -> None:
    x, w = _real(2, 4, 3)
    case = layer("Gemm", x, Weights(w), tmp_path)
    for dtype in (DType.S32, DType.S64, DType.U8):
        site = replace(case.site, inputs=(replace(case.site.x, dtype=dtype), *case.site.inputs[1:]))
        with pytest.raises(UnsupportedError, match="no kernel for"):
            case.op.kernels(site)
