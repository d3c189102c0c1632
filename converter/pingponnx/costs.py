"""Exact counts from the profiler and modelled cycles, by node and by function; or why there are none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pingponnx.build import Firmware
from pingponnx.cycles import (
    BlockCycles,
    CycleModel,
    FlashModel,
    attribute,
    by_function,
    by_region,
    cycle_model,
    flash_cycles,
    read_image,
)
from pingponnx.errors import Error
from pingponnx.profile import OUTSIDE, FlashLines, Profile, available, profile

WAITS = "(waits for flash)"
"""What stands among the functions for the cycles of the flash model."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What a run of the model costs; instructions are exact, cycles are modelled.

    `nodes` has by node index the keys instructions, cycles, loads, stores, flash_bytes, unaligned.
    `functions` are the model's own and its libraries', most expensive first.
    """

    model: CycleModel
    flash: FlashModel | None
    instructions: int
    cycles: int
    nodes: Mapping[int, Mapping[str, int]]
    functions: Sequence[Mapping[str, Any]]

    def described(self) -> dict[str, Any]:
        """The `cycles_model` of a report: what has to stand next to every modelled number."""
        return {
            "name": self.model.name,
            "version": self.model.version,
            "error": self.model.error,
            "flash": self.flash.name if self.flash else None,
        }


def unavailable(firmware: Firmware) -> str:
    """Why there can be no cycles for a firmware; empty when there can."""
    if firmware.target.is_host:
        return "cycles are modelled for Cortex-M cores only"
    reason = available()
    if not reason:
        try:
            cycle_model(firmware.target)
        except Error as error:  # a core of the user's own, without a table
            reason = error.message
    return f"no modelled cycles: {reason}" if reason else ""


def costs(firmware: Firmware, sample: Sequence[bytes], flash: FlashModel | None = None) -> Costs:
    """Profile one sample on the very firmware that is measured, and price what it executed."""
    lines = FlashLines(flash.code_lines, flash.data_lines, flash.line_bytes) if flash else None
    found = profile(firmware, [sample], memory=True, flash_model=lines)
    model = cycle_model(firmware.target)
    rows = [row for row in attribute(model, read_image(firmware.path), found.blocks) if row.region != OUTSIDE]
    spent = by_region(rows)
    waits = {region: _waits(found, region, flash) for region in range(len(found.traffic))}
    nodes = {
        node: _node(found, found.region(node), spent.get(found.region(node), 0.0), waits)
        for node in range(found.nodes)
        if found.instructions(found.region(node))
    }
    executed = sum(found.instructions(region) for region in range(len(found.traffic)) if region != OUTSIDE)
    waiting = sum(cycles for region, cycles in waits.items() if region != OUTSIDE)
    return Costs(
        model, flash, executed, round(sum(spent.values()) + waiting), nodes, _functions(rows, waiting)
    )


def _waits(found: Profile, region: int, flash: FlashModel | None) -> float:
    """Cycles that a region waits for flash; none without a flash model."""
    traffic = found.traffic[region]
    if flash is None or traffic.code_misses is None or traffic.data_misses is None:
        return 0.0
    return flash_cycles(traffic.code_misses + traffic.data_misses, flash.cycles_per_miss)


def _node(found: Profile, region: int, spent: float, waits: Mapping[int, float]) -> dict[str, int]:
    traffic = found.traffic[region]
    return {
        "instructions": found.instructions(region),
        "cycles": round(spent + waits[region]),
        "loads": sum(place.loads for place in traffic.by_place.values()),
        "stores": sum(place.stores for place in traffic.by_place.values()),
        "flash_bytes": traffic.by_place["flash"].load_bytes,
        "unaligned": traffic.unaligned,
    }


def _functions(rows: Sequence[BlockCycles], waiting: float) -> list[dict[str, Any]]:
    """Functions over the whole run, kernels inlined into the run function under its name.

    Waits for flash are counted by node, not by function: they are a line of their own.
    """
    totals: dict[str, tuple[int, float]] = {WAITS: (0, waiting)} if waiting else {}
    for function in by_function(rows):
        instructions, spent = totals.get(function.function, (0, 0.0))
        totals[function.function] = instructions + function.instructions, spent + function.cycles
    ordered = sorted(totals.items(), key=lambda item: (-item[1][1], item[0]))
    return [{"name": n, "instructions": i, "cycles": round(c)} for n, (i, c) in ordered]
