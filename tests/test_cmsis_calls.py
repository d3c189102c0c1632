"""The calls of CMSIS-NN: bit-equal to the reference on every kind of core, in both roundings.

CMSIS_NN_ROOT=DIR runs them with that copy instead of the one that bakenn bundles.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cmsis_run import calls_of, differing, fake_checkout, firmware, select_nodes
from cmsis_sites import Builder, conv, sites
from pingponnx import cmsis
from pingponnx.errors import ToolchainError
from pingponnx.fixed_point import Rounding
from pingponnx.ir import Graph
from pingponnx.ops import CmsisNN, site_of
from pingponnx.ops.cmsis import takes_general
from pingponnx.ops.gemm import Gemm
from pingponnx.ops.window import Window, lying

HEADER = "Include/arm_nnfunctions.h"
FULLY_CONNECTED = "Source/FullyConnectedFunctions/fully_connected.c"
each_core = pytest.mark.parametrize("core", ["cortex-m0", "cortex-m4", "cortex-m55"])
each_rounding = pytest.mark.parametrize("rounding", list(Rounding))

# -- the calls --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def graph() -> Graph:
    return sites()


@pytest.mark.cmsis
@pytest.mark.qemu
@each_core
@each_rounding
def test_every_core_equals_the_reference(core: str, rounding: Rounding, graph: Graph, tmp_path: Path) -> None:
    """Canaries are on: a call that leaves its buffer fails too."""
    source = cmsis.find()
    assert [c.fallback for c in calls_of(graph, source, rounding) if c.fallback] == []
    assert differing(graph, firmware(graph, core, rounding, source, tmp_path), rounding) == []


@pytest.mark.cmsis
@each_rounding
def test_the_host_equals_the_reference(rounding: Rounding, graph: Graph, tmp_path: Path) -> None:
    program = firmware(graph, "host", rounding, cmsis.find(), tmp_path)
    assert differing(graph, program, rounding) == []


@pytest.mark.cmsis
def test_the_roundings_are_told_apart(graph: Graph, tmp_path: Path) -> None:
    """The comparison above would notice a library that was compiled for the other rounding."""
    program = firmware(graph, "host", Rounding.SINGLE, cmsis.find(), tmp_path, compiled_for=Rounding.TFLITE)
    assert len(differing(graph, program, Rounding.SINGLE)) > 20


@pytest.mark.cmsis
@each_rounding
def test_nothing_of_it_warns_without_canaries(rounding: Rounding, graph: Graph, tmp_path: Path) -> None:
    firmware(graph, "host", rounding, cmsis.find(), tmp_path, defines=())


# Layers that the operators keep away from CMSIS-NN, or from its wrapper, and where it then goes wrong.
_WRONG = {
    "1x1 with padding below": ((1, 4, 4, 3), 4, Window((1, 1), pads=(0, 0, 1, 2)), 1, "cortex-m4"),
    "strided 1x1": ((1, 4, 4, 3), 4, Window((1, 1), (2, 2), pads=(0, 0, 2, 1)), 1, "cortex-m4"),
    "three rows of one": ((1, 1, 8, 4), 3, Window((1, 3), pads=(1, 1, 1, 1)), 1, "cortex-m55"),
    "window beyond the input": ((1, 8, 4), 4, Window((3, 1), pads=(5, 0, 5, 0)), 1, "cortex-m55"),
    "depthwise 3x3": ((1, 6, 6, 8), 8, Window((3, 3), (1, 2), pads=(1, 1, 1, 4)), 8, "cortex-m4"),
}


def _release_4() -> cmsis.CmsisSource:
    source = cmsis.find()
    if source.version.lstrip("v") != "4.0.0":
        pytest.skip("known of 4.0.0 only")
    return source


@pytest.mark.cmsis
@pytest.mark.qemu
@pytest.mark.parametrize("name", _WRONG)
def test_every_exception_is_needed(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shape, outputs, window, group, core = _WRONG[name]
    builder = Builder(np.random.default_rng(3))
    conv(builder, shape, outputs, window, group=group)
    graph, source = builder.graph(), _release_4()
    (call,) = calls_of(graph, source, Rounding.SINGLE)
    assert call.fallback or call.function == "cmsis_convolve_general_s8"
    monkeypatch.setattr("pingponnx.ops.conv.convolution_reason", lambda *_: "")
    monkeypatch.setattr("pingponnx.ops.conv.takes_general", lambda *_: False)
    program = firmware(graph, core, Rounding.SINGLE, source, tmp_path)
    try:
        assert differing(graph, program, Rounding.SINGLE)
    except ToolchainError as error:
        assert "fault" in str(error)


def _huge_scale() -> Graph:
    """An accumulator of 300 with scale 3.5e6: within int32, but not once it is shifted left for MVE."""
    builder = Builder(np.random.default_rng(0))
    builder.linear(Gemm(), (1, 1), (4, 1), scale=3.5e6, per_channel=False, zeros=(-128, 0))
    _, weights, bias = (builder.tensors[name] for name in builder.nodes[0].inputs)
    builder.tensors[weights.name] = replace(weights, data=np.ones((4, 1), np.int8))
    builder.tensors[bias.name] = replace(bias, data=np.array([45, 0, 40, -45], np.int32))
    return builder.graph()


@pytest.mark.cmsis
@pytest.mark.qemu
def test_mve_overflows_at_huge_scales_and_is_not_used_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, source = _huge_scale(), _release_4()
    assert "overflow" in calls_of(graph, source, Rounding.SINGLE)[0].fallback
    assert calls_of(graph, source, Rounding.TFLITE)[0].fallback == ""
    tflite = firmware(graph, "cortex-m55", Rounding.TFLITE, source, tmp_path / "tflite")
    assert differing(graph, tflite, Rounding.TFLITE) == []
    monkeypatch.setattr("pingponnx.ops.gemm.scaling_reason", lambda _: "")
    program = firmware(graph, "cortex-m55", Rounding.SINGLE, source, tmp_path / "single")
    assert len(differing(graph, program, Rounding.SINGLE)) == 1


def test_sixteen_bit_indices(tmp_path: Path) -> None:
    builder = Builder(np.random.default_rng(0))
    conv(builder, (1, 33000, 1), 1, Window((1, 1)))
    conv(builder, (1, 3, 3, 8000), 1, Window((3, 3)), zeros=(0, 0))
    calls = calls_of(builder.graph(), cmsis.find(fake_checkout(tmp_path)), Rounding.SINGLE)
    assert all("16 bits" in call.fallback for call in calls)


# -- later releases ---------------------------------------------------------------------------------


_LATER = "const int32_t lhs_offset, const int32_t rhs_offset,"
_OFFSET_SUM = "return ((const int32_t *)ctx->buf)[c];"
# What releases pass to arm_vector_sum_s8 and expect of it: changes of the stand-in, which is like the last.
_SUMS = {
    7: [],
    6: [(_LATER, "const int32_t lhs_offset,"), ("+ rhs_offset", "")],
    4: [
        (f", {_LATER} const int32_t *bias)", ")"),
        ("bias[row] + rhs_offset", "0"),
        ("*data++ * lhs_offset", "*data++"),
        (_OFFSET_SUM, f"{_OFFSET_SUM[:-1]} * fc->input_offset + bias[c];"),
    ],
}


@pytest.mark.parametrize("parameters", [7, 6, 4])
@each_rounding
def test_kernel_sums_are_what_each_release_wants(
    parameters: int, rounding: Rounding, graph: Graph, tmp_path: Path
) -> None:
    changes = [(FULLY_CONNECTED, old, new) for old, new in _SUMS[parameters]]
    changes += [(HEADER, old, new) for old, new in _SUMS[parameters][:1]]
    source = cmsis.find(fake_checkout(tmp_path, *changes))
    assert f"PINGPONNX_CMSIS_VECTOR_SUM={parameters}" in source.defines
    graph = select_nodes(graph, lambda op: isinstance(op, Gemm) or getattr(op, "group", 0) == 1)
    assert [c.fallback for c in calls_of(graph, source, rounding) if c.fallback] == []
    assert differing(graph, firmware(graph, "host", rounding, source, tmp_path / "b"), rounding) == []


def test_unknown_kernel_sums_fail_instead_of_being_garbage(tmp_path: Path) -> None:
    builder = Builder(np.random.default_rng(0))
    builder.linear(Gemm(), (1, 4), (3, 4))
    graph, source = builder.graph(), cmsis.find(fake_checkout(tmp_path))
    source = replace(source, defines=("PINGPONNX_CMSIS_FC_PER_CHANNEL=1",))
    program = firmware(graph, "host", Rounding.SINGLE, source, tmp_path / "b")
    with pytest.raises(ToolchainError, match="returned the error"):
        differing(graph, program, Rounding.SINGLE)


def test_missing_functions_are_fallbacks(graph: Graph, tmp_path: Path) -> None:
    calls = calls_of(graph, cmsis.find(fake_checkout(tmp_path)), Rounding.SINGLE)
    reasons = {call.fallback for call in calls}
    assert "this CMSIS-NN lacks arm_depthwise_conv_wrapper_s8" in reasons
    assert "this CMSIS-NN lacks arm_max_pool_s8" in reasons


# What 1.x..6.x of arm_convolve_1_x_n_s8 assume of padding, by release: (window, width) -> wrapper or not
@pytest.mark.parametrize(
    ("window", "width", "old", "new"),
    [
        (Window((1, 5)), 20, False, False),
        (Window((1, 3), (1, 2)), 8, False, True),  # the last column is not read
        (Window((1, 5), pads=(0, 2, 0, 2)), 20, False, False),
        (Window((1, 4), pads=(0, 1, 0, 2)), 20, False, False),
        (Window((1, 4), pads=(0, 2, 0, 1)), 20, False, True),
        (Window((1, 5), (1, 2), pads=(0, 2, 0, 2)), 20, False, True),
        (Window((1, 5), pads=(0, 2, 0, 2)), 4, False, True),
        (Window((1, 3), pads=(0, 4, 0, 0)), 20, True, True),
        (Window((1, 3), dilation=(1, 2), pads=(0, 4, 0, 0)), 20, False, False),
    ],
)
def test_which_rows_the_wrapper_gets(window: Window, width: int, old: bool, new: bool) -> None:
    builder = Builder(np.random.default_rng(0))
    conv(builder, (1, width, 4), 4, window.transposed)
    graph = builder.graph()
    seen = lying(site_of(graph, graph.nodes[0]), window.transposed)
    assert seen[1] == window
    assert takes_general(*seen, CmsisNN("old", frozenset())) == old
    assert takes_general(*seen, CmsisNN("new", frozenset({"arm_vector_sum_s8"}))) == new


# -- the buffer -------------------------------------------------------------------------------------


def _one_convolution() -> Graph:
    builder = Builder(np.random.default_rng(0))
    conv(builder, (1, 5, 5, 2), 3, Window((3, 3)))
    return builder.graph()


def test_too_small_a_buffer_is_refused(tmp_path: Path) -> None:
    graph, source = _one_convolution(), cmsis.find(fake_checkout(tmp_path))
    program = firmware(graph, "host", Rounding.SINGLE, source, tmp_path / "b", defines=(), missing=1)
    with pytest.raises(ToolchainError, match="returned the error"):
        differing(graph, program, Rounding.SINGLE)


def test_canaries_notice_one_byte(tmp_path: Path) -> None:
    change = ("Source/ConvolutionFunctions/convolve.c", "#define FAKE_OVERRUN 0", "#define FAKE_OVERRUN 1")
    graph, source = _one_convolution(), cmsis.find(fake_checkout(tmp_path, change))
    quiet = firmware(graph, "host", Rounding.SINGLE, source, tmp_path / "quiet", defines=())
    assert differing(graph, quiet, Rounding.SINGLE) == []
    program = firmware(graph, "host", Rounding.SINGLE, source, tmp_path / "canary")
    with pytest.raises(ToolchainError, match="returned the error"):
        differing(graph, program, Rounding.SINGLE)
