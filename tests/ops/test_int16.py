"""16-bit activations: every operator that takes them, next to onnxruntime and as C, at the ends of ranges."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from host import run_c
from layers import Then, Weights, layer, layer_model
from support import Case, Constant, agreement, check_c, make_case, quantization, row_runs, run_of

from models import normal, ops
from pingponnx.fixed_point import Rounding, wide_overflow, wide_requantizer
from pingponnx.ir import Array, DType, Quantization
from pingponnx.ops.quantize import Requantize
from pingponnx.ops.unary import Clip
from pingponnx.rewrite.unfolded import conversions

RNG = np.random.default_rng(16)
IN, OUT = quantization(3.1e-4, 0), quantization(2.7e-4, 0)
UNEVEN = (quantization(3.1e-4, -700), quantization(2.7e-4, 12345))
Shapes = tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]
GEOMETRIES: list[Shapes] = [
    ((1, 3, 7, 8), (5, 3, 3, 3), {"strides": [2, 1], "pads": [1, 1, 1, 1]}),
    ((1, 2, 9, 9), (3, 2, 3, 3), {"dilations": [2, 3], "pads": [2, 0, 1, 3]}),
    ((2, 4, 5, 6), (6, 2, 3, 3), {"group": 2, "pads": [1, 1, 1, 1]}),
    ((1, 5, 6, 5), (5, 1, 3, 3), {"group": 5, "pads": [1, 0, 0, 1], "strides": [2, 1]}),
    ((1, 8, 5, 7), (4, 8, 1, 1), {}),
    ((1, 4, 6, 6), (4, 4, 3, 3), {"pads": [1, 1, 1, 1]}),
    ((1, 3, 20), (4, 3, 5), {"strides": [3], "pads": [2, 0], "dilations": [2]}),
]


def _codes(*shape: int) -> Array:
    found = RNG.integers(-(2**15), 2**15, shape).astype(np.int16)
    found.flat[0], found.flat[-1] = -(2**15), 2**15 - 1
    return found


def _weights(shape: Sequence[int], channels: int, *, zero: int = 0, each: bool = True) -> Weights:
    """Random ones with which outputs fill most of int16."""
    w = RNG.integers(-128, 128, shape).astype(np.int8)
    taps = w.size // channels
    spread = RNG.uniform(0.4, 1.2, channels) if each else np.array(0.7)
    scale = (spread * 0.02 / np.sqrt(taps)).astype(np.float32)
    return Weights(w, RNG.integers(-(2**20), 2**20, channels).astype(np.int32), scale, zero)


def _convolutions(folder: Path) -> list[Case]:
    cases = []
    for shapes in GEOMETRIES:
        for qs, zero, each in (((IN, OUT), 0, True), (UNEVEN, 0, False), ((IN, OUT), -31, True)):
            weights = _weights(shapes[1], shapes[1][0], zero=zero, each=each)
            cases.append(layer("Conv", _codes(*shapes[0]), weights, folder, qs, **shapes[2]))
    pool = Then("MaxPool", (), (("kernel_shape", [2, 2]), ("strides", [2, 2])))
    for then in ([pool], [Then("Relu"), pool], [Then("Clip", (np.float32(-1), np.float32(2)))]):
        weights = _weights((4, 3, 3, 3), 4)
        cases.append(layer("Conv", _codes(1, 3, 8, 8), weights, folder, (IN, OUT), then, pads=[1] * 4))
    return cases


def _products(folder: Path) -> list[Case]:
    cases = []
    for rows, inputs, outputs in ((1, 1, 1), (1, 37, 9), (3, 64, 20)):
        for zero, each in ((0, True), (9, False)):
            weights = replace(_weights((inputs, outputs), outputs, zero=zero, each=each), axis=1)
            cases.append(layer("Gemm", _codes(rows, inputs), weights, folder, (IN, OUT)))
    weights = replace(_weights((24, 7), 7), axis=1)
    return [*cases, layer("Gemm", _codes(1, 24), weights, folder, UNEVEN, [Then("Relu")])]


def _long(folder: Path) -> list[Case]:
    """Sums that leave int32: all inputs and weights at their ends."""
    cases = []
    q = (quantization(1.0, 0), quantization(7000.0, 0))
    for code, weight in ((-(2**15), 127), (2**15 - 1, -128)):
        bias = np.array([2**31 - 1, -(2**31), 5], np.int32)
        weights = Weights(np.full((3, 600, 1, 1), weight, np.int8), bias, np.float32([0.09, 0.05, 1e-9]))
        cases.append(layer("Conv", np.full((1, 600, 2, 2), code, np.int16), weights, folder, q))
        flat = replace(weights, data=np.ascontiguousarray(weights.data[:, :, 0, 0].T), axis=1)
        cases.append(layer("Gemm", np.full((1, 600), code, np.int16), flat, folder, q))
    for case in cases:
        (params, *_) = case.op.kernels(case.site)[0].arguments
        assert params.fields["long_sums"] == 1  # type: ignore[union-attr]
    return cases


def _elementwise() -> list[Case]:
    cases = []
    a, b, y = quantization(3e-4, 0), quantization(5.1e-4, 0), quantization(7e-4, 0)
    shifted = (quantization(3e-4, 99), quantization(1e-6, -(2**15)), quantization(2.9e-4, 77))
    for op_type in ("Add", "Sub", "Mul"):
        for shapes in (((2, 3, 4), (2, 3, 4)), ((2, 3, 4), (3, 1))):
            for qs in ((a, b, y), (a, a, a), shifted):
                cases.append(make_case(op_type, *(_codes(*s) for s in shapes), quantized=qs, opset=21))
    return cases


def _pools() -> list[Case]:
    cases = []
    for qs in ((IN, IN), (IN, OUT), UNEVEN):
        for shape, attributes in (
            ((2, 3, 7, 8), {"kernel_shape": [3, 2], "pads": [1, 1, 1, 0], "strides": [2, 1]}),
            ((1, 5, 6, 6), {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ):
            cases.append(make_case("AveragePool", _codes(*shape), quantized=qs, opset=21, **attributes))
            if qs[0] == qs[1]:
                cases.append(make_case("MaxPool", _codes(*shape), quantized=qs, opset=21, **attributes))
        cases.append(make_case("GlobalAveragePool", _codes(1, 4, 9, 5), quantized=qs, opset=21))
    return cases


def _moves() -> list[Case]:
    def case(op_type: str, *inputs: Array | Constant, **attributes: Any) -> Case:
        count = sum(isinstance(x, np.ndarray) for x in inputs)
        return make_case(op_type, *inputs, quantized=[IN] * (count + 1), opset=21, **attributes)

    def numbers(*values: int) -> Constant:
        return Constant(np.array(values, np.int64))

    slices = numbers(1, 0), numbers(2, 5), numbers(0, 2), numbers(1, 2)
    return [
        case("Concat", _codes(2, 3, 2), _codes(2, 1, 2), axis=1),
        case("Transpose", _codes(2, 3, 4), perm=[2, 0, 1]),
        case("Slice", _codes(3, 2, 5), *slices),
        case("Pad", _codes(1, 3, 4, 2), numbers(0, 1, 0, 2, 0, 1, 2, 0)),
        case("Pad", _codes(1, 3, 4), numbers(0, 0, 2, 0, 1, 1), mode="reflect"),
        case("Gather", _codes(4, 3), numbers(2, 0), axis=0),
    ]


def _rescaled(q: Quantization, to: Quantization, types: Sequence[DType], clip: Clip | None = None) -> Case:
    """onnxruntime is asked by models further down; here its formula in float64 is."""
    x = _codes(3, 50) if types[0] is DType.S16 else np.arange(-128, 128, dtype=np.int8).reshape(2, 128)
    case = make_case("Identity", x, quantized=(q, q), opset=21 if x.dtype == np.int16 else 18)
    y = replace(case.site.y, dtype=types[1], quantization=to)
    site = replace(case.site, inputs=(replace(case.site.x, quantization=q),), outputs=(y,))
    real = (x.astype(np.float64) - q.z) * float(q.s)
    real = real if clip is None else real.clip(clip.low, clip.high)
    info = np.iinfo(types[1].numpy)
    steps = np.floor(real / float(to.s) + 0.5) + to.z
    expected = steps.clip(info.min, info.max).astype(types[1].numpy)
    return Case(clip or Requantize(), site, (x,), expected, f"{q.s} {q.z} {to.s} {to.z} {types}")


def _rescales() -> list[Case]:
    s16, s8 = DType.S16, DType.S8
    assert Requantize().float_reason(_rescaled(OUT, quantization(1e-9, 5), (s16, s16)).site)
    pairs = ((IN, OUT), UNEVEN, (OUT, quantization(1e-8, 5)), (OUT, quantization(3.0, -5)))
    cases = [_rescaled(*pair, (s16, s16)) for pair in pairs]
    cases += [_rescaled(IN, OUT, (s16, s16), Clip(low, high)) for low, high in ((0, 4.0), (-1, 1))]
    cases.append(_rescaled(quantization(0.07, -3), quantization(0.00029, 4), (s8, s16)))
    return [*cases, _rescaled(quantization(0.00029, 4), quantization(0.07, -3), (s16, s8))]


def _flags(rounding: Rounding) -> list[str]:
    return ["-DPINGPONNX_ROUNDING_TFLITE"] if rounding is Rounding.TFLITE else []


@pytest.mark.parametrize("rounding", list(Rounding))
def test_agrees_with_onnxruntime_and_c(tmp_path: Path, rounding: Rounding) -> None:
    """Every kernel in one program, whole and by rows, under sanitizers."""
    long = _long(tmp_path)
    near = [*_convolutions(tmp_path), *_products(tmp_path), *_elementwise(), *_pools(), *_rescales()]
    near = [case.with_rounding(rounding) for case in near]
    decided = []
    for case in near:
        assert agreement([(case.reference, case.expected)])[1] <= 1, case.label
        undecided = case.op.undecided(case.site, *case.arrays)
        decided.append((case.reference == case.expected).ravel())
        decided[-1] |= False if undecided is None else undecided.ravel()
    if rounding is Rounding.SINGLE:
        assert min(found.mean() for found in decided if found.size > 100) >= 0.95
        assert np.concatenate(decided).mean() >= 0.997
        for case in _moves():
            np.testing.assert_array_equal(case.reference, case.expected, case.label)
            near.append(case)
    long = [case.with_rounding(rounding) for case in long]
    assert agreement((case.reference, case.expected) for case in long)[1] <= 1
    values = np.concatenate([case.reference.ravel() for case in near])
    assert len(np.unique(values)) > 3000
    check_c([*near, *long], tmp_path, _flags(rounding))
    flat = long[1]
    parts = [replace(r, inputs=(r.inputs[0].reshape(1, 8, -1),)) for r in row_runs(run_of(flat))]
    assert len(parts) == 2
    for got in run_c(parts, tmp_path):
        np.testing.assert_array_equal(got, flat.reference)
    # but for the mean of codes that keep their scale, int16 rounds in one way only
    names = {case.op.kernels(case.site)[0].function for case in near}
    assert {"conv_s16", "gemm_s16", "add_s16", "mul_s16", "avg_pool_s16", "rescale_s16_s16"} <= names


def test_multipliers_fit_beside_their_accumulators() -> None:
    for scale in (1e-12, 2.0**-31, 0.49, 0.5, 1.0, np.nextafter(1.0, 0), 1.7, 1000.0):
        for worst in (1.0, 40000.0, 2.0**31, 2.0**40, 2.0**46):
            if wide_overflow(scale, worst):
                continue
            for rounding in Rounding:
                r = wide_requantizer(scale, worst, rounding)
                m, s = int(r.multiplier[0]), int(r.shift[0])
                assert 0 <= m < 2**31 and -31 <= s <= 30 and m * worst < 2**62
                bits = 15 if rounding is Rounding.TFLITE else 31
                assert abs(m * 2.0 ** (s - 31) - scale) <= max(scale * 2.0**-15, 2.0**-62), (scale, worst)
                assert m < 2**bits or s == 30
                ends = np.array([worst, -worst, 0.0]).astype(np.int64)
                exact = [round(int(a) * m * 2.0 ** (s - 31)) for a in ends]
                assert np.abs(r.apply(ends) - exact).max() <= 1


def test_what_could_overflow_stays_in_float32(tmp_path: Path) -> None:
    def reason(weights: Weights, out: float, q: float = 1.0) -> str:
        nodes = layer_model("Conv", _codes(1, 1, 2, 2), weights, (quantization(q, 0), quantization(out, 0)))
        graph = normal(nodes, tmp_path)
        assert "Conv" in ops(graph) and "QuantizeLinear" in ops(graph)
        return conversions(graph)[-1].reason

    one = np.ones((1, 1, 1, 1), np.int8)
    assert "int32 results could overflow" in reason(Weights(one, None, 1.0), 1e-6)
    assert "bias does not fit" in reason(Weights(one, np.float32([1e10]), 1.0), 1e6)
    wide = Weights(one.astype(np.int16), None, 1.0)
    assert "8- and 16-bit" in reason(wide, 1.0) or "not int8" in reason(wide, 1.0)
