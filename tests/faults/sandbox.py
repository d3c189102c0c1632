"""Commands run in a forked child in a folder of their own, killed or failed at the k-th change in it."""

import ctypes
import errno
import os
import re
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

LEFTOVER = re.compile(r"\.(.+)-[0-9a-f]{8}\.pingponnx(-old)?|pingponnx-work-[0-9a-f]{8}")
FOREIGN = ("notes.txt", "three years of work")

NEEDS_SPACE, FREES_SPACE = 1, 2  # shim.c's


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens at a call; errors happen at all that follow too, if they are of these kinds."""

    name: str
    error: int
    kinds: int


KILL = Fault("killed", 0, 0)
FULL = Fault("disk full", errno.ENOSPC, NEEDS_SPACE)
READ_ONLY = Fault("read-only", errno.EROFS, NEEDS_SPACE | FREES_SPACE)
BROKEN = Fault("disk broken", errno.EIO, NEEDS_SPACE | FREES_SPACE)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended: its exit code, or the negative signal; calls that changed the folder; its stderr."""

    code: int
    calls: int
    messages: str


def run(
    act: Callable[[], int], folder: Path, at: int = 0, fault: Fault = KILL, log: Path | None = None
) -> Ended:
    """Fork, and call `act` in the folder, with temporary files and caches below it."""
    log = folder.parent / "log" if log is None else log
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _child(act, folder, at, fault, log, writer)
    os.close(writer)
    with os.fdopen(reader) as stream:
        calls = stream.read()
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return Ended(code, int(calls or at), log.read_text(encoding="utf-8", errors="replace"))


def _child(act: Callable[[], int], folder: Path, at: int, fault: Fault, log: Path, writer: int) -> None:
    code = 99
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        os.chdir(folder)
        os.environ |= {"TMPDIR": str(folder / "tmp"), "PINGPONNX_CACHE": str(folder / "cache")}
        tempfile.tempdir = None
        shim = ctypes.CDLL(None)
        shim.faults_arm.argtypes = (ctypes.c_char_p, ctypes.c_long, ctypes.c_int, ctypes.c_int)
        shim.faults_calls.restype = ctypes.c_long
        shim.faults_arm(os.fsencode(folder), at, fault.error, fault.kinds)
        code = act()
        os.write(writer, str(shim.faults_calls()).encode())
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def command(*arguments: str | Path) -> Callable[[], int]:
    """The command line as if it had been typed."""

    def act() -> int:
        from pingponnx import cli

        sys.argv = ["pingponnx", *map(str, arguments)]
        return cli.run()

    return act


def fresh(folder: Path, base: Path | None = None) -> None:
    """Make the folder anew: a copy of `base`, or what every case begins with."""
    shutil.rmtree(folder, ignore_errors=True)
    if base is not None:
        shutil.copytree(base, folder)
        return
    for child in ("tmp", "cache"):
        (folder / child).mkdir(parents=True)
    (folder / FOREIGN[0]).write_text(FOREIGN[1])


def unit(folder: Path, name: str) -> Mapping[str, bytes] | None:
    """All bytes of a file or folder, without what is recognisably temporary; None when there is none."""
    path = folder / name
    if path.is_file():
        return {"": path.read_bytes()}
    if not path.is_dir():
        return None
    files = (p for p in sorted(path.rglob("*")) if p.is_file() and not LEFTOVER.fullmatch(p.name))
    return {str(p.relative_to(path)): p.read_bytes() for p in files}


def leftovers(folder: Path) -> list[str]:
    """Temporary files and folders that are recognisably ours."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if LEFTOVER.fullmatch(p.name))


def strangers(folder: Path, known: set[str]) -> list[str]:
    """What is at the top of the folder, is not known, and is not recognisably ours."""
    return sorted(p.name for p in folder.iterdir() if p.name not in known and not LEFTOVER.fullmatch(p.name))


def ends_with_one_error(ended: Ended) -> bool:
    """Exit code 2, and one error with a hint."""
    text = ended.messages
    return (
        ended.code == 2
        and text.count("error: ") == 1
        and "\nhint: " in text
        and "internal error" not in text
        and "Traceback" not in text
    )
