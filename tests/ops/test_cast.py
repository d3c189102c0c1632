"""Cast between all types."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper
from support import check_c, make_case

TYPES = ["FLOAT", "DOUBLE", "INT8", "UINT8", "INT16", "UINT16", "INT32", "UINT32", "INT64", "UINT64", "BOOL"]


def test_every_pair_equals_onnxruntime_and_c(tmp_path: Path) -> None:
    cases = []
    for one in TYPES:
        for other in (t for t in TYPES if t != one):
            x = np.array([0, 1, 2, 100], helper.tensor_dtype_to_np_dtype(getattr(TensorProto, one)))
            x = x + x.dtype.type(0.75) if one in ("FLOAT", "DOUBLE") else x
            cases.append(make_case("Cast", x, to=getattr(TensorProto, other)))
    for case in cases:
        np.testing.assert_array_equal(case.expected, case.reference, case.label)
    check_c(cases, tmp_path)
