"""Two names of a file system swapped at once: what Linux and macOS offer beyond POSIX."""

import ctypes
import errno
import functools
import os
from collections.abc import Callable
from pathlib import Path

_AT_FDCWD = -100  # Linux: relative to the current folder
_RENAME_EXCHANGE = 2  # Linux
_RENAME_SWAP = 2  # macOS

_UNABLE = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EXDEV, errno.EPERM}
"""What the call answers where the kernel or the file system cannot do it."""


def exchange(one: Path, other: Path) -> bool:
    """Swap what two names lead to, with no moment between; False, and nothing done, where that cannot be had.

    Both must exist, on one file system. Raises OSError for other reasons.
    """
    call = _call()
    if call is None:
        return False
    if call(os.fsencode(one), os.fsencode(other)) == 0:
        return True
    code = ctypes.get_errno()
    if code in _UNABLE:
        return False
    raise OSError(code, os.strerror(code), str(one), None, str(other))


@functools.cache
def _call() -> Callable[[bytes, bytes], int] | None:
    """renameat2 of Linux' C libraries or renamex_np of macOS; None when there is neither."""
    try:
        library = ctypes.CDLL(None, use_errno=True)
    except (OSError, TypeError):  # Windows
        return None
    if hasattr(library, "renameat2"):
        linux = library.renameat2
        return lambda one, other: int(linux(_AT_FDCWD, one, _AT_FDCWD, other, _RENAME_EXCHANGE))
    if hasattr(library, "renamex_np"):
        mac = library.renamex_np
        return lambda one, other: int(mac(one, other, _RENAME_SWAP))
    return None
