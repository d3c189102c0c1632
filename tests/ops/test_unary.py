"""Relu, Clip, Sigmoid, Tanh: float32 values, int8 tables for every code, composition of clips."""

from dataclasses import replace
from math import inf, nan
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import Case, Constant, assert_close, check_c, make_case, quantization, read_node

from pingponnx.errors import UnsupportedError
from pingponnx.ir import DType, Quantization
from pingponnx.ops.unary import Clip

SPECIAL = [0.0, -0.0, 1.0, -1.0, 100.0, -100.0, 1e30, -1e30, 1e-30, 0.5]
CODES = np.arange(-128, 128, dtype=np.int8).reshape(1, 256)
PAIRS = [
    (quantization(0.0413, 0), quantization(0.0201, 0)),
    (quantization(0.0713, -128), quantization(1 / 256, -128)),
    (quantization(0.0127, 127), quantization(1 / 128, 0)),
    (quantization(3.0, 20), quantization(0.5, 127)),
    (quantization(1e-4, -7), quantization(1e-3, 5)),
]


def _bounds(low: float | None, high: float | None) -> tuple[Constant | None, ...]:
    return tuple(None if b is None else Constant(np.array(b, np.float32)) for b in (low, high))


CLIPS = [(-1.0, 0.5), (0.0, None), (None, 0.25), (None, None), (-inf, inf), (3.0, -3.0), (0.5, 0.5)]


def test_float_equals_onnxruntime_and_c(tmp_path: Path) -> None:
    rng = np.random.default_rng(61)
    inputs = [rng.normal(size=s).astype(np.float32) * 3 for s in ((7,), (2, 3, 4, 5))]
    inputs.append(np.array([SPECIAL], np.float32))
    cases = [make_case(op_type, x) for op_type in ("Relu", "Sigmoid", "Tanh") for x in inputs]
    cases += [make_case("Clip", x, *_bounds(*bounds)) for x in inputs for bounds in CLIPS]
    infinite = np.array([[inf, -inf, 0.0]], np.float32)
    cases += [make_case(op_type, infinite) for op_type in ("Relu", "Sigmoid", "Tanh")]
    cases += [make_case("Clip", infinite, *_bounds(-inf, 2.0))]
    cases += [make_case("Clip", x, opset=6, min=-0.5, max=1.5) for x in inputs]
    for case in cases:
        assert_close(case.expected, case.reference, case.label)
    check_c(cases, tmp_path)


def test_nan_stays(tmp_path: Path) -> None:
    x = np.array([[nan, 2.0, nan]], np.float32)
    cases = [make_case("Relu", x), make_case("Clip", x, *_bounds(-1.0, 1.0)), make_case("Tanh", x)]
    for case in cases:
        np.testing.assert_array_equal(case.expected, case.reference)
    check_c(cases, tmp_path)


def test_int8_equals_onnxruntime_for_every_code(tmp_path: Path) -> None:
    cases = []
    for qs in PAIRS:
        cases += [make_case(op_type, CODES, quantized=qs) for op_type in ("Relu", "Sigmoid", "Tanh")]
        cases += [make_case("Clip", CODES, *_bounds(*bounds), quantized=qs) for bounds in CLIPS]
    for case in cases:
        np.testing.assert_array_equal(case.reference, case.expected, case.label)
    check_c(cases, tmp_path)


def test_tables_are_256_bytes_and_work_in_place() -> None:
    for qs in PAIRS:
        call = make_case("Tanh", CODES, quantized=qs).op.kernels(_site(qs))[0]
        assert (call.function, call.constants, dict(call.overlap)) == ("lookup_s8", 256, {0: 0})


def _site(qs: tuple[Quantization, Quantization]):  # type: ignore[no-untyped-def]
    return make_case("Tanh", CODES, quantized=qs).site


bounds = st.tuples(*(st.sampled_from([-inf, -2.0, -0.5, 0.0, 0.5, 2.0, inf]) for _ in range(2)))


@given(bounds, st.tuples(st.floats(-3, 3), st.floats(-3, 3)).map(sorted))
def test_a_clip_absorbs_the_next(second: tuple[float, float], first: list[float]) -> None:
    x = np.linspace(-4, 4, 33, dtype=np.float32)
    composed = Clip(*first).with_clamp(*second)
    np.testing.assert_array_equal(
        composed.function(x), np.minimum(np.maximum(Clip(*first).function(x), second[0]), second[1])
    )
    assert composed.low <= composed.high


def test_clips_that_cross_give_the_upper_bound() -> None:
    op, kept = Clip.from_onnx(read_node("Clip", np.zeros(3, np.float32), *_bounds(3.0, -3.0)))
    assert (op, kept) == (Clip(-3.0, -3.0), (0,))


def test_bounds_must_be_constant() -> None:
    x = np.zeros((2, 3), np.float32)
    with pytest.raises(UnsupportedError):
        Clip.from_onnx(read_node("Clip", x, np.zeros((), np.float32)))


@pytest.mark.parametrize("dtype", [DType.S8, DType.U8, DType.S32, DType.S64])
def test_integers_without_a_quantization_are_refused(dtype: DType) -> None:
    """The float32 kernel would read four times as many bytes as there are."""
    case: Case = make_case("Relu", np.zeros((2, 3), np.float32))
    x, y = (replace(t, dtype=dtype) for t in (case.site.x, case.site.y))
    with pytest.raises(UnsupportedError, match="no kernel"):
        case.op.kernels(replace(case.site, inputs=(x,), outputs=(y,)))


def test_permuted() -> None:
    for op_type in ("Relu", "Sigmoid"):
        op = make_case(op_type, np.zeros((1, 2, 3), np.float32)).op
        assert op.permuted((0, 2, 1)) is op
