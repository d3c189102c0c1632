"""MatMul and Add with a constant, and Conv and Add: the constant becomes the bias."""

from dataclasses import replace

import numpy as np

from pingponnx.ir import Graph, Node, Tensor
from pingponnx.ops.binary import Add
from pingponnx.rewrite.edit import merge_pairs, plain_linear


def fold_bias(graph: Graph) -> Graph:
    """Turn `linear(x) + constant` into `linear(x, bias)` where there is no bias and no activation yet."""
    return merge_pairs(graph, _merge)


def _merge(graph: Graph, before: Node, node: Node, between: str) -> tuple[Node, tuple[Tensor, ...]] | None:
    if node.op != Add() or not plain_linear(before.op) or any(before.inputs[2:]):
        return None
    other = graph.tensors[node.inputs[1 - node.inputs.index(between)]]
    y = graph.tensors[node.outputs[0]]
    if not other.constant or y.quantized or y.shape != graph.tensors[between].shape:
        return None
    bias = _bias(other, y.shape[-1], graph.fresh(f"{other.name}@{node.name}"))
    if bias is None:
        return None
    return replace(before, inputs=(*before.inputs[:2], bias.name), outputs=node.outputs), (bias,)


def _bias(constant: Tensor, channels: int, name: str) -> Tensor | None:
    """The constant as a vector over the last axis; None when it varies along other axes."""
    assert constant.data is not None
    varying = [d for d in constant.shape[:-1] if d != 1]
    if varying or constant.size not in (1, channels):
        return None
    data = np.ascontiguousarray(np.broadcast_to(constant.data.ravel(), (channels,)))
    q = constant.quantization
    if q is not None and q.axis is not None:
        q = replace(q, axis=0)
    return replace(constant, name=name, shape=data.shape, data=data, quantization=q, origin=None)
