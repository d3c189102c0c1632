"""Outputs and caches: disks that are full or read-only, leftovers of killed runs, two runs at once."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cmsis_run import fake_checkout
from models import Builder, assert_refused, command_line, listing, save
from pingponnx import cmsis, output
from pingponnx.errors import Error, ToolchainError
from pingponnx.fixed_point import Rounding
from pingponnx.output import check_folder, write_file, write_folder
from pingponnx.targets import get_target
from pingponnx.workspace import temporary_folder

_PATIENCE = 300.0  # seconds


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    net, folder = Builder(), tmp_path_factory.mktemp("model")
    return save(net.model({"x": (1, 2, 6, 6)}, net.conv("x", 2, 3)), folder / "tiny.onnx")


# -- disks and folders --------------------------------------------------------------------------------


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


def test_a_file_that_the_system_does_not_take(examples: Path, tmp_path: Path) -> None:
    """A real limit of the kernel; full, read-only and broken disks are test_kill_points.py's."""
    write_folder(tmp_path / "out", {"a.c": "old"})
    lenet = examples / "lenet5" / "lenet5_int8.onnx"
    done = subprocess.run(
        [sys.executable, "-m", "pingponnx", "convert", str(lenet), "-o", str(tmp_path / "out")],
        preexec_fn=_limited,
        capture_output=True,
        text=True,
    )
    assert_refused(done.returncode, done.stdout, done.stderr)
    assert "File too large" in done.stderr
    assert listing(tmp_path) == {"out", "out/.pingponnx", "out/a.c"}


def _as_a_guest(what: Callable[[], None]) -> str:
    """Do it as somebody who may not write everywhere; the message of its Error."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            what()
        except Error as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as stream:
        return stream.read()


def test_a_read_only_folder(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(folder.stat().st_mode | 0o005)
    locked = tmp_path / "locked"
    locked.mkdir()
    write_folder(locked / "out", {"a.c": "old"})
    write_file(locked / "page.html", b"old")
    before = listing(locked)
    locked.chmod(0o555)
    said = _as_a_guest(lambda: write_folder(locked / "out", {"a.c": "new"}))
    assert said.startswith(f"cannot write {locked / 'out'}: Permission denied\nhint: ")
    said = _as_a_guest(lambda: write_file(locked / "page.html", b"new"))
    assert said.startswith(f"cannot write {locked / 'page.html'}: Permission denied\nhint: ")
    locked.chmod(0o755)
    assert listing(locked) == before and (locked / "out" / "a.c").read_text() == "old"


def test_devices_are_written_to_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE) as reader:
        write_file(pipe, b"page")
        assert reader.communicate(timeout=_PATIENCE)[0] == b"page"
    assert pipe.is_fifo() and listing(tmp_path) == {"pipe"}


def test_the_current_folder_is_not_taken_away(model: Path, tmp_path: Path) -> None:
    done = command_line("convert", model, "-o", ".", cwd=tmp_path)
    assert_refused(done.returncode, done.stdout, done.stderr)
    assert "is where you are" in done.stderr and listing(tmp_path) == set()


def test_no_home_and_no_folder_for_temporary_files(model: Path, tmp_path: Path) -> None:
    environment = {
        k: v for k, v in os.environ.items() if k not in ("HOME", "XDG_CACHE_HOME", "PINGPONNX_CACHE")
    }
    command = [sys.executable, "-m", "pingponnx", "convert", str(model), "-o", str(tmp_path / "out")]
    nowhere = {"TMPDIR": str(tmp_path / "missing")}
    done = subprocess.run(command, env=environment | nowhere, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    look = [sys.executable, "-c", "from pingponnx import cmsis; cmsis.cache_folder()"]
    done = subprocess.run(look, env=environment | {"HOME": "/proc/nobody"}, capture_output=True, text=True)
    assert "cannot make the cache folder" in done.stderr and cmsis.CACHE_VARIABLE in done.stderr


def test_a_disk_for_temporary_files_that_fails(tmp_path: Path) -> None:
    with (
        pytest.raises(Error, match=r"cannot work in .*: No space left on device") as caught,
        temporary_folder(),
    ):
        raise OSError(28, "No space left on device")
    assert "TMPDIR" in caught.value.hint
    (tmp_path / "file").touch()
    with pytest.raises(Error, match="cannot work in"), temporary_folder(tmp_path / "file"):
        pass


# -- what somebody edited -----------------------------------------------------------------------------


def test_edited_files_are_not_lost(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    convert = ("convert", model, "-o", out)
    assert command_line(*convert).returncode == 0
    before = listing(out)
    (out / "tiny.c").write_text("mine")
    done = command_line(*convert)
    assert_refused(done.returncode, done.stdout, done.stderr)
    assert f"{out / 'tiny.c'} was changed since" in done.stderr and "move it away" in done.stderr
    assert (out / "tiny.c").read_text() == "mine" and listing(out) == before
    (out / "tiny.c").unlink()
    check_folder(out)
    write_folder(out, {"tiny.c": "new"})
    (out / ".pingponnx").write_text(json.dumps(["tiny.c"]))  # of an older version, without digests
    (out / "tiny.c").write_text("edited")
    write_folder(out, {"tiny.c": "newer"})
    assert (out / "tiny.c").read_text() == "newer"


def test_a_folder_that_takes_no_files() -> None:
    with pytest.raises(Error, match="cannot write /proc/x: its folder takes no files"):
        write_folder(Path("/proc/x"), {"a.c": ""})


# -- leftovers ----------------------------------------------------------------------------------------


def _left(parent: Path, **files: str) -> Path:
    """What a killed run left beside `out`."""
    folder = parent / ".out-0123abcd.pingponnx"
    folder.mkdir()
    names = [name.replace("_", ".") for name in files]
    (folder / ".pingponnx").write_text(json.dumps(names))
    for name, text in zip(names, files.values(), strict=True):
        (folder / name).write_text(text)
    return folder


def test_what_a_killed_run_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    left = _left(tmp_path, a_c="half")
    (tmp_path / ".out-01234567.pingponnx").mkdir()
    others = {".out-notours.pingponnx", ".other-0123abcd.pingponnx", "out-0123abcd.pingponnx"}
    for name in others:
        (tmp_path / name).mkdir()
    (left / "mine.c").write_text("mine")
    write_folder(tmp_path / "out", {"b.c": "new"})
    assert listing(left) == {"mine.c"}
    assert not (tmp_path / ".out-01234567.pingponnx").exists()
    assert {".out-notours.pingponnx", ".other-0123abcd.pingponnx", "out-0123abcd.pingponnx"} <= listing(
        tmp_path
    )


def test_a_marker_cannot_make_us_delete_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    left = _left(tmp_path)
    (left / ".pingponnx").write_text(json.dumps(["../precious", str(tmp_path / "precious"), 7, "..", ""]))
    write_folder(tmp_path / "out", {"b.c": "new"})
    assert (tmp_path / "precious").read_text() == "precious" and not left.exists()


def test_what_a_living_run_works_in_is_not_swept(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from pingponnx.workspace import temporary_folder\n"
        "with temporary_folder(Path(sys.argv[1])) as folder: print(folder, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        living = Path(other.stdout.readline().strip())
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
        assert living.is_dir()
        other.kill()
        other.communicate()
    assert living.is_dir()
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    assert listing(tmp_path) == set()


# -- two runs at once ---------------------------------------------------------------------------------

_WRITERS, _TURNS = 4, 25


@pytest.mark.parametrize("steps", [False, True], ids=["exchange", "steps"])
def test_of_runs_at_once_the_last_one_wins_whole(steps: bool, tmp_path: Path) -> None:
    """Real processes replace one folder; under its name there is never a mixture."""
    code = (
        "import sys; from pathlib import Path; from pingponnx import output\n"
        f"if {steps}: output.exchange = lambda one, other: False\n"
        f"for turn in range({_TURNS}):\n"
        "    text = f'{sys.argv[2]} {turn}'\n"
        "    names = [f'{n}.c' for n in range(3 + turn % 3)]\n"
        "    output.write_folder(Path(sys.argv[1]), {name: text for name in names})"
    )
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "out"), str(n)], stderr=subprocess.PIPE, text=True
        )
        for n in range(_WRITERS)
    ]
    assert [(w.communicate(timeout=_PATIENCE)[1], w.returncode) for w in writers] == [("", 0)] * _WRITERS
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    check_folder(tmp_path / "out")
    texts = {path.read_text() for path in (tmp_path / "out").glob("*.c")}
    assert len(texts) == 1 and int(next(iter(texts)).split()[1]) == _TURNS - 1
    assert len(listing(tmp_path / "out")) == 1 + 3 + (_TURNS - 1) % 3


def test_two_conversions_at_once(model: Path, examples: Path, tmp_path: Path) -> None:
    models = (model, examples / "lenet5" / "lenet5_int8.onnx")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "pingponnx", "convert", "-o", str(out)]
    runs = [subprocess.Popen([*command, str(m)], stdout=subprocess.DEVNULL) for m in models]
    assert [run.wait(_PATIENCE) for run in runs] == [0, 0]
    alone = [tmp_path / str(n) for n in range(2)]
    for source, folder in zip(models, alone, strict=True):
        assert command_line("convert", source, "-o", folder).returncode == 0
    contents = [{p.name: p.read_bytes() for p in folder.iterdir()} for folder in (out, *alone)]
    assert contents[0] in contents[1:] and {p.name for p in tmp_path.iterdir()} == {"out", "0", "1"}


@pytest.mark.parametrize("name", ["mine.c", "a.c"])
@pytest.mark.parametrize("steps", [False, True], ids=["exchange", "steps"])
def test_a_file_that_appears_or_changes_meanwhile_is_not_lost(
    steps: bool, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, swap = tmp_path / "out", output.exchange
    write_folder(out, {"a.c": "old", "b.c": "old"})
    edited: list[Path] = []

    def late(one: Path, other: Path) -> bool:
        if not edited:
            edited.append(other / name)
            edited[0].write_text("mine")
        return False if steps else swap(one, other)

    monkeypatch.setattr(output, "exchange", late)
    with pytest.raises(Error, match=rf"'{name}' was put into .* or changed there meanwhile"):
        write_folder(out, {"a.c": "new", "b.c": "new"})
    assert listing(tmp_path) == {"out"} | {f"out/{n}" for n in (".pingponnx", "a.c", "b.c", name)}
    assert (out / name).read_text() == "mine" and (out / "b.c").read_text() == "old"


# -- caches -------------------------------------------------------------------------------------------


def test_a_damaged_library_or_call_graph_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cmsis.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.delenv(cmsis.ROOT_VARIABLE, raising=False)
    source = cmsis.find(fake_checkout(tmp_path / "checkout"))
    archive = cmsis.library(source, get_target("host"), Rounding.SINGLE)
    whole = {p.name: p.read_bytes() for p in archive.parent.iterdir()}
    for name, data in whole.items():
        for damage in (data[: len(data) // 2], b"\xff" + data[1:], None):
            if not data:
                continue  # the host has no call graph
            (archive.parent / name).unlink()
            if damage is not None:
                (archive.parent / name).write_bytes(damage)
            cmsis.library(source, get_target("host"), Rounding.SINGLE)
            assert {p.name: p.read_bytes() for p in archive.parent.iterdir()} == whole


@pytest.mark.cmsis
def test_a_damaged_copy_of_cmsis_nn_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cmsis.ROOT_VARIABLE, raising=False)
    intact = cmsis.find()
    victim, read = intact.sources[3], Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path)[: 100 if path == victim else None])
    cmsis._damaged.cache_clear()
    with pytest.raises(ToolchainError, match=f"{victim.name} is not the file of its wheel") as caught:
        cmsis.find()
    cmsis._damaged.cache_clear()
    assert "--force-reinstall" in caught.value.hint


@pytest.mark.parametrize(
    ("command", "lost"),
    [
        (["plan", "model.onnx", "--html", "model.onnx"], "model.onnx"),
        (["plan", "model.onnx", "--html", "other.onnx"], "other.onnx"),
        (["plan", "other.onnx", "--map", "model.npz"], "model.npz"),
    ],
)
def test_models_and_samples_are_not_replaced(
    command: list[str], lost: str, model: Path, tmp_path: Path
) -> None:
    for name in ("model.onnx", "other.onnx", "model.npz"):
        (tmp_path / name).write_bytes(model.read_bytes())
    before = (tmp_path / lost).read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "pingponnx", *command], cwd=tmp_path, capture_output=True, text=True
    )
    assert_refused(done.returncode, done.stdout, done.stderr)
    assert f"{lost} would be replaced" in done.stderr
    assert (tmp_path / lost).read_bytes() == before


def test_a_command_keeps_its_inputs(tmp_path: Path) -> None:
    run = tmp_path / "run.json"
    run.write_text("{}")
    with pytest.raises(Error, match=r"run\.json would be replaced"):
        write_file(run, b"other", inputs=[run])
    assert run.read_text() == "{}"
    write_file(run, b"other")
    assert run.read_text() == "other"
