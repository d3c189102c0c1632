"""int8 running sums next to onnxruntime."""

from pathlib import Path

import numpy as np
from support import EVERY_CMSIS, Case, Constant, check_c, make_case, quantization

from pingponnx.fixed_point import Rounding

X = np.random.default_rng(7).integers(-128, 128, (3, 4, 5), np.int8)


def _case(axis: int, scales: tuple[float, float], exclusive: int = 0, reverse: int = 0) -> Case:
    q = [quantization(scale, zero) for scale, zero in zip(scales, (-20, 7), strict=True)]
    return make_case("CumSum", X, Constant(np.array(axis)), quantized=q, exclusive=exclusive, reverse=reverse)


def _cases() -> list[Case]:
    ways = [(axis, e, r) for axis in (0, 1, -1) for e in (0, 1) for r in (0, 1)]
    return [_case(axis, s, e, r) for axis, e, r in ways for s in ((0.05, 0.17), (0.1, 0.2))]


def test_c_equals_the_reference_which_agrees_with_onnxruntime(tmp_path: Path) -> None:
    cases = _cases()
    for case in cases:
        assert case.op.integer(case.site) == ""
        away = np.abs(case.reference.astype(np.int64) - case.expected)
        undecided = np.asarray(case.op.undecided(case.site, *case.arrays))
        assert away.max() <= 1 and not (away.astype(bool) & ~undecided).any(), case.label
    check_c(cases, tmp_path)


def test_two_roundings(tmp_path: Path) -> None:
    cases = [case.with_rounding(Rounding.TFLITE) for case in _cases()[::5]]
    check_c(cases, tmp_path, ["-DPINGPONNX_ROUNDING_TFLITE"])


def test_fallback_and_what_stays_in_float32() -> None:
    case = _case(1, (0.05, 0.17))
    assert case.op.cmsis_nn(case.site, EVERY_CMSIS).fallback == "CMSIS-NN has no such function"
    steep = _case(1, (1.0, 1e-9))
    assert "overflow" in steep.op.integer(steep.site)
