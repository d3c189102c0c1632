"""Add, Sub and Mul: broadcasting, constants, integer arithmetic next to onnxruntime."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from support import (
    Case,
    agreement,
    assert_close,
    check_c,
    check_permutations,
    make_case,
    quantization,
    read_node,
    run_onnx,
)

from models import assert_proven, make_model, make_node, normal, ops, save
from pingponnx.errors import UnsupportedError
from pingponnx.fixed_point import Rounding
from pingponnx.ir import Array, Quantization, Shape
from pingponnx.ops.binary import Add, Binary

TYPES = ["Add", "Sub", "Mul"]
SHAPES: list[tuple[Shape, Shape]] = [
    ((5,), (5,)),
    ((5,), (1,)),
    ((1,), (4, 5)),
    ((3, 1), (1, 4)),
    ((2, 3, 4), (4,)),
    ((2, 3, 4), (3, 1)),
    ((3, 4), (2, 1, 1)),
    ((2, 1, 4), (1, 3, 1)),
    ((2, 3, 4, 5), (2, 3, 4, 5)),
    ((1, 3, 1, 1), (1, 3, 4, 5)),
    ((2, 3, 4, 5), (1, 3, 1, 1)),
    ((2, 1, 4, 1), (1, 3, 1, 5)),
    ((), (2, 3)),
    ((1, 1, 6, 1, 1, 5), (1, 1, 6, 7, 1, 1)),
]
A, B, OUT = quantization(0.0213, 5), quantization(0.0317, -100), quantization(0.0471, 9)
ENDS = (-128, 0, 127)


def _cases(op_type: str, qs: Sequence[Quantization] = ()) -> list[Case]:
    rng = np.random.default_rng(51)
    cases = []
    for shapes in SHAPES:
        arrays: list[Array] = [
            rng.integers(-128, 128, s).astype(np.int8) if qs else rng.normal(size=s).astype(np.float32)
            for s in shapes
        ]
        cases.append(make_case(op_type, *arrays, quantized=qs))
    return cases


def _clamped(cases: list[Case], low: float, high: float) -> list[Case]:
    return [replace(c, op=c.op.with_clamp(low, high), label=f"{c.label} clamped") for c in cases]


def _every_pair() -> tuple[Array, Array]:
    """All pairs of codes."""
    codes = np.arange(-128, 128, dtype=np.int8)
    a, b = np.meshgrid(codes, codes, indexing="ij")
    return a, b


@pytest.mark.parametrize("op_type", TYPES)
def test_float_equals_onnxruntime_and_c(tmp_path: Path, op_type: str) -> None:
    cases = _cases(op_type)
    for case in cases:
        np.testing.assert_array_equal(case.expected, case.reference, case.label)
    check_c([*cases, *_clamped(cases, -0.25, 0.5)], tmp_path)


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("op_type", TYPES)
def test_int8_c_equals_reference(tmp_path: Path, op_type: str, rounding: Rounding) -> None:
    cases = _cases(op_type, (A, B, OUT))
    cases += _clamped(cases, -0.25, 0.5)
    pair = _every_pair()
    for scales in ((0.02, 0.03, 0.04), (1e-5, 2.0, 1.0), (3.0, 1e-9, 0.5), (1.0, 1.0, 1e-3), (0.5, 0.5, 1e6)):
        for zeros in ((-128, 127, 0), (127, -128, -128), (-128, -128, 127), (0, 0, 0)):
            qs = [quantization(s, z) for s, z in zip(scales, zeros, strict=True)]
            cases.append(make_case(op_type, *(p[::5, ::5] for p in pair), quantized=qs))
            assert cases[-1].op.integer(cases[-1].site) == ""
    flags = ["-DPINGPONNX_ROUNDING_TFLITE"] if rounding is Rounding.TFLITE else []
    check_c([c.with_rounding(rounding) for c in cases], tmp_path, flags)


@pytest.mark.parametrize("op_type", TYPES)
def test_int8_agrees_with_onnxruntime_for_every_pair_of_codes(op_type: str) -> None:
    pairs = []
    for scales in ((0.0213, 0.0317, 0.0471), (0.0131, 0.0007, 0.0123), (0.0071, 0.0917, 0.00311)):
        for za, zb in ((0, 0), (-128, 127), (5, -100)):
            for zy in (-128, 3):
                qs = [quantization(s, z) for s, z in zip(scales, (za, zb, zy), strict=True)]
                case = make_case(op_type, *_every_pair(), quantized=qs)
                undecided = case.op.undecided(case.site, *case.arrays)
                assert undecided is not None and undecided.mean() < 0.01
                pairs.append((case.reference[~undecided], case.expected[~undecided]))
                assert agreement([(case.reference, case.expected)])[1] <= 1
                tflite = case.with_rounding(Rounding.TFLITE)
                assert agreement([(tflite.reference, case.expected)])[1] <= 1
    equal, worst = agreement(pairs)
    assert worst <= 1
    assert equal >= 0.999


@pytest.mark.parametrize("op_type", TYPES)
def test_equal_scales_have_ties_that_do_not_count(op_type: str) -> None:
    """With scales that are powers of two every second sum is a tie; all others must be equal."""
    qs = [quantization(s, 1) for s in (0.25, 0.25, 0.5)]
    case = make_case(op_type, *_every_pair(), quantized=qs)
    undecided = case.op.undecided(case.site, *case.arrays)
    assert undecided is not None and undecided.mean() > 0.05
    np.testing.assert_array_equal(case.reference[~undecided], case.expected[~undecided])
    assert agreement([(case.reference, case.expected)])[1] <= 1


def test_overlap_is_declared_for_operands_of_the_outputs_size() -> None:
    for case in _cases("Sub"):
        call = case.op.kernels(case.site)[0]
        sizes = {i: a.size for i, a in enumerate(case.arrays)}
        assert dict(call.overlap) == {i: 0 for i, n in sizes.items() if n == case.site.y.size}, case.label


def test_permuted() -> None:
    for case in _cases("Sub")[8:9]:
        assert check_permutations(case, permutations(range(4))) == 24


# -- whole models -----------------------------------------------------------------------------------


def _quantized_model(op_type: str, constant: int, scale: Array, **attributes: int):  # type: ignore[no-untyped-def]
    """op over a quantized activation and a quantized constant, which is operand `constant`."""
    shape = (1, 3, 4, 4)
    rng = np.random.default_rng(52)
    constants = {
        "c": rng.integers(-128, 128, (1, 3, 1, 1)).astype(np.int8),
        "cs": scale,
        "cz": np.full(scale.shape, -9, np.int8),
        "s": np.float32(0.05),
        "z": np.int8(4),
    }
    names = ["x_real", "x_real"]
    names[constant] = "c_real"
    nodes = [
        make_node("QuantizeLinear", ["x", "s", "z"], "x_code"),
        make_node("DequantizeLinear", ["x_code", "s", "z"], "x_real"),
        make_node("DequantizeLinear", ["c", "cs", "cz"], "c_real", **attributes),
        make_node(op_type, names, "sum"),
        make_node("QuantizeLinear", ["sum", "s", "z"], "sum_code"),
        make_node("DequantizeLinear", ["sum_code", "s", "z"], "y"),
    ]
    return make_model(nodes, {"x": shape}, ["y"], constants)


@pytest.mark.parametrize("constant", [0, 1])
@pytest.mark.parametrize("op_type", TYPES)
def test_constant_operands(tmp_path: Path, op_type: str, constant: int) -> None:
    model = _quantized_model(op_type, constant, np.float32(0.031))
    assert ops(normal(model, tmp_path)) == [op_type]
    assert_proven(save(model, tmp_path / "codes.onnx"))
    names = ["x", "x"]
    names[constant] = "c"
    w = np.random.default_rng(53).normal(size=(3, 1, 4)).astype(np.float32)
    real = make_model([make_node(op_type, names, "y")], {"x": (2, 3, 4, 4)}, ["y"], {"c": w})
    assert_proven(save(real, tmp_path / "real.onnx"))


def test_a_constant_quantized_per_channel_stays_float(tmp_path: Path) -> None:
    """One zero point and one multiplier is all that the kernel takes."""
    model = _quantized_model("Add", 1, np.float32([0.031, 0.002, 0.4]), axis=1)
    graph = normal(model, tmp_path)
    assert "DequantizeLinear" in ops(graph)
    assert_proven(save(model, tmp_path / "model.onnx"))


def test_both_operands_may_be_one_tensor(tmp_path: Path) -> None:
    for op_type in TYPES:
        model = make_model([make_node(op_type, ["x", "x"], "y")], {"x": (2, 5)}, ["y"])
        assert_proven(save(model, tmp_path / "model.onnx"))


def test_opset_that_broadcasts_by_rank(tmp_path: Path) -> None:
    x = np.random.default_rng(54).normal(size=(2, 3, 4)).astype(np.float32)
    model = make_model(
        [make_node("Add", ["x", "c"], "y")], {"x": x.shape}, ["y"], {"c": x[0, :, :1]}, opset=7
    )
    assert_proven(save(model, tmp_path / "model.onnx"))
    assert_close(run_onnx(model, {"x": x}), x + x[0, :, :1])


# -- refusals ---------------------------------------------------------------------------------------


def test_results_beyond_int32_stay_float() -> None:
    """Steps so small that the scaled result leaves int32 are no integer node."""
    for op_type, largest in (("Add", 510.0), ("Sub", 510.0), ("Mul", 255.0 * 255.0)):
        for share, fits in ((0.9, True), (1.1, False)):
            out = largest / (2**30 * share)
            qs = [quantization(1.0, 127), quantization(1.0, -128), quantization(out, 0)]
            case = make_case(op_type, *(p[::16, ::16] for p in _every_pair()), quantized=qs)
            assert ("overflow" in case.op.integer(case.site)) != fits


def test_scaled_results_reach_int32s_range(tmp_path: Path) -> None:
    for op_type, largest in (("Add", 510.0), ("Sub", 510.0), ("Mul", 255.0 * 255.0)):
        qs = [quantization(1.0, 127), quantization(1.0, -128), quantization(largest / (2**30 * 0.99), 0)]
        case = make_case(op_type, *(p[::15, ::15] for p in _every_pair()), quantized=qs)
        check_c([case], tmp_path)


def test_unsupported() -> None:
    node = read_node("Add", np.zeros((1, 2) * 5, np.float32), np.zeros((2, 1) * 5, np.float32))
    with pytest.raises(UnsupportedError):
        Binary.from_onnx(node)


def test_integer_needs_quantized_operands() -> None:
    case = _cases("Add", (A, B, OUT))[0]
    x, other = case.site.inputs
    assert other is not None and case.op == Add()
    site = replace(case.site, inputs=(x, replace(other, quantization=None)))
    assert "quantized" in case.op.integer(site)
