"""The README's commands do what it says."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMAND = re.compile(r"^    \.venv/bin/(pingponnx .+)$", re.MULTILINE)


def commands() -> list[str]:
    return COMMAND.findall(README)


@pytest.mark.qemu
@pytest.mark.cmsis
def test_commands_for_a_model_of_ones_own(tmp_path: Path) -> None:
    example = ROOT / "examples" / "lenet5"
    shutil.copy(example / "lenet5_f32.onnx", tmp_path / "model.onnx")
    shutil.copy(example / "calibration.npz", tmp_path / "calibration.npz")
    shutil.copy(example / "calibration.npz", tmp_path / "test.npz")
    assert len(commands()) >= 4
    for command in commands():
        _, *arguments = shlex.split(command)
        done = subprocess.run(
            [sys.executable, "-m", "pingponnx", *arguments], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert (tmp_path / "firmware" / "model" / "model_int8.h").is_file()
    assert (tmp_path / "reports" / "model" / "report.html").is_file()


def test_c_example_names_what_the_generated_header_declares(tmp_path: Path) -> None:
    shutil.copy(ROOT / "examples" / "lenet5" / "lenet5_int8.onnx", tmp_path / "model.onnx")
    subprocess.run(
        [sys.executable, "-m", "pingponnx", "convert", "model.onnx", "-o", "out"], cwd=tmp_path, check=True
    )
    header = (tmp_path / "out" / "model.h").read_text(encoding="utf-8")
    (example,) = re.findall(r"```c\n(.+?)```", README, re.DOTALL)
    names = set(re.findall(r"\b(?:model|MODEL)_\w+", example))
    assert names
    assert not [name for name in names if name not in header]


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^    make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
