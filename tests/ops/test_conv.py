"""Convolution: geometry, fusions and integer arithmetic against onnxruntime, C against the reference."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layers import Then, Weights, layer
from support import EVERY_CMSIS, Case, Constant, agreement, assert_close, check_c, quantization, read_node

from pingponnx.errors import UnsupportedError
from pingponnx.fixed_point import Rounding
from pingponnx.ir import Array, Quantization
from pingponnx.ops.conv import Conv
from pingponnx.ops.window import Window, row_distance

GEOMETRIES = [
    ((1, 3, 7, 8), (5, 3, 3, 3), {}),
    ((1, 3, 7, 8), (5, 3, 3, 3), {"strides": [2, 1], "pads": [1, 1, 1, 1]}),
    ((1, 2, 6, 9), (4, 2, 3, 2), {"strides": [1, 3], "pads": [0, 1, 2, 0]}),
    ((1, 2, 9, 9), (3, 2, 3, 3), {"dilations": [2, 3], "pads": [2, 0, 1, 3]}),
    ((1, 2, 9, 9), (3, 2, 2, 3), {"dilations": [3, 2], "strides": [2, 2]}),
    ((2, 4, 5, 6), (6, 2, 3, 3), {"group": 2, "pads": [1, 1, 1, 1]}),
    ((1, 5, 6, 5), (5, 1, 3, 3), {"group": 5, "pads": [1, 0, 0, 1], "strides": [2, 1]}),
    ((1, 3, 6, 5), (6, 1, 3, 3), {"group": 3, "pads": [1, 1, 1, 1]}),
    ((2, 4, 7, 7), (4, 1, 2, 3), {"group": 4, "dilations": [2, 2]}),
    ((1, 6, 5, 7), (4, 6, 1, 1), {}),
    ((1, 6, 5, 7), (4, 6, 1, 1), {"strides": [2, 3]}),
    ((1, 3, 8, 6), (2, 3, 3, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ((1, 3, 8, 6), (2, 3, 2, 4), {"auto_pad": "SAME_LOWER"}),
    ((1, 3, 8, 6), (2, 3, 3, 3), {"auto_pad": "VALID", "strides": [2, 1]}),
    ((1, 2, 3, 3), (3, 2, 5, 5), {"pads": [2, 2, 2, 2]}),
    ((1, 2, 3, 3), (3, 2, 3, 3), {"pads": [3, 3, 3, 3]}),
    ((1, 3, 12), (4, 3, 3), {"pads": [1, 1]}),
    ((1, 3, 20), (4, 3, 5), {"strides": [3], "pads": [2, 0], "dilations": [2]}),
    ((2, 4, 9), (4, 1, 3), {"group": 4, "pads": [0, 2]}),
]
POOLED = [
    (((1, 3, 8, 8), (5, 3, 3, 3), {"pads": [1, 1, 1, 1]}), {"kernel_shape": [2, 2], "strides": [2, 2]}),
    (((1, 3, 9, 8), (4, 3, 3, 3), {"strides": [2, 1]}), {"kernel_shape": [2, 2], "strides": [2, 3]}),
    (((2, 2, 9, 9), (4, 2, 3, 2), {"dilations": [2, 1]}), {"kernel_shape": [1, 3], "strides": [2, 3]}),
    (((1, 4, 9, 9), (4, 1, 3, 3), {"group": 4}), {"kernel_shape": [3, 2], "strides": [3, 2]}),
    (((1, 2, 21), (3, 2, 4), {"pads": [2, 1]}), {"kernel_shape": [3], "strides": [4]}),
]
IN, OUT = quantization(0.0471, -7), quantization(0.0913, 11)
ENDS = [(-128, 127), (127, -128), (-128, -128), (127, 127)]


def _real(shapes: tuple[tuple[int, ...], tuple[int, ...], dict[str, object]]) -> tuple[Array, Weights]:
    rng = np.random.default_rng(31)
    x, w = (rng.normal(size=s).astype(np.float32) for s in shapes[:2])
    return x, Weights(w, rng.normal(size=len(w)).astype(np.float32))


def _scale(w_shape: tuple[int, ...], *, per_channel: bool) -> Array:
    """Weight scales with which outputs fill most of int8."""
    rng = np.random.default_rng(32)
    spread = rng.uniform(0.4, 1.2, w_shape[0]) if per_channel else np.array(0.7)
    return (spread * 0.03 / np.sqrt(np.prod(w_shape[1:]))).astype(np.float32)


def _codes(
    shapes: tuple[tuple[int, ...], tuple[int, ...], dict[str, object]],
    *,
    per_channel: bool = True,
    zero: int = 0,
) -> tuple[Array, Weights]:
    rng = np.random.default_rng(33)
    x, w = (rng.integers(-128, 128, s, np.int8) for s in shapes[:2])
    bias = rng.integers(-2000, 2000, len(w)).astype(np.int32)
    return x, Weights(w, bias, _scale(shapes[1], per_channel=per_channel), zero)


def _integer_cases(
    folder: Path, *, per_channel: bool = True, zero: int = 0, qs: tuple[Quantization, ...] = (IN, OUT)
) -> list[Case]:
    return [
        layer("Conv", *_codes(g, per_channel=per_channel, zero=zero), folder, qs, **g[2]) for g in GEOMETRIES
    ]


def _pooled(folder: Path, *, codes: bool, relu: bool) -> list[Case]:
    cases = []
    for shapes, pool in POOLED:
        x, weights = _codes(shapes) if codes else _real(shapes)
        then = [*([Then("Relu")] if relu else []), Then("MaxPool", (), tuple(pool.items()))]
        cases.append(layer("Conv", x, weights, folder, (IN, OUT) if codes else (), then, **shapes[2]))
    return cases


def _flags(rounding: Rounding) -> list[str]:
    return ["-DPINGPONNX_ROUNDING_TFLITE"] if rounding is Rounding.TFLITE else []


def _assert_agrees(cases: list[Case]) -> None:
    equal, worst = agreement((c.reference, c.expected) for c in cases)
    assert worst <= 1
    assert equal >= 0.999


def test_float_equals_onnxruntime_and_c(tmp_path: Path) -> None:
    cases = [layer("Conv", *_real(g), tmp_path, **g[2]) for g in GEOMETRIES]
    x, weights = _real(GEOMETRIES[0])
    cases.append(layer("Conv", x, replace(weights, bias=None), tmp_path))
    clip = Then("Clip", (np.float32(-0.5), np.float32(0.75)))
    cases.append(layer("Conv", x, weights, tmp_path, then=[clip]))
    cases += _pooled(tmp_path, codes=False, relu=False) + _pooled(tmp_path, codes=False, relu=True)
    assert sum(isinstance(c.op, Conv) and c.op.pool is not None for c in cases) == 2 * len(POOLED)
    for case in cases:
        assert_close(case.expected, case.reference, case.label)
    check_c(cases, tmp_path)


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("per_channel", [True, False])
def test_int8_c_equals_reference(tmp_path: Path, rounding: Rounding, per_channel: bool) -> None:
    cases = _integer_cases(tmp_path, per_channel=per_channel)
    cases += _integer_cases(tmp_path, per_channel=per_channel, zero=-31)
    if per_channel:
        cases += _pooled(tmp_path, codes=True, relu=False) + _pooled(tmp_path, codes=True, relu=True)
    check_c([c.with_rounding(rounding) for c in cases], tmp_path, _flags(rounding))


@pytest.mark.parametrize("zero", [0, -31, 127])
def test_int8_agrees_with_onnxruntime(tmp_path: Path, zero: int) -> None:
    cases = _integer_cases(tmp_path, zero=zero) + _integer_cases(tmp_path, zero=zero, per_channel=False)
    for relu in (False, True):
        cases += _pooled(tmp_path, codes=True, relu=relu)
    values = np.concatenate([c.reference.ravel() for c in cases])
    assert len(np.unique(values)) > 200
    _assert_agrees(cases)
    for case in (c.with_rounding(Rounding.TFLITE) for c in cases):
        assert agreement([(case.reference, case.expected)])[1] <= 1


def test_one_kernel_for_depthwise_without_multiplier(tmp_path: Path) -> None:
    names = {c.label: c.op.kernels(c.site)[0].function for c in _integer_cases(tmp_path)}
    whole = [label for label, name in names.items() if name == "depthwise_s8"]
    assert len(whole) == 3 and set(names.values()) == {"conv_s8", "depthwise_s8"}


def test_uint8_model_has_the_same_numbers(tmp_path: Path) -> None:
    """Codes, zero points and uint8 weights moved by 128 stand for the same layer."""
    for shapes in (GEOMETRIES[1], GEOMETRIES[6], GEOMETRIES[16]):
        x, weights = _codes(shapes, zero=5, per_channel=False)
        signed = layer("Conv", x, weights, tmp_path, (IN, OUT), **shapes[2])
        unsigned = replace(weights, data=weights.data.view(np.uint8) ^ np.uint8(128), zero=5 + 128)
        scales = [quantization(float(q.s), q.z + 128) for q in (IN, OUT)]
        other = layer("Conv", x.view(np.uint8) ^ np.uint8(128), unsigned, tmp_path, scales, **shapes[2])
        np.testing.assert_array_equal(other.reference, signed.reference)
        np.testing.assert_array_equal(other.expected, signed.expected)


# Both sides of one half, where the shift changes; far above; so small that nothing is left.
SCALES = (0.5, np.nextafter(0.5, 0), 0.4999, 0.25, 0.75, 1.0, 1.0001, 3.1, 100.0, 2.0**-20, 2.0**-31, 1e-9)


@pytest.mark.parametrize("rounding", list(Rounding))
def test_every_magnitude_of_scale(tmp_path: Path, rounding: Rounding) -> None:
    """Input and output scale are 1, so the weights' scales are the layer's."""
    rng = np.random.default_rng(34)
    cases = []
    for zx, zy in ((0, 0), *ENDS):
        for scales in (np.array(SCALES, np.float32), *np.float32([[0.5], [1.5], [0.125]])):
            count = len(SCALES)
            w = rng.integers(-128, 128, (count, 3, 2, 2), np.int8)
            bias = rng.integers(-200, 200, count).astype(np.int32)
            x = np.clip(zx + rng.integers(-3, 4, (1, 3, 5, 6)), -128, 127).astype(np.int8)
            weights = Weights(w, bias, scales if len(scales) > 1 else scales[0])
            case = layer("Conv", x, weights, tmp_path, (quantization(1.0, zx), quantization(1.0, zy)))
            cases.append(case.with_rounding(rounding))
    check_c(cases, tmp_path, _flags(rounding))
    # powers of two make ties, which onnxruntime rounds to even
    assert agreement((c.reference, c.expected) for c in cases)[1] <= 1


@pytest.mark.parametrize("rounding", list(Rounding))
def test_adversarial_codes(tmp_path: Path, rounding: Rounding) -> None:
    """Largest sums: inputs and weights at their ends, zero points at both ends."""
    cases = []
    for zx, zy in ENDS:
        for code, weight in ((-128, -128), (-128, 127), (127, -128), (127, 127)):
            x = np.full((1, 40, 4, 4), code, np.int8)
            weights = Weights(np.full((3, 40, 3, 3), weight, np.int8), None, np.float32([2e-6, 3e-5, 0.4]))
            q = (quantization(0.9, zx), quantization(1.1, zy))
            cases.append(layer("Conv", x, weights, tmp_path, q, pads=[1, 0, 0, 1]))
            asymmetric = replace(weights, zero=-128 if weight > 0 else 127)
            cases.append(layer("Conv", x, asymmetric, tmp_path, q, pads=[1, 0, 0, 1]))
    cases = [c.with_rounding(rounding) for c in cases]
    check_c(cases, tmp_path, _flags(rounding))
    assert agreement((c.reference, c.expected) for c in cases)[1] <= 1


def test_what_could_overflow_is_refused(tmp_path: Path) -> None:
    x = np.zeros((1, 1, 1, 1), np.int8)
    one = np.ones((1, 1, 1, 1), np.int8)

    def kernels(weights: Weights, out: float = 1e9, channels: int = 1, zx: int = 0) -> None:
        data = np.zeros((1, channels, 1, 1), np.int8)
        case = layer("Conv", data, weights, tmp_path, (quantization(1.0, zx), quantization(out, 0)))
        check_c([case], tmp_path)

    wide = 2**30 // (127 * 255)
    fits = Weights(np.full((1, wide, 1, 1), 127, np.int8), None, 1.0)
    kernels(fits, channels=wide, zx=127)
    kernels(Weights(one, np.array([2**30 - 129], np.int32), 1.0))
    for weights, out, channels, zx in (
        (replace(fits, data=np.full((1, 2 * wide + 2, 1, 1), 127, np.int8)), 1e9, 2 * wide + 2, 127),
        (Weights(one, np.array([2**31 - 1], np.int32), 1.0), 1e9, 1, 0),
        (Weights(one, np.array([-(2**31)], np.int32), 1.0), 1e9, 1, 0),
        (Weights(one, np.array([1e30], np.float32), 1.0), 1e9, 1, 0),
        (Weights(one, np.array([-np.inf], np.float32), 1.0), 1e9, 1, 0),
        (Weights(one, np.array([np.nan], np.float32), 1.0), 1e9, 1, 0),
        (Weights(one, None, 1.0), 1e-7, 1, 0),
    ):
        with pytest.raises(UnsupportedError, match="overflow"):
            kernels(weights, out, channels, zx)
    # a float bias far beyond int64 in accumulator steps
    tiny = Weights(one, np.array([1.0], np.float32), np.float32(1e-12))
    with pytest.raises(UnsupportedError, match="overflow"):
        layer("Conv", x, tiny, tmp_path, (quantization(1e-12, 0), quantization(1.0, 0)))


def test_float_bias_is_rounded_to_accumulator_steps(tmp_path: Path) -> None:
    x, weights = _codes(GEOMETRIES[0])
    real = np.float32(IN.s) * weights.scale * (weights.bias + np.float32(0.3))  # type: ignore[operator]
    exact = layer("Conv", x, weights, tmp_path, (IN, OUT))
    rounded = layer("Conv", x, replace(weights, bias=real.astype(np.float32)), tmp_path, (IN, OUT))
    np.testing.assert_array_equal(exact.reference, rounded.reference)


def test_clips_that_cross_are_applied_in_turn(tmp_path: Path) -> None:
    first, second = ((np.float32(low), np.float32(high)) for low, high in ((-0.5, 0.25), (0.5, 1.0)))
    crossed = (np.float32(1.0), np.float32(-0.25))
    cases: list[Case] = []
    for bounds in ((first, second), (second, first), (crossed,), (first, crossed)):
        then = [Then("Clip", b) for b in bounds]
        real = layer("Conv", *_real(GEOMETRIES[0]), tmp_path, then=then)
        codes = layer("Conv", *_codes(GEOMETRIES[0]), tmp_path, (IN, OUT), then)
        assert_close(real.expected, real.reference)
        np.testing.assert_array_equal(codes.expected, codes.reference)
        cases += [real, codes]
    check_c(cases, tmp_path)


def test_cmsis_nn_fallbacks(tmp_path: Path) -> None:
    def reason(case: Case) -> str:
        return case.op.cmsis_nn(case.site, EVERY_CMSIS).fallback

    assert "float32" in reason(layer("Conv", *_real(GEOMETRIES[0]), tmp_path))
    assert "fused pool" in reason(_pooled(tmp_path, codes=True, relu=False)[0])
    assert "symmetric" in reason(layer("Conv", *_codes(GEOMETRIES[0], zero=3), tmp_path, (IN, OUT)))
    grouped = GEOMETRIES[5]
    assert "grouped" in reason(layer("Conv", *_codes(grouped), tmp_path, (IN, OUT), **grouped[2]))
    plain = layer("Conv", *_codes(GEOMETRIES[0]), tmp_path, (IN, OUT)).with_rounding(Rounding.TFLITE)
    assert "lacks arm_convolve" in reason(plain)


def test_unsupported() -> None:
    x, w = np.zeros((1, 4, 5, 5), np.float32), np.zeros((4, 4, 3, 3), np.float32)
    for node in (
        read_node("Conv", x, Constant(w), group=2),
        read_node("Conv", x, Constant(w[:3, :2]), group=2),
        read_node("Conv", x[:, :, :2, :2], Constant(w)),
        read_node("Conv", x, Constant(w), pads=[-1, 0, 0, 0]),
        read_node("Conv", x, Constant(w), auto_pad="SAME"),
    ):
        with pytest.raises(UnsupportedError):
            Conv.from_onnx(node)


# -- overlap ----------------------------------------------------------------------------------------


def test_overlap_is_declared_for_single_samples_only(tmp_path: Path) -> None:
    for case in _integer_cases(tmp_path):
        assert (0 in case.op.kernels(case.site)[0].overlap) == (case.site.x.shape[0] == 1), case.label


@st.composite
def row_kernels(draw: st.DrawFn) -> tuple[Window, tuple[int, int], int, int]:
    pair = st.tuples(st.integers(1, 4), st.integers(1, 2))
    window = Window(
        draw(pair), draw(pair), draw(pair), draw(st.tuples(*(st.integers(0, 3) for _ in range(4))))
    )
    extent = window.extent
    size = draw(st.tuples(*(st.integers(max(1, e), e + 6) for e in extent)))
    return window, size, draw(st.integers(1, 9)), draw(st.integers(1, 9))


@given(row_kernels())
def test_declared_distance_is_harmless_and_the_smallest(
    case: tuple[Window, tuple[int, int], int, int],
) -> None:
    """Output rows written one by one at `input - D` destroy no row that is still to be read."""
    window, size, in_row, out_row = case
    distance = row_distance(window, size, in_row, out_row)
    rows = window.output(*size)[0]

    def destroyed(d: int) -> bool:
        for y in range(rows):
            reads = (
                z * window.stride[0] - window.pads[0] + k * window.dilation[0]
                for z in range(y, rows)
                for k in range(window.kernel[0])
            )
            lowest = min((r * in_row for r in reads if 0 <= r < size[0]), default=size[0] * in_row)
            if (y + 1) * out_row - d > lowest:
                return True
        return False

    assert not destroyed(distance)
    # one byte less destroys something; only windows that skip their first rows leave some slack
    first_row_read = window.dilation[0] == 1 and max(window.pads[0], window.pads[2]) < window.kernel[0]
    assert destroyed(distance - 1) or not first_row_read
