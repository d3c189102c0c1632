"""Writing results: a folder appears complete or not at all, and nothing of the user's is ever lost.

Not even a process that is killed leaves a mixture: docs/decisions/0011-folders-are-exchanged.md.
"""

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pingponnx.errors import Error
from pingponnx.exchange import exchange
from pingponnx.workspace import held, lock, locked_folder, sweep, unlock

_MARKER = ".pingponnx"  # lists the files that we wrote into a folder, and their digests
_ASIDE = ".pingponnx-old"  # ends the name of a folder that is moved out of the way
_PRECIOUS = {".onnx", ".npz"}  # what commands read
_PATIENCE = 10.0  # seconds
_TRIES = 100


def write_folder(folder: Path, files: Mapping[str, str]) -> None:
    """Replace `folder` by one with these files; refuses folders that hold anything we did not write as it is.

    The files are written beside it, and the two are exchanged at once: at every moment there is the old
    folder or the new one under its name. Of two runs at once the last one wins, whole.
    """
    with _reasons(folder):
        folder = folder.resolve()  # a symbolic link stays, what it points to is replaced
        if folder in (Path.cwd().resolve(), *Path.cwd().resolve().parents):
            raise Error(f"{folder} is where you are: it cannot be replaced", "give one in it, like -o c")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with held(folder.parent):
            _check(folder)
            sweep(folder.parent, _leftover(folder), _discard)
        with locked_folder(lambda: _beside(folder)) as staging:
            try:
                _fill(staging, files)
                with held(folder.parent):  # one run at a time
                    _put(staging, folder)
                    _discard(staging)  # what was there before
            finally:
                _discard(staging)


def write_file(path: Path, data: bytes, *, inputs: Iterable[Path] = (), suffix: str = "") -> None:
    """Write one file, which appears complete or not at all; devices and pipes are just written to.

    Raises Error where it would replace what the command has read, or a model or samples, unless data of
    that `suffix` is written.
    """
    with _reasons(path):
        path = path.resolve()  # a symbolic link stays
        precious = path.is_file() and path.suffix.lower() in _PRECIOUS - {suffix}
        if precious or path in [other.resolve() for other in inputs]:
            raise Error(f"{path.name} would be replaced by something else", "give the output another name")
        if path.exists() and not path.is_file() and not path.is_dir():
            path.write_bytes(data)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent, _leftover(path), lambda left: left.unlink(missing_ok=True))
        draft, descriptor = _draft(path)
        try:
            _write(draft, data)
            if path.is_file():
                draft.chmod(stat.S_IMODE(path.stat().st_mode))
            draft.replace(path)
        finally:
            unlock(descriptor)
            draft.unlink(missing_ok=True)
        _settle(path.parent)


def check_folder(folder: Path) -> None:
    """Raise Error unless `folder` is new, empty, or holds nothing but what an earlier run wrote."""
    with _reasons(folder):
        folder = folder.resolve()
        if folder.parent.is_dir():
            with held(folder.parent):
                _check(folder)


def _check(folder: Path) -> None:
    _recover(folder)
    if _present(folder) and (foreign := _foreign(folder)):
        raise Error(
            f"{folder} holds files that pingponnx did not write, such as {foreign[0]!r}",
            "choose an empty or new folder with -o",
        )
    if _present(folder) and (changed := _changed(folder)):
        raise Error(
            f"{folder / changed[0]} was changed since pingponnx wrote it, and would be lost",
            "move it away or delete it, then run again",
        )


def _present(folder: Path) -> bool:
    """Whether there is such a folder; an Error where there is something else of that name."""
    if folder.exists() and not folder.is_dir():
        raise Error(f"{folder} exists and is not a folder", "choose another folder with -o")
    return folder.exists()


@contextlib.contextmanager
def _reasons(place: Path) -> Iterator[None]:
    """Errors of the system become ours."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        hint = "free some space, or choose another place" if full else "choose another place"
        reason = error.strerror or error
        if error.errno == errno.ENOENT and place.parent.is_dir():  # /proc, /sys
            reason = "its folder takes no files"
        raise Error(f"cannot write {place}: {reason}", hint) from error


# -- names -------------------------------------------------------------------------------------------


def _beside(path: Path) -> Path:
    """A new hidden name in the same folder, hence on the same file system, which `_leftover` recognises."""
    return path.with_name(f".{path.name}-{secrets.token_hex(4)}{_MARKER}")


def _leftover(path: Path) -> re.Pattern[str]:
    name = rf"\.{re.escape(path.name)}-[0-9a-f]{{8}}"
    return re.compile(rf"{name}({re.escape(_MARKER)}|{re.escape(_ASIDE)})")


# -- what a folder holds --------------------------------------------------------------------------------


def _foreign(folder: Path) -> list[str]:
    """What a folder holds that we did not write."""
    ours = {*_listed(folder), _MARKER}
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if e.name not in ours or e.is_dir(follow_symlinks=False))


def _changed(folder: Path) -> list[str]:
    """What we wrote into a folder and somebody else edited."""
    found = []
    for name, digest in _listed(folder).items():
        with contextlib.suppress(FileNotFoundError), (folder / name).open("rb") as stream:
            if digest is not None and hashlib.file_digest(stream, "sha256").hexdigest() != digest:
                found.append(name)
    return sorted(found)


def _listed(folder: Path) -> Mapping[str, str | None]:
    """The plain file names that a folder's marker lists, with SHA-256; None in those of older versions."""
    try:
        found = json.loads((folder / _MARKER).read_text(encoding="utf-8"))
        files = found if isinstance(found, dict) else dict.fromkeys(found)
        return {n: d for n, d in files.items() if isinstance(n, str) and Path(n).name == n}
    except (OSError, ValueError, TypeError):
        return {}


def _discard(folder: Path) -> None:
    """Delete what we wrote into a folder, and itself if nothing else is in it; the marker goes last."""
    with contextlib.suppress(OSError):
        for name in sorted(_listed(folder)):
            with contextlib.suppress(OSError):
                (folder / name).unlink()
        (folder / _MARKER).unlink(missing_ok=True)
        folder.rmdir()


# -- writing -------------------------------------------------------------------------------------------


def _fill(staging: Path, files: Mapping[str, str]) -> None:
    """The marker comes first, so that whatever is there of the files is known as ours."""
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()}
    _write(staging / _MARKER, (json.dumps(digests, indent=1, sort_keys=True) + "\n").encode())
    for name, text in files.items():
        _write(staging / name, text.encode())
    _settle(staging)


def _write(path: Path, data: bytes) -> None:
    """The bytes are on the disk when this returns."""
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _draft(path: Path) -> tuple[Path, int | None]:
    """A new empty file beside `path`, and its lock."""
    for _ in range(_TRIES):
        draft = _beside(path)
        draft.open("xb").close()
        descriptor = lock(draft, _PATIENCE)
        if descriptor is not None or draft.exists():
            return draft, descriptor  # else swept between its birth and its lock
    raise Error(f"other runs keep replacing {path}", "let them end first")


def _settle(folder: Path) -> None:
    """Names in a folder survive a loss of power too; systems that cannot do that are left alone."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# -- putting in place ------------------------------------------------------------------------------------


def _put(staging: Path, folder: Path) -> None:
    """Put `staging` where `folder` is, and the other way round if there is one."""
    if folder.exists():
        staging.chmod(stat.S_IMODE(folder.stat().st_mode))
        _swap(staging, folder)
    else:
        staging.rename(folder)
    _settle(folder.parent)


def _swap(staging: Path, folder: Path) -> None:
    """Exchange the two; back again when something that is not ours got in since it was looked at."""
    if not exchange(staging, folder):
        _swap_in_steps(staging, folder)
    if foreign := _foreign(staging) or _changed(staging):
        if not exchange(staging, folder):
            _swap_in_steps(staging, folder)
        raise Error(
            f"{foreign[0]!r} was put into {folder} or changed there meanwhile",
            "move it away, or choose another folder",
        )


def _swap_in_steps(staging: Path, folder: Path) -> None:
    """Where names cannot be exchanged: between the first two steps there is no folder, see `_recover`."""
    aside = staging.with_suffix(_ASIDE)
    folder.rename(aside)
    try:
        staging.rename(folder)
    except OSError:
        aside.rename(folder)
        raise
    aside.rename(staging)


def _recover(folder: Path) -> None:
    """Bring back the folder that a run moved away before it was killed, if nothing is in its place."""
    if folder.exists():
        return
    with os.scandir(folder.parent) as entries:
        names = [e.name for e in entries if e.name.endswith(_ASIDE) and _leftover(folder).fullmatch(e.name)]
    if names:
        folder.with_name(min(names)).rename(folder)
