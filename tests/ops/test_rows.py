"""Kernels by rows: windows of every geometry, sums over parts, and where no kernel works by rows."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from host import Run, run_c
from hypothesis import given
from hypothesis import strategies as st
from layers import Then, Weights, layer
from support import Case, Constant, check_c, make_case, quantization, row_runs, run_of

from pingponnx.calls import ALL_ROWS, RowWindow
from pingponnx.errors import UnsupportedError
from pingponnx.ir import Array, Shape
from pingponnx.ops.window import Window, row_window
from pingponnx.select import window

IN, OUT = quantization(0.0471, -7), quantization(0.0913, 11)


def _values(rng: np.random.Generator, shape: Shape, *, codes: bool) -> Array:
    return rng.integers(-128, 128, shape, np.int8) if codes else rng.normal(size=shape).astype(np.float32)


def _pair(rng: np.random.Generator, rank: int, low: int, high: int) -> list[int]:
    return rng.integers(low, high + 1, rank).tolist()


# -- windows ----------------------------------------------------------------------------------------


def _geometries(rng: np.random.Generator, count: int) -> Iterator[tuple[Shape, list[int], dict[str, Any]]]:
    """Maps `n c [h] w`, kernels and the attributes of windows over them, padded up to beyond the kernel."""
    for number in range(count):
        rank = 1 if number % 4 == 3 else 2
        kernel = _pair(rng, rank, 1, 4)
        how = {
            "strides": _pair(rng, rank, 1, 3),
            "dilations": _pair(rng, rank, 1, 2),
            "pads": _pair(rng, 2 * rank, 0, 3),
        }
        size = [
            (k - 1) * d + 1 + int(rng.integers(0, 7)) for k, d in zip(kernel, how["dilations"], strict=True)
        ]
        yield (1 + number % 2, 4, *size), kernel, how


def _convolutions(rng: np.random.Generator, folder: Path, *, codes: bool) -> Iterator[Case]:
    for number, (shape, kernel, how) in enumerate(_geometries(rng, 16)):
        group, outputs = ((1, 3), (2, 6), (4, 4), (4, 8))[number // 4]
        w = _values(rng, (outputs, 4 // group, *kernel), codes=codes)
        weights = Weights(w, _values(rng, (outputs,), codes=False))
        if codes:
            weights = Weights(w, rng.integers(-900, 900, outputs).astype(np.int32), np.float32(0.004))
        x, qs = _values(rng, shape, codes=codes), (IN, OUT) if codes else ()
        yield layer("Conv", x, weights, folder, qs, group=group, **how)
        pool = _pair(rng, len(kernel), 1, 3)
        strides = [p + int(rng.integers(0, 2)) for p in pool]
        then = Then("MaxPool", (), (("kernel_shape", pool), ("strides", strides)))
        try:
            yield layer("Conv", x, weights, folder, qs, [then], group=group, **how)
        except UnsupportedError:  # the pool is larger than the map that the convolution leaves
            continue


@pytest.mark.parametrize("codes", [True, False])
@pytest.mark.parametrize("seed", [1, 2])
def test_convolutions(tmp_path: Path, seed: int, codes: bool) -> None:
    cases = list(_convolutions(np.random.default_rng(seed), tmp_path, codes=codes))
    calls = [call for case in cases for call in case.op.kernels(case.site)]
    assert all(call.rows for call in calls)
    assert {call.rows.function for call in calls if call.rows} == (
        {"conv_s8_row", "conv_s8_part", "depthwise_s8_row", "depthwise_s8_part"}
        if codes
        else {"conv_f32_row", "conv_f32_part"}
    )
    check_c(cases, tmp_path)


@pytest.mark.parametrize("op_type", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("codes", [True, False])
def test_pools(tmp_path: Path, op_type: str, codes: bool) -> None:
    rng, cases = np.random.default_rng(3), []
    qs = (IN, IN if op_type == "MaxPool" else OUT) if codes else ()
    for shape, kernel, how in _geometries(rng, 30):
        x = _values(rng, shape, codes=codes)
        how["pads"] = [min(p, k - 1) for p, k in zip(how["pads"], 2 * kernel, strict=True)]
        for extra in [{}, {"count_include_pad": 1}] if op_type == "AveragePool" else [{}]:
            try:
                cases.append(
                    make_case(op_type, x, opset=19, quantized=qs, kernel_shape=kernel, **how, **extra)
                )
            except UnsupportedError:  # a window of padding only
                continue
    assert len(cases) > 10
    check_c(cases, tmp_path)


@pytest.mark.parametrize("codes", [True, False])
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (1, 7, 6), (1, 2, 1, 1)])
def test_a_mean_of_the_whole_map_is_summed_up(tmp_path: Path, shape: Shape, codes: bool) -> None:
    x = _values(np.random.default_rng(4), shape, codes=codes)
    case = make_case("GlobalAveragePool", x, quantized=(IN, OUT) if codes else ())
    rows = case.op.kernels(case.site)[0].rows
    assert rows is not None and rows.forward_only == (not codes)
    assert (rows.units, rows.windows[0], rows.accumulator) == (ALL_ROWS, RowWindow(), 4 * shape[1])
    check_c([case], tmp_path)


@st.composite
def windows(draw: st.DrawFn) -> tuple[Window, Window, int]:
    """A convolution, a pool behind it whose windows are disjoint, and how high the map is."""
    numbers = st.integers(1, 4)
    top, bottom = draw(st.tuples(st.integers(0, 5), st.integers(0, 5)))
    conv = Window((draw(numbers), 1), (draw(numbers), 1), (draw(numbers), 1), (top, 0, bottom, 0))
    kernel = draw(numbers)
    pool = Window((kernel, 1), (kernel + draw(st.integers(0, 2)), 1))
    least = conv.extent[0] + (kernel - 1) * conv.stride[0] - top - bottom
    return conv, pool, draw(st.integers(max(least, 1), max(least, 1) + 9))


@given(windows())
def test_row_windows_begin_and_end_with_what_is_read(case: tuple[Window, Window, int]) -> None:
    """A pooled row's window, and the windows of its units together, are as high as its taps need."""
    conv, pool, height = case
    whole, unit = row_window(conv.then(pool)), row_window(conv)
    for row in range(pool.output(*conv.output(height, 1))[0]):
        lines = [row * pool.stride[0] + q for q in range(pool.kernel[0])]
        taps = [
            line * conv.stride[0] - conv.pads[0] + k * conv.dilation[0]
            for line in lines
            for k in range(conv.kernel[0])
        ]
        first = row * whole.stride - whole.pad
        assert (min(taps), max(taps)) == (first, first + whole.extent - 1)
        ends = [i * unit.stride - unit.pad + d for i in lines for d in (0, unit.extent - 1)]
        assert (min(taps), max(taps)) == (min(ends), max(ends))


def test_a_fused_pool_can_be_made_of_fewer_rows_or_in_fewer_cycles(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    weights = Weights(_values(rng, (4, 2, 3, 3), codes=False))
    then = Then("MaxPool", (), (("kernel_shape", [2, 2]), ("strides", [2, 2])))
    case = layer("Conv", _values(rng, (1, 2, 9, 9), codes=False), weights, tmp_path, then=[then])
    fast, lean = case.op.kernels(case.site)
    assert fast.function == "conv_f32" and lean.function == ""
    assert fast.cycles < lean.cycles and window(fast) > window(lean)
    assert fast.constants == lean.constants
    assert lean.rows is not None and lean.rows.windows == {0: RowWindow(3, 1, 0)}
    assert (lean.rows.units, lean.rows.step) == (2, 2)


# -- sums over parts --------------------------------------------------------------------------------


@pytest.mark.parametrize("codes", [True, False])
def test_gemm_sums_up_the_rows_of_a_flattened_map(tmp_path: Path, codes: bool) -> None:
    rng = np.random.default_rng(6)
    shape, outputs = (1, 5, 3, 4), 7
    x, w = _values(rng, (1, 60), codes=codes), _values(rng, (60, outputs), codes=codes)
    weights = Weights(w, _values(rng, (outputs,), codes=False))
    if codes:
        scale, bias = np.full(outputs, 0.003, np.float32), rng.integers(-900, 900, outputs)
        weights = Weights(w, bias.astype(np.int32), scale, 9, axis=1)
    case = layer("Gemm", x, weights, tmp_path, (IN, OUT) if codes else ())
    whole = run_of(case)
    assert whole.call.rows is not None and whole.call.rows.forward_only == (not codes)
    runs = [replace(run, inputs=(x.reshape(shape),)) for run in row_runs(whole)]
    assert [run.order for run in runs] == ([1, -1] if codes else [1])
    first, *others = run_c([whole, *runs], tmp_path)
    for other in others:
        np.testing.assert_array_equal(other, first)


# -- constants and refusals -------------------------------------------------------------------------


def _with_constant(case: Case) -> Case:
    x, c = case.site.inputs
    assert c is not None
    return replace(case, site=replace(case.site, inputs=(x, replace(c, data=case.arrays[1]))))


@pytest.mark.parametrize("codes", [True, False])
def test_constant_operands_are_the_same_for_every_row(tmp_path: Path, codes: bool) -> None:
    rng = np.random.default_rng(7)
    qs = (IN, OUT, quantization(0.11, 3)) if codes else ()
    cases = []
    for shape in ((5,), (4, 5), (1, 1, 4, 5), (1,), (1, 4, 1)):
        arrays = (_values(rng, s, codes=codes) for s in ((2, 3, 4, 5), shape))
        cases.append(_with_constant(make_case("Sub", *arrays, quantized=qs)))
        rows = cases[-1].op.kernels(cases[-1].site)[0].rows
        assert rows is not None and set(rows.windows) == {0} and rows.elementwise
    check_c(cases, tmp_path)


def _refused() -> dict[str, Case]:
    x = np.zeros((2, 3, 4, 5), np.float32)
    pads = {name: Constant(np.array(p)) for name, p in (("h", [0, 1, 0, 0] * 2), ("n", [1, 0, 0, 0] * 2))}
    return {
        "another operand for every row": _with_constant(make_case("Add", x, x[:1, :, :1])),
        "an operand with one row": make_case("Add", x, x[:, :1]),
        "an operand of lower rank": make_case("Add", x, x[0, 0]),
        "concatenated rows": make_case("Concat", x, x, axis=1),
        "concatenated samples": make_case("Concat", x, x, axis=0),
        "rows that mirror others": make_case("Pad", x, pads["h"], mode="reflect"),
        "more samples": make_case("Pad", x, pads["n"]),
        "lanes through rows": make_case("Softmax", x, axis=1),
        "lanes through the end of rows": make_case("Softmax", x, axis=1, opset=11),
    }


@pytest.mark.parametrize("name", _refused())
def test_no_rows(name: str) -> None:
    case = _refused()[name]
    assert case.op.kernels(case.site)[0].rows is None


def test_several_rows_of_a_matrix_are_no_parts(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    x, w = (_values(rng, s, codes=False) for s in ((2, 4), (4, 3)))
    case = layer("Gemm", x, Weights(w), tmp_path)
    assert case.op.kernels(case.site)[0].rows is None


def test_what_is_read_beside_a_row_is_noticed(tmp_path: Path) -> None:
    """The tests above would see a kernel that reads more than its window."""
    case = make_case("Relu", np.ones((1, 2, 3), np.float32))
    whole: Run = run_of(case)
    assert whole.call.rows is not None
    too_many = replace(whole.call.rows, arguments=(4, *whole.call.rows.arguments[1:]))
    for run in row_runs(replace(whole, call=replace(whole.call, rows=too_many))):
        with pytest.raises(AssertionError, match="heap-buffer-overflow"):
            run_c([run], tmp_path)
