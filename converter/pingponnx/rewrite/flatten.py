"""Transpose, then flatten, then a fully connected layer: the weights are permuted instead."""

from dataclasses import replace

import numpy as np

from pingponnx.ir import Graph, Node, Tensor
from pingponnx.ops.gemm import Gemm
from pingponnx.ops.reshape import Reshape
from pingponnx.ops.transpose import Transpose
from pingponnx.rewrite.edit import live


def absorb_flatten(graph: Graph) -> Graph:
    """Let fully connected layers read `n h w c` tensors as they lie in memory."""
    producers = graph.producers()
    nodes: list[Node] = []
    tensors: list[Tensor] = []
    for node in graph.nodes:
        found = _match(graph, node, producers)
        if found is None:
            nodes.append(node)
            continue
        transpose, reshape = found
        permutation = transpose.op.permutation  # type: ignore[attr-defined]
        source = graph.tensors[transpose.inputs[0]]
        weights = graph.tensors[node.inputs[1]]
        packed = _permuted_weights(weights, source, permutation, f"{weights.name}@{node.name}")
        flat = replace(
            graph.tensors[reshape.outputs[0]],
            name=graph.fresh(f"{reshape.outputs[0]}@{node.name}"),
            origin=None,
        )
        tensors += [packed, flat]
        nodes.append(Node(f"{node.name}/flatten", Reshape(flat.shape), (source.name,), (flat.name,)))
        nodes.append(replace(node, inputs=(flat.name, packed.name, *node.inputs[2:])))
    return live(graph.with_(nodes, *tensors))


def _match(graph: Graph, node: Node, producers: dict[str, Node]) -> tuple[Node, Node] | None:
    """The transpose and the reshape in front of a fully connected layer over the whole flattened tensor."""
    if not isinstance(node.op, Gemm):
        return None
    reshape = producers.get(node.inputs[0])
    if reshape is None or not isinstance(reshape.op, Reshape):
        return None
    transpose = producers.get(reshape.inputs[0])
    if transpose is None or not isinstance(transpose.op, Transpose):
        return None
    before, after = graph.tensors[reshape.inputs[0]].shape, reshape.op.shape
    # every output row must be one whole sample, and the sample axis must stay first
    whole = len(after) == 2 and after[0] == before[0] and transpose.op.permutation[0] == 0
    return (transpose, reshape) if whole else None


def _permuted_weights(weights: Tensor, source: Tensor, permutation: tuple[int, ...], name: str) -> Tensor:
    """Columns of `out in` reordered from the transposed to the source's memory order."""
    assert weights.data is not None
    logical = tuple(source.shape[axis] for axis in permutation)[1:]
    inverse = sorted(range(len(permutation)), key=permutation.__getitem__)
    data = weights.data.reshape(len(weights.data), *logical).transpose(inverse)
    return replace(weights, name=name, data=np.ascontiguousarray(data.reshape(weights.shape)))
