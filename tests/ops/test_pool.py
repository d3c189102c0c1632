"""Pooling: geometry and values against onnxruntime, C against the reference, in place where declared."""

from dataclasses import replace
from itertools import product
from math import inf
from pathlib import Path

import numpy as np
import pytest
from host import cmsis_nn_objects, run_c
from hypothesis import given
from hypothesis import strategies as st
from support import (
    EVERY_CMSIS,
    Case,
    agreement,
    assert_close,
    check_c,
    make_case,
    quantization,
    read_node,
    run_of,
)

from pingponnx.errors import UnsupportedError
from pingponnx.fixed_point import Rounding
from pingponnx.ops.pool import AveragePool, MaxPool
from pingponnx.ops.window import Window, pixel_distance, tap_counts

GEOMETRIES = [
    ((2, 3, 8, 8), {"kernel_shape": [2, 2], "strides": [2, 2]}),
    ((1, 5, 7, 9), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ((1, 5, 7, 9), {"kernel_shape": [3, 2], "strides": [1, 3], "pads": [0, 1, 2, 0]}),
    ((1, 1, 6, 5), {"kernel_shape": [2, 2]}),
    ((1, 1, 9, 9), {"kernel_shape": [2, 3], "strides": [3, 4]}),
    ((1, 4, 6, 7), {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    ((1, 4, 5, 5), {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1, "pads": [1, 1, 1, 1]}),
    ((1, 2, 8, 6), {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    ((1, 2, 8, 6), {"kernel_shape": [2, 4], "strides": [1, 2], "auto_pad": "SAME_LOWER"}),
    ((1, 2, 9, 9), {"kernel_shape": [3, 3], "dilations": [2, 3]}),
    ((1, 2, 9, 9), {"kernel_shape": [2, 2], "dilations": [3, 2], "pads": [1, 1, 1, 1], "strides": [2, 1]}),
    ((1, 3, 20), {"kernel_shape": [4], "strides": [3], "pads": [1, 2]}),
    ((2, 1, 11), {"kernel_shape": [2], "strides": [2], "ceil_mode": 1}),
    ((1, 1, 4, 4), {"kernel_shape": [4, 4]}),
    ((2, 6, 7, 9), {"kernel_shape": [3, 3], "strides": [2, 2]}),
]
Q = quantization(0.05, -7)
OTHER = quantization(0.031, 11)


def _cases(op_type: str, *, codes: bool, **options: object) -> list[Case]:
    rng = np.random.default_rng(1)
    cases = []
    for shape, attributes in GEOMETRIES:
        x = rng.integers(-128, 128, shape, np.int8) if codes else rng.normal(size=shape).astype(np.float32)
        cases.append(make_case(op_type, x, opset=19, **attributes, **options))  # type: ignore[arg-type]
    for shape in ((2, 3, 5, 4), (1, 7, 6)):
        x = rng.integers(-128, 128, shape, np.int8) if codes else rng.normal(size=shape).astype(np.float32)
        plain = {k: v for k, v in options.items() if k != "count_include_pad"}
        cases.append(make_case(f"Global{op_type}", x, opset=19, **plain))  # type: ignore[arg-type]
    return cases


def _clamped(cases: list[Case], low: float, high: float) -> list[Case]:
    return [replace(c, op=c.op.with_clamp(low, high), label=f"{c.label} clamped") for c in cases]


def test_max_pool_float_equals_onnxruntime_and_c(tmp_path: Path) -> None:
    cases = _cases("MaxPool", codes=False)
    for case in cases:
        np.testing.assert_array_equal(case.reference, case.expected, err_msg=case.label)
    check_c([*cases, *_clamped(cases, -0.1, inf), *_clamped(cases, 0.0, 0.6)], tmp_path)


def test_max_pool_int8_equals_onnxruntime_and_c(tmp_path: Path) -> None:
    cases = _cases("MaxPool", codes=True, quantized=(Q, Q))
    for case in cases:
        np.testing.assert_array_equal(case.reference, case.expected, err_msg=case.label)
    check_c([*cases, *_clamped(cases, 0.0, 2.5)], tmp_path)


def test_max_pool_of_plain_integers(tmp_path: Path) -> None:
    cases = _cases("MaxPool", codes=True, quantized=(Q, Q))
    raw = [
        replace(
            c,
            site=replace(
                c.site,
                inputs=(replace(c.site.x, quantization=None),),
                outputs=(replace(c.site.y, quantization=None),),
            ),
        )
        for c in cases
    ]
    for case, plain in zip(cases, raw, strict=True):
        np.testing.assert_array_equal(plain.reference, case.reference)
    check_c(raw, tmp_path)


@pytest.mark.parametrize("include", [0, 1])
def test_average_pool_float_equals_onnxruntime_and_c(tmp_path: Path, include: int) -> None:
    cases = _cases("AveragePool", codes=False, count_include_pad=include)
    for case in cases:
        assert_close(case.expected, case.reference, case.label)
    check_c([*cases, *_clamped(cases, 0.0, 0.2)], tmp_path)


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("out", [Q, OTHER, quantization(0.0001, 3), quantization(9.0, -128)])
def test_average_pool_int8_c_equals_reference(tmp_path: Path, rounding: Rounding, out: object) -> None:
    cases = []
    for include in (0, 1):
        cases += _cases("AveragePool", codes=True, count_include_pad=include, quantized=(Q, out))
    cases = [c.with_rounding(rounding) for c in [*cases, *_clamped(cases, 0.0, 1.5)]]
    flags = ["-DPINGPONNX_ROUNDING_TFLITE"] if rounding is Rounding.TFLITE else []
    check_c(cases, tmp_path, flags)


def _exact(case: Case) -> np.ndarray:
    """The mean in output steps, before rounding: sums of codes are exact in float32."""
    x, y = case.site.x.quantization, case.site.y.quantization
    assert x is not None and y is not None
    real = replace(
        case.site,
        inputs=(replace(case.site.x, quantization=None),),
        outputs=(replace(case.site.y, quantization=None),),
    )
    mean = case.op.reference(real, case.arrays[0].astype(np.float32) - np.float32(x.z))
    return mean.astype(np.float64) * float(x.s) / float(y.s)


@pytest.mark.parametrize(
    ("scale", "out", "share"),
    # scales that are powers of two have exact ties, and they are met; elsewhere float32 noise decides ties
    [(0.0625, None, 1.0), (0.05, None, 0.95), (0.05, OTHER, 0.998), (0.05, quantization(0.0625, 3), 0.999)],
)
def test_average_pool_int8_agrees_with_onnxruntime(scale: float, out: object, share: float) -> None:
    q = quantization(scale, -7)
    pairs = []
    for include in (0, 1):
        for case in _cases("AveragePool", codes=True, count_include_pad=include, quantized=(q, out or q)):
            pairs.append((case.reference, case.expected))
            steps = _exact(case)
            tie = np.abs(steps - np.floor(steps) - 0.5) < 1e-4
            np.testing.assert_array_equal(case.reference[~tie], case.expected[~tie], err_msg=case.label)
    equal, worst = agreement(pairs)
    assert worst <= 1
    assert equal >= share


def test_cmsis_nn_only_where_it_is_bit_equal() -> None:
    def reason(op_type: str, kernel: list[int], *, out: object = Q, **options: object) -> str:
        rounding = options.pop("rounding", Rounding.SINGLE)
        x = np.zeros((1, 4, 9, 9), np.int8)
        case = make_case(op_type, x, opset=19, quantized=(Q, out), kernel_shape=kernel, **options)  # type: ignore[arg-type]
        return case.op.cmsis_nn(case.with_rounding(rounding).site, EVERY_CMSIS).fallback  # type: ignore[arg-type]

    assert reason("MaxPool", [2, 2]) == ""
    assert "dilation" in reason("MaxPool", [2, 2], dilations=[2, 2])
    assert reason("AveragePool", [3, 3]) == ""
    assert "ties" in reason("AveragePool", [2, 2])
    assert "ties" in reason("AveragePool", [3, 3], pads=[1, 1, 1, 1])
    assert reason("AveragePool", [2, 2], rounding=Rounding.TFLITE) == ""
    assert reason("AveragePool", [3, 3], pads=[1, 1, 1, 1], rounding=Rounding.TFLITE) == ""
    assert "padding" in reason(
        "AveragePool", [3, 3], pads=[1, 1, 1, 1], count_include_pad=1, rounding=Rounding.TFLITE
    )
    assert "requantize" in reason("AveragePool", [3, 3], out=OTHER)
    real = make_case("MaxPool", np.zeros((1, 1, 4, 4), np.float32), kernel_shape=[2, 2])
    assert "float32" in real.op.cmsis_nn(real.site, EVERY_CMSIS).fallback


@pytest.mark.cmsis
@pytest.mark.parametrize("rounding", list(Rounding))
def test_cmsis_nn_equals_reference(tmp_path: Path, rounding: Rounding) -> None:
    """Wherever the call is not a fallback, arm_*pool_s8 gives the reference's very codes."""
    flags, objects = cmsis_nn_objects("PoolingFunctions", tmp_path)
    cases = [
        *_cases("MaxPool", codes=True, quantized=(Q, Q)),
        *_cases("AveragePool", codes=True, quantized=(Q, Q)),
    ]
    cases = [c.with_rounding(rounding) for c in [*cases, *_clamped(cases, 0.0, 1.5)]]
    pairs = [(c, c.op.cmsis_nn(c.site, EVERY_CMSIS)) for c in cases]
    pairs = [(c, call) for c, call in pairs if not call.fallback]
    assert {type(c.op) for c, _ in pairs} == {MaxPool, AveragePool}
    outputs = run_c([run_of(c, call) for c, call in pairs], tmp_path, [*flags, *map(str, objects)])
    for (case, _), got in zip(pairs, outputs, strict=True):
        np.testing.assert_array_equal(got, case.reference, err_msg=case.label)


def test_unsupported() -> None:
    x = np.zeros((1, 1, 1, 1), np.float32)
    node = read_node("MaxPool", x, kernel_shape=[2, 2], pads=[1] * 4, dilations=[2] * 2)
    with pytest.raises(UnsupportedError):
        MaxPool.from_onnx(node)
    with pytest.raises(UnsupportedError):
        AveragePool.from_onnx(read_node("AveragePool", x, kernel_shape=[5, 5]))


# -- laws -------------------------------------------------------------------------------------------


@st.composite
def windows(draw: st.DrawFn) -> tuple[Window, tuple[int, int]]:
    """A window and a map on which every output sees at least one value."""
    pair = st.tuples(st.integers(1, 4), st.integers(1, 4))
    kernel, stride, dilation = draw(pair), draw(pair), draw(pair)
    pads = draw(st.tuples(*(st.integers(0, 2) for _ in range(4))))
    window = Window(kernel, stride, dilation, pads)
    extent = window.extent
    size = draw(st.tuples(*(st.integers(max(1, e), e + 6) for e in extent)))
    counts = tap_counts(window, size, (0, 0, 0, 0))
    if not all(min(c) for c in counts):
        return Window(kernel, stride, dilation), size
    return window, size


def _events(window: Window, size: tuple[int, int], channels: int) -> list[set[int]]:
    """The input values that each output reads, in the order in which outputs are made."""
    reads = []
    for y, x, c in product(*(range(n) for n in window.output(*size)), range(channels)):
        taps = set()
        for ky, kx in product(range(window.kernel[0]), range(window.kernel[1])):
            row = y * window.stride[0] - window.pads[0] + ky * window.dilation[0]
            column = x * window.stride[1] - window.pads[1] + kx * window.dilation[1]
            if 0 <= row < size[0] and 0 <= column < size[1]:
                taps.add((row * size[1] + column) * channels + c)
        reads.append(taps)
    return reads


def _harmless(reads: list[set[int]], distance: int) -> bool:
    """Nothing that is still to be read is overwritten with the output at `input - distance`."""
    destroyed: set[int] = set()
    for number, taps in enumerate(reads):
        if taps & destroyed:
            return False
        destroyed.add(number - distance)
    return True


@given(windows(), st.integers(1, 3))
def test_declared_distance_is_harmless_and_the_smallest(case: tuple[Window, tuple[int, int]], c: int) -> None:
    window, size = case
    distance, reads = pixel_distance(window, size, c), _events(window, size, c)
    end = size[0] * size[1] * c
    for more in range(len(reads) + 2):
        assert _harmless(reads, distance + more)
    # one byte less destroys something, or moves the output's end above the input's
    assert not _harmless(reads, distance - 1) or len(reads) - (distance - 1) > end


@given(windows(), st.integers(1, 3))
def test_disjoint_unpadded_windows_pool_in_place(case: tuple[Window, tuple[int, int]], c: int) -> None:
    window = replace(case[0], pads=(0, 0, 0, 0))
    if window.disjoint:
        assert pixel_distance(window, case[1], c) <= 0


@given(windows())
def test_counts_equal_brute_force(case: tuple[Window, tuple[int, int]]) -> None:
    window, size = case
    reads = _events(window, size, 1)
    counts = np.outer(*tap_counts(window, size, (0, 0, 0, 0)))
    assert [len(taps) for taps in reads] == counts.ravel().tolist()
