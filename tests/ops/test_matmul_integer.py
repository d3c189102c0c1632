"""MatMulInteger: both signs, zero points of every shape, extremes, against onnxruntime."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import Case, Constant, check_c, make_case

from pingponnx.errors import UnsupportedError
from pingponnx.ir import Array

RNG = np.random.default_rng(23)
PAIRS = [(np.uint8, np.uint8), (np.uint8, np.int8), (np.int8, np.int8)]


def _codes(dtype: Any, *shape: int) -> Array:
    info = np.iinfo(dtype)
    found: Array = RNG.integers(info.min, info.max, shape, dtype, endpoint=True)
    return found


def _products() -> list[Case]:
    found = []
    for a, b in PAIRS:
        found += [
            make_case("MatMulInteger", _codes(a, 3, 7), Constant(_codes(b, 7, 5))),
            make_case("MatMulInteger", _codes(a, 2, 3, 7), _codes(b, 7, 5), _codes(a, 1), _codes(b, 5)),
            make_case("MatMulInteger", _codes(a, 2, 2, 3, 7), _codes(b, 1, 2, 7, 4), _codes(a), _codes(b)),
        ]
    return found


def test_products_equal_onnxruntime_and_c(tmp_path: Path) -> None:
    cases = _products()
    for case in cases:
        np.testing.assert_array_equal(case.reference, case.expected, case.label)
    check_c(cases, tmp_path)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="it must be int8 or uint8"):
        make_case("MatMulInteger", _codes(np.int16, 3, 7), _codes(np.int8, 7, 5))
