"""Transposed convolution over three axes."""

from pathlib import Path

import numpy as np
from support import assert_close, check_c, make_case

RNG = np.random.default_rng(12)


def test_equals_onnxruntime_and_c(tmp_path: Path) -> None:
    x = RNG.normal(size=(2, 4, 3, 4, 2)).astype(np.float32)
    whole, grouped = (RNG.normal(size=(4, c, 2, 3, 2)).astype(np.float32) for c in (3, 2))
    bias = RNG.normal(size=3).astype(np.float32)
    cases = [
        make_case("ConvTranspose", x, whole, bias, strides=[2, 1, 3], pads=[1, 0, 1, 0, 2, 1]),
        make_case("ConvTranspose", x, grouped, group=2, dilations=[1, 2, 1]),
        make_case("ConvTranspose", x, whole, strides=[1, 3, 2], output_padding=[0, 2, 1]),
        make_case("ConvTranspose", x, whole, bias, strides=[2, 2, 2], auto_pad="SAME_UPPER"),
    ]
    for case in cases:
        assert_close(case.expected, case.reference, case.label)
    check_c(cases, tmp_path)
