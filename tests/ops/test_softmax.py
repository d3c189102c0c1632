"""Softmax: any axis, old and new opsets, and int8 next to onnxruntime's rounding."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from support import (
    EVERY_CMSIS,
    Case,
    agreement,
    assert_close,
    check_c,
    check_permutations,
    make_case,
    quantization,
    read_node,
)

from pingponnx.errors import UnsupportedError
from pingponnx.fixed_point import Rounding
from pingponnx.ops.softmax import Softmax

OUT = quantization(1 / 256, -128)
PLACES = [
    ((1, 10), 13, {}),
    ((3, 7), 13, {"axis": 0}),
    ((2, 5, 4), 13, {"axis": 1}),
    ((2, 3, 4, 5), 13, {"axis": -3}),
    ((2, 3, 4, 5), 18, {"axis": 3}),
    ((2, 3, 4), 11, {}),
    ((2, 3, 4, 2), 11, {"axis": 2}),
    ((2, 6, 1, 1), 10, {"axis": 1}),
    ((4, 5), 11, {"axis": -1}),
    ((1, 1000), 13, {}),
]


def _cases(*, codes: bool, quantized: tuple[object, ...] = (), spread: float = 1.0) -> list[Case]:
    rng = np.random.default_rng(3)
    cases = []
    for shape, opset, attributes in PLACES:
        real = rng.normal(size=shape)
        x = (real * 60).clip(-128, 127).astype(np.int8) if codes else (real * 4 * spread).astype(np.float32)
        cases.append(make_case("Softmax", x, opset=opset, quantized=quantized, **attributes))  # type: ignore[arg-type]
    return cases


def test_float_equals_onnxruntime_and_c(tmp_path: Path) -> None:
    cases = _cases(codes=False)
    for case in cases:
        assert_close(case.expected, case.reference, case.label)
    check_c([*cases, *_cases(codes=False, spread=100)], tmp_path)


@pytest.mark.parametrize(
    "out", [OUT, quantization(1 / 255, -128), quantization(0.3, 5), quantization(1e-6, 0)]
)
def test_int8_c_equals_reference(tmp_path: Path, out: object) -> None:
    cases = _cases(codes=True, quantized=(quantization(0.1, 4), out))
    cases += _cases(codes=True, quantized=(quantization(0.01, 4), out))
    check_c([*cases, cases[0].with_rounding(Rounding.TFLITE)], tmp_path)


def test_int8_agrees_with_onnxruntime() -> None:
    rng = np.random.default_rng(4)
    pairs = []
    for scale in (0.002, 0.013, 0.05, 0.1, 0.25, 1.0):
        for shape in ((200, 10), (100, 100), (20, 1000), (300, 2)):
            for out in (OUT, quantization(1 / 255, -128), quantization(0.002, -50)):
                x = rng.integers(-128, 128, shape, np.int8)
                case = make_case("Softmax", x, opset=13, quantized=(quantization(scale, 0), out))
                pairs.append((case.reference, case.expected))
    equal, worst = agreement(pairs)
    assert worst <= 1
    assert equal >= 0.999


@pytest.mark.parametrize("length", [2, 3, 256, 512, 1024])
def test_uniform_lanes_equal_onnxruntime(length: int) -> None:
    x = np.full((1, length), 17, np.int8)
    case = make_case("Softmax", x, opset=13, quantized=(quantization(0.1, 0), OUT))
    np.testing.assert_array_equal(case.reference, case.expected)


def test_permuted() -> None:
    taken = {
        case.label: check_permutations(case, permutations(range(case.arrays[0].ndim)))
        for case in _cases(codes=False)
    }
    assert all(count >= 1 for count in taken.values())
    assert Softmax((1, 2)).permuted((0, 2, 3, 1)) is None
    assert Softmax((1, 2, 3)).permuted((0, 2, 3, 1)) == Softmax((1, 2, 3))


def test_fallback_and_refusals() -> None:
    case = _cases(codes=True, quantized=(quantization(0.1, 0), OUT))[0]
    assert "bit-equal" in case.op.cmsis_nn(case.site, EVERY_CMSIS).fallback
    with pytest.raises(UnsupportedError):
        Softmax.from_onnx(read_node("Softmax", np.zeros((2, 2), np.float32), axis=2))
