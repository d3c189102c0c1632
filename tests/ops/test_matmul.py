"""MatMul of two activations: broadcasting, zero points, fused clamp."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import (
    EVERY_CMSIS,
    Case,
    Constant,
    agreement,
    assert_close,
    check_c,
    make_case,
    quantization,
    read_node,
)

from pingponnx.errors import UnsupportedError
from pingponnx.fixed_point import Rounding
from pingponnx.ops.gemm import Gemm
from pingponnx.ops.matmul import MatMul

A, B, Y = quantization(0.02, 5), quantization(0.03, -100), quantization(0.11, 9)
SHAPES = [
    ((3, 4), (4, 5)),
    ((2, 3, 4), (2, 4, 5)),
    ((2, 3, 4), (1, 4, 2)),
    ((3, 4), (2, 4, 1)),
    ((2, 1, 3, 4), (1, 3, 4, 2)),
    ((1, 5, 8), (8, 6)),
    ((2, 2, 1, 7), (2, 7, 3)),
    ((4,), (2, 4, 5)),
    ((2, 3, 4), (4,)),
    ((2, 3, 17), (2, 17, 6)),
]


def _cases(*, codes: bool) -> list[Case]:
    rng = np.random.default_rng(7)
    cases = []
    for shapes in SHAPES:
        arrays = [
            rng.integers(-128, 128, s, np.int8) if codes else rng.normal(size=s).astype(np.float32)
            for s in shapes
        ]
        cases.append(make_case("MatMul", *arrays, quantized=(A, B, Y) if codes else ()))
    return cases


def _clamped(cases: list[Case]) -> list[Case]:
    return [replace(c, op=c.op.with_clamp(-0.5, 1.5)) for c in cases]


def test_float_equals_onnxruntime_and_c(tmp_path: Path) -> None:
    cases = _cases(codes=False)
    for case in cases:
        assert_close(case.expected, case.reference, case.label)
    check_c([*cases, *_clamped(cases)], tmp_path)


@pytest.mark.parametrize("rounding", list(Rounding))
def test_int8_c_equals_reference(tmp_path: Path, rounding: Rounding) -> None:
    cases = [c.with_rounding(rounding) for c in _cases(codes=True)]
    flags = ["-DPINGPONNX_ROUNDING_TFLITE"] if rounding is Rounding.TFLITE else []
    check_c([*cases, *_clamped(cases)], tmp_path, flags)


def test_int8_agrees_with_onnxruntime() -> None:
    rng = np.random.default_rng(8)
    pairs = []
    for y in (Y, quantization(0.4, 0), quantization(0.0731, -20)):
        a, b = rng.integers(-128, 128, (4, 40, 30), np.int8), rng.integers(-128, 128, (4, 30, 50), np.int8)
        case = make_case("MatMul", a, b, quantized=(quantization(0.0213, 5), quantization(0.0317, -100), y))
        pairs.append((case.reference, case.expected))
    equal, worst = agreement(pairs)
    assert worst <= 1
    assert equal >= 0.999


def test_a_constant_matrix_is_a_fully_connected_layer() -> None:
    a, b = np.zeros((2, 3), np.float32), Constant(np.zeros((3, 4), np.float32))
    assert isinstance(MatMul.from_onnx(read_node("MatMul", a, b))[0], Gemm)
    assert isinstance(MatMul.from_onnx(read_node("MatMul", b, b.data))[0], MatMul)


def test_integer_bounds() -> None:
    case = _cases(codes=True)[0]
    assert case.op.integer(case.site) == ""
    a, b = case.site.inputs
    assert a is not None and b is not None
    wide = (replace(a, shape=(3, 40000)), replace(b, shape=(40000, 5)))
    assert "overflow" in case.op.integer(replace(case.site, inputs=wide))
    assert "quantized" in case.op.integer(replace(case.site, inputs=(replace(a, quantization=None), b)))
    assert "batch_matmul" in case.op.cmsis_nn(case.site, EVERY_CMSIS).fallback


def test_unsupported() -> None:
    with pytest.raises(UnsupportedError):
        MatMul.from_onnx(read_node("MatMul", np.zeros((1,) * 5, np.float32), np.zeros((1, 2), np.float32)))
