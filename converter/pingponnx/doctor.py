"""What is installed, in which version, and how to get what is missing."""

import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from pingponnx import cmsis
from pingponnx.build import compiler_version
from pingponnx.errors import Error
from pingponnx.run import qemu_version
from pingponnx.targets import get_target

_PACKAGES = ("onnx", "onnxruntime", "numpy", "jinja2", "typer", "rich", "pandas")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that pingponnx uses; `version` is None when it is missing, `hint` says how to get it."""

    name: str
    version: str | None
    hint: str = ""


def examine(cmsis_nn: Path | None = None) -> list[Finding]:
    """Look for every tool; never raises for a missing one."""
    findings = [Finding(name, metadata.version(name)) for name in _PACKAGES]
    findings += [_compiler("cortex-m4"), _compiler("host")]
    findings.append(Finding("qemu-system-arm", qemu_version(), "apt-get install qemu-system-arm"))
    try:
        library = cmsis.find(cmsis_nn)
        findings.append(Finding("CMSIS-NN", f"{library.version} ({library.source})"))
    except Error as error:
        findings.append(Finding("CMSIS-NN", None, error.hint))
    return findings


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
