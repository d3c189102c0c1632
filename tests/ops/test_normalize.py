"""Layer, instance, group, root-mean-square, mean-variance and norm normalization next to onnxruntime."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from support import Case, Constant, assert_close, check_c, make_case, read_node

from models import Builder, assert_proven, save
from pingponnx.errors import Error
from pingponnx.ir import Array
from pingponnx.ops import registry

RNG = np.random.default_rng(11)


def _x(*shape: int, mean: float = 0.0) -> Array:
    found: Array = (RNG.normal(size=shape) * 2 + mean).astype(np.float32)
    return found


def _cases() -> list[Case]:
    def case(op_type: str, *inputs: Any, opset: int = 22, **attributes: Any) -> Case:
        return make_case(op_type, *inputs, opset=opset, **attributes)

    scale = Constant(_x(6))
    return [
        case("LayerNormalization", _x(2, 5, 6), scale, Constant(_x(6)), epsilon=0.01),
        case("LayerNormalization", _x(2, 5, 6, mean=30), Constant(_x(5, 6)), axis=-2),
        case("LayerNormalization", _x(3, 2, 4, 6), _x(2, 4, 6), _x(2, 4, 6), axis=1),
        case("LayerNormalization", _x(1, 300), Constant(_x(300))),
        case("InstanceNormalization", _x(2, 6, 5, 4), scale, Constant(_x(6))),
        case("InstanceNormalization", _x(1, 6, 40, 30, mean=10), _x(6), _x(6), epsilon=1e-3),
        case("InstanceNormalization", _x(1, 6, 31), scale, Constant(_x(6))),
        case("InstanceNormalization", _x(1, 1, 9), Constant(_x(1)), Constant(_x(1))),
        case("InstanceNormalization", _x(2, 4, 1), Constant(_x(4)), Constant(_x(4))),
        case("InstanceNormalization", _x(1, 4, 1, 1), _x(4), _x(4)),
        case("LayerNormalization", _x(3, 1), Constant(_x(1)), Constant(_x(1))),
        case("MeanVarianceNormalization", _x(2, 3, 5, 4), axes=[0, 2, 3]),
        case("MeanVarianceNormalization", _x(2, 3, 5, 4), axes=[1, 2, 3]),
        case("LpNormalization", _x(3, 4, 5)),
        case("LpNormalization", _x(3, 4, 5), axis=1, p=1),
        case("LpNormalization", np.zeros((2, 4), np.float32), axis=0),
    ]


def test_float_equals_onnxruntime_and_c(tmp_path: Path) -> None:
    cases = _cases()
    for case in cases:
        np.testing.assert_allclose(case.reference, case.expected, rtol=1e-4, atol=2e-5, err_msg=case.label)
    check_c(cases, tmp_path)


def test_declared_distance_is_the_smallest_that_is_harmless() -> None:
    """Groups side by side: all of one is read, then written, before the next one is read."""
    for rows, groups in ((3, 2), (4, 3), (5, 1)):
        case = make_case(
            "InstanceNormalization", _x(1, groups, rows), Constant(_x(groups)), Constant(_x(groups))
        )

        def harmless(distance: int, rows: int = rows, groups: int = groups) -> bool:
            places = [{r * groups + g for r in range(rows)} for g in range(groups)]
            return not any(
                {place - distance for place in places[g]} & places[later]
                for g in range(groups)
                for later in range(g + 1, groups)
            )

        safe = next(d for d in range(rows * groups) if all(map(harmless, range(d, rows * groups + 1))))
        declared = case.op.kernels(case.site)[0].overlap[0]
        assert declared % 4 == 0 and safe <= declared // 4 <= safe + groups, (rows, groups)


def test_groups_of_channels(tmp_path: Path) -> None:
    b = Builder()
    y = "x"
    for groups in (3, 2):
        y = b.add("GroupNormalization", y, b.normal(6), b.normal(6), num_groups=groups, epsilon=0.01)
        y = b.add("Relu", y)
    model = b.model({"x": [1, 6, 3, 4]}, y, opset=21)
    del model.graph.value_info[:]
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info(y, TensorProto.FLOAT, [1, 6, 3, 4]))
    assert_proven(save(model, tmp_path / "model.onnx"))  # ONNX infers no shape here


def test_root_mean_square_of_a_huge_and_of_a_constant_input() -> None:
    huge = make_case("RMSNormalization", _x(4, 5) * np.float32(1e15), Constant(_x(5)), opset=23)
    assert_close(huge.expected, huge.reference)
    flat = make_case("LayerNormalization", np.full((2, 4), 7, np.float32), Constant(_x(4)), opset=17)
    assert_close(flat.expected, flat.reference)


@pytest.mark.parametrize(
    ("op_type", "shapes", "attributes", "reason"),
    [
        ("LpNormalization", [(2, 3)], {"p": 3}, "3-norm"),
        ("LpNormalization", [(2, 3)], {"axis": 2}, "axis 2"),
        ("LayerNormalization", [(2, 3), (3,)], {"axis": 4}, "axis 4"),
        ("LayerNormalization", [(2, 3), (1,)], {}, "computed input 1"),
        ("GroupNormalization", [(2, 5, 4), (5,), (5,)], {"num_groups": 2}, "2 groups"),
        ("GroupNormalization", [(2, 5, 4), (5,), (5,)], {"num_groups": -1}, "num_groups is -1"),
        ("InstanceNormalization", [(2, 5, 4), (4,), (5,)], {}, r"the shape \(4,\) instead of \(5,\)"),
        ("MeanVarianceNormalization", [(2, 3)], {}, "axes"),
        ("LpPool", [(1, 2, 4)], {"kernel_shape": [2], "p": 0}, "p is 0"),
    ],
)
def test_what_cannot_be_is_refused(
    op_type: str, shapes: list[tuple[int, ...]], attributes: dict[str, Any], reason: str
) -> None:
    node = read_node(op_type, *(_x(*s) for s in shapes), opset=21, **attributes)
    with pytest.raises(Error, match=reason):
        registry()[op_type].from_onnx(node)
