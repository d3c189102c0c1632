"""What the command line prints and how it ends: JSON, tables, one clear message per failure."""

import contextlib
import errno
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console

from pingponnx.errors import Error, MismatchError
from pingponnx.signals import Stopped, received

EXIT_WORSE, EXIT_FAILED = 1, 2
EXIT_UNREAD = 128 + getattr(signal, "SIGPIPE", 13)
"""What shells say of a program whose output nobody reads any more."""

_EXHAUSTED = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.ENOMEM, errno.EMFILE}

stderr = Console(stderr=True, highlight=False, soft_wrap=True)


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Error(f"cannot read {path}: {error.strerror}", "check the path") from error
    except ValueError as error:
        raise Error(f"{path} is not JSON: {error}", "give a report.json") from error


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, sort_keys=True))


def plain(text: str) -> str:
    """A line without control characters: names come from strangers and must not drive the terminal.

    Nor may it be a command to the CI service that reads it.
    """
    line = "".join(c if c.isprintable() else "?" for c in text)
    return f"?{line}" if line.lstrip().startswith(("::", "##[")) else line


def yes(value: Any) -> str:
    """A table cell: yes or a dash for truth values, nothing known as a dash too."""
    if isinstance(value, bool) or value is None:
        return "yes" if value else "-"
    return str(value)


def print_table(rows: list[dict[str, str]]) -> None:
    """An aligned table on stdout, plain text so that it can be piped."""
    if not rows:
        return
    titles = list(rows[0])
    cells = [titles, *([plain(row[t]) for t in titles] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(titles))]
    for line in cells:
        padded = (_pad(cell, width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(padded).rstrip())


def _pad(cell: str, width: int) -> str:
    numeric = cell[:1].isdigit() or cell[:1] in "+-" or cell == "n/a"
    return cell.rjust(width) if numeric else cell.ljust(width)


def guarded(run: Callable[[], None], debug: bool = False) -> int:
    """Run the command line; every failure becomes one clear message and an exit code."""
    try:
        code = _exit_code(run)
        sys.stdout.flush()  # a failure can still be told here
    except BrokenPipeError:
        _read_no_more(sys.stdout, sys.stderr)
        return EXIT_UNREAD
    except Exception as error:  # anything but an Error is a bug of ours: say so
        if debug:
            traceback.print_exc()
        if number := received():
            return _stopped(number)
        _complain(_explained(error))
        return EXIT_WORSE if isinstance(error, MismatchError) else EXIT_FAILED
    return code


def _exit_code(run: Callable[[], None]) -> int:
    try:
        run()
    except Stopped as stopped:
        return _stopped(stopped.signal)
    except SystemExit as leaving:
        if isinstance(leaving.__context__, BrokenPipeError):  # typer turns it into an exit with 1
            raise leaving.__context__ from None
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    return _stopped(number) if (number := received()) else 0


def _stopped(number: signal.Signals) -> int:
    stderr.print(f"stopped by {number.name}: outputs are as they were before, or complete")
    return 128 + number


def _explained(error: Exception) -> Exception:
    """A disk or a system that has no more to give is no bug of ours."""
    if isinstance(error, OSError) and error.errno in _EXHAUSTED:
        _read_no_more(sys.stdout)  # where the result could not be printed, as a rule
        what = f"cannot write {error.filename or 'the result'}: {error.strerror}"
        return Error(what, "free some space, or send it elsewhere")
    return error


def _read_no_more(*streams: TextIO) -> None:
    """What is still buffered goes nowhere, so that Python does not complain about it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _complain(error: Exception) -> None:
    if isinstance(error, Error):
        lines = [f"error: {error.message}", *([f"hint: {error.hint}"] if error.hint else [])]
    else:
        lines = [f"internal error: {type(error).__name__}: {error}"]
        lines.append("hint: run again with --debug and report the traceback")
    for line in "\n".join(lines).splitlines():
        stderr.print(plain(line), markup=False)
