"""Folders, tools and arguments that are missing or wrong: refused as clearly as bad models."""

import io
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import assert_refused, command_line, listing
from pingponnx import cli
from pingponnx.errors import Error, ToolchainError
from pingponnx.output import write_folder
from pingponnx.terminal import guarded

LENET = Path(__file__).resolve().parents[1] / "examples" / "lenet5" / "lenet5_int8.onnx"


# -- where the result goes --------------------------------------------------------------------------


def test_a_folder_with_foreign_files_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "deep").mkdir(parents=True)
    (out / "thesis.tex").write_text("three years of work")
    done = command_line("convert", LENET, "-o", out)
    assert_refused(done.returncode, done.stdout, done.stderr)
    assert "did not write, such as 'deep'" in done.stderr
    assert listing(tmp_path) == {"out", "out/deep", "out/thesis.tex"}
    assert (out / "thesis.tex").read_text() == "three years of work"


def test_earlier_output_is_replaced_as_a_whole(tmp_path: Path) -> None:
    out, link = tmp_path / "out", tmp_path / "link"
    link.symlink_to(out)
    write_folder(out, {"old.c": "old", "model.h": "old"})
    write_folder(link, {"model.h": "new"})
    assert listing(tmp_path) == {"link", "out", "out/.pingponnx", "out/model.h"}
    assert (out / "model.h").read_text() == "new"
    (out / "mine.c").write_text("mine")
    with pytest.raises(Error, match=r"such as 'mine\.c'"):
        write_folder(out, {"model.h": "newer"})
    assert (out / "model.h").read_text() == "new"


@pytest.mark.parametrize("where", ["/proc/pingponnx/out", "file/out", "file", "x" * 300])
def test_a_place_that_cannot_be_written(where: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    done = command_line("convert", LENET, "-o", tmp_path / where)
    assert_refused(done.returncode, done.stdout, done.stderr)
    assert listing(tmp_path) == {"file"}
    assert (tmp_path / "file").read_text() == "a file"


def test_a_result_file_that_cannot_be_written(tmp_path: Path) -> None:
    example = LENET.parent
    arguments = (example / "lenet5_f32.onnx", "--samples", example / "calibration.npz")
    done = command_line("quantize", *arguments, "-o", "/proc/pingponnx/out.onnx")
    assert_refused(done.returncode, done.stdout, done.stderr)


# -- missing tools ----------------------------------------------------------------------------------


def _tools(folder: Path, *names: str) -> dict[str, str]:
    """An environment in which only these tools exist."""
    (folder / "bin").mkdir()
    for name in names:
        found = shutil.which(name)
        assert found, name
        (folder / "bin" / name).symlink_to(found)
    return {"PATH": str(folder / "bin")}


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        (("verify", LENET), "apt-get install gcc"),
        (
            ("verify", LENET, "--target", "cortex-m4"),
            "apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi",
        ),
        (("report", LENET, "-o", "OUT", "--variant", "optimised"), "apt-get install gcc-arm-none-eabi"),
    ],
)
def test_no_compiler(command: tuple[str, ...], hint: str, tmp_path: Path) -> None:
    arguments = [tmp_path / "out" if part == "OUT" else part for part in command]
    done = command_line(*arguments, env=_tools(tmp_path))
    assert_refused(done.returncode, done.stdout, done.stderr)
    assert "is not installed" in done.stderr and f"hint: {hint}" in done.stderr
    assert listing(tmp_path) == {"bin"}


@pytest.mark.qemu
def test_no_qemu(tmp_path: Path) -> None:
    env = _tools(tmp_path, "arm-none-eabi-gcc")
    done = command_line("report", LENET, "-o", tmp_path / "out", "--variant", "optimised", env=env)
    assert_refused(done.returncode, done.stdout, done.stderr)
    assert "qemu-system-arm is not installed" in done.stderr
    assert "hint: apt-get install qemu-system-arm" in done.stderr
    assert not (tmp_path / "out").exists()


def test_no_cmsis_nn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CMSIS_NN_ROOT", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    arguments = ["convert", str(LENET), "-o", str(tmp_path / "out"), "--variant", "cmsis-nn"]
    code = guarded(lambda: cli.app(arguments))
    captured = capsys.readouterr()
    assert_refused(code, captured.out, captured.err)
    assert "hint: pip install bakenn" in captured.err
    assert listing(tmp_path) == set()
    with pytest.raises(ToolchainError):
        from pingponnx import cmsis

        cmsis.find()


def test_a_folder_that_is_not_cmsis_nn(tmp_path: Path) -> None:
    for extra, env in ((("--cmsis-nn", tmp_path), {}), ((), {"CMSIS_NN_ROOT": str(tmp_path)})):
        done = command_line(
            "convert", LENET, "-o", tmp_path / "out", "--variant", "cmsis-nn", *extra, env=env
        )
        assert_refused(done.returncode, done.stdout, done.stderr)
        assert "is not a checkout of CMSIS-NN" in done.stderr
    assert listing(tmp_path) == set()


# -- other arguments --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [("--target", "cortex-m99"), ("--variant", "fast"), ("--goal", "all"), ("--rounding", "up")],
)
def test_unknown_names_are_answered_with_the_known_ones(
    options: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = guarded(lambda: cli.app(["convert", str(LENET), "-o", str(tmp_path / "out"), *options]))
    captured = capsys.readouterr()
    assert_refused(code, captured.out, captured.err)
    assert options[1] in captured.err
    assert listing(tmp_path) == set()


def zipped(members: dict[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return archive.getvalue()


GOOD = np.zeros((2, 1, 32, 32), np.float32)
BAD_SAMPLES: dict[str, bytes | dict[str, Any]] = {
    "samples.npz is not an .npz file": b"no zip",
    "cannot read the samples samples.npz": zipped({"in0.npy": b"\x93NUMPY\x01\x00"}),
    "has no array 'in0'": zipped({"in0.npy": b"no array"}),
    "has the shape (2, 5)": {"in0": np.zeros((2, 5), np.float32)},
    "has the shape ()": {"in0": np.array(1.0)},
    "holds no samples": {"in0": GOOD[:0]},
    "samples.npz has no array 'in0'": {"x": GOOD},
    "holds no numbers": {"in0": np.full((2, 1024), "a")},
    "'out0' of samples.npz has the shape (2, 7)": {"in0": GOOD, "out0": np.zeros((2, 7), np.float32)},
}


@pytest.mark.parametrize("message", BAD_SAMPLES)
def test_bad_samples(message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples, content = tmp_path / "samples.npz", BAD_SAMPLES[message]
    if isinstance(content, bytes):
        samples.write_bytes(content)
    else:
        np.savez(samples, **content)
    code = guarded(lambda: cli.app(["verify", str(LENET), "--samples", str(samples)]))
    captured = capsys.readouterr()
    assert_refused(code, captured.out, captured.err)
    assert message in captured.err
