"""How the test harness knows a generated model: where inputs and outputs are, and what to call."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pingponnx.errors import Error

ARENA = "pingponnx_arena"
"""The harness's object that is the arena; with banks each has one, ARENA_bank."""

STATE = "pingponnx_state"
"""The harness's object that is the state of a run with fed rows when the arena is not in it but in banks."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Entry:
    """How a generated model is called: inputs and outputs are (offset, bytes) in its arena.

    An input without an offset is the caller's, and an argument of the call. `banks` are names and bytes of
    the memories that follow each other in the arena; none: it is in one piece. The call's first argument
    is a <prefix>_<handle>, where a "state" is an arena and what else a run needs.
    """

    prefix: str
    inputs: tuple[tuple[int | None, int], ...]
    outputs: tuple[tuple[int, int], ...]
    nodes: int
    banks: tuple[tuple[str, int], ...] = ()
    handle: str = "arena"

    def __post_init__(self) -> None:
        if not _IDENTIFIER.fullmatch(self.prefix):
            raise Error(f"the prefix {self.prefix!r} is not a C identifier")

    @property
    def memories(self) -> tuple[str, ...]:
        """What each memory is called that the harness watches the end of."""
        return tuple(f"bank {name}" for name, _ in self.banks) or ("arena",)


def harness_model(entry: Entry) -> str:
    """The header through which the harness knows the model; the macros that it uses are memory.h's."""
    given = [(i, size) for i, (offset, size) in enumerate(entry.inputs) if offset is None]
    arguments = ["&PINGPONNX_HANDLE", *(f"(const void *)pingponnx_input_{i}" for i, _ in given)]
    lines = [
        "/* Written by pingponnx for the harness. */",
        f'#include "{entry.prefix}.h"',
        f"#define PINGPONNX_RUN {entry.prefix}_run",
        f"#define PINGPONNX_NODES {max(entry.nodes, 1)}u",
        f"#define PINGPONNX_ARGUMENTS {', '.join(arguments)}",
        *_memories(entry),
        *(f"static _Alignas(8) uint8_t pingponnx_input_{i}[{max(size, 1)}];" for i, size in given),
        *_ports(entry, "inputs", entry.inputs),
        *_ports(entry, "outputs", entry.outputs),
    ]
    return "\n".join(lines) + "\n"


def _memories(entry: Entry) -> Iterator[str]:
    """The objects that are the arena, and what the call gets of them."""
    names = [f"{ARENA}_{name}" for name, _ in entry.banks] or [ARENA]
    types = [name for name, _ in entry.banks] or [entry.handle]
    for name, kind in zip(names, types, strict=True):
        yield f"MEMORY({entry.prefix}_{kind}, {name});"
    yield f"static const struct memory memories[] = {{{', '.join(f'WATCHED({name})' for name in names)}}};"
    if not entry.banks:
        yield f"#define PINGPONNX_HANDLE PLACE({ARENA})"
        return
    places = f"{{{', '.join(f'&PLACE({name})' for name in names)}}}"
    if entry.handle == "state":
        yield f"static {entry.prefix}_state {STATE} = {{.arena = {places}}};"
        yield f"#define PINGPONNX_HANDLE {STATE}"
    else:
        yield f"static const {entry.prefix}_arena pingponnx_banks = {places};"
        yield "#define PINGPONNX_HANDLE pingponnx_banks"


def _ports(entry: Entry, name: str, blocks: Sequence[tuple[int | None, int]]) -> Iterator[str]:
    """A table of addresses and sizes, and the proof that none leaves its memory."""
    checks: list[str] = []
    yield f"static const struct port pingponnx_{name}[] = {{"
    for i, (offset, size) in enumerate(blocks):
        if offset is None:
            yield f"    {{pingponnx_input_{i}, {size}u}},"
            continue
        bank, start = _home(entry, offset)
        place = f"{ARENA}_{bank}" if bank else ARENA
        yield f"    {{(uint8_t *)&PLACE({place}) + {offset - start}u, {size}u}},"
        limit = f"sizeof({entry.prefix}_{bank or 'arena'})"
        checks.append(f'_Static_assert({offset - start}u + {size}u <= {limit}, "leaves the arena");')
    if not blocks:
        yield "    {NULL, 0u},"
    yield "};"
    yield from checks


def _home(entry: Entry, offset: int) -> tuple[str, int]:
    """Name and start of the bank that a byte of the arena lies in."""
    found, start = ("", 0), 0
    for name, size in entry.banks:
        if start <= offset:
            found = (name, start)
        start += size
    return found
