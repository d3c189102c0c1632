"""Batch normalization becomes one factor and one summand per channel."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import (
    Array,
    Case,
    Constant,
    agreement,
    assert_close,
    check_c,
    make_case,
    quantization,
    read_node,
)

from pingponnx.errors import UnsupportedError
from pingponnx.ops.scale_shift import ScaleShift

SHAPES = [(2, 3, 4, 5), (1, 4, 6), (3, 5), (1, 1, 2, 2)]


def _statistics(channels: int) -> list[Constant]:
    rng = np.random.default_rng(9)
    gamma, beta, mean = (rng.normal(size=channels).astype(np.float32) for _ in range(3))
    variance = rng.uniform(0.1, 3, channels).astype(np.float32)
    return [Constant(a) for a in (gamma, beta, mean, variance)]


def _cases() -> list[Case]:
    rng = np.random.default_rng(10)
    data: list[Array] = [rng.normal(size=s).astype(np.float32) for s in SHAPES]
    cases = [
        make_case("BatchNormalization", x, *_statistics(x.shape[1]), opset=15, epsilon=1e-3) for x in data
    ]
    return [*cases, make_case("BatchNormalization", data[0], *_statistics(3), opset=9)]


def test_equals_onnxruntime_and_c(tmp_path: Path) -> None:
    cases = _cases()
    for case in cases:
        assert_close(case.expected, case.reference, case.label)
    clamped = [replace(c, op=c.op.with_clamp(0.0, 0.7)) for c in cases]
    check_c([*cases, *clamped], tmp_path)


def test_int8_c_equals_the_reference_which_agrees_with_onnxruntime(tmp_path: Path) -> None:
    rng = np.random.default_rng(12)
    cases = []
    for scales, zeros in (((0.05, 0.03), (-7, 12)), ((1e-4, 0.3), (-128, 0)), ((0.5, 0.01), (127, -128))):
        q = [quantization(scale, zero) for scale, zero in zip(scales, zeros, strict=True)]
        for shape in SHAPES:
            x = rng.integers(-128, 128, shape, np.int8)
            cases.append(make_case("BatchNormalization", x, *_statistics(shape[1]), opset=15, quantized=q))
    assert all(case.op.integer(case.site) == "" for case in cases)
    equal, worst = agreement((case.reference, case.expected) for case in cases)
    assert worst <= 1 and equal >= 0.999
    clamped = [replace(c, op=c.op.with_clamp(-1.0, 0.7)) for c in cases[:4]]
    check_c([*cases, *clamped], tmp_path)
    steep = make_case(
        "BatchNormalization", x, *_statistics(1), opset=15, quantized=[q[0], quantization(1e-6, 0)]
    )
    assert "too few bits" in steep.op.integer(steep.site)


def test_unsupported() -> None:
    x, statistics = np.zeros((1, 3, 2, 2), np.float32), _statistics(3)
    negative = [*statistics[:3], Constant(np.full(3, -1, np.float32))]
    for node in (
        read_node("BatchNormalization", x, *statistics, training_mode=1),
        read_node("BatchNormalization", x, *statistics, outputs=("y", "mean")),
        read_node("BatchNormalization", x, *_statistics(4)),
        read_node("BatchNormalization", x, *negative),
        read_node("BatchNormalization", x, *(c.data for c in statistics)),
        read_node("BatchNormalization", x[..., None], *statistics),
    ):
        with pytest.raises(UnsupportedError):
            ScaleShift.from_onnx(node)
