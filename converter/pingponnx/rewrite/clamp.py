"""Activations that are clips move into the node before them."""

from dataclasses import replace

from pingponnx.ir import Graph, Node, Tensor
from pingponnx.rewrite.edit import merge_pairs


def fuse_clamps(graph: Graph) -> Graph:
    """Relu and Clip become the bounds of the producer; on int8, where both sides share a quantization."""
    return merge_pairs(graph, _merge)


def _merge(graph: Graph, before: Node, node: Node, between: str) -> tuple[Node, tuple[Tensor, ...]] | None:
    bounds = node.op.clamp()
    x, y = graph.tensors[between], graph.tensors[node.outputs[0]]
    if bounds is None or x.quantization != y.quantization:
        return None
    op = before.op.with_clamp(*bounds)
    return None if op is None else (replace(before, op=op, outputs=node.outputs), ())
