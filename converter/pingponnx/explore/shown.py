"""An exploration for people: the Pareto set, what fits, and what sets the peak."""

from collections.abc import Iterator, Sequence
from typing import Any

from pingponnx.explore.outcome import Outcome, front, peak_lines
from pingponnx.explore.parts import Part, load_parts
from pingponnx.names import counted


def result(name: str, outcomes: Sequence[Outcome], ram: int | None, flash: int | None) -> dict[str, Any]:
    """The JSON of `explore`: every outcome, and which of them are worth having."""
    measured = [o for o in outcomes if not o.failed]
    best = {id(o) for o in front(measured)}
    rows = [o.row() | {"front": id(o) in best, "fits": not o.failed and o.fits(ram, flash)} for o in outcomes]
    fitting = [(part, part.best(measured)) for part in asked(measured)]
    parts = [
        {
            "part": p.name,
            "maker": p.maker,
            "core": p.core,
            "ram": p.ram,
            "flash": p.flash,
            "source": p.source,
            "compared": p.compared,
        }
        | {"choice": o.choice.settings if o else None}
        for p, o in fitting
    ]
    return {"model": name, "outcomes": rows, "parts": parts}


def asked(measured: Sequence[Outcome]) -> list[Part]:
    """The parts whose core was measured."""
    cores = {o.choice.target for o in measured}
    return [part for part in load_parts() if part.core in cores]


def choice_rows(outcomes: Sequence[Outcome], ram: int | None, flash: int | None) -> list[dict[str, str]]:
    """A table of measured choices, by target and cycles; the Pareto set is starred."""
    best = {id(o) for o in front(outcomes)}
    ordered = sorted(outcomes, key=lambda o: (o.choice.target, o.cycles, o.ram, o.flash))
    return [
        {
            "": "*" if id(o) in best else " ",
            **o.choice.settings,
            "RAM": f"{o.ram:,}",
            "flash": f"{o.flash:,}",
            "cycles": f"{o.cycles:,}",
            "top-1": "n/a" if o.agreement is None else f"{100 * o.agreement:.1f} %",
            "fits": "yes" if o.fits(ram, flash) else "-",
        }
        for o in ordered
    ]


def part_rows(measured: Sequence[Outcome]) -> list[dict[str, str]]:
    """The parts that hold the model, each with the fastest choice for it."""
    fitting = [(part, part.best(measured)) for part in asked(measured)]
    return [
        {
            "part": part.name,
            "maker": part.maker,
            "core": part.core,
            "RAM KiB": f"{part.ram // 1024:,}",
            "RAM used": f"{100 * o.ram / part.ram:.1f} %",
            "flash KiB": f"{part.flash // 1024:,}",
            "flash used": f"{100 * o.flash / part.flash:.1f} %",
            "fastest": str(o.choice),
            "cycles": f"{o.cycles:,}",
        }
        for part, o in fitting
        if o is not None
    ]


def peak_notes(measured: Sequence[Outcome]) -> Iterator[str]:
    """For each target and dtype the smallest choice, what fills its arena, and what would take less."""
    groups = dict.fromkeys((o.choice.target, o.choice.dtype) for o in measured)
    for target, dtype in groups:
        group = [o for o in measured if (o.choice.target, o.choice.dtype) == (target, dtype)]
        least = min(group, key=lambda o: (o.ram, o.cycles))
        arena = least.result["ram"]["arena"]
        yield f"{least.choice}: {least.ram:,} B of RAM, arena {arena:,} ({least.result['strategy']})"
        yield f"  at its fullest: {', '.join(peak_lines(least)) or 'nothing'}"
        fed = least.result["strategies"].get("row_fed")
        if fed is not None and fed < arena:
            yield f"  with --input rows the arena would take {fed:,} B"


def verdict(outcomes: Sequence[Outcome], ram: int | None, flash: int | None) -> str:
    """One line that sums up."""
    measured = [o for o in outcomes if not o.failed]
    parts, failed = asked(measured), len(outcomes) - len(measured)
    held = sum(part.best(measured) is not None for part in parts)
    cached = sum(o.cached for o in outcomes)
    texts = [
        f"{counted(len(measured), 'way')} measured ({cached} of them before)",
        f"{len(front(measured))} worth having",
    ]
    if ram is not None or flash is not None:
        texts.append(f"{sum(o.fits(ram, flash) for o in measured)} within the budgets")
    texts.append(f"fits {held} of {len(parts)} listed parts")
    return ", ".join([*texts, *([f"{failed} failed"] if failed else [])])
