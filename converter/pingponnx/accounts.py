"""What a linked firmware weighs, and that prediction, link and execution agree about it."""

from dataclasses import dataclass
from typing import Any

from pingponnx.attribution import code_by_kernel
from pingponnx.build import Firmware, disassembly
from pingponnx.errors import MismatchError
from pingponnx.ledger import Entry, ledger
from pingponnx.memory_map import MemoryMap
from pingponnx.pipeline import Conversion
from pingponnx.stack import StackBound, parse_call_graph, read_function, stack_bound


@dataclass(frozen=True, slots=True)
class Accounts:
    """The byte ledger of an image, and the proven bound of the stack below its run function."""

    entries: tuple[Entry, ...]
    stack: StackBound

    def row(self) -> dict[str, Any]:
        """The `ledger` and `stack_bound` of a report."""
        return {
            "ledger": [
                {"memory": e.memory, "owner": e.owner, "what": e.what, "bytes": e.bytes} for e in self.entries
            ],
            "stack_bound": {
                "bytes": self.stack.bytes,
                "path": list(self.stack.path),
                "unbounded": list(self.stack.unbounded),
            },
        }


def account(conversion: Conversion, firmware: Firmware, measured_stack: int | None) -> Accounts:
    """Attribute every byte of a target's image.

    Raises MismatchError when the ledger does not sum to the map file, when the linked constants or arena
    are not the predicted ones, or when the stack went deeper than its bound.
    """
    prefix = conversion.entry.prefix
    kernels = code_by_kernel(firmware.path, f"{prefix}.c")
    entries = ledger(conversion.graph, conversion.plan, firmware.map, kernels, prefix, conversion.state)
    _check_tables(conversion, firmware.map)
    functions = parse_call_graph([firmware.call_graph])
    bound = stack_bound(
        functions, f"{prefix}_run", lambda name: read_function(name, disassembly(firmware, name))
    )
    if bound.bytes is not None and measured_stack is not None and measured_stack > bound.bytes:
        raise MismatchError(f"{prefix}: the stack used {measured_stack} bytes, the bound is {bound.bytes}")
    return Accounts(entries, bound)


def predicted_tables(conversion: Conversion) -> int:
    """Bytes of the constant tables that the calls name, equal ones counted once."""
    return sum(table.bytes for table in conversion.constants.values())


def _check_tables(conversion: Conversion, memory: MemoryMap) -> None:
    """What is predicted is linked: all tables in flash, the hot ones in RAM as well."""
    prefix = conversion.entry.prefix
    for place, rows, predicted in (
        ("flash", memory.flash, predicted_tables(conversion)),
        ("RAM", memory.ram, conversion.hot.bytes),
    ):
        linked = sum(row.bytes for row in rows if row.object == f"{prefix}_data.o" and row.is_model)
        if linked != predicted:
            raise MismatchError(
                f"{prefix}: {linked} bytes of constants are linked in {place}, {predicted} were predicted"
            )
