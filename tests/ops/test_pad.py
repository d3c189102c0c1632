"""Pad: modes, axes, cropping; constants in output codes; in place as far as declared."""

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from support import Case, Constant, check_c, check_permutations, make_case, quantization, read_node

from pingponnx.errors import UnsupportedError
from pingponnx.ops.pad import Pad, PadValue

Q = quantization(0.1, 3)
PADS = [
    ((1, 2, 3, 4), [0, 0, 1, 2, 0, 0, 2, 0], None),
    ((2, 3, 4, 2), [0, 1, 1, 0, 1, 0, 2, 0], None),
    ((2, 4, 3), [0, 2, 1, 0, 1, 2], None),
    ((4, 5), [1, 3], [-1]),
    ((3, 4, 2), [1, 2, 0, 3], [0, 1]),
    ((2, 3, 2, 2, 2), [0, 1, 0, 1, 0, 1, 0, 0, 1, 1], None),
    ((7,), [2, 3], None),
    ((3, 3), [0, 0, 0, 0], None),
]
CROPS = [((4, 5), [-1, 1, 2, -2], None), ((3, 4, 5), [1, -2, -1, -1, 0, 3], None), ((6,), [-2, -3], None)]


def _case(
    shape: tuple[int, ...], pads: list[int], axes: list[int] | None, *, codes: bool, mode: str, value: float
) -> Case:
    rng = np.random.default_rng(6)
    x = rng.integers(-128, 128, shape, np.int8) if codes else rng.normal(size=shape).astype(np.float32)
    extra: list[Constant | None] = [Constant(np.array(pads, np.int64)), Constant(np.array(value, np.float32))]
    if axes is not None:
        extra.append(Constant(np.array(axes, np.int64)))
    return make_case("Pad", x, *extra, quantized=(Q, Q) if codes else (), mode=mode)


def _cases(*, codes: bool) -> list[Case]:
    cases = []
    for shape, pads, axes in PADS:
        for mode, value in (("constant", 0.0), ("constant", -1.7), ("edge", 0.0), ("reflect", 0.0)):
            used = axes or range(len(shape))
            longest = max(max(pads[i], pads[i + len(used)]) - shape[a] for i, a in enumerate(used))
            if mode != "reflect" or longest < 0:
                cases.append(_case(shape, pads, axes, codes=codes, mode=mode, value=value))
    return cases + [_case(*crop, codes=codes, mode="constant", value=2.0) for crop in CROPS]


@pytest.mark.parametrize("codes", [False, True])
def test_equals_onnxruntime_and_c(tmp_path: Path, codes: bool) -> None:
    cases = _cases(codes=codes)
    for case in cases:
        np.testing.assert_array_equal(case.reference, case.expected, err_msg=f"{case.label} {case.op}")
    check_c(cases, tmp_path)


def test_permuted() -> None:
    for case in _cases(codes=False):
        orders = list(permutations(range(case.arrays[0].ndim)))
        assert check_permutations(case, orders) == len(orders)


def test_only_zero_commutes_with_quantization() -> None:
    zero, value = (_case((4,), [1, 1], None, codes=True, mode="constant", value=v) for v in (0.0, -1.7))
    assert type(zero.op) is Pad and zero.op.moves_data
    assert type(value.op) is PadValue and not value.op.moves_data
    assert value.op.integer(value.site) == ""
    other = replace(value.site.x, quantization=quantization(0.2, 0))
    assert value.op.integer(replace(value.site, inputs=(other,)))
    assert zero.reference[0] == Q.z


def test_infinite_values_saturate() -> None:
    case = _case((4,), [1, 1], None, codes=True, mode="constant", value=float("-inf"))
    assert case.reference[0] == -128 == case.expected[0]


def test_old_opset_has_attributes() -> None:
    x = np.ones((2, 2), np.float32)
    case = make_case("Pad", x, opset=10, pads=[1, 0, 0, 2], value=3.0)
    np.testing.assert_array_equal(case.reference, case.expected)


def test_unsupported() -> None:
    x = np.zeros((3, 3), np.float32)
    pads = Constant(np.array([1, 1, 1, 1], np.int64))
    negative = Constant(np.array([-1, 0, 0, 0], np.int64))
    for node in (
        read_node("Pad", x, pads, mode="wrap"),
        read_node("Pad", x, negative, mode="edge"),
        read_node("Pad", x, Constant(np.array([3, 0, 0, 0], np.int64)), mode="reflect"),
        read_node("Pad", x, Constant(np.array([-3, 0, 0, 0], np.int64))),
        read_node("Pad", x.astype(np.int8), pads),
        read_node("Pad", x, np.array([1, 1, 1, 1], np.int64)),
    ):
        with pytest.raises(UnsupportedError):
            Pad.from_onnx(node)
