"""Writing results: a folder appears complete or not at all, and nothing of the user's is ever lost."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pingponnx.errors import Error

_MARKER = ".pingponnx"  # lists the files that we wrote into a folder


def write_folder(folder: Path, files: Mapping[str, str]) -> None:
    """Replace `folder` by one with these files; refuses folders that hold anything we did not write.

    The files are written beside it and moved into place, so that a failure leaves the old folder whole.
    """
    try:
        folder = folder.resolve()  # a symbolic link stays, what it points to is replaced
        check_folder(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise Error(
            f"cannot write to {folder.parent}: {error.strerror}", "choose another folder with -o"
        ) from error
    try:
        for name, text in files.items():
            (staging / name).write_text(text, encoding="utf-8", newline="\n")
        (staging / _MARKER).write_text(json.dumps(sorted(files), indent=1) + "\n", encoding="utf-8")
        staging.chmod(0o755)
        _swap(staging, folder)
    except OSError as error:
        raise Error(f"cannot write {folder}: {error.strerror}", "choose another folder with -o") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def write_file(path: Path, data: bytes) -> None:
    """Write one file, which appears complete or not at all."""
    path = path.absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    except OSError as error:
        raise Error(f"cannot write to {path.parent}: {error.strerror}", "choose another place") from error
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except OSError as error:
        raise Error(f"cannot write {path}: {error.strerror}", "choose another place") from error
    finally:
        Path(name).unlink(missing_ok=True)


def check_folder(folder: Path) -> None:
    """Raise Error unless `folder` is new, empty, or holds nothing but what an earlier run wrote."""
    try:
        present = _present(folder)
    except OSError as error:
        raise Error(f"cannot write {folder}: {error.strerror}", "choose another folder with -o") from error
    try:
        ours = set(json.loads((folder / _MARKER).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        ours = set()
    foreign = sorted(present - ours)
    if foreign:
        raise Error(
            f"{folder} holds files that pingponnx did not write, such as {foreign[0]!r}",
            "choose an empty or new folder with -o",
        )


def _present(folder: Path) -> set[str]:
    """What a folder holds besides our marker; nothing when there is no such folder."""
    if not folder.exists():
        return set()
    if not folder.is_dir():
        raise Error(f"{folder} exists and is not a folder", "choose another folder with -o")
    return {child.name for child in folder.iterdir()} - {_MARKER}


def _swap(staging: Path, folder: Path) -> None:
    """Put `staging` where `folder` is; the old one is moved aside first and comes back if that fails."""
    if not folder.exists():
        staging.rename(folder)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
    old.rmdir()
    folder.rename(old)
    try:
        staging.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
