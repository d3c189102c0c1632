"""Small edits that passes share."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from pingponnx.ir import Graph, Node, Tensor
from pingponnx.ops import Operator
from pingponnx.ops.conv import Conv
from pingponnx.ops.gemm import Gemm

# (graph, producer, consumer, tensor between them) -> the node that replaces both, and new tensors
Merge = Callable[[Graph, Node, Node, str], tuple[Node, tuple[Tensor, ...]] | None]


def renamed(node: Node, names: Mapping[str, str]) -> Node:
    """The node reading other tensors."""
    if names.keys().isdisjoint(node.inputs):
        return node
    return replace(node, inputs=tuple(names.get(n, n) for n in node.inputs))


def live(graph: Graph) -> Graph:
    """The graph without nodes whose results nobody reads."""
    wanted = set(graph.outputs)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if wanted.intersection(node.outputs):
            kept.append(node)
            wanted.update(node.inputs)
    return graph.with_(reversed(kept))


def merge_pairs(graph: Graph, merge: Merge) -> Graph:
    """Replace producer and consumer by one node, where `merge` can and nobody else reads what is between."""
    while True:
        merged = _merge_one(graph, merge)
        if merged is None:
            return graph
        graph = merged


def _merge_one(graph: Graph, merge: Merge) -> Graph | None:
    readers, producers = graph.consumers(), graph.producers()
    for node in graph.nodes:
        for name in node.inputs:
            before = producers.get(name)
            if before is None or name in graph.outputs or len(readers[name]) != 1:
                continue
            found = merge(graph, before, node, name)
            if found is not None:
                new, tensors = found
                nodes = (new if n is node else n for n in graph.nodes if n is not before)
                return live(graph.with_(nodes, *tensors))
    return None


def plain_linear(op: Operator) -> bool:
    """True for a convolution or fully connected layer without fused activation or pool."""
    return op == Gemm() or (isinstance(op, Conv) and op == Conv(op.window, op.group))


def permuted_constant(tensor: Tensor, permutation: tuple[int, ...], name: str) -> Tensor | None:
    """A constant operand whose axes follow a permuted partner; None for per-channel quantized ones."""
    assert tensor.data is not None
    if tensor.size == 1:
        return tensor
    if tensor.quantization is not None and not tensor.quantization.per_tensor:
        return None
    data = tensor.data.reshape((1,) * (len(permutation) - tensor.data.ndim) + tensor.data.shape)
    data = np.ascontiguousarray(data.transpose(permutation))
    return replace(tensor, name=name, shape=data.shape, data=data, origin=None)
