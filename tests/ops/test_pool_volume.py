"""Pooling over three axes, of other types, norms, and the indices of maxima."""

from pathlib import Path

import numpy as np
from support import assert_close, check_c, make_case

RNG = np.random.default_rng(10)
X3 = RNG.normal(size=(1, 2, 5, 6, 7)).astype(np.float32)
X2 = RNG.normal(size=(2, 2, 6, 7)).astype(np.float32)


def test_equals_onnxruntime_and_c(tmp_path: Path) -> None:
    some = {"kernel_shape": [2, 3, 2], "strides": [2, 2, 1], "pads": [1, 1, 0, 0, 1, 1]}
    cases = [
        make_case("MaxPool", X3, **some),
        make_case("AveragePool", X3, **some),
        make_case("AveragePool", X3, count_include_pad=1, **some),
        make_case("MaxPool", X3, kernel_shape=[2, 2, 2], dilations=[2, 1, 3]),
        make_case("GlobalMaxPool", X3),
        make_case("GlobalAveragePool", X3),
        make_case("LpPool", X2, kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1], p=3),
        make_case("LpPool", X2, kernel_shape=[3, 3], auto_pad="SAME_LOWER"),
        make_case("GlobalLpPool", X2, p=2),
        make_case("MaxPool", RNG.integers(0, 255, (1, 2, 5, 5)).astype(np.uint8), kernel_shape=[3, 3]),
    ]
    for case in cases:
        assert_close(case.expected, case.reference, case.label)
    check_c(cases, tmp_path)
