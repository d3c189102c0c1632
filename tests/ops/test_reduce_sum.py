"""int8 sums and means over any axes."""

from itertools import permutations
from pathlib import Path

import numpy as np
from support import (
    EVERY_CMSIS,
    Case,
    Constant,
    agreement,
    check_c,
    check_permutations,
    make_case,
    quantization,
)

from pingponnx.fixed_point import Rounding

X = np.random.default_rng(6).integers(-128, 128, (2, 3, 4, 5), np.int8)
SCALES = [(0.05, 0.02), (0.05, 0.05), (1e-4, 0.3), (0.7, 0.003)]


def _case(axes: list[int], scales: tuple[float, float], name: str = "ReduceMean", keepdims: int = 1) -> Case:
    q = [quantization(scale, zero) for scale, zero in zip(scales, (-100, 7), strict=True)]
    return make_case(name, X, Constant(np.array(axes)), quantized=q, keepdims=keepdims)


def _cases() -> list[Case]:
    cases = [_case(axes, s) for axes in ([1], [-1, -2], [0, 2], [0, 1, 2, 3], [1, 3]) for s in SCALES]
    return [*cases, *(_case([1, 2], (0.05, 0.9), "ReduceSum", keepdims=k) for k in (0, 1))]


def test_c_equals_the_reference_which_agrees_with_onnxruntime(tmp_path: Path) -> None:
    cases = _cases()
    for case in cases:
        assert case.op.integer(case.site) == ""
        undecided = case.op.undecided(case.site, *case.arrays)
        away = np.abs(case.reference.astype(np.int64) - case.expected)
        assert away.max() <= 1 and not (away.astype(bool) & ~np.asarray(undecided)).any(), case.label
    check_c(cases, tmp_path)


def test_two_roundings(tmp_path: Path) -> None:
    cases = [case.with_rounding(Rounding.TFLITE) for case in _cases()[::3]]
    assert agreement((case.reference, case.expected) for case in cases)[1] <= 1
    check_c(cases, tmp_path, ["-DPINGPONNX_ROUNDING_TFLITE"])


def test_transposes_pass_and_cmsis_nn_has_no_such_function() -> None:
    case = _case([1, 3], SCALES[0])
    assert check_permutations(case, permutations(range(4))) == 24
    assert case.op.cmsis_nn(case.site, EVERY_CMSIS).fallback == "CMSIS-NN has no such function"


def test_what_stays_in_float32() -> None:
    steep = _case([1], (1.0, 1e-9))
    assert "overflow" in steep.op.integer(steep.site)
