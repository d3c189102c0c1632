"""int8 PRelu and Div next to onnxruntime, and the C next to both."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import EVERY_CMSIS, Case, Constant, agreement, check_c, make_case, quantization, read_node

from pingponnx.errors import ModelError
from pingponnx.fixed_point import Rounding
from pingponnx.ir import Array
from pingponnx.ops.scaled import PRelu

RNG = np.random.default_rng(31)
SCALES = [(0.03, 0.02), (0.5, 0.004), (0.0001, 0.3), (0.05, 0.05)]


def _codes(*shape: int) -> Array:
    return RNG.integers(-128, 128, shape, np.int8)


def _slopes(*shape: int) -> Constant:
    return Constant(RNG.uniform(-0.3, 1.5, shape).astype(np.float32))


def _prelu(x: Array, slope: Constant, scales: tuple[float, float], zeros: tuple[int, int]) -> Case:
    q = [quantization(s, z) for s, z in zip(scales, zeros, strict=True)]
    return make_case("PRelu", x, slope, opset=16, quantized=q)


def _div(a: Array, b: Array, scales: tuple[float, float, float], zeros: tuple[int, int, int]) -> Case:
    q = [quantization(s, z) for s, z in zip(scales, zeros, strict=True)]
    return make_case("Div", a, b, quantized=q)


def _every_pair() -> tuple[Array, Array]:
    codes = np.arange(-128, 128, dtype=np.int8)
    return np.broadcast_to(codes[:, None], (256, 256)).copy(), codes


def _cases() -> list[Case]:
    cases = [_prelu(_codes(1, 4, 5, 6), _slopes(6), s, (-20, 100)) for s in SCALES]
    cases.append(_prelu(_codes(2, 3, 4, 5), _slopes(3, 1, 1), (0.03, 0.02), (0, -128)))
    cases.append(_prelu(_codes(2, 3, 4, 5), _slopes(4, 1), (0.03, 1e-5), (127, 0)))
    cases.append(_prelu(_codes(7), Constant(np.zeros(7, np.float32)), (0.03, 0.02), (5, 5)))
    cases.append(_div(*_every_pair(), (0.03, 0.02, 0.05), (5, -20, 10)))
    cases.append(_div(_codes(2, 3, 4, 5), _codes(2, 3, 4, 1), (3.0, 1e-4, 1e-3), (0, 0, 0)))
    cases.append(_div(_codes(3, 1), _codes(1, 4), (1e-3, 0.1, 0.5), (-128, -128, -128)))
    q = [quantization(0.03, 4), quantization(0.2, -7)]
    by = Constant(np.array([0.3, -4, 1e-9, np.inf], np.float32))
    cases.append(make_case("Div", _codes(2, 5, 4), by, quantized=q))
    return cases


def _away(case: Case) -> Array:
    """Distances from onnxruntime where rounding is decided; nowhere more than a step."""
    away: Array = np.abs(case.reference.astype(np.int64) - case.expected)
    assert away.max() <= 1, case.label
    undecided = case.op.undecided(case.site, *case.arrays)
    assert undecided is not None
    return away[~np.broadcast_to(undecided, away.shape)]


def test_c_equals_the_reference_which_agrees_with_onnxruntime(tmp_path: Path) -> None:
    cases = _cases()
    assert all(case.op.integer(case.site) == "" for case in cases)
    assert np.concatenate([_away(case) for case in cases]).mean() < 0.0005
    check_c(cases, tmp_path)


def test_two_roundings(tmp_path: Path) -> None:
    cases = [case.with_rounding(Rounding.TFLITE) for case in _cases()]
    assert agreement((case.reference, case.expected) for case in cases)[1] <= 1
    check_c(cases, tmp_path, ["-DPINGPONNX_ROUNDING_TFLITE"])


def test_by_zero_is_as_in_onnxruntime() -> None:
    a, b = np.array([-128, 0, 3, 4, 127], np.int8), np.full(5, 9, np.int8)
    case = _div(a, b, (0.1, 0.1, 0.1), (3, 9, 50))
    np.testing.assert_array_equal(case.reference, case.expected)
    np.testing.assert_array_equal(case.reference, [-128, -128, -128, 127, 127])


@given(
    slope=st.floats(-4, 4, width=32),
    scales=st.tuples(*[st.floats(2**-16, 4, width=32)] * 2),
    zeros=st.tuples(*[st.integers(-128, 127)] * 2),
)
def test_every_code_is_within_a_step_of_the_exact_result(
    slope: float, scales: tuple[float, float], zeros: tuple[int, int]
) -> None:
    x = np.arange(-128, 128, dtype=np.int8).reshape(128, 2)
    case = _prelu(x, Constant(np.array([slope, 0.25], np.float32)), scales, zeros)
    assert agreement([(case.reference, case.expected)])[1] <= 1


def test_what_stays_in_float32() -> None:
    def reason(case: Case) -> str:
        return case.op.integer(case.site)

    assert "one number" in reason(_prelu(_codes(2, 3), _slopes(1), (0.1, 0.1), (0, 0)))
    q = [quantization(0.1, 0)] * 3
    assert reason(make_case("PRelu", _codes(3), _codes(3), opset=16, quantized=q)) == "its slope is computed"
    by = Constant(np.array([1, 0], np.float32))
    assert "infinite" in reason(make_case("Div", _codes(3, 2), by, quantized=q[:2]))
    zigzag = (_codes(2, 3, 2, 3, 2), _codes(2, 1, 2, 1, 2))
    assert "more than 4 axes" in reason(make_case("Div", *zigzag, quantized=q))


@pytest.mark.parametrize("name", ["PRelu", "Div"])
def test_cmsis_nn_has_no_such_function(name: str) -> None:
    case = next(c for c in _cases() if c.label.startswith(name))
    assert case.op.cmsis_nn(case.site, EVERY_CMSIS).fallback == "CMSIS-NN has no such function"


def test_a_slope_does_not_make_the_input_larger() -> None:
    x = np.ones((3, 4), np.float32)
    with pytest.raises(ModelError, match=r"a slope of shape \(2, 3, 4\) for an input of shape \(3, 4\)"):
        PRelu.from_onnx(read_node("PRelu", x, np.ones((2, 3, 4), np.float32), opset=16))
