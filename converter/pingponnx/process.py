"""Running tools: under a time limit, in groups that end as a whole; none stays when pingponnx ends."""

import contextlib
import math
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pingponnx.errors import Error, ToolchainError

try:
    from resource import RLIMIT_CPU, prlimit
except ImportError:  # only Linux limits a process from outside
    prlimit = None  # type: ignore[assignment]

TIME_LIMIT = 300.0
"""Seconds that one call of a tool may take."""

LIMIT_VARIABLE = "PINGPONNX_TIME_LIMIT"
"""Seconds, instead of every limit that this program sets its tools."""

# What to do about a failure, by what a tool printed.
_ADVICE = {
    "No space left on device": "free some space, or set TMPDIR to a folder that has it",
    "overflowed by": "the model is too large for the memory of the target's board",
    "nano.specs": "apt-get install libnewlib-arm-none-eabi",
}
_SLOW_HINT = f"if the machine is slow or the model large, set {LIMIT_VARIABLE} to more seconds"

_running: set["subprocess.Popen[str]"] = set()
_stopping = False


@dataclass(frozen=True, slots=True)
class Done:
    """How a tool ended, and what it printed; a negative code is the signal that ended it."""

    code: int
    output: str

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        if self.code >= 0:
            return f"exit status {self.code}"
        try:
            return f"signal {signal.Signals(-self.code).name}"
        except ValueError:
            return f"signal {-self.code}"


def execute(
    command: Sequence[str],
    *,
    cwd: Path,
    hint: str = "",
    timeout: float = TIME_LIMIT,
    check: bool = True,
    environment: Mapping[str, str] | None = None,
) -> Done:
    """Run a tool; a ToolchainError when it is missing, takes too long, or (with `check`) fails."""
    if _stopping:
        raise ToolchainError(f"{command[0]} is not started any more")
    if shutil.which(command[0]) is None:
        raise ToolchainError(f"{command[0]} is not installed", hint)
    timeout = _time_limit(timeout)
    try:
        done = _run(command, cwd, timeout, {**os.environ, "LC_ALL": "C", **(environment or {})})
    except subprocess.TimeoutExpired as error:
        message = f"{command[0]} did not finish within {timeout:g} s"
        raise ToolchainError(message, _SLOW_HINT, command=command) from error
    except OSError as error:
        message = f"{command[0]} could not be started: {error.strerror}"
        raise ToolchainError(message, hint, command=command) from error
    if check and done.code:
        message = f"{command[0]} failed with {done.ending}"
        raise ToolchainError(message, _advice(done.output) or hint, command=command, output=done.output)
    return done


def stop() -> None:
    """Kill every running tool with all its children, and start no other: pingponnx is about to end."""
    global _stopping
    _stopping = True
    for process in list(_running):
        _kill(process)


def _advice(output: str) -> str:
    return next((advice for text, advice in _ADVICE.items() if text in output), "")


def _time_limit(usual: float) -> float:
    text = os.environ.get(LIMIT_VARIABLE)
    if not text:
        return usual
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise Error(f"{LIMIT_VARIABLE} is {text!r}", "give a number of seconds, like 600")
    return seconds


def _run(command: Sequence[str], cwd: Path, timeout: float, environment: Mapping[str, str]) -> Done:
    """A session of its own, so that the compiler proper ends with the driver that started it."""
    with subprocess.Popen(
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        env=environment,
        start_new_session=True,
    ) as process:
        _running.add(process)
        try:
            if _stopping:  # between the check of the others and this one's start
                _kill(process)
            _limit_cpu(process, timeout)
            output, _ = process.communicate(timeout=timeout)
        except BaseException:  # the time limit, or the user's Ctrl-C, which the session does not get
            _kill(process)
            raise
        finally:
            _running.discard(process)
        return Done(process.returncode, output)


def _limit_cpu(process: "subprocess.Popen[str]", timeout: float) -> None:
    """A tool that hangs and whose pingponnx was killed, so that nobody ends it, does not spin for ever."""
    if prlimit is not None:
        seconds = 2 * math.ceil(timeout) + 10  # of all threads together
        with contextlib.suppress(OSError, ValueError):
            prlimit(process.pid, RLIMIT_CPU, (seconds, seconds + 5))


def _kill(process: "subprocess.Popen[str]") -> None:
    """The whole group; one that was waited for may have lost its number to another."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
