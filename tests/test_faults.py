"""Faults while working: tools that hang or die, signals, readers that are gone.

What a kill at each single change of the disk leaves is test_kill_points.py's.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from models import Builder, assert_refused, command_line, listing, save
from pingponnx import cmsis, process, signals
from pingponnx.build import Firmware, build, compiler_version
from pingponnx.entry import Entry
from pingponnx.errors import Error, ToolchainError
from pingponnx.output import write_folder
from pingponnx.run import run
from pingponnx.targets import get_target
from pingponnx.terminal import guarded

_PATIENCE = 300.0  # seconds
HANG = 'echo $$ >> "$PIDS"; sleep 1000 & echo $! >> "$PIDS"; wait'
CRASH = "kill -SEGV $$"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    net = Builder()
    return save(
        net.model({"x": (1, 2, 6, 6)}, net.conv("x", 2, 3)), tmp_path_factory.mktemp("m") / "tiny.onnx"
    )


@pytest.fixture
def scratch(tmp_path: Path) -> dict[str, str]:
    """An environment whose temporary files and processes can be looked at."""
    (tmp_path / "tmp").mkdir()
    return {"TMPDIR": str(tmp_path / "tmp"), "PIDS": str(tmp_path / "pids")}


def _tool(folder: Path, name: str, script: str) -> str:
    """A tool that says its version and then does this; the PATH on which it comes first."""
    folder.mkdir(exist_ok=True)
    tool = folder / name
    tool.write_text(
        f'#!/bin/sh\ncase "$*" in *--version*) echo "{name} version 7.2"; exit;; esac\n{script}\n'
    )
    tool.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def _pids(folder: Path) -> list[int]:
    file = folder / "pids"
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def _assert_ended(pids: list[int]) -> None:
    """Killed, all of them; a zombie has ended, whoever has to collect it."""
    assert pids
    limit = time.monotonic() + _PATIENCE
    for pid in pids:
        while _alive(pid):
            assert time.monotonic() < limit, f"{pid} still runs"
            time.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _in_work(folder: Path) -> set[str]:
    """Our temporary files in a folder in which libraries have theirs."""
    return {name for name in listing(folder) if "pingponnx" in name}


# -- tools --------------------------------------------------------------------------------------------


def test_a_compiler_that_hangs_is_ended_with_its_children(
    model: Path, tmp_path: Path, scratch: dict[str, str]
) -> None:
    path = _tool(tmp_path / "bin", "cc", HANG)
    done = command_line("verify", model, env={**scratch, "PATH": path, process.LIMIT_VARIABLE: "1"})
    assert_refused(done.returncode, done.stdout, done.stderr)
    assert "cc did not finish within 1 s" in done.stderr and process.LIMIT_VARIABLE in done.stderr
    _assert_ended(_pids(tmp_path))
    assert _in_work(tmp_path / "tmp") == set()


def test_a_compiler_that_crashes_is_named_with_its_signal(
    model: Path, tmp_path: Path, scratch: dict[str, str]
) -> None:
    done = command_line("verify", model, env={**scratch, "PATH": _tool(tmp_path / "bin", "cc", CRASH)})
    assert done.returncode == 2 and "cc failed with signal SIGSEGV" in done.stderr
    assert "Traceback" not in done.stderr and _in_work(tmp_path / "tmp") == set()


def test_a_compiler_without_a_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", _tool(tmp_path / "bin", "cc", ""))
    (tmp_path / "bin" / "cc").write_text("#!/bin/sh\n")
    with pytest.raises(ToolchainError, match="does not say its version"):
        compiler_version(get_target("host"))


@pytest.fixture(scope="module")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    sources = {
        "m.h": "typedef struct { unsigned char bytes[8]; } m_arena;\nint m_run(m_arena *arena);\n",
        "m.c": '#include "m.h"\nint m_run(m_arena *arena) { return arena->bytes[0] = 0; }\n',
    }
    entry = Entry("m", inputs=(), outputs=(), nodes=1)
    return build(sources, entry, get_target("cortex-m4"), tmp_path_factory.mktemp("firmware"))


@pytest.mark.qemu
@pytest.mark.parametrize(
    ("script", "message"),
    [
        (HANG, "did not finish within 1 s"),
        (CRASH, "ended with signal SIGSEGV and no result"),
        ("exit 3", "ended with exit status 3 and no result"),
        ("echo x > result.bin", "the firmware's result is incomplete"),
    ],
)
def test_qemu_that_hangs_or_dies(
    script: str, message: str, firmware: Firmware, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIDS", str(tmp_path / "pids"))
    monkeypatch.setenv("PATH", _tool(tmp_path / "bin", "qemu-system-arm", script))
    with pytest.raises(ToolchainError, match=message):
        run(firmware, [[]], timeout=1)
    if script is HANG:
        _assert_ended(_pids(tmp_path))


@pytest.mark.qemu
def test_a_plugin_that_qemu_refuses_or_dies_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pingponnx.plugin import plugin

    monkeypatch.setenv(cmsis.CACHE_VARIABLE, str(tmp_path / "cache"))
    for script, reason in (("echo no plugins here; exit 1", "no plugins here"), (CRASH, "without a word")):
        monkeypatch.setenv("PATH", _tool(tmp_path / reason[:2], "qemu-system-arm", script))
        with pytest.raises(ToolchainError, match=reason):
            plugin()
    assert listing(tmp_path / "cache") == set()


@pytest.mark.parametrize("seconds", ["soon", "0", "-1", "nan", "inf"])
def test_a_time_limit_that_is_none(seconds: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(process.LIMIT_VARIABLE, seconds)
    with pytest.raises(Error, match=process.LIMIT_VARIABLE):
        process.execute(["true"], cwd=Path.cwd())


def test_a_tool_whose_run_was_killed_does_not_spin_for_ever(tmp_path: Path) -> None:
    """Nobody is left to end it but the system, by its time on the processor."""
    done = process.execute(["sh", "-c", "sleep 0.2; ulimit -t"], cwd=tmp_path, timeout=7)
    assert done.output.strip() == "24"


# -- signals and readers ------------------------------------------------------------------------------


@contextlib.contextmanager
def _started(*arguments: str | Path, env: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    done = subprocess.Popen(
        [sys.executable, "-m", "pingponnx", *map(str, arguments)],
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield done
    finally:
        done.kill()
        done.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything(
    number: signal.Signals, model: Path, tmp_path: Path, scratch: dict[str, str]
) -> None:
    write_folder(tmp_path / "out", {"a.c": "old"})
    path = _tool(tmp_path / "bin", "arm-none-eabi-gcc", HANG)
    report = ("report", model, "-o", tmp_path / "out", "--variant", "optimised")
    with _started(*report, env={**scratch, "PATH": path}) as started:
        limit = time.monotonic() + _PATIENCE
        while len(_pids(tmp_path)) < 4:  # two compilers at a time, with a child each
            assert started.poll() is None and time.monotonic() < limit, started.communicate()
            time.sleep(0.02)
        started.send_signal(number)
        printed, messages = started.communicate(timeout=_PATIENCE)
    assert started.returncode == 128 + number and printed == ""
    assert messages.splitlines()[-1].startswith(f"stopped by {number.name}: ") and "Traceback" not in messages
    _assert_ended(_pids(tmp_path))
    assert _in_work(tmp_path / "tmp") == set()
    assert listing(tmp_path / "out") == {".pingponnx", "a.c"}


_INTERRUPT = "import os, signal; os.kill(os.getpid(), signal.SIGINT)\n"
_AT_PLAN = f"""import sys
def interrupt(_=None): {_INTERRUPT}
class X: __del__ = interrupt
def look(frame, event, argument):
    if frame.f_code.co_name == "plan": sys.setprofile(None), act()
sys.setprofile(look)
def act():
"""


@pytest.mark.parametrize(
    ("where", "script"),
    [
        ("typer.py", _INTERRUPT),  # imported by the command line itself
        (
            "onnx.py",
            f"try:\n    {_INTERRUPT}finally:\n    raise ImportError\n",
        ),  # by a command, in C it crashes
        ("sitecustomize.py", f"{_AT_PLAN}    import atexit; atexit.register(interrupt)\n"),
        ("sitecustomize.py", f"{_AT_PLAN}    X()\n"),  # what a destructor raises goes nowhere
    ],
)
def test_ctrl_c_is_quiet_while_importing_and_at_the_end(
    where: str, script: str, model: Path, tmp_path: Path
) -> None:
    (tmp_path / where).write_text(script)
    done = command_line("plan", model, env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 128 + signal.SIGINT and done.stderr == ""


def test_nothing_is_left_of_python_when_signals_lose_their_handlers(model: Path, tmp_path: Path) -> None:
    """What Python does last, taking modules apart, does not happen."""
    script = (
        "import os, sys\nclass X:\n    def __del__(self, kill=os.kill, pid=os.getpid()):\n"
        f"        kill(pid, {signal.SIGINT:d})\nsys.x = X()\n"
    )
    (tmp_path / "sitecustomize.py").write_text(script)
    done = command_line("plan", model, env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 0 and "arena" in done.stdout and done.stderr == ""


def test_a_signal_that_a_library_takes_for_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def library() -> None:
        raise RuntimeError("while importing")

    monkeypatch.setattr(signals, "_received", signal.SIGINT)
    for run_it in (library, lambda: None):
        assert guarded(run_it) == 128 + signal.SIGINT
        assert capsys.readouterr().err.startswith("stopped by SIGINT")


def test_nobody_reads_the_result(model: Path) -> None:
    """Like `| head -0`: quietly, with the exit code that shells give it."""
    with _started("plan", model, env={}) as started:
        assert started.stdout is not None and started.stderr is not None
        started.stdout.close()
        assert started.stderr.read() == ""
        assert started.wait(_PATIENCE) == 128 + signal.SIGPIPE


@pytest.mark.parametrize("buffered", ["", "1"])
def test_the_result_cannot_be_written(buffered: str, model: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "pingponnx", "plan", str(model)],
            env={**os.environ, "PYTHONUNBUFFERED": buffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert_refused(done.returncode, "", done.stderr)
    assert "cannot write the result: No space left on device" in done.stderr
