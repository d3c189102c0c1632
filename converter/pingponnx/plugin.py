"""The profiling plugin for QEMU: compiled with the host's compiler at first use, then kept in the cache."""

import functools
import hashlib
import platform
import re
import shutil
import sys
from pathlib import Path

from pingponnx._paths import runtime_c
from pingponnx.build import compiler_version
from pingponnx.cmsis import cache_folder
from pingponnx.errors import ToolchainError
from pingponnx.process import execute
from pingponnx.run import QEMU, qemu_version
from pingponnx.targets import HOST, get_target
from pingponnx.workspace import temporary_folder

INTERFACES = (1, 2, 3, 7)
"""The versions of QEMU's plugin interface that runtime_c/plugin knows; others between them work alike."""

_FLAGS = ("-std=c11", "-D_POSIX_C_SOURCE=200809L", "-O2", "-fPIC", "-shared", "-fvisibility=hidden")
# Functions of QEMU are found when it loads the plugin; only Apple's linker has to be told.
_SYSTEM_FLAGS = ("-undefined", "dynamic_lookup") if sys.platform == "darwin" else ()
_DIGEST_BYTES = 32
_HINT = "apt-get install qemu-system-arm gcc; Debian's QEMU has plugins enabled"


def plugin() -> Path:
    """The compiled plugin that the installed QEMU has loaded once; a ToolchainError when there is none."""
    version = qemu_version()
    if version is None:
        raise ToolchainError(f"{QEMU} is not installed", _HINT)
    tools = (shutil.which(QEMU), shutil.which("cc"))
    return _plugin(version, compiler_version(get_target(HOST)), cache_folder(), tools)


def interfaces(version: str) -> tuple[int, ...]:
    """The plugin interfaces to try with a QEMU of that version, as it says itself.

    QEMU refuses a plugin for an interface that it does not serve, except that 9.1 and later also accept 2.
    """
    match = re.search(r"version (\d+)\.(\d+)", version)
    release = (int(match[1]), int(match[2])) if match else (0, 0)
    if release < (6, 0):
        return ()
    if release < (9, 0):
        return (1,)
    return (2,) if release < (9, 1) else (3, 7)


@functools.cache
def _plugin(version: str, compiler: str, cache: Path, tools: tuple[str | None, ...]) -> Path:
    """`tools` is only part of the key: with another PATH there may be another QEMU of that version."""
    del tools
    reason = "its plugin interface is not known"
    for interface in interfaces(version):
        path = cache / f"profile-{_key(interface, version, compiler)[:16]}.so"
        if _whole(path):
            return path
        with temporary_folder(cache) as folder:
            compile_plugin(interface, folder / "plugin.so")
            reason = _refusal(interface, folder)
            if not reason:
                data = (folder / "plugin.so").read_bytes()
                (folder / "signed.so").write_bytes(data + hashlib.sha256(data).digest())
                (folder / "signed.so").replace(path)
                return path
    raise ToolchainError(f"{version}: {reason}", _HINT)


def compile_plugin(interface: int, out: Path) -> None:
    """Compile the plugin for a version of QEMU's plugin interface."""
    command = ["cc", *_FLAGS, *_SYSTEM_FLAGS, f"-DPINGPONNX_QEMU_PLUGIN_API={interface}"]
    execute(
        [*command, str(_sources()[0]), "-o", out.name], cwd=out.parent, hint="apt-get install gcc libc6-dev"
    )


def _refusal(interface: int, folder: Path) -> str:
    """Why QEMU does not take the plugin.so in the folder; empty when it does."""
    command = [QEMU, "-machine", "none", "-display", "none", "-monitor", "none", "-serial", "none"]
    done = execute([*command, "-plugin", "file=./plugin.so,probe=on"], cwd=folder, timeout=20, check=False)
    served = re.search(r"QEMU's plugin interface (\d+)", done.output)
    if served is None:
        lines = done.output.splitlines() or ["it ended without a word"]
        return f"it cannot load plugins: {lines[-1].removeprefix(f'{QEMU}: ')}"
    current = int(served[1])
    if current > INTERFACES[-1] or interface != max(i for i in INTERFACES if i <= current):
        return f"its plugin interface {current} is not known"
    return ""


def _sources() -> list[Path]:
    """profile.c and what it includes."""
    folder = runtime_c() / "plugin"
    return [folder / "profile.c", *sorted(folder.glob("*.h"))]


def _key(interface: int, version: str, compiler: str) -> str:
    """Of everything that decides the compiled plugin, by value."""
    total = hashlib.sha256()
    words = [str(interface), version, compiler, platform.machine(), *_FLAGS]
    for part in (*(word.encode() for word in words), *(path.read_bytes() for path in _sources())):
        total.update(len(part).to_bytes(8, "little") + part)
    return total.hexdigest()


def _whole(path: Path) -> bool:
    """True when the file ends with the digest of what comes before, which the loader does not mind."""
    try:
        data = path.read_bytes()
    except OSError:
        return False
    return hashlib.sha256(data[:-_DIGEST_BYTES]).digest() == data[-_DIGEST_BYTES:]
