"""Being told to end: tools stop at once, temporary folders go, and the exit code is the one shells know."""

import os
import signal
import threading
from types import FrameType

from pingponnx import process

_SIGNALS = tuple(getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n))


class Stopped(SystemExit):
    """A signal asked this program to end; an exit with 128 plus its number, which only `finally` delays."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = signal.Signals(number)


def catch_signals() -> None:
    """From now on a signal raises Stopped in the main thread; a second one does not wait for anything.

    Tools are killed before that, for the threads that wait for them have to end first. What cannot be
    cleaned up after a second signal is swept by the next run.
    """
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    del frame
    for other in _SIGNALS:
        signal.signal(other, _stop_now)
    threading.excepthook = lambda arguments: None  # threads of libraries whose work is taken away
    process.stop()
    raise Stopped(number)


def _stop_now(number: int, frame: FrameType | None) -> None:
    del frame
    process.stop()
    os._exit(128 + number)
