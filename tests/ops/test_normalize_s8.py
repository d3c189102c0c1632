"""int8 normalization next to onnxruntime, and the C next to the reference."""

from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import EVERY_CMSIS, Case, Constant, agreement, check_c, make_case, quantization

from pingponnx.fixed_point import Rounding
from pingponnx.ir import Array
from pingponnx.ops.normalize_s8 import Constants, Groups, constants, inverse_root, normalize

RNG = np.random.default_rng(17)
IN, OUT = quantization(0.05, -7), quantization(0.03, 12)


def _codes(*shape: int, spread: float = 40, mean: float = 0) -> Array:
    found: Array = (RNG.normal(size=shape) * spread + mean).clip(-128, 127).astype(np.int8)
    return found


def _of(*shape: int) -> Constant:
    return Constant(RNG.normal(size=shape).astype(np.float32))


def _cases() -> list[Case]:
    def case(op_type: str, *inputs: Any, q: Any = (IN, OUT), opset: int = 22, **attributes: Any) -> Case:
        return make_case(op_type, *inputs, opset=opset, quantized=q, **attributes)

    ones = Constant(np.ones(32, np.float32))
    steep = np.full((3, 32), -50, np.int8)
    steep[1:, 7] += np.array([1, 120], np.int8)
    return [
        case("LayerNormalization", _codes(2, 5, 32), _of(32), _of(32), epsilon=0.01),
        case("LayerNormalization", _codes(2, 5, 32, spread=3, mean=100), _of(5, 32), axis=-2),
        case("LayerNormalization", _codes(3, 2, 4, 6), _of(2, 4, 6), _of(2, 4, 6), axis=1),
        case("LayerNormalization", steep, ones, ones),
        case("LayerNormalization", _codes(3, 1), _of(1), _of(1)),
        case("LayerNormalization", _codes(4, 32), _of(32), q=(quantization(1e-5, 3), OUT)),
        case("LayerNormalization", _codes(4, 32), _of(32), q=(quantization(9.0, 3), quantization(1e-3, 0))),
        case("LayerNormalization", _codes(1, 3000), _of(3000)),
        case("InstanceNormalization", _codes(2, 6, 5, 4), _of(6), _of(6)),
        case("InstanceNormalization", _codes(1, 3, 40, 30, spread=9, mean=-90), _of(3), _of(3), epsilon=1e-3),
        case("InstanceNormalization", _codes(1, 6, 31), _of(6), _of(6)),
        case("InstanceNormalization", _codes(1, 4, 1, 1), _of(4), _of(4)),
        case("RMSNormalization", _codes(4, 32, mean=20), _of(32), opset=23),
        case("MeanVarianceNormalization", _codes(2, 3, 5, 4), axes=[0, 2, 3]),
        case("LpNormalization", _codes(3, 4, 5), q=(IN, quantization(1 / 127, 0)), axis=1),
        case("LpNormalization", np.full((2, 4), -7, np.int8), q=(IN, quantization(1 / 127, 3))),
    ]


def test_c_equals_the_reference_which_agrees_with_onnxruntime(tmp_path: Path) -> None:
    cases = _cases()
    assert all(case.op.integer(case.site) == "" for case in cases)
    equal, worst = agreement((case.reference, case.expected) for case in cases)
    assert worst <= 1 and equal >= 0.999
    check_c(cases, tmp_path)
    tables = [case.op.kernels(case.site)[0].constants for case in cases]
    assert tables[0] == 2 * 4 * 32 and tables[3] == 2 * 4  # one place stands for all that are alike


def test_rounding_is_the_same_for_both(tmp_path: Path) -> None:
    cases = _cases()[:2]
    both = [(case.with_rounding(Rounding.TFLITE).reference, case.reference) for case in cases]
    assert agreement(both) == (1.0, 0)
    check_c(cases, tmp_path, ["-DPINGPONNX_ROUNDING_TFLITE"])


@given(st.integers(2**30, 2**32 - 1))
def test_the_inverse_root_is_off_by_two_at_most(x: int) -> None:
    exact = isqrt((1 << 92) // x)  # 2^62 / sqrt(2^32 x)
    assert abs(int(inverse_root(np.array([x]))[0]) - exact) <= 2


def test_the_inverse_root_fits_31_bits() -> None:
    assert inverse_root(np.arange(2**30, 2**30 + 10**5)).max() == 2**31 - 1


@given(
    codes=st.lists(st.integers(-128, 127), min_size=1, max_size=40),
    scales=st.tuples(st.floats(1e-4, 2), st.floats(-3, 3), st.floats(-3, 3)),
    step=st.floats(0.005, 0.2),
    centred=st.booleans(),
    mean=st.booleans(),
)
def test_results_are_within_a_step_of_the_exact_ones(
    codes: list[int], scales: tuple[float, float, float], step: float, centred: bool, mean: bool
) -> None:
    scale, factor, summand = scales
    groups = Groups(len(codes), centred, mean or centred, scale, 5, 1e-5 if mean or centred else 0.0)
    found = constants(groups, np.array([[factor / step]]), np.array([[summand / step]]))
    assert isinstance(found, Constants)
    x = np.array(codes, np.float64) - 5
    x -= x.mean() if centred else 0
    size = (x * x).sum() / (len(x) if groups.mean else 1) * scale**2 + groups.epsilon
    exact = x * scale / (np.sqrt(size) if size else 1) * factor / step + summand / step
    got = normalize(found, np.array(codes, np.int8).reshape(1, 1, 1, -1)).ravel()
    assert np.abs(got - exact.clip(-128, 127)).max() <= 0.51


@pytest.mark.parametrize(
    ("inputs", "q", "attributes", "reason"),
    [
        ((_codes(2, 4),), (IN, OUT), {"op_type": "LpNormalization", "p": 1}, "1-norm"),
        ((_codes(2, 4), _codes(4)), (IN, IN, OUT), {}, "is computed"),
        ((_codes(1, 2**17), _of(2**17)), (IN, OUT), {}, "more than 65536 values"),
        ((_codes(2, 4), _of(4)), (IN, quantization(1e-12, 0)), {}, "too large for int32"),
        ((_codes(2, 4), _of(4)), (quantization(1e-15, 0), OUT), {}, "too large for int32"),
        ((_codes(2, 4), Constant(np.full(4, np.inf, np.float32))), (IN, OUT), {}, "not finite"),
    ],
)
def test_what_stays_in_float32(inputs: Any, q: Any, attributes: dict[str, Any], reason: str) -> None:
    op_type = attributes.pop("op_type", "LayerNormalization")
    case = make_case(op_type, *inputs, opset=22, quantized=q, **attributes)
    assert reason in case.op.integer(case.site)


def test_cmsis_nn_has_no_such_function() -> None:
    case = _cases()[0]
    assert case.op.cmsis_nn(case.site, EVERY_CMSIS).fallback == "CMSIS-NN has no such function"
