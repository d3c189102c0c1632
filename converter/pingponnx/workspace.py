"""Temporary folders and files, which their process keeps locked: those that a killed one left are swept.

The system drops the locks of a process however it ends, so what nobody has locked is nobody's any more.
Where there are no such locks (Windows, some network file systems) leftovers stay, and do no harm.
"""

import contextlib
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pingponnx.errors import Error

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_PREFIX = "pingponnx-work-"
_NAME = re.compile(re.escape(_PREFIX) + r"[0-9a-f]{8}")
_TRIES = 100
_PATIENCE, _WAIT = 10.0, 0.05  # seconds
_swept: set[Path] = set()


@contextlib.contextmanager
def temporary_folder(parent: Path | None = None) -> Iterator[Path]:
    """A folder for a while, in `parent` or where TMPDIR says; raises Error when its disk is full, say."""
    where = _temporary_files() if parent is None else parent
    try:
        if where not in _swept:
            _swept.add(where)
            sweep(where, _NAME, lambda path: shutil.rmtree(path, ignore_errors=True))
        with locked_folder(lambda: where / f"{_PREFIX}{secrets.token_hex(4)}", 0o700) as folder:
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Error(
            f"cannot work in {where}: {error.strerror or error}",
            "set TMPDIR (for the cache PINGPONNX_CACHE) to a folder that can be written and has space left",
        ) from error


def _temporary_files() -> Path:
    try:
        return Path(tempfile.gettempdir())
    except OSError as error:
        raise Error(
            f"there is no folder for temporary files: {error.strerror}", "set TMPDIR to a folder with space"
        ) from error


@contextlib.contextmanager
def locked_folder(name: Callable[[], Path], mode: int = 0o777) -> Iterator[Path]:
    """Make a folder under a name that is not taken, and keep it locked."""
    for _ in range(_TRIES):
        path = name()
        try:
            path.mkdir(mode)
        except FileExistsError:
            continue
        descriptor = lock(path, _PATIENCE)
        if descriptor is None and not path.exists():  # swept between its birth and its lock
            continue
        try:
            yield path
        finally:
            unlock(descriptor)
        return
    raise Error(f"cannot make a temporary folder in {name().parent}", "delete what is left there")


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep something locked; where that cannot be had, or somebody keeps it for long, go on without."""
    descriptor = lock(path, _PATIENCE)
    try:
        yield
    finally:
        unlock(descriptor)


def lock(path: Path, patience: float = 0.0) -> int | None:
    """A descriptor that keeps a file or folder locked, for `unlock`; None when that cannot be had.

    Another process has the lock for longer than `patience` seconds, the path leads to something else by
    then, or there are no locks. A symbolic link is not followed.
    """
    if fcntl is None:
        return None
    limit = time.monotonic() + patience
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= limit:
                    raise
                time.sleep(_WAIT)
        if os.path.samestat(os.fstat(descriptor), path.lstat()):
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


def unlock(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)


def sweep(parent: Path, name: re.Pattern[str], remove: Callable[[Path], None]) -> None:
    """Remove what killed processes of this user left in a folder, under names that match."""
    if fcntl is None:
        return
    try:
        with os.scandir(parent) as entries:
            left = [Path(entry.path) for entry in entries if name.fullmatch(entry.name) and _ours(entry)]
    except OSError:
        return
    for path in left:
        descriptor = lock(path)
        if descriptor is not None:
            try:
                remove(path)
            finally:
                unlock(descriptor)


def _ours(entry: "os.DirEntry[str]") -> bool:
    try:
        found = entry.stat(follow_symlinks=False)
    except OSError:
        return False
    return not entry.is_symlink() and found.st_uid == os.geteuid()
