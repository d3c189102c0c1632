"""The shipped table of microcontrollers, `parts.toml`."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pingponnx.explore.outcome import Outcome

_KIB = 1024


@dataclass(frozen=True, slots=True)
class Part:
    """A microcontroller: `core` is a target, sizes are bytes, `source` the document that says so.
    `compared`: a second source says the same."""

    name: str
    maker: str
    core: str
    flash: int
    ram: int
    source: str
    compared: bool

    def best(self, outcomes: Iterable[Outcome]) -> Outcome | None:
        """The fastest outcome for its core that it can hold."""
        fitting = [o for o in outcomes if o.choice.target == self.core and o.fits(self.ram, self.flash)]
        return min(fitting, key=lambda o: (o.cycles, o.ram, o.flash), default=None)


@cache
def load_parts() -> tuple[Part, ...]:
    """The table, the smallest parts first."""
    text = Path(__file__).with_name("parts.toml").read_text(encoding="utf-8")
    rows = tomllib.loads(text)["parts"]
    parts = [
        Part(name, maker, core, flash * _KIB, ram * _KIB, source, compared)
        for name, maker, core, flash, ram, source, compared in rows
    ]
    return tuple(sorted(parts, key=lambda p: (p.ram, p.flash, p.name)))
