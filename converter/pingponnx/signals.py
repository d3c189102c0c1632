"""Being told to end: tools stop at once, temporary folders go, and the exit code is the one shells know.

Imports next to nothing, for it has to be at work before anything that takes its time is imported.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = tuple(getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n))

_received: signal.Signals | None = None
_stop_tools: Callable[[], None] = lambda: None  # noqa: E731 - until there are some


class Stopped(SystemExit):
    """A signal asked this program to end; an exit with 128 plus its number, which only `finally` delays."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = signal.Signals(number)


def exit_on_signals() -> None:
    """From now on a signal ends this process at once: nothing is begun yet, or everything is done."""
    _handle(_stop_now)


def catch_signals(stop_tools: Callable[[], None]) -> None:
    """From now on a signal raises Stopped in the main thread; a second one does not wait for anything.

    Tools are killed before that, for the threads that wait for them have to end first. Modules written in C
    crash when an exception gets into their import: then a first signal does not wait either. What is not
    cleaned up is swept by the next run.
    """
    global _stop_tools
    _stop_tools = stop_tools
    _handle(_stop)


@contextmanager
def held_back() -> Iterator[None]:
    """Ctrl-C comes later; processes that are started meanwhile never get it, and end when they are told."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def received() -> signal.Signals | None:
    """The signal that came: a library may have turned its Stopped into another exception, or dropped it."""
    return _received


def _handle(handler: Callable[[int, FrameType | None], None]) -> None:
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> None:
    global _received
    if _importing(frame):
        _stop_now(number, frame)
    _handle(_stop_now)
    _received = signal.Signals(number)
    threading.excepthook = lambda arguments: None  # threads of libraries whose work is taken away
    sys.unraisablehook = _lost
    _stop_tools()
    raise Stopped(number)


def _importing(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code.co_filename != "<frozen importlib._bootstrap>":
        frame = frame.f_back
    return frame is not None


def _lost(arguments: "sys.UnraisableHookArgs") -> None:
    """What a destructor raised, which goes nowhere; the signal may have come just then."""
    if isinstance(arguments.exc_value, Stopped):
        _stop_now(arguments.exc_value.signal, None)


def _stop_now(number: int, frame: FrameType | None) -> None:
    del frame
    _stop_tools()
    os._exit(128 + number)
