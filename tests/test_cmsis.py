"""CMSIS-NN: found, compiled into the cache, and asked for buffer sizes."""

from pathlib import Path

import numpy as np
import pytest

from cmsis_run import calls_of, fake_checkout
from cmsis_sites import Builder, conv
from pingponnx import cmsis
from pingponnx.build import build
from pingponnx.calls import ScratchQuery, Struct
from pingponnx.errors import Error, ToolchainError
from pingponnx.fixed_point import Rounding
from pingponnx.ops.window import Window
from pingponnx.process import execute
from pingponnx.targets import get_target

HEADER = "Include/arm_nnfunctions.h"
FULLY_CONNECTED = "Source/FullyConnectedFunctions/fully_connected.c"


@pytest.fixture(autouse=True)
def _no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cmsis.ROOT_VARIABLE, raising=False)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv(cmsis.CACHE_VARIABLE, str(folder))
    return folder


# -- finding ----------------------------------------------------------------------------------------


@pytest.mark.cmsis
def test_the_wheel_is_found_without_its_path_showing() -> None:
    source = cmsis.find()
    assert (source.version, source.source) == ("4.0.0", "bakenn 1.0.0")
    assert {"arm_convolve_wrapper_s8", "arm_fully_connected_s8", "arm_avgpool_s8"} <= source.functions
    # declared in the header, but the wheel does not carry its source
    assert not {"arm_softmax_s8", "arm_elementwise_add_s8"} & source.functions
    assert source.defines == ()


def test_explicit_folder_goes_before_environment_before_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = fake_checkout(tmp_path / "1"), fake_checkout(tmp_path / "2")
    monkeypatch.setenv(cmsis.ROOT_VARIABLE, str(second))
    assert cmsis.find().include_dirs == (second / "Include",)
    assert cmsis.find(first).include_dirs == (first / "Include",)
    assert cmsis.find(first).source == "checkout"


def test_a_wrong_folder_is_named_with_what_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Error, match=r"--cmsis-nn: .*no Include/arm_nnfunctions.h, Source/Convolution"):
        cmsis.find(tmp_path)
    monkeypatch.setenv(cmsis.ROOT_VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(Error, match=r"CMSIS_NN_ROOT: .*nowhere is not a checkout"):
        cmsis.find()


def test_nothing_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ToolchainError, match="not installed") as caught:
        cmsis.find()
    assert "pip install bakenn==1.0.0" in caught.value.hint
    assert "--cmsis-nn" in caught.value.hint
    assert "CMSIS_NN_ROOT" in caught.value.hint


def test_core_headers_are_looked_for_beside_old_releases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = fake_checkout(tmp_path)
    (root / "Include/arm_nn_math_types.h").write_text('#include "cmsis_compiler.h"\n')
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ToolchainError, match=r"needs CMSIS-Core's cmsis_compiler\.h"):
        cmsis.find(root)
    core = root.parent / "Core" / "Include"
    core.mkdir(parents=True)
    (core / "cmsis_compiler.h").touch()
    assert cmsis.find(root).include_dirs == (root / "Include", core)


def test_version(tmp_path: Path) -> None:
    root = fake_checkout(tmp_path)
    assert cmsis.find(root).version == "unknown"
    pack = root / "ARM.CMSIS-NN.pdsc"
    pack.write_text('<releases><release version="6.1.0" date="2024-08-01">x</release></releases>')
    assert cmsis.find(root).version == "6.1.0"
    pack.write_text('<release version="0.0.0">Active development</release>')
    assert cmsis.find(root).version == "unknown"
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "x"], ["tag", "v7.1"]):
        execute(["git", *command], cwd=root)
    assert cmsis.find(root).version == "v7.1"


def test_interface_of_later_releases(tmp_path: Path) -> None:
    source = cmsis.find(fake_checkout(tmp_path))
    assert source.defines == (
        "PINGPONNX_CMSIS_UPSCALE=1",
        "PINGPONNX_CMSIS_FC_PER_CHANNEL=1",
        "PINGPONNX_CMSIS_VECTOR_SUM=7",
    )


def test_another_interface_is_refused(tmp_path: Path) -> None:
    change = (
        "const cmsis_nn_dims *bias_dims",
        "const cmsis_nn_context *sums, const cmsis_nn_dims *bias_dims",
    )
    with pytest.raises(Error, match=r"arm_convolve_s8 with 13 parameters, known is 11 or 12"):
        cmsis.find(fake_checkout(tmp_path, (HEADER, *change)))


def test_reading_c() -> None:
    text = "/* int arm_a(int x); */ int32_t arm_b(void);\n // arm_c(int);\nint *arm_d(int (x),\n int y);"
    assert cmsis.declarations(text) == {"arm_b": 0}
    text = "int arm_a(int x, char *y) ;int arm_b(int); x = arm_c(1);"
    assert cmsis.declarations(text) == {"arm_a": 2, "arm_b": 1, "arm_c": 1}
    text = "int arm_a(int x)\n{ if (arm_b(x)) { arm_c(x); } }\nstatic int arm_d(void) {}\nint arm_e(int);"
    assert cmsis.definitions(text) == {"arm_a", "arm_d"}


# -- the cache --------------------------------------------------------------------------------------


def test_a_library_is_compiled_once_and_never_used_damaged(tmp_path: Path, cache: Path) -> None:
    source, target = cmsis.find(fake_checkout(tmp_path)), get_target("host")
    archive = cmsis.library(source, target, Rounding.SINGLE)
    good, made = archive.read_bytes(), archive.stat().st_mtime_ns
    assert archive.parent == cache
    assert cmsis.library(source, target, Rounding.SINGLE).stat().st_mtime_ns == made
    for damage in (b"", good[: len(good) // 2], good[:-1] + b"x"):
        archive.write_bytes(damage)
        assert cmsis.library(source, target, Rounding.SINGLE).read_bytes() == good
    archive.with_suffix(".sha256").unlink()  # killed before it was noted
    assert cmsis.library(source, target, Rounding.SINGLE).read_bytes() == good
    archive.unlink()
    assert cmsis.library(source, target, Rounding.SINGLE).read_bytes() == good
    assert cmsis.library(source, target, Rounding.TFLITE) != archive
    assert not [path for path in cache.iterdir() if path.name.startswith(".")]


def test_changed_sources_are_another_library(tmp_path: Path, cache: Path) -> None:
    root, target = fake_checkout(tmp_path), get_target("host")
    archive = cmsis.library(cmsis.find(root), target, Rounding.SINGLE)
    moved = root.rename(tmp_path / "moved")
    assert cmsis.library(cmsis.find(moved), target, Rounding.SINGLE) == archive
    with (moved / "Source/NNSupportFunctions/fake.h").open("a") as stream:
        stream.write("/* changed */\n")
    assert cmsis.library(cmsis.find(moved), target, Rounding.SINGLE) != archive


def test_a_library_that_does_not_compile_leaves_nothing(tmp_path: Path, cache: Path) -> None:
    source = cmsis.find(fake_checkout(tmp_path, (FULLY_CONNECTED, "(int32_t)sizeof", "(int33_t)sizeof")))
    with pytest.raises(ToolchainError, match="int33_t"):
        cmsis.library(source, get_target("host"), Rounding.SINGLE)
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(cmsis.CACHE_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(Error, match="cannot make the cache folder") as caught:
        cmsis.cache_folder()
    assert cmsis.CACHE_VARIABLE in caught.value.hint


# -- buffer sizes -----------------------------------------------------------------------------------


def _query(inputs: int = 5, outputs: int = 4) -> ScratchQuery:
    fields = {"rows": 1, "in_n": inputs, "out_n": outputs, "input_zero_point": -128, "low": -(2**31)}
    name = "cmsis_fully_connected_s8"
    return ScratchQuery(f"{name}.h", f"{name}_scratch", Struct("cmsis_fc_params", fields))


def test_answers_are_kept_and_never_used_damaged(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = cmsis.find(fake_checkout(tmp_path)), get_target("host")
    queries = [_query(outputs=4), _query(outputs=9), _query(outputs=4)]
    built = []
    monkeypatch.setattr(cmsis, "build", lambda *a, **k: built.append(1) or build(*a, **k))
    assert cmsis.scratch_sizes([], source, target, Rounding.SINGLE) == []
    assert cmsis.scratch_sizes(queries, source, target, Rounding.SINGLE) == [16, 36, 16]
    assert cmsis.scratch_sizes(queries, source, target, Rounding.SINGLE) == [16, 36, 16]
    assert len(built) == 1
    (answers,) = cache.glob("scratch-*.json")
    for damage in (b"", b"[16, 36", b"[16, 36]", b'[16, 36, "16"]', b"[16, 36, -1]", b"\xff", b"{}"):
        answers.write_bytes(damage)
        assert cmsis.scratch_sizes(queries, source, target, Rounding.SINGLE) == [16, 36, 16]
    assert len(built) == 8
    assert cmsis.scratch_sizes(queries[:1], source, target, Rounding.SINGLE) == [16]


@pytest.mark.cmsis
@pytest.mark.qemu
@pytest.mark.parametrize(
    ("core", "convolution", "depthwise"), [("m0", 108, 0), ("m4", 108, 54), ("m55", 128, 4464)]
)
def test_sizes_are_the_cores_own(core: str, convolution: int, depthwise: int) -> None:
    builder = Builder(np.random.default_rng(0))
    conv(builder, (1, 8, 8, 3), 5, Window((3, 3)))
    conv(builder, (1, 8, 8, 3), 3, Window((3, 3)), group=3)
    source = cmsis.find()
    calls = calls_of(builder.graph(), source, Rounding.SINGLE)
    queries = [c.scratch_query for c in calls if c.scratch_query]
    sizes = cmsis.scratch_sizes(queries, source, get_target(f"cortex-{core}"), Rounding.SINGLE)
    assert sizes == [convolution, depthwise]
