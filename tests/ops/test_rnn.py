"""The simple recurrent network next to onnxruntime, with every activation that ONNX lists."""

from pathlib import Path

import numpy as np
import pytest
from recurrent import all_cases, case, operands
from support import Constant, assert_close, check_c, read_node

from pingponnx.errors import Error
from pingponnx.ops.recurrent import Activation
from pingponnx.ops.rnn import RNN

OTHERS = ["Relu", "Affine", "LeakyRelu", "ThresholdedRelu", "ScaledTanh", "HardSigmoid", "Elu", "Softsign"]


def test_float_equals_onnxruntime_and_c(tmp_path: Path) -> None:
    cases = all_cases("RNN", "", activations=["Relu", "Sigmoid"])
    cases += [
        case("RNN", activations=[name], activation_alpha=[0.3], activation_beta=[0.2]) for name in OTHERS
    ]
    cases.append(case("RNN", activations=["Softplus"], clip=3.0))  # onnxruntime's overflows
    for each in cases:
        assert_close(each.expected, each.reference, each.label)
    check_c(cases, tmp_path)


def test_activations_that_take_no_parameter_leave_them_to_the_others() -> None:
    node = read_node(
        "RNN",
        *operands("RNN", 2),
        direction="bidirectional",
        activations=["Tanh", "Affine"],
        activation_alpha=[0.5],
        activation_beta=[2.0],
    )
    op, _ = RNN.from_onnx(node)
    assert isinstance(op, RNN)
    assert op.activations == (Activation("tanh", 0.0, 0.0), Activation("affine", 0.5, 2.0))


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"direction": "sideways"}, "direction 'sideways'"),
        ({"hidden_size": 7}, r"input 1 has the shape \(1, 4, 3\) instead of \(1, 7, 3\)"),
        ({"direction": "bidirectional"}, r"instead of \(2, 4, 3\)"),
        ({"activations": ["Gelu"]}, "activations"),
        ({"activations": ["Tanh", "Tanh"]}, "activations"),
    ],
)
def test_what_cannot_be_is_refused(attributes: dict[str, object], reason: str) -> None:
    with pytest.raises(Error, match=reason):
        RNN.from_onnx(read_node("RNN", *operands("RNN", 1), **attributes))


def test_a_first_state_of_zeros_is_left_out() -> None:
    zeros = np.zeros((1, 2, 4), np.float32)
    node = read_node("RNN", *operands("RNN", 1), None, zeros)
    assert RNN.from_onnx(node)[1] == tuple(range(6))
    node = read_node("RNN", *operands("RNN", 1), None, Constant(zeros))
    assert RNN.from_onnx(node)[1] == tuple(range(4))
