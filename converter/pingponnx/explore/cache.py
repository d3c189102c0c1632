"""Finished measurements on disk, so that nothing is measured twice and nothing finished is lost."""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from pingponnx import cmsis
from pingponnx._paths import runtime_c
from pingponnx.build import compiler_version
from pingponnx.measure import tool_versions
from pingponnx.output import write_file
from pingponnx.targets import Target


class Cache:
    """One file a result, by key, in the user's cache folder: a digest, and JSON that has it.

    Files appear complete or not at all; one that is damaged is no result.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cmsis.cache_folder() / "explore"

    def get(self, key: str) -> dict[str, Any] | None:
        """The result; None when there is none, or its file is not what was written."""
        try:
            noted, _, data = self._path(key).read_bytes().partition(b"\n")
        except OSError:
            return None
        if noted != digest(data).encode():
            return None
        result: dict[str, Any] = json.loads(data)
        return result

    def put(self, key: str, result: dict[str, Any]) -> None:
        data = (json.dumps(result, indent=1, sort_keys=True) + "\n").encode()
        write_file(self._path(key), digest(data).encode() + b"\n" + data)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.result"


def digest(*parts: bytes) -> str:
    """SHA-256 over parts, each with its length, so that no two lists of parts look the same."""
    total = hashlib.sha256()
    for part in parts:
        total.update(len(part).to_bytes(8, "little") + part)
    return total.hexdigest()


def tools(target: Target) -> str:
    """Everything besides model and options that decides a measurement: versions, and the converter itself."""
    versions = json.dumps(tool_versions(compiler_version(target), None), sort_keys=True)
    return digest(versions.encode(), *_converter())


@cache
def _converter() -> tuple[bytes, ...]:
    """Digests of the converter's files, which change without its version while it is developed."""
    package = Path(__file__).resolve().parents[1]
    files = [p for root in (package, runtime_c()) for p in sorted(root.rglob("*")) if _counts(p)]
    return tuple(hashlib.sha256(p.name.encode() + b"\0" + p.read_bytes()).digest() for p in files)


def _counts(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts
