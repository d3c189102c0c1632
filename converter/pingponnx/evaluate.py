"""The reference: a graph's meaning in numpy, tensor by tensor, bit-exact for integers."""

from collections.abc import Callable, Mapping

import numpy as np

from pingponnx.fixed_point import Rounding
from pingponnx.ir import Array, Graph, Node
from pingponnx.ops import Operator, Site, site_of

Values = dict[str, Array]


def evaluate(graph: Graph, feeds: Mapping[str, Array], rounding: Rounding) -> Values:
    """Every activation by name; `feeds` has our inputs (our layout and dtype), one sample."""
    values: Values = dict(feeds)
    for node in graph.nodes:
        values |= zip(node.outputs, apply(graph, node, values, rounding), strict=True)
    return values


def apply(graph: Graph, node: Node, values: Mapping[str, Array], rounding: Rounding) -> list[Array]:
    """One node's outputs from its inputs' values."""
    site = site_of(graph, node, rounding)
    return results(node.op, site, *_arrays(graph, node, values))


def results(op: Operator, site: Site, *arrays: Array | None) -> list[Array]:
    """What an operator gives for arrays: its outputs in the types and shapes of the site."""
    found = op.reference(site, *arrays)
    each = found if isinstance(found, tuple) else (found,)
    return [
        np.ascontiguousarray(a, y.dtype.numpy).reshape(y.shape)
        for y, a in zip(site.outputs, each, strict=True)
    ]


def _arrays(graph: Graph, node: Node, values: Mapping[str, Array]) -> list[Array | None]:
    return [
        None if not name else graph.tensors[name].data if graph.tensors[name].constant else values[name]
        for name in node.inputs
    ]


def node_by_node(
    graph: Graph,
    golden: Mapping[str, Array],
    rounding: Rounding,
    compare: Callable[[Node, Array, Array, Array | None], None],
) -> None:
    """Feed every node the golden values of its inputs and compare its output with the golden one.

    `compare` gets the node, our output, the golden one, and where rounding is undecided (or None).
    `golden` has values in our layout, where they are known; what is unknown is computed on the way.
    """
    values: Values = dict(golden)
    for node in graph.nodes:
        computed = apply(graph, node, values, rounding)
        site, arrays = site_of(graph, node, rounding), _arrays(graph, node, values)
        if node.outputs[0] in golden:
            compare(node, computed[0], golden[node.outputs[0]], node.op.undecided(site, *arrays))
        values |= {n: a for n, a in zip(node.outputs, computed, strict=True) if n not in golden}
