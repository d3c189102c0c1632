"""The blocks of a chosen schedule in several memories."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pingponnx.errors import BudgetError, Error
from pingponnx.ir import Graph
from pingponnx.plan.assemble import Candidate
from pingponnx.plan.placement import Effort, NoRoom, bank_starts, place
from pingponnx.plan.schedule import Bank
from pingponnx.plan.stages import roots_of

_HINT = "`pingponnx plan` lists the blocks by name"


def in_banks(
    found: Candidate, banks: Sequence[tuple[str, int]], pins: Mapping[str, int], effort: Effort
) -> tuple[Candidate, tuple[Bank, ...]]:
    """The blocks of a candidate in banks of these names and capacities; `pins`: tensor -> bank it must be in.

    Bank follows bank without a gap: an offset counts through what is used of each. Raises BudgetError
    when no placement was found.
    """
    nowhere = pins.keys() - {key.name for key in found.layout.blocks if key.kind != "scratch"}
    if nowhere:
        raise Error(f"cannot pin {min(nowhere)!r}: it does not lie in the arena", _HINT)
    grain = found.layout.alignment
    capacities = tuple(size // grain * grain for _, size in banks)
    problem = found.layout.problem(banks=capacities, pins=pins)
    try:
        solution = place(problem, effort=effort)
    except NoRoom as full:
        key, size = list(found.layout.blocks)[full.item], problem.items[full.item].bytes
        name, capacity = banks[full.bank]
        beside = " beside the others" if size <= capacity else ""
        message = (
            f"bank {name} of {capacity:,} bytes has no room for {key.kind} {key.name!r} of {size:,} bytes"
        )
        raise BudgetError(f"{message}{beside}", full.hint) from None
    starts = bank_starts(problem)[:-1]
    homes = [max(i for i, start in enumerate(starts) if start <= offset) for offset in solution.offsets]
    used, placed, offsets = 0, [], list(solution.offsets)
    for i, ((name, capacity), start) in enumerate(zip(banks, starts, strict=True)):
        here = [k for k, home in enumerate(homes) if home == i]
        end = max((offsets[k] + problem.items[k].bytes for k in here), default=start)
        placed.append(Bank(name, used, -(-(end - start) // grain) * grain, capacity))
        for k in here:
            offsets[k] += used - start
        used += placed[-1].bytes
    return replace(found, solution=replace(solution, offsets=tuple(offsets), arena=used)), tuple(placed)


def pinned(graph: Graph, wanted: Mapping[str, str], banks: Sequence[str]) -> dict[str, int]:
    """Tensors to pin, called as in the ONNX file or as here, by the tensors whose bytes they are."""
    roots = roots_of(graph)
    # what a pass made of a tensor is called tensor@pass
    names = {name.partition("@")[0]: name for name in roots}
    names |= {port.name: name for name, port in graph.ports.items()} | {name: name for name in roots}
    found: dict[str, int] = {}
    for tensor, bank in wanted.items():
        if tensor not in names:
            what = f"cannot pin {tensor!r}: no activation of {graph.name} is called that"
            raise Error(what, _HINT)
        found[roots[names[tensor]]] = banks.index(bank)
    return found
