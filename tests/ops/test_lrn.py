"""Local response normalization next to onnxruntime."""

from pathlib import Path

import numpy as np
import pytest
from support import assert_close, check_c, make_case, read_node

from pingponnx.errors import UnsupportedError
from pingponnx.ops.lrn import LRN


def test_float_equals_onnxruntime_and_c(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(2, 7, 3, 4)).astype(np.float32)
    cases = [
        make_case("LRN", x, size=3),
        make_case("LRN", x * 4, size=5, alpha=0.5, beta=0.5, bias=2.0),
        make_case("LRN", x, size=1, alpha=1.0),
    ]
    for case in cases:
        assert_close(case.expected, case.reference, case.label)
    check_c(cases, tmp_path)


def test_a_vector_has_no_channels() -> None:
    with pytest.raises(UnsupportedError, match="rank 2"):
        LRN.from_onnx(read_node("LRN", np.zeros((2, 3), np.float32), size=3))
