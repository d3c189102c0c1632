"""An exploration as a page: RAM, flash and cycles of every way, and the microcontrollers that hold it."""

from collections.abc import Sequence

from pingponnx.explore.outcome import Outcome, front
from pingponnx.explore.prepare import Exploration
from pingponnx.explore.shown import choice_rows, part_rows, peak_notes, verdict
from pingponnx.report.charts import Chart, Field, Spec, label, points, quantity
from pingponnx.report.page import page

_TEXT = ("", "dtype", "goal", "target", "level", "rounding", "fits", "part", "maker", "core", "fastest")


def explore_page(
    exploration: Exploration, outcomes: Sequence[Outcome], ram: int | None, flash: int | None
) -> str:
    """The text of an HTML file, which needs nothing else."""
    measured = [o for o in outcomes if not o.failed]
    charts = [
        Chart(f"{size}-{n}", f"{title} and cycles, {target}", _chart(measured, target, size, title))
        for n, target in enumerate(dict.fromkeys(o.choice.target for o in measured))
        for size, title in (("ram", "RAM"), ("flash", "Flash"))
    ]
    return page(
        "explore.html.j2",
        charts=True,
        title=f"Ways to build {label(exploration.name)}",
        verdict=verdict(outcomes, ram, flash),
        note=exploration.note,
        drawings=charts,
        choices=choice_rows(measured, ram, flash),
        peaks=list(peak_notes(measured)),
        parts_rows=part_rows(measured),
        text_columns=_TEXT,
    )


def _chart(measured: Sequence[Outcome], target: str, size: str, title: str) -> Spec:
    """Points of one target; those that are best in size and cycles alone are joined."""
    group = sorted((o for o in measured if o.choice.target == target), key=lambda o: o.cycles)
    best = {id(o) for o in front(group)}
    rows, least = [], None
    for outcome in group:
        amount = outcome.ram if size == "ram" else outcome.flash
        joined = least is None or amount < least
        least = amount if joined else least
        worth = "worth having" if id(outcome) in best else "beaten"
        rows.append(
            {
                size: amount,
                "cycles": outcome.cycles,
                "dtype": outcome.choice.dtype,
                "worth": worth,
                "way": str(outcome.choice),
                "front": joined,
                "above": int(id(outcome) in best),
            }
        )
    hints = (Field("way", "way"), quantity(size, f"{title}, bytes"), quantity("cycles", "cycles"))
    return points(
        rows,
        quantity("cycles", "modelled cycles"),
        quantity(size, f"{title}, bytes"),
        Field("dtype", "dtype"),
        Field("worth", "worth"),
        hints,
    )
