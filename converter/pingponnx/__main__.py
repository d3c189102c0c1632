"""The `pingponnx` command, also as `python -m pingponnx`: from first to last a signal ends it quietly."""

import atexit
import os
import sys

from pingponnx.signals import exit_on_signals

_code: int | None = None


def main() -> None:
    """Entry point: what takes its time is imported after signals have their handlers."""
    global _code
    exit_on_signals()
    atexit.register(_end)  # before all others, to run after them
    from pingponnx.cli import run

    _code = run()
    exit_on_signals()
    sys.exit(_code)


def _end() -> None:
    """All is done but what Python does without the handlers of signals: taking modules apart."""
    if _code is not None:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                continue  # told already, if it could be
        os._exit(_code)


if __name__ == "__main__":
    main()
