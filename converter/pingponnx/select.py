"""The variants, and which calls every node can have in them; decide.py takes one of each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from pingponnx.calls import Call, Input, Inputs, ScratchQuery
from pingponnx.errors import Error, Unsupported, UnsupportedError
from pingponnx.fixed_point import Rounding
from pingponnx.ir import Graph, Node
from pingponnx.kernels import candidates
from pingponnx.ops import CmsisNN, Operator, Site, fallback, site_of
from pingponnx.rewrite import fuse
from pingponnx.targets import Target


class Goal(StrEnum):
    """What the choice among candidates favours."""

    BALANCED = "balanced"
    RAM = "ram"
    CYCLES = "cycles"


Offers = tuple[tuple[Call, ...], ...]
"""By node the calls to choose from; none for nodes that only rename bytes."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to emit a network: how its graph is prepared and which calls a node can have."""

    name: str
    prepare: Callable[[Graph], Graph]
    candidates: Callable[[Operator, Site, Target, CmsisNN | None], Sequence[Call]]
    needs_cmsis_nn: bool = False


def _ours(op: Operator, site: Site, target: Target, library: CmsisNN | None) -> Sequence[Call]:
    return candidates(op, site, target)


def _theirs(op: Operator, site: Site, target: Target, library: CmsisNN | None) -> Sequence[Call]:
    assert library is not None
    if site.wide:
        return [fallback(op.kernels(site)[0], "int16: CMSIS-NN's int8 functions do not apply")]
    return [op.cmsis_nn(site, library)]


VARIANTS = {
    v.name: v
    for v in (
        Variant("optimised", fuse, _ours),
        # CMSIS-NN's interface has no fused pool: the unpooled map is stored, as its users store it
        Variant("cmsis-nn", lambda graph: graph, _theirs, needs_cmsis_nn=True),
    )
}


def variant(name: str) -> Variant:
    """A variant by name; raises Error for unknown ones."""
    if name not in VARIANTS:
        raise Error(f"unknown variant {name!r}", f"choose one of: {', '.join(VARIANTS)}")
    return VARIANTS[name]


def offers(
    graph: Graph, chosen: Variant, rounding: Rounding, target: Target, library: CmsisNN | None = None
) -> Offers:
    """The candidates of every node; collects everything unsupported first."""
    found: list[tuple[Call, ...]] = []
    problems: list[Unsupported] = []
    state = {*graph.states, *graph.states.values()}
    for node in graph.nodes:
        try:
            site = site_of(graph, node, rounding)
            calls = () if node.op.alias else tuple(chosen.candidates(node.op, site, target, library))
            if state.intersection((*node.inputs, *node.outputs)):  # it is read and replaced as a whole
                calls = tuple(call for call in calls if call.function)
            found.append(tuple(replace(call, held=_held(graph, node, call)) for call in calls))
        except UnsupportedError as error:
            problems.extend(error.items)
    if problems:
        raise UnsupportedError(problems)
    return tuple(found)


def _held(graph: Graph, node: Node, call: Call) -> int:
    """Bytes of the constant inputs that a call is passed."""
    passed: set[int] = set()
    for argument in call.form(by_rows=not call.function).arguments:
        if isinstance(argument, Input):
            passed.add(argument.index)
        elif isinstance(argument, Inputs):
            passed.update(range(len(node.inputs)))
    tensors = [graph.tensors[node.inputs[index]] for index in sorted(passed)]
    return sum(tensor.bytes for tensor in tensors if tensor.constant)


def window(call: Call) -> int:
    """Rows of inputs that a unit of a kernel reads: what has to be kept of them while layers stream."""
    return sum(w.extent for w in call.rows.windows.values()) if call.rows else 0


def scratch_queries(found: Offers) -> list[ScratchQuery]:
    """What has to be asked of CMSIS-NN before memory can be planned."""
    return [call.scratch_query for row in found for call in row if call.scratch_query is not None]


def with_scratch(found: Offers, answers: Sequence[int]) -> Offers:
    """The calls with the scratch sizes that CMSIS-NN gave, in the order of `scratch_queries`."""
    remaining = iter(answers)
    return tuple(
        tuple(
            replace(call, scratch=next(remaining)) if call.scratch_query is not None else call for call in row
        )
        for row in found
    )
