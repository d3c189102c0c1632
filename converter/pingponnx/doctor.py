"""What is installed, in which version, and how to get what is missing."""

import re
import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from pingponnx import cmsis
from pingponnx.build import compiler_version
from pingponnx.errors import Error
from pingponnx.run import qemu_version
from pingponnx.targets import get_target

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_EXTRA = re.compile(r"""extra == ["'](.+?)["']""")
_DEVELOPMENT = "dev"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that pingponnx uses; `version` is None when it is missing, `hint` says how to get it.

    Without what is not `needed` only some options are missing.
    """

    name: str
    version: str | None
    hint: str = ""
    needed: bool = True


def examine(cmsis_nn: Path | None = None) -> list[Finding]:
    """Look for every tool; never raises for a missing one."""
    findings = [_package(text) for text in _requirements()]
    findings += [_compiler("cortex-m4"), _compiler("host")]
    findings.append(Finding("qemu-system-arm", qemu_version(), "apt-get install qemu-system-arm"))
    try:
        library = cmsis.find(cmsis_nn)
        findings.append(Finding("CMSIS-NN", f"{library.version} ({library.source})"))
    except Error as error:
        findings.append(Finding("CMSIS-NN", None, error.hint))
    return findings


def _requirements() -> list[str]:
    """What pyproject.toml lists, as far as it is for users, each with its condition."""
    return [text for text in metadata.requires("pingponnx") or () if _extra(text) != _DEVELOPMENT]


def _extra(requirement: str) -> str | None:
    found = _EXTRA.search(requirement)
    return found[1] if found else None


def _package(requirement: str) -> Finding:
    found, extra = _NAME.match(requirement), _extra(requirement)
    assert found is not None
    wanted = f"pingponnx[{extra}]" if extra else requirement
    try:
        version = metadata.version(found[0])
    except metadata.PackageNotFoundError:
        version = None
    return Finding(found[0], version, f"pip install '{wanted}'", needed=extra is None)


def _compiler(target: str) -> Finding:
    name = "cc" if target == "host" else "arm-none-eabi-gcc"
    try:
        return Finding(
            name, compiler_version(get_target(target)) if shutil.which(name) else None, _HINTS[name]
        )
    except Error as error:
        return Finding(name, None, error.hint)


_HINTS = {
    "cc": "apt-get install gcc",
    "arm-none-eabi-gcc": "apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi",
}
