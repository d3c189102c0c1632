"""Targets as data: the built-in file, users' files, and errors that say what to do."""

from pathlib import Path

import pytest

from pingponnx import _paths
from pingponnx.errors import Error
from pingponnx.targets import Counter, Memory, get_target, load_targets

CORES = ["cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55"]

USER_FILE = """
[boards.mine]
machine = "mps2-an386"
memory.vectors = { origin = 0x0, length = 0x400 }
memory.flash = { origin = 0x1000, length = 0x8000 }
memory.ram = { origin = 0x20000000, length = 0x4000 }
counter = { ticks = 0x40028018, centiseconds = 0x40028014, hz = 25_000_000 }

[targets.my-m4]
flags = ["-mcpu=cortex-m4", "-mthumb"]
features = ["dsp"]
board = "mine"

[targets.soft-m7]
flags = ["-mcpu=cortex-m7", "-mthumb"]
board = "mps2-an500"
"""


def test_built_in_targets() -> None:
    targets = load_targets()
    assert sorted(targets) == sorted([*CORES, "host"])
    for name in CORES:
        assert f"-mcpu={name}" in targets[name].flags
        assert targets[name].board is not None
        assert not targets[name].is_host


def test_features() -> None:
    features = {name: (target.dsp, target.mve, target.fpu) for name, target in load_targets().items()}
    assert features == {
        "cortex-m0": (False, False, False),
        "cortex-m3": (False, False, False),
        "cortex-m4": (True, False, True),
        "cortex-m7": (True, False, True),
        "cortex-m33": (True, False, True),
        "cortex-m55": (True, True, True),
        "host": (False, False, True),
    }


def test_unknown_target_suggests_the_nearest() -> None:
    with pytest.raises(Error, match="no target 'cortexm4'") as raised:
        get_target("cortexm4")
    assert "did you mean 'cortex-m4'?" in raised.value.hint
    assert "cortex-m55" in raised.value.hint


def test_user_targets_are_added(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(USER_FILE)
    targets = load_targets(path)
    assert set(CORES) < set(targets)
    board = targets["my-m4"].board
    assert board is not None
    assert board.machine == "mps2-an386"
    assert board.vectors == Memory(0, 0x400)
    assert targets["soft-m7"].board == targets["cortex-m7"].board
    assert get_target("my-m4", path).dsp


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[targets.x]\nflags = []\nboard = "nowhere"', "no board 'nowhere'"),
        ("[targets.x]\nflags = []", "target x: needs a board"),
        ('[targets.x]\nfeatures = ["neon"]\nboard = "mps2-an385"', "unknown features"),
        ("[boards.x]\nmemory.flash = { origin = 0, length = 4 }", "missing entry 'ram'"),
        ("[boards.x]\nmemory.flash = { start = 0 }", "malformed"),
        ("[boards", "malformed"),
    ],
)
def test_malformed_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(Error, match=message):
        load_targets(path)


def test_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Error, match="cannot read"):
        load_targets(tmp_path / "none.toml")


@pytest.mark.parametrize("hz", [0, 3_000_000, 1_000_000, 32_000_000])
def test_counters_that_cannot_count_single_instructions_are_refused(hz: int) -> None:
    with pytest.raises(Error, match=f"{hz} Hz"):
        Counter(0, 0, hz)


def test_paths_of_a_checkout() -> None:
    assert (_paths.runtime_c() / "port" / "harness.c").is_file()
    assert _paths.cmsis_baseline().name == "cmsis_baseline"


def test_paths_of_a_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "_c" / "runtime_c").mkdir(parents=True)
    monkeypatch.setattr(_paths, "_PACKAGE", tmp_path)
    assert _paths.runtime_c() == tmp_path / "_c" / "runtime_c"
