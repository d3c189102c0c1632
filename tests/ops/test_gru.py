"""Gated recurrent units next to onnxruntime."""

from pathlib import Path

from recurrent import all_cases
from support import assert_close, check_c


def test_float_equals_onnxruntime_and_c(tmp_path: Path) -> None:
    cases = all_cases("GRU", "linear_before_reset", activations=["HardSigmoid", "Tanh", "Sigmoid", "Relu"])
    for case in cases:
        assert_close(case.expected, case.reference, case.label)
    check_c(cases, tmp_path)
