"""Long short-term memory next to onnxruntime."""

from pathlib import Path

import numpy as np
import pytest
from recurrent import all_cases
from support import assert_close, check_c

from models import Builder, assert_proven, converted, save


def test_float_equals_onnxruntime_and_c(tmp_path: Path) -> None:
    activations = ["Sigmoid", "Tanh", "Tanh", "HardSigmoid", "Relu", "Softsign"]
    cases = all_cases("LSTM", "input_forget", activations=activations)
    for case in cases:
        assert_close(case.expected, case.reference, case.label)
    check_c(cases, tmp_path)


@pytest.mark.parametrize("axis", [1, None])
def test_int8_weights_stay_int8(axis: int | None, tmp_path: Path) -> None:
    b = Builder()
    rows, weights = 4 * 8, []
    for columns in (5, 8):
        codes = b.rng.integers(-127, 127, (1, rows, columns), np.int8, endpoint=True)
        scale = b.rng.uniform(0.002, 0.004, rows if axis else ()).astype(np.float32)
        weights.append(b.add("DequantizeLinear", codes, scale, **({"axis": axis} if axis else {})))
    y = b.add("LSTM", "x", *weights, b.normal(1, 2 * rows), hidden_size=8)
    path = save(b.model({"x": [7, 1, 5]}, y), tmp_path / "model.onnx")
    assert_proven(path)
    (call,) = converted(path).calls
    assert call is not None and call.function == "lstm_f32"
    tables = sum(c.bytes for c in converted(path).constants.values())
    assert tables == rows * (5 + 8) + 2 * 4 * rows + 8 * rows  # codes, scales, biases


def test_sequence_and_states_are_outputs_of_one_node(tmp_path: Path) -> None:
    """States come in and go out; one layer leaves the sequence out, one the last state."""
    b = Builder()
    inputs: dict[str, tuple[int, ...]] = {}
    for kind, gates, wanted in (
        ("LSTM", 4, "Y h c"),
        ("GRU", 3, "- h"),
        ("RNN", 1, "Y h"),
        ("LSTM", 4, "Y - c"),
    ):
        k, states = len(inputs), ("h", "c") if kind == "LSTM" else ("h",)
        given = [f"first_{s}{k}" for s in states]
        inputs |= {f"x{k}": (6, 1, 3)} | dict.fromkeys(given, (2, 1, 4))
        w, r, bias = b.normal(2, gates * 4, 3), b.normal(2, gates * 4, 4), b.normal(2, 2 * gates * 4)
        outputs = ["" if o == "-" else f"{o}{k}_out" for o in wanted.split()]
        b.add(
            kind, f"x{k}", w, r, bias, "", *given, name=f"layer{k}", hidden_size=4, direction="bidirectional"
        )
        b.nodes[-1].output[:] = outputs
    names = [name for node in b.nodes for name in node.output if name]
    found = assert_proven(save(b.model(inputs, *names), tmp_path / "model.onnx"))
    assert found.outputs.close and len(found.nodes) == 4
