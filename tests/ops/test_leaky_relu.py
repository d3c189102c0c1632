"""LeakyRelu in float32, and in int8 as a lookup table."""

from pathlib import Path

import numpy as np
import pytest
from support import assert_close, check_c, make_case, quantization

RNG = np.random.default_rng(21)


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.5])
def test_float32_equals_onnxruntime_and_c(tmp_path: Path, alpha: float) -> None:
    x = RNG.normal(size=(1, 3, 5, 4)).astype(np.float32)
    case = make_case("LeakyRelu", x, opset=16, alpha=alpha)
    assert_close(case.expected, case.reference, case.label)
    check_c([case], tmp_path)


def test_default_alpha() -> None:
    case = make_case("LeakyRelu", np.array([[-2.0, 3.0]], np.float32), opset=16)
    assert_close(np.array([[-0.02, 3.0]], np.float32), case.reference, case.label)


def test_int8_equals_onnxruntime_for_every_code(tmp_path: Path) -> None:
    codes = np.arange(-128, 128, dtype=np.int8).reshape(1, 256)
    cases = [
        make_case(
            "LeakyRelu",
            codes,
            opset=16,
            quantized=[quantization(0.03, zx), quantization(0.02, zy)],
            alpha=0.1,
        )
        for zx, zy in ((0, 0), (-128, 127), (20, -128))
    ]
    for case in cases:
        np.testing.assert_array_equal(case.reference, case.expected, case.label)
    check_c(cases, tmp_path)
