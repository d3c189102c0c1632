"""Every byte of RAM and flash in a linked firmware, attributed; the rows sum to the map file exactly."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pingponnx.errors import MismatchError
from pingponnx.ir import Graph
from pingponnx.memory_map import FILL, MemoryMap, Row
from pingponnx.plan import Plan

_NODE_SYMBOL = re.compile(r"(?:^|_)n(\d+)_")
_C_LIBRARIES = ("libc", "libm", "libgcc", "crt")


@dataclass(frozen=True, slots=True)
class Entry:
    """Bytes of one owner: `what` is a node, a kernel, a tensor, an archive member..."""

    memory: str  # flash or ram
    owner: str
    what: str
    bytes: int


def ledger(
    graph: Graph, plan: Plan, memory: MemoryMap, kernels: Mapping[str, int], prefix: str, state: int = 0
) -> tuple[Entry, ...]:
    """The ledger of a linked firmware.

    `kernels` gives bytes of the model's own code by kernel (see `attribution.py`), `state` those that
    tell how far fed rows have come. Raises MismatchError when the rows do not sum to the map file, or
    the linked arena or state is not the planned one.
    """
    totals: Counter[tuple[str, str, str]] = Counter()
    for row in memory.flash:
        totals["flash", *_owner(row, graph, prefix)] += row.bytes
    for row in memory.ram:
        if not row.is_memory:
            totals["ram", *_owner(row, graph, prefix)] += row.bytes
    _split_code(totals, kernels)
    _check_arena(plan, memory, state)
    totals["ram", "state", "rows fed so far"] = state
    for (owner, what), count in _arena(plan).items():
        totals["ram", owner, what] += count
    entries = tuple(Entry(*key, count) for key, count in sorted(totals.items()) if count)
    _check(entries, memory)
    return entries


def _owner(row: Row, graph: Graph, prefix: str) -> tuple[str, str]:
    """(owner, what) of a row of the map file."""
    if row.object == FILL:
        return "alignment", row.section
    if row.harness:
        return "startup and harness", row.object
    archive = row.object.partition("(")[0]
    if archive.startswith(_C_LIBRARIES):
        return "C library", row.object
    if "(" in row.object:
        return "CMSIS-NN", row.object.partition("(")[2].rstrip(")")
    if row.kind == "code":
        return "code", row.name
    symbol = _NODE_SYMBOL.search(row.name.removeprefix(prefix))
    owner = "constants" if row.kind == "constants" else "data"
    return owner, graph.nodes[int(symbol[1])].name if symbol else row.name


def _split_code(totals: Counter[tuple[str, str, str]], kernels: Mapping[str, int]) -> None:
    """Replace the code of the run function, into which kernels are inlined, by its parts."""
    own = [key for key in totals if key[:2] == ("flash", "code")]
    rest = sum(totals[key] for key in own) - sum(kernels.values())
    if not kernels or rest < 0:
        return
    for key in own:
        del totals[key]
    for kernel, count in {**kernels, "padding of functions": rest}.items():
        totals["flash", "code", kernel] += count


def _check_arena(plan: Plan, memory: MemoryMap, state: int) -> None:
    """A state has the arena in it, unless that is in banks."""
    planned = {bank.name: bank.bytes for bank in plan.banks if bank.bytes} or {"": plan.arena + state}
    for name, size in planned.items():
        if memory.arenas.get(name) != size:
            what = f"arena in bank {name}" if name else "arena"
            raise MismatchError(f"the linked {what} has {memory.arenas.get(name)} bytes, the plan {size}")
    if memory.state != (state if plan.banks else 0):
        raise MismatchError(f"the linked state has {memory.state} bytes, {state} were predicted")


def _arena(plan: Plan) -> Counter[tuple[str, str]]:
    """The arena's bytes at the step with most of them in use, by bank and block; overlaid ones count once."""
    steps = sorted({b.first for b in plan.blocks} | {0})
    owners = [_owners_at(plan, step) for step in steps]
    best = max(owners, key=lambda names: sum(n is not None for n in names), default=[])
    found: Counter[tuple[str, str]] = Counter()
    for offset, name in enumerate(best):
        bank = plan.bank_of(offset)
        found[f"bank {bank.name}" if bank else "arena", name or "not in use at the peak"] += 1
    return found


def _owners_at(plan: Plan, step: int) -> list[str | None]:
    names: list[str | None] = [None] * plan.arena
    for b in plan.blocks:
        if b.first <= step <= b.last:
            names[b.offset : b.offset + b.bytes] = [b.name] * b.bytes
    return names


def _check(entries: Iterable[Entry], memory: MemoryMap) -> None:
    for name, rows in (("flash", memory.flash), ("ram", memory.ram)):
        listed = sum(e.bytes for e in entries if e.memory == name)
        linked = sum(row.bytes for row in rows)
        if listed != linked:
            raise MismatchError(f"the {name} ledger has {listed} bytes, the map file {linked}")
