"""int16 layers with packed weights: every geometry of the plain kernels, and the ends of all ranges."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from host import Run, run_c
from layers import Then, Weights, layer
from support import Case, quantization, row_runs, run_of

from kernels.support import run_board
from pingponnx.fixed_point import Rounding
from pingponnx.ir import Array
from pingponnx.kernels import candidates
from pingponnx.targets import get_target

RNG = np.random.default_rng(61)
IN, OUT, SHIFTED = quantization(3.1e-4, 0), quantization(2.7e-4, 0), quantization(2.9e-4, -(2**15))
POOL = Then("MaxPool", (), (("kernel_shape", [2, 2]), ("strides", [2, 2])))
TALL = Then("MaxPool", (), (("kernel_shape", [3, 1]), ("strides", [3, 2])))
HEADERS = {"conv_packed_s16.h", "gemm_packed_s16.h", "depthwise_s16.h"}
SAME = {"pads": [1] * 4}


def _weights(*shape: int, count: int, each: bool = True) -> Weights:
    w = RNG.integers(-128, 128, shape).astype(np.int8)
    spread = RNG.uniform(0.4, 1.2, count) if each else np.array(0.7)
    scale = (spread * 0.02 / np.sqrt(w.size / count)).astype(np.float32)
    return Weights(w, RNG.integers(-(2**20), 2**20, count).astype(np.int32), scale)


def _codes(*shape: int) -> Array:
    codes = RNG.integers(-(2**15), 2**15, shape)
    return np.where(RNG.random(shape) < 0.2, RNG.choice([-(2**15), 2**15 - 1], shape), codes).astype(np.int16)


def _cases(folder: Path) -> list[Case]:
    cases = []
    for x, w, then, how in (
        ((1, 3, 7, 8), (5, 3, 3, 3), [], {"strides": [2, 1], **SAME}),
        ((1, 2, 9, 9), (3, 2, 3, 3), [], {"dilations": [2, 3], "pads": [2, 0, 1, 3]}),
        ((2, 4, 5, 6), (6, 4, 3, 3), [], SAME),
        ((1, 8, 5, 7), (4, 8, 1, 1), [], {}),
        ((1, 5, 5, 6), (7, 5, 1, 1), [], {"strides": [2, 2]}),
        ((1, 3, 20), (3, 3, 5), [], {"strides": [3], "pads": [2, 0]}),
        ((1, 3, 8, 8), (4, 3, 3, 3), [POOL], SAME),
        ((1, 1, 9, 8), (6, 1, 5, 5), [Then("Relu"), POOL], {}),
        ((1, 2, 9, 8), (5, 2, 1, 1), [TALL], {}),
    ):
        for q, each in ((IN, True), (SHIFTED, False)):
            weights = _weights(*w, count=w[0], each=each)
            cases.append(layer("Conv", _codes(*x), weights, folder, (q, OUT), then, **how))
    for x, channels, how in (
        ((1, 8, 6, 7), 8, {"strides": [2, 1], **SAME}),
        ((2, 4, 9, 6), 4, {"dilations": [2, 3], "pads": [2, 2, 1, 4]}),
        ((1, 12, 9), 12, {"pads": [1, 1]}),
    ):
        weights = _weights(channels, 1, *[3] * (len(x) - 2), count=channels)
        cases.append(layer("Conv", _codes(*x), weights, folder, (IN, SHIFTED), group=channels, **how))
    for rows, inputs, outputs in ((1, 45, 9), (1, 28, 6), (1, 3, 3), (3, 64, 7), (2, 5, 3)):
        weights = replace(_weights(inputs, outputs, count=outputs), axis=1)
        cases.append(layer("Gemm", _codes(rows, inputs), weights, folder, (SHIFTED, OUT)))
    # sums at both ends of int32
    for code, weight in ((-(2**15), -127), (-(2**15), 127), (2**15 - 1, 127)):
        data = np.full((3, 510, 1, 1), weight, np.int8)
        weights = Weights(data, np.array([2**20, -(2**20), 0], np.int32), np.float32(0.01))
        scales = quantization(1.0, 0), quantization(700.0, 0)
        cases.append(layer("Conv", np.full((1, 510, 1, 3), code, np.int16), weights, folder, scales))
    return cases


def runs(case: Case, core: str = "cortex-m4") -> list[Run]:
    """Every way in which the packed kernel of a case runs; none where it is not offered."""
    calls = [c for c in candidates(case.op, case.site, get_target(core)) if c.header in HEADERS]
    if not calls:
        return []
    run = run_of(case, calls[0])
    found = [run, *(replace(run, shared=index) for index in run.call.overlap), *row_runs(run)]
    if case.arrays[0].ndim == 2 and run.call.rows is not None:  # a map that was flattened: 3, 5 or 7 rows
        rows = next(n for n in (5, 7, 3) if case.arrays[0].size % n == 0)
        parts = case.arrays[0].reshape(1, rows, -1)
        found += [replace(each, inputs=(parts,)) for each in row_runs(run)]
    return found


@pytest.mark.parametrize("rounding", list(Rounding))
def test_it_is_the_reference(tmp_path: Path, rounding: Rounding) -> None:
    cases = [case.with_rounding(rounding) for case in _cases(tmp_path)]
    pairs = [(case, run) for case in cases for run in runs(case)]
    assert {case.label for case, _ in pairs} == {case.label for case in cases}
    outputs = run_c([run for _, run in pairs], tmp_path)
    for (case, run), got in zip(pairs, outputs, strict=True):
        np.testing.assert_array_equal(got, case.reference, f"{case.label} {run.shared} {run.order}")


@pytest.mark.qemu
@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m55"])
def test_the_instructions_are_the_reference(tmp_path: Path, core: str) -> None:
    pairs = [(case, run) for case in _cases(tmp_path) for run in runs(case, core)[:1]]
    found = {run.call.function for _, run in pairs}
    assert found == {"conv_packed_s16"} | (
        {"gemm_packed_s16", "depthwise_s16"} if core == "cortex-m4" else set()
    )
    outputs = run_board([run for _, run in pairs], tmp_path, core, Rounding.SINGLE)
    for (case, _), got in zip(pairs, outputs, strict=True):
        np.testing.assert_array_equal(got, case.reference, case.label)


def test_other_layers_and_cores_keep_the_plain_kernel(tmp_path: Path) -> None:
    def functions(weights: Weights, out: float, core: str = "cortex-m4") -> set[str]:
        x = np.zeros((1, weights.data.shape[1], 2, 2), np.int16)
        case = layer("Conv", x, weights, tmp_path, (quantization(1.0, 0), quantization(out, 0)))
        return {call.function for call in candidates(case.op, case.site, get_target(core))}

    few = Weights(np.full((3, 5, 1, 1), 99, np.int8), None, 1.0)
    long = replace(few, data=np.full((3, 600, 1, 1), 127, np.int8))
    assert functions(few, 500.0) == {"conv_s16", "conv_packed_s16"}
    for weights, out, core in (
        (long, 1e5, "cortex-m4"),
        (replace(few, zero=3), 500.0, "cortex-m4"),
        (few, 2.0, "cortex-m4"),
        (few, 500.0, "cortex-m3"),
        (replace(few, data=few.data[:2]), 500.0, "cortex-m4"),
    ):
        assert functions(weights, out, core) == {"conv_s16"}
