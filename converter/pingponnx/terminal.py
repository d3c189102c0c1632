"""What the command line prints and how it ends: JSON, tables, one clear message per failure."""

import json
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from pingponnx.errors import Error, MismatchError

EXIT_WORSE, EXIT_FAILED = 1, 2

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
    """A line without control characters: names come from strangers and must not drive the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


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
        run()
    except KeyboardInterrupt:
        stderr.print("interrupted")
        return EXIT_FAILED
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except Exception as error:  # anything but an Error is a bug of ours: say so
        if debug:
            traceback.print_exc()
        _complain(error)
        return EXIT_WORSE if isinstance(error, MismatchError) else EXIT_FAILED
    return 0


def _complain(error: Exception) -> None:
    if isinstance(error, Error):
        lines = [f"error: {error.message}", *([f"hint: {error.hint}"] if error.hint else [])]
    else:
        lines = [f"internal error: {type(error).__name__}: {error}"]
        lines.append("hint: run again with --debug and report the traceback")
    for line in "\n".join(lines).splitlines():
        stderr.print(plain(line), markup=False)
