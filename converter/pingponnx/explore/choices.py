"""What can be chosen: every combination is one way to build a model."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product

from pingponnx.errors import Error
from pingponnx.fixed_point import Rounding
from pingponnx.select import Goal

DTYPES = ("float32", "int8")
LEVELS = ("O3", "O2", "Os")
_LEVELS = ("O1", *LEVELS)


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to build a model; `level` is gcc's, without the hyphen."""

    dtype: str
    goal: Goal
    target: str
    level: str
    rounding: Rounding

    @property
    def settings(self) -> dict[str, str]:
        """The choice as text, for keys and for JSON."""
        rounding = str(self.rounding) if self.dtype == "int8" else "-"
        return {
            "dtype": self.dtype,
            "goal": str(self.goal),
            "target": self.target,
            "level": self.level,
            "rounding": rounding,
        }

    def __str__(self) -> str:
        return " ".join(text for text in self.settings.values() if text != "-")


@dataclass(frozen=True, slots=True)
class Space:
    """All combinations of what is given; float32 has no rounding, so that it is tried once."""

    dtypes: tuple[str, ...] = DTYPES
    goals: tuple[Goal, ...] = tuple(Goal)
    targets: tuple[str, ...] = ("cortex-m4",)
    levels: tuple[str, ...] = LEVELS
    roundings: tuple[Rounding, ...] = tuple(Rounding)

    def __post_init__(self) -> None:
        _known("dtype", self.dtypes, DTYPES)
        _known("optimisation level", self.levels, _LEVELS)

    def choices(self) -> Iterator[Choice]:
        for target, dtype in product(self.targets, self.dtypes):
            roundings = self.roundings if dtype == "int8" else self.roundings[:1]
            for goal, level, rounding in product(self.goals, self.levels, roundings):
                yield Choice(dtype, goal, target, level, rounding)


def _known(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    for name in given:
        if name not in known:
            raise Error(f"unknown {what} {name!r}", f"choose of: {', '.join(known)}")
