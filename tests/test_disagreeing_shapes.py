"""One axis of one input is a value longer or shorter: what onnxruntime refuses then, load refuses too.

The inference of onnx lets much of that pass, and C code would read beyond the end of its tables.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from pingponnx.errors import Error
from pingponnx.load import load

sys.path.append(str(Path(__file__).resolve().parents[1] / "tools"))
from conformance import cases

_NEWEST = 23  # opset; onnxruntime does not know all of the suite's

TESTS = [
    "batchnorm_example",
    "conv_with_strides_padding",
    "convtranspose",
    "dequantizelinear_axis",
    "dequantizelinear_blocked",
    "gather_elements_0",
    "gather_negative_indices",
    "gathernd_example_int32_batch_dim1",
    "gemm_all_attributes",
    "gru_seq_length",
    "instancenorm_example",
    "layer_normalization_4d_axis1",
    "lstm_with_peepholes",
    "matmulinteger",
    "qlinearmatmul_3D_uint8_float32",
    "quantizelinear_axis",
    "rnn_seq_length",
    "scatter_elements_with_negative_indices",
    "scatternd",
]


@pytest.mark.parametrize("name", TESTS)
def test_what_onnxruntime_refuses_is_refused(name: str, tmp_path: Path) -> None:
    (case,) = [c for c in cases() if c.name == f"test_{name}"]
    model, sets = case.load()
    refused = 0
    for index, arrays in _disagreeing(sets[0][0]):
        changed = _with_constants(model, arrays)
        onnx.save(changed, tmp_path / "model.onnx")
        try:
            load(tmp_path / "model.onnx")
        except Error:
            refused += 1
        else:
            assert _runs(changed, arrays[0]), f"input {index} as {arrays[index].shape}"
    assert refused


def _disagreeing(arrays: list[Any]) -> Iterator[tuple[int, list[Any]]]:
    for index, array in enumerate(map(np.asarray, arrays)):
        for axis, length in enumerate(array.shape):
            for changed in (length - 1, length + 1):
                shape = (*array.shape[:axis], changed, *array.shape[axis + 1 :])
                if changed:
                    yield index, [*arrays[:index], np.resize(array, shape), *arrays[index + 1 :]]


def _with_constants(model: onnx.ModelProto, arrays: list[Any]) -> onnx.ModelProto:
    """The first input is one, of the given shape; the others are constants; outputs have any shape."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    first, *others = [value.name for value in graph.input]
    kind = onnx.helper.np_dtype_to_tensor_dtype(arrays[0].dtype)
    del graph.input[:]
    graph.input.append(onnx.helper.make_tensor_value_info(first, kind, arrays[0].shape))
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(a), n) for n, a in zip(others, arrays[1:], strict=True)
    )
    for output in graph.output:
        for axis in output.type.tensor_type.shape.dim:
            axis.Clear()
    changed.opset_import[0].version = min(changed.opset_import[0].version, _NEWEST)
    return changed


def _runs(model: onnx.ModelProto, array: Any) -> bool:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        session.run(None, {session.get_inputs()[0].name: array})
    except Exception:
        return False
    return True
