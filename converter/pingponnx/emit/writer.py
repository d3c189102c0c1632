"""Calls as C text, and the constants that they need."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pingponnx.calls import (
    Accumulator,
    Argument,
    Call,
    First,
    Input,
    Inputs,
    Last,
    Local,
    Output,
    OutputRow,
    Part,
    RowPointers,
    RowValues,
    Scratch,
    ScratchBytes,
    Struct,
    Table,
)
from pingponnx.constants import Constant, Key, key_of
from pingponnx.emit.literals import number, struct
from pingponnx.emit.places import Places
from pingponnx.ir import Array, DType, Node, Tensor


@dataclass(frozen=True)
class Unit:
    """The C expressions of a unit of a row-wise kernel (see calls.Rows)."""

    inputs: dict[int, str]  # rows, by the node's inputs
    output: str
    output_row: str
    part: str
    first: str
    last: str


@dataclass
class Writer:
    """Turns calls into C, collecting parameter structs."""

    places: Places
    prefix: str
    constants: Mapping[Key, Constant]
    structs: dict[str, str] = field(default_factory=dict)  # by name

    def whole(self, index: int, node: Node, call: Call) -> tuple[list[str], str]:
        """Declarations and the call that makes a node's whole output."""
        declarations: list[str] = []
        texts = [self._argument(a, index, node, call, declarations) for a in call.arguments]
        return declarations, f"{call.function}({', '.join(texts)})"

    def unit(self, index: int, node: Node, call: Call, unit: Unit) -> tuple[list[str], str]:
        """Declarations and the call of a unit; input rows that `unit` has are pointers already."""
        assert call.rows is not None
        declarations: list[str] = []
        texts = [
            self._unit_argument(a, unit, index, node, declarations)
            or self._argument(a, index, node, call, declarations)
            for a in call.rows.arguments
        ]
        return declarations, f"{call.rows.function}({', '.join(texts)})"

    def _unit_argument(
        self, argument: Argument, unit: Unit, index: int, node: Node, before: list[str]
    ) -> str | None:
        """What only row-wise kernels have; None for what all kernels have."""
        tensors = self.places.graph.tensors
        match argument:
            case Input(i) | RowPointers(i) if i in unit.inputs:
                return unit.inputs[i]
            case Inputs(ctype):
                pointers = [unit.inputs.get(i) or self._read(tensors[n]) for i, n in enumerate(node.inputs)]
                return _array(ctype, pointers, before)
            case Output():
                return unit.output
            case OutputRow():
                return unit.output_row
            case Part():
                return unit.part
            case First():
                return unit.first
            case Last():
                return unit.last
            case RowValues(i):
                name = node.inputs[i]
                return str(self.places.extent(name).row_bytes // tensors[name].dtype.bytes)
            case _:
                return None

    def _argument(self, argument: Argument, index: int, node: Node, call: Call, before: list[str]) -> str:
        places, tensors = self.places, self.places.graph.tensors
        match argument:
            case Input(i):
                return self._read(tensors[node.inputs[i]])
            case Output(i):
                tensor = tensors[node.outputs[i]]
                return f"({tensor.dtype.c} *)({places.whole(tensor.name)})"
            case Inputs(ctype):
                pointers = [self._read(tensors[n]) for n in node.inputs]
                return _array(ctype, pointers, before)
            case Table(_, data):
                return "NULL" if data is None else self._table(data)
            case Struct(ctype, fields):
                return self._struct(ctype, fields, index)
            case Local(ctype, count):
                before.append(f"{ctype}rows[{count}];" if ctype.endswith("*") else f"{ctype} work[{count}];")
                return "rows" if ctype.endswith("*") else "work"
            case Scratch():
                return places.at(places.memory.scratch[index]) if call.scratch else "NULL"
            case ScratchBytes():
                return str(call.scratch)
            case Accumulator():
                ctype = "float" if tensors[node.outputs[0]].dtype is DType.F32 else "int32_t"
                return f"({ctype} *)({places.at(places.memory.accumulators[index])})"
            case int() | float():
                return number(argument)
            case _:
                raise TypeError(f"{argument} is not an argument of a whole call")

    def _read(self, tensor: Tensor) -> str:
        if tensor.data is not None:
            return self._table(tensor.data)
        return f"(const {tensor.dtype.c} *)({self.places.whole(tensor.name)})"

    def _table(self, data: Array) -> str:
        return f"{self.prefix}_{self.constants[key_of(data)].name}"

    def _struct(self, ctype: str, fields: Any, index: int) -> str:
        name = f"n{index}_params"
        self.structs[name] = struct(ctype, name, fields)
        return f"&{name}"


def _array(ctype: str, pointers: list[str], before: list[str]) -> str:
    before.append(f"const {ctype} *const inputs[] = {{{', '.join(pointers)}}};")
    return "inputs"
