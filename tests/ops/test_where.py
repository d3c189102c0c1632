"""Where: three broadcast operands of any size of element."""

from pathlib import Path

import numpy as np
from support import check_c, make_case


def test_equals_onnxruntime_and_c(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    cases = []
    for dtype in (np.float32, np.int64, np.int32, np.uint8):
        for shapes in (((3, 4), (3, 4), (3, 4)), ((3, 1), (1, 4), (2, 1, 1)), ((2, 1, 3), (), (3,))):
            condition = rng.integers(0, 2, shapes[0]).astype(bool)
            x, y = (rng.integers(0, 100, s).astype(dtype) for s in shapes[1:])
            cases.append(make_case("Where", condition, x, y))
    for case in cases:
        np.testing.assert_array_equal(case.expected, case.reference, case.label)
    check_c(cases, tmp_path)
