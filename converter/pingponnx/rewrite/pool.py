"""The paper's first idea: a max-pool whose windows do not overlap runs inside the convolution before it."""

from dataclasses import replace

from pingponnx.ir import Graph, Node, Tensor
from pingponnx.ops.conv import Conv
from pingponnx.ops.pool import MaxPool
from pingponnx.rewrite.edit import merge_pairs


def fuse_pool(graph: Graph) -> Graph:
    """Conv, then MaxPool with stride >= kernel and no padding -> one node; the unpooled map never exists."""
    return merge_pairs(graph, _merge)


def _merge(graph: Graph, before: Node, node: Node, between: str) -> tuple[Node, tuple[Tensor, ...]] | None:
    if not isinstance(before.op, Conv) or not isinstance(node.op, MaxPool) or before.op.pool is not None:
        return None
    pool = node.op.window
    if any(pool.pads) or pool.dilation != (1, 1) or not pool.disjoint:
        return None
    conv = before.op.with_clamp(node.op.low, node.op.high)
    assert conv is not None
    return replace(before, op=replace(conv, pool=pool), outputs=node.outputs), ()
