"""Cores and boards as data: `targets.toml`, and files of the same format that users pass."""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pingponnx.errors import Error

HOST = "host"
BUILT_IN = Path(__file__).with_name("targets.toml")

# QEMU's -icount shift: every instruction takes 2^8 ns of virtual time. Larger gives a finer reading but
# more virtual time, and 10 is QEMU's limit.
ICOUNT_SHIFT = 8

_NANOSECONDS = 1_000_000_000
_FEATURES = ("dsp", "mve", "fpu")


@dataclass(frozen=True, slots=True)
class Memory:
    """A range of addresses."""

    origin: int
    length: int


@dataclass(frozen=True, slots=True)
class Counter:
    """The registers that virtual time is read from: ticks of `hz`, and a coarse one at 100 Hz."""

    ticks: int
    centiseconds: int
    hz: int

    def __post_init__(self) -> None:
        if self.hz <= 0 or _NANOSECONDS % self.hz or self.hz % 100:
            raise Error(
                f"a counter of {self.hz} Hz cannot count instructions",
                "its period must be a whole number of nanoseconds, and hz a multiple of 100",
            )
        if 2 * (_NANOSECONDS // self.hz) >= 1 << ICOUNT_SHIFT:
            raise Error(
                f"a counter of {self.hz} Hz is too slow to tell single instructions apart",
                f"a tick must be shorter than {(1 << ICOUNT_SHIFT) // 2} ns",
            )


@dataclass(frozen=True, slots=True)
class Board:
    """A machine of QEMU. Without `vectors` the vector table is at the start of flash."""

    machine: str
    flash: Memory
    ram: Memory
    vectors: Memory | None
    counter: Counter


@dataclass(frozen=True, slots=True)
class Target:
    """A core with its compiler flags and features, on a board; `host` has none."""

    name: str
    flags: tuple[str, ...]
    dsp: bool
    mve: bool
    fpu: bool
    board: Board | None
    flash_model: str | None = None  # of its memory with wait states, see cycles.FlashModel
    code_buffer: int | None = None  # bytes of code that are fetched without waiting; None: all

    @property
    def is_host(self) -> bool:
        return self.board is None


def load_targets(extra: Path | None = None) -> Mapping[str, Target]:
    """The built-in targets, and those of the user's file, which may use the built-in boards."""
    boards, targets = _read(BUILT_IN, {})
    if extra is not None:
        _, more = _read(extra, boards)
        targets |= more
    return MappingProxyType(targets)


def get_target(name: str, extra: Path | None = None) -> Target:
    """The target of that name; an Error that names the nearest ones when there is none."""
    targets = _built_in() if extra is None else load_targets(extra)
    if name not in targets:
        raise Error(f"there is no target {name!r}", _suggest(name, targets))
    return targets[name]


@cache
def _built_in() -> Mapping[str, Target]:
    return load_targets()


def _suggest(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    question = f"did you mean {near[0]!r}? " if near else ""
    return f"{question}targets: {', '.join(names)}"


def _read(path: Path, known: Mapping[str, Board]) -> tuple[dict[str, Board], dict[str, Target]]:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        boards = dict(known)
        for name, table in data.get("boards", {}).items():
            boards[name] = _board(name, table)
        targets = {name: _target(name, table, boards) for name, table in data.get("targets", {}).items()}
    except OSError as error:
        raise Error(f"cannot read the targets file {path}: {error.strerror}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"missing entry {error}" if isinstance(error, KeyError) else str(error)
        raise Error(
            f"the targets file {path} is malformed: {what}",
            f"{BUILT_IN} shows the format",
        ) from error
    return boards, targets


def _board(name: str, table: Mapping[str, Any]) -> Board:
    memory = {region: Memory(**values) for region, values in table["memory"].items()}
    return Board(
        machine=table.get("machine", name),
        flash=memory["flash"],
        ram=memory["ram"],
        vectors=memory.get("vectors"),
        counter=Counter(**table["counter"]),
    )


def _target(name: str, table: Mapping[str, Any], boards: Mapping[str, Board]) -> Target:
    features = table.get("features", [])
    unknown = sorted(set(features) - set(_FEATURES))
    if unknown:
        raise ValueError(f"target {name}: unknown features {unknown}, known are {list(_FEATURES)}")
    board = table.get("board")
    if board is None and name != HOST:
        raise ValueError(f"target {name}: needs a board")
    if board is not None and board not in boards:
        raise ValueError(f"target {name}: there is no board {board!r}")
    return Target(
        name=name,
        flags=tuple(table.get("flags", ())),
        dsp="dsp" in features,
        mve="mve" in features,
        fpu="fpu" in features,
        board=None if board is None else boards[board],
        flash_model=table.get("flash_model"),
    )
