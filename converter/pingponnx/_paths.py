"""Where the C files that come with the package are.

A wheel carries them in `pingponnx/_c`; in a checkout they are at the top of the repository.
"""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def runtime_c() -> Path:
    """The folder of the kernels, with the ports in `port/`."""
    return _find("runtime_c")


def kernel_headers() -> frozenset[str]:
    """The names, without suffix, of all headers that generated code may include."""
    folders = (runtime_c(), runtime_c() / "port", cmsis_baseline())
    return frozenset(header.stem for folder in folders for header in folder.glob("*.h"))


def cmsis_baseline() -> Path:
    """The folder of the glue that calls CMSIS-NN."""
    return _find("cmsis_baseline")


def _find(name: str) -> Path:
    bundled = _PACKAGE / "_c" / name
    return bundled if bundled.is_dir() else _PACKAGE.parents[1] / name
