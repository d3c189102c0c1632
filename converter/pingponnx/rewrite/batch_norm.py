"""A per-channel scale and shift (batch normalisation) after a linear layer moves into its weights."""

from dataclasses import replace

import numpy as np

from pingponnx.ir import DType, Graph, Node, Tensor
from pingponnx.ops.scale_shift import ScaleShift
from pingponnx.rewrite.edit import merge_pairs, plain_linear


def fold_scale_shift(graph: Graph) -> Graph:
    """linear(x) * scale + shift -> linear(x) with other float32 weights and bias."""
    return merge_pairs(graph, _merge)


def _merge(graph: Graph, before: Node, node: Node, between: str) -> tuple[Node, tuple[Tensor, ...]] | None:
    if not isinstance(node.op, ScaleShift) or not plain_linear(before.op):
        return None
    scale, shift = np.array(node.op.scale, np.float64), np.array(node.op.shift, np.float64)
    weights = graph.tensors[before.inputs[1]]
    old = graph.tensors[before.inputs[2]].real() if any(before.inputs[2:]) else np.zeros(1)
    along = (-1,) + (1,) * (len(weights.shape) - 1)
    data = (weights.real().astype(np.float64) * scale.reshape(along)).astype(np.float32)
    bias = (np.broadcast_to(old, scale.shape) * scale + shift).astype(np.float32)
    scaled = replace(
        weights,
        name=graph.fresh(f"{weights.name}@{node.name}"),
        data=data,
        dtype=DType.F32,
        quantization=None,
    )
    shifted = Tensor(graph.fresh(f"{node.name}@bias"), bias.shape, DType.F32, data=bias)
    op = before.op.with_clamp(node.op.low, node.op.high)
    assert op is not None
    inputs = (before.inputs[0], scaled.name, shifted.name)
    return replace(before, op=op, inputs=inputs, outputs=node.outputs), (scaled, shifted)
