"""Functions of one value: numpy, C and onnxruntime agree in all types; int8 by lookup tables."""

from pathlib import Path

import numpy as np
import pytest
from support import assert_close, check_c, make_case, quantization, read_node

from pingponnx.errors import UnsupportedError
from pingponnx.ops.functions import ROWS, Function

X = np.array([-3.5, -1.5, -0.9, -0.5, -0.0, 0.0, 0.3, 0.5, 0.99, 1.0, 2.5, 9.0], np.float32)
LIMITED = {"Log": 0.01, "Sqrt": 0.0, "Acosh": 1.0}  # from where on they are defined
INSIDE = {"Asin", "Acos", "Atanh"}  # between -1 and 1
NEWER = {"Gelu": 20, "Mish": 18, "Swish": 24, "HardSwish": 14, "IsInf": 20}
OTHER_TYPES = {
    "Abs": np.int32,
    "Neg": np.int32,
    "Sign": np.int32,
    "Shrink": np.int32,
    "BitwiseNot": np.uint16,
}


def _values(name: str) -> np.ndarray:
    x = X[LIMITED[name] <= X] if name in LIMITED else X
    return x[np.abs(x) < 1] if name in INSIDE else x


def test_every_float_function_equals_onnxruntime_and_c(tmp_path: Path) -> None:
    cases = []
    for name in (n for n, row in ROWS.items() if np.float32 in [t.numpy for t in row.types] and "_" not in n):
        if name == "Swish":  # onnxruntime does not have it
            continue
        cases.append(make_case(name, _values(name), opset=NEWER.get(name, 18)))
    cases.append(make_case("Gelu", X, opset=20, approximate="tanh"))
    cases.append(make_case("IsInf", np.array([np.inf, -np.inf, np.nan, 1], np.float32), detect_negative=0))
    cases.append(make_case("Selu", X, alpha=2.0, gamma=3.0))
    for case in cases:
        assert_close(case.expected, case.reference, case.label)
    check_c(cases, tmp_path)


def test_other_types_equal_onnxruntime_and_c(tmp_path: Path) -> None:
    cases = [
        make_case(
            name, np.array([0, 1, 2, 7, 100], dtype) if dtype is np.uint16 else np.array([-9, 0, 7], dtype)
        )
        for name, dtype in OTHER_TYPES.items()
    ]
    cases.append(make_case("Not", np.array([True, False])))
    cases.append(make_case("Sqrt", np.array([0.5, 2.0])))
    for case in cases:
        np.testing.assert_array_equal(case.expected, case.reference, case.label)
    check_c(cases, tmp_path)


@pytest.mark.parametrize("name", ["HardSwish", "Elu", "Exp"])
def test_int8_is_a_lookup_table(tmp_path: Path, name: str) -> None:
    codes = np.arange(-128, 128, dtype=np.int8).reshape(1, 256)
    case = make_case(name, codes, quantized=[quantization(0.03, 3), quantization(0.05, -20)])
    np.testing.assert_array_equal(case.reference, case.expected)
    check_c([case], tmp_path)


def test_a_type_that_it_lacks_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="int32 is not supported"):
        Function.from_onnx(read_node("Exp", np.zeros(3, np.int32)))
