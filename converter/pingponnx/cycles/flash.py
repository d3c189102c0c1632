"""What flash memory with wait states adds, from misses of its line buffers: fitted on one board only."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pingponnx.errors import Error
from pingponnx.targets import BUILT_IN


@dataclass(frozen=True, slots=True)
class FlashModel:
    """Line buffers in front of the flash, and what a miss costs; the lines are what the plugin simulates."""

    name: str
    code_lines: int
    data_lines: int
    line_bytes: int
    cycles_per_miss: float
    source: str = ""

    def __post_init__(self) -> None:
        if self.line_bytes <= 0 or self.line_bytes & (self.line_bytes - 1):
            raise ValueError(f"flash {self.name}: line_bytes must be a power of two, not {self.line_bytes}")
        if min(self.code_lines, self.data_lines, self.cycles_per_miss) < 0:
            raise ValueError(f"flash {self.name}: lines and cycles cannot be negative")


def flash_cycles(misses: int, cycles_per_miss: float) -> float:
    """The cycles that the core waits for flash, added to those without wait states."""
    return misses * cycles_per_miss


def get_flash_model(name: str, extra: Path | None = None) -> FlashModel:
    """The entry flash.<name> of the built-in targets or of the user's file."""
    models: dict[str, FlashModel] = {}
    for path in (BUILT_IN, extra) if extra else (BUILT_IN,):
        models |= _read(path)
    if name not in models:
        raise Error(f"there is no flash model {name!r}", f"flash models: {', '.join(sorted(models))}")
    return models[name]


def _read(path: Path) -> dict[str, FlashModel]:
    try:
        tables: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8")).get("flash", {})
        return {name: FlashModel(name=name, **table) for name, table in tables.items()}
    except OSError as error:
        raise Error(f"cannot read the targets file {path}: {error.strerror}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise Error(
            f"the targets file {path} is malformed: {error}", f"{BUILT_IN.name} shows the format"
        ) from error
