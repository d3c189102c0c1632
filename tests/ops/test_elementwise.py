"""Functions of two values: broadcasting in up to six axes, all types."""

from pathlib import Path

import numpy as np
import pytest
from support import Case, assert_close, check_c, make_case, read_node

from pingponnx.errors import UnsupportedError
from pingponnx.ops.elementwise import ROWS, Elementwise
from pingponnx.ops.functions import INTEGERS

RNG = np.random.default_rng(8)
SHAPES = [((5,), (5,)), ((2, 3, 4), (3, 1)), ((), (2, 3)), ((2, 1, 3, 1, 2, 1), (1, 2, 1, 3, 1, 2))]
ORDER = ["Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal"]


def _float(name: str) -> list[Case]:
    made = []
    for shapes in SHAPES:
        a, b = (RNG.uniform(0.5, 3, s).astype(np.float32) for s in shapes)
        made.append(make_case(name, a, b, **({"fmod": 1} if name == "Mod" else {})))
    return made


def test_float_equals_onnxruntime_and_c(tmp_path: Path) -> None:
    cases = [c for name in ("Div", "Pow", "Max", "Min", "Mod", *ORDER) for c in _float(name)]
    a = np.array([-1, 2, -3], np.float32)
    cases.append(make_case("PRelu", a, np.array([0.5, 0.1, 2], np.float32)))
    for case in cases:
        assert_close(case.expected, case.reference, case.label)
    check_c(cases, tmp_path)


def test_integers_equal_onnxruntime_and_c(tmp_path: Path) -> None:
    a, b = np.array([-7, -7, 7, 7, 100, 2], np.int32), np.array([2, -2, 2, -2, 7, 31], np.int32)
    cases = [make_case(name, a, b) for name in ("Add", "Sub", "Mul", "Div", "Mod", "Max", "Min", *ORDER)]
    cases.append(make_case("Pow", np.array([-3, 2, 7, 1], np.int32), np.array([3, 30, 4, -2], np.int32)))
    cases += [make_case(name, a, b) for name in ("BitwiseAnd", "BitwiseOr", "BitwiseXor")]
    cases.append(make_case("Mod", a, b, fmod=1))
    cases.append(make_case("Pow", b[:1], np.array([1.5], np.float32)))
    truth = [np.array(v, bool) for v in ([0, 0, 1, 1], [0, 1, 0, 1])]
    cases += [make_case(name, *truth) for name in ("And", "Or", "Xor", "Equal")]
    for case in cases:
        np.testing.assert_array_equal(case.expected, case.reference, case.label)
    check_c(cases, tmp_path)


def test_every_integer_type_wraps_around_as_numpy_does(tmp_path: Path) -> None:
    cases = []
    for dtype in INTEGERS:
        info = np.iinfo(dtype.numpy)
        ends = np.array([info.min, info.max, 3, 5, info.max], dtype.numpy)
        others = np.array([info.max, info.max, 0, 2, 3], dtype.numpy)
        for name in ("Add", "Sub", "Mul", "Div", "Max", "Less"):
            op, _ = Elementwise.from_onnx(read_node(name, ends, others))
            cases.append(_case(op, ends, others))
    check_c(cases, tmp_path)


def _case(op: Elementwise, a: np.ndarray, b: np.ndarray) -> Case:
    from support import _case as made  # the only case that onnxruntime has no kernels for

    expected = np.asarray(ROWS[op.name].value(a, b)).astype(bool if ROWS[op.name].to else a.dtype)
    return made(op, [a, b], expected, (), None, f"{op.name} {a.dtype}")


def test_two_types_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="operands of two types"):
        Elementwise.from_onnx(read_node("Div", np.zeros(3, np.int32), np.zeros(3, np.float32)))
