"""Normalization of groups of channels, as exporters write it, becomes one node.

PyTorch's exporters have no operator for it before opset 21: they reshape `n c h w` to `n groups rest`,
normalize every instance, reshape back, and multiply by and add one value per channel.
"""

import numpy as np

from pingponnx.ir import Array, DType, Graph, Node, Shape, Tensor
from pingponnx.ops.binary import Add, Mul
from pingponnx.ops.normalize import GroupNorm, InstanceNorm
from pingponnx.ops.reshape import Reshape
from pingponnx.ops.transpose import Transpose
from pingponnx.rewrite.edit import live


def fuse_group_norm(graph: Graph) -> Graph:
    """Reshape, InstanceNormalization, Reshape and what scales and shifts channels after it, as GroupNorm."""
    while True:
        for node in graph.nodes:
            fused = _fused(graph, node) if isinstance(node.op, InstanceNorm) else None
            if fused is not None:
                graph = live(fused)
                break
        else:
            return graph


def _fused(graph: Graph, node: Node) -> Graph | None:
    """The graph with the pattern around `node` replaced; None when it is none."""
    producers = graph.producers()
    turned = producers.get(node.inputs[0])
    cut = producers.get(turned.inputs[0]) if turned and isinstance(turned.op, Transpose) else None
    if cut is None or not isinstance(cut.op, Reshape):
        return None
    x, groups = graph.tensors[cut.inputs[0]], graph.tensors[node.inputs[0]].shape[-1]
    if len(x.shape) < 3 or cut.op.shape[:2] != (x.shape[0], groups) or x.shape[1] % groups:
        return None
    last = _only_reader(graph, node, Transpose)
    last = _only_reader(graph, last, Reshape) if last else None
    if last is None or graph.tensors[last.outputs[0]].shape != x.shape:
        return None
    scale, shift = (_of_groups(graph, node, i, x.shape[1], default) for i, default in ((1, 1.0), (2, 0.0)))
    if scale is None or shift is None:
        return None
    for kind in (Mul, Add):
        after = _only_reader(graph, last, kind)
        factors = _of_channels(graph, after, last.outputs[0], x.shape) if after else None
        if after is None or factors is None:
            continue
        scale, shift = (scale * factors, shift * factors) if kind is Mul else (scale, shift + factors)
        last = after
    assert isinstance(node.op, InstanceNorm)
    return _replaced(graph, node, x, last, groups, (scale, shift))


def _replaced(
    graph: Graph, node: Node, x: Tensor, last: Node, groups: int, factors: tuple[Array, Array]
) -> Graph:
    """GroupNorm on a channels-last copy of `x` that gives what `last` gave."""
    assert isinstance(node.op, InstanceNorm)
    rank = len(x.shape)
    to_last, to_first = (0, *range(2, rank), 1), (0, rank - 1, *range(1, rank - 1))
    shape = tuple(x.shape[axis] for axis in to_last)
    names = [graph.fresh(f"{node.outputs[0]}@{what}") for what in ("image", "groups", "scale", "shift")]
    image, normal, *constants = names
    tensors = [Tensor(name, shape, DType.F32) for name in (image, normal)]
    tensors += [
        Tensor(n, a.shape, DType.F32, data=a.astype(np.float32))
        for n, a in zip(constants, factors, strict=True)
    ]
    op = GroupNorm(tuple(range(1, rank - 1)), epsilon=node.op.epsilon, groups=groups)
    new = (
        Node(f"{node.name}/in", Transpose(to_last), (x.name,), (image,)),
        Node(node.name, op, (image, *constants), (normal,)),
        Node(f"{node.name}/out", Transpose(to_first), (normal,), last.outputs),
    )
    nodes: list[Node] = []
    for old in graph.nodes:
        nodes.extend(new if old is last else (old,))
    return graph.with_(nodes, *tensors)


def _only_reader(graph: Graph, node: Node, kind: type) -> Node | None:
    """The one node that reads a node's output, if it is of that kind."""
    (name,) = node.outputs
    found = graph.consumers()[name]
    return found[0] if len(found) == 1 and name not in graph.outputs and type(found[0].op) is kind else None


def _of_groups(graph: Graph, node: Node, index: int, channels: int, default: float) -> Array | None:
    """An operand of the instance normalization as one value per channel; None when it is computed."""
    if index >= len(node.inputs):
        return np.full(channels, default)
    data = graph.tensors[node.inputs[index]].data
    return None if data is None else np.repeat(data.astype(np.float64), channels // len(data))


def _of_channels(graph: Graph, node: Node, x: str, shape: Shape) -> Array | None:
    """The constant operand of an addition or product as one value per channel."""
    if node.op not in (Add(), Mul()) or len(node.inputs) != 2:
        return None
    other = graph.tensors[node.inputs[1 - node.inputs.index(x)]]
    along = (1,) * (len(shape) - len(other.shape)) + other.shape
    if (
        other.data is None
        or other.quantized
        or along not in ((1, shape[1], *(1,) * (len(shape) - 2)), (1,) * len(shape))
    ):
        return None
    return np.broadcast_to(other.data.ravel(), (shape[1],)).astype(np.float64)
