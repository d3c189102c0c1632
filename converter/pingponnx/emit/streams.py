"""Segments that run row by row as C: a function for each node's row, and the steps in loops or as a table."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pingponnx.calls import Call, RowPointers, Rows, RowWindow
from pingponnx.emit.fold import Loop, Program, fold, leaves
from pingponnx.emit.numbers import Numbers
from pingponnx.emit.places import Places
from pingponnx.emit.writer import Unit, Writer
from pingponnx.ir import Node
from pingponnx.plan.schedule import FEED, InputMode, Plan, Segment, Step
from pingponnx.plan.stages import Extent

_WRITTEN_OUT = 24  # a schedule of more calls than this is a table
_INDENT = "    "
_WORD = 4


@dataclass(frozen=True)
class Streams:
    """Spells the streamed segments of a plan. Counters of rows made and kept are in the array `at`."""

    places: Places
    writer: Writer
    calls: Sequence[Call | None]

    def segment(self, number: int, segment: Segment) -> dict[str, Any]:
        """What the template needs: counters, functions and the steps of a segment."""
        steps = list(dict.fromkeys(segment.steps))
        text = {step: self._step(step, segment) for step in steps}
        fed = any(step.node == FEED for step in steps)
        program = fold(segment.steps)
        table = fed or leaves(program) > _WRITTEN_OUT
        names = {step: self._name(step) for step in steps}
        parameters = self._parameters(*text.values())
        calls = {step: f"{names[step]}({_arguments(self._parameters(text[step]))})" for step in steps}
        used = [s for s in steps if not (s.node == FEED and not s.keep)]
        return {
            "number": number,
            "title": ", ".join(str(node) for node in segment.nodes),
            "count": len(segment.nodes),
            "backward": segment.backward,
            "counters": [_counter(step) for step in steps],
            "counter_type": "uint16_t" if _counter_bytes(segment) == 2 else "int32_t",
            "functions": [
                {"name": names[s], "parameters": self._parameters(text[s]), "text": text[s]} for s in steps
            ],
            "parameters": [p for p in parameters if p[1] not in ("at", "fed")],
            "fed": fed,
            "row_bytes": self._fed_bytes() if fed else 0,
            "table": [steps.index(step) for step in segment.steps] if table else [],
            "feed_step": steps.index(Step(FEED)) if fed else -1,
            "cases": [(steps.index(step), calls[step]) for step in used],
            "lines": [] if table else list(_lines(program, calls)),
        }

    def _fed_bytes(self) -> int:
        return self.places.extent(self.places.graph.inputs[0]).row_bytes

    def _name(self, step: Step) -> str:
        what = "input" if step.node == FEED else f"node_{step.node}"
        return f"{self.writer.prefix}_keep_{what}" if step.keep else f"{self.writer.prefix}_{what}"

    def _parameters(self, *texts: str) -> list[tuple[str, str]]:
        """Type and name of what function bodies use of their surroundings."""
        known = [("uint8_t *", base) for base in self.places.bases]
        if self.places.memory.input_mode is InputMode.EXTERNAL:
            known += [("const uint8_t *", f"input_{i}") for i in range(len(self.places.graph.inputs))]
        known += [("const void *", "fed"), ("COUNTER *", "at")]
        return [(t, name) for t, name in known if any(re.search(rf"\b{name}\b", text) for text in texts)]

    def _step(self, step: Step, segment: Segment) -> str:
        if step.keep:
            return self._keep(step, segment.backward)
        if step.node == FEED:
            return self._feed()
        return self._unit(step.node, segment)

    # -- rows that move -----------------------------------------------------------------------------

    def _made_by(self, node: int) -> str:
        graph = self.places.graph
        return graph.inputs[0] if node == FEED else self.places.roots[graph.nodes[node].outputs[0]]

    def _keep(self, step: Step, backward: bool) -> str:
        to, ring = self.places.keep(self._made_by(step.node), f"at[{_counter(step)}]++", backward)
        assert ring.spare is not None
        copy = f"memcpy({to}, {self.places.at(ring.spare)}, {ring.row_bytes});"
        if step.node == FEED:
            return f"{_INDENT}{copy}\n"
        lines = [
            f"PINGPONNX_NODE_BEGIN({step.node});",
            copy,
            f"PINGPONNX_NODE_END({step.node}, NULL, 0);",
        ]
        return "".join(f"{_INDENT}{line}\n" for line in lines)

    def _feed(self) -> str:
        name = self._made_by(FEED)
        to = self._made_row(name, "row", False)
        lines = [
            f"const int32_t row = at[{_counter(Step(FEED))}]++;",
            f"memcpy({to}, fed, {self._fed_bytes()});",
        ]
        if "row" not in re.findall(r"\w+", to):
            lines[0] = f"++at[{_counter(Step(FEED))}];"
        return "".join(f"{_INDENT}{line}\n" for line in lines)

    def _made_row(self, name: str, index: str, backward: bool) -> str:
        """Where a new row is made: in the spare place when there is one."""
        ring = self.places.memory.rings.get(self.places.roots[name])
        if ring is not None and ring.spare is not None:
            return self.places.at(ring.spare)
        return self.places.row(name, index, backward, "")

    # -- units --------------------------------------------------------------------------------------

    def _unit(self, number: int, segment: Segment) -> str:
        """The body of the function that runs a node's next unit."""
        places, node, call = self.places, self.places.graph.nodes[number], self.calls[number]
        assert call is not None and call.rows is not None
        rows, output = call.rows, node.outputs[0]
        numbers = Numbers.of(rows, places.extent(output), self._sources(node, rows), segment.backward)
        inputs: dict[int, str] = {}
        lines: list[str] = []
        for index, window in rows.windows.items():
            lines += self._input_rows(index, window, node, numbers, inputs)
        unit = Unit(
            inputs,
            "output",
            numbers.output_row,
            numbers.part,
            numbers.first,
            numbers.last,
        )
        declarations, text = self.writer.unit(number, node, call, unit)
        ctype = places.graph.tensors[output].dtype.c
        place = self._made_row(output, numbers.row, segment.backward)
        target = f"{ctype} *const output = ({ctype} *)({place});"
        body = [*lines, target, *declarations, f"{text};"]
        done = f"{places.extent(output).row_bytes}"
        if numbers.last != "1":
            done = f"{numbers.last} ? {done} : 0"
        end = f"PINGPONNX_NODE_END({number}, {unit.output}, {done});"
        lines = [
            f"PINGPONNX_NODE_BEGIN({number});",
            *numbers.declarations("\n".join([*body, end]), f"at[{_counter(Step(number))}]++"),
            *body,
            end,
        ]
        return "".join(f"{_INDENT}{line}\n" for line in lines)

    def _sources(self, node: Node, rows: Rows) -> list[Extent]:
        return [self.places.extent(node.inputs[i]) for i in rows.windows]

    def _input_rows(
        self, index: int, window: RowWindow, node: Node, numbers: Numbers, inputs: dict[int, str]
    ) -> list[str]:
        """A pointer to the row of a window, or an array of pointers where the kernel wants one."""
        name = node.inputs[index]
        source, ctype = self.places.extent(name), self.places.graph.tensors[name].dtype.c
        kept = f"at[{_counter(Step(self._producer(name), keep=True))}]"
        height = source.rows // source.samples
        first, checked = numbers.window(window, height)

        def address(row: str) -> str:
            index_over_all = f"({numbers.sample} * {height} + {row})" if source.samples > 1 else row
            return f"(const {ctype} *)({self.places.row(name, index_over_all, numbers.backward, kept)})"

        pointers = RowPointers(index) in numbers.rows.arguments
        inputs[index] = f"rows_{index}"
        test = f"r < 0 || r >= {height} ? NULL : " if checked else ""
        if window.extent == 1:
            row = f"{test}{address('r')}" if checked else address(_grouped(first))
            lines = [f"const int32_t r = {first};"] if checked else []
            if pointers:
                return [*lines, f"const {ctype} *const rows_{index}[1] = {{{row}}};"]
            inputs[index] = row if not checked else f"({row})"
            return lines
        return [
            f"const {ctype} *rows_{index}[{window.extent}];",
            f"for (int32_t k = 0; k < {window.extent}; ++k) {{",
            f"{_INDENT}const int32_t r = {first} + k;" if first != "0" else f"{_INDENT}const int32_t r = k;",
            f"{_INDENT}rows_{index}[k] = {test}{address('r')};",
            "}",
        ]

    def _producer(self, name: str) -> int:
        """The node that makes a tensor's bytes; FEED for the network's input."""
        root = self.places.roots[name]
        makers = (i for i, n in enumerate(self.places.graph.nodes) if root in n.outputs)
        return next(makers, FEED)


def state_bytes(memory: Plan) -> int:
    """What a state takes on a 32-bit core beside its arena: pointers to banks, the step, and the counters."""
    fed = next((s for s in memory.segments if Step(FEED) in s.steps), None)
    if fed is None:
        return 0
    pointers = sum(bank.bytes > 0 for bank in memory.banks)
    counters = len(set(fed.steps)) * _counter_bytes(fed)
    return _WORD * (pointers + 1 + -(-counters // _WORD))


def _counter_bytes(segment: Segment) -> int:
    return 2 if len(segment.steps) < 2**16 else 4


def _counter(step: Step) -> str:
    what = "INPUT" if step.node == FEED else str(step.node)
    return f"{'KEPT' if step.keep else 'MADE'}_{what}"


def _grouped(text: str) -> str:
    """An expression that may be multiplied."""
    return f"({text})" if " " in text else text


def _arguments(parameters: Sequence[tuple[str, str]]) -> str:
    return ", ".join(name for _, name in parameters)


def _lines(program: Program, calls: Mapping[Step, str], depth: int = 0) -> list[str]:
    """The steps as nested C loops."""
    pad, lines = _INDENT * depth, []
    for item in program:
        if isinstance(item, Loop):
            name = f"i{depth}" if depth else "i"
            lines.append(f"{pad}for (int32_t {name} = 0; {name} < {item.count}; ++{name}) {{")
            lines += _lines(item.body, calls, depth + 1)
            lines.append(f"{pad}}}")
        else:
            assert isinstance(item, Step)
            lines.append(f"{pad}{calls[item]};")
    return lines
