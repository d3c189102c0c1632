"""The model's edge: quantization and channel order move out of the network into its interface."""

from dataclasses import replace

from pingponnx.ir import Graph, Port
from pingponnx.ops.quantize import DequantizeLinear, QuantizeLinear
from pingponnx.ops.reshape import Reshape
from pingponnx.ops.transpose import Transpose
from pingponnx.rewrite.edit import live, renamed
from pingponnx.rewrite.layout import sink_transposes


def absorb_boundary(graph: Graph, *, float_io: bool = False, nchw_io: bool = False) -> Graph:
    """Callers of the C library quantize inputs, dequantize outputs, and keep images channels-last.

    `float_io` keeps float32 at the boundary, `nchw_io` keeps ONNX's axis order.
    """
    if float_io and not nchw_io:
        graph = sink_transposes(graph)  # below a DequantizeLinear that stays
    steps = [] if nchw_io else [_absorb_transpose]
    if not float_io:  # the two come in either order
        steps = [*steps, _absorb_dequantize, *steps]
    for index in range(len(graph.outputs)):
        for step in steps:
            graph = step(graph, graph.outputs[index])
    for name in graph.inputs:
        graph = _quantize_reshaped(graph, name) if float_io else _absorb_quantize(graph, name)
    return live(graph)


def _new_output(graph: Graph, old: str, new: str, port: Port) -> Graph:
    """The same graph giving `new` instead of `old`."""
    if new in graph.ports:  # one tensor cannot be two ports
        return graph
    outputs = tuple(new if n == old else n for n in graph.outputs)
    ports = {k: v for k, v in graph.ports.items() if k != old or old in graph.inputs} | {new: port}
    return live(replace(graph, outputs=outputs, ports=ports))


def _absorb_transpose(graph: Graph, name: str) -> Graph:
    node = graph.producers().get(name)
    if node is None or not isinstance(node.op, Transpose) or graph.ports[name].permutation is not None:
        return graph
    permutation = node.op.permutation
    rank = len(permutation)
    if rank < 3 or permutation != (0, rank - 1, *range(1, rank - 1)):
        return graph
    return _new_output(graph, name, node.inputs[0], Port(graph.ports[name].name, (0, *range(2, rank), 1)))


def _absorb_dequantize(graph: Graph, name: str) -> Graph:
    node = graph.producers().get(name)
    if node is None or not isinstance(node.op, DequantizeLinear):
        return graph
    return _new_output(graph, name, node.inputs[0], graph.ports[name])


def _quantize_reshaped(graph: Graph, name: str) -> Graph:
    """An input `n 1 h w` is quantized as the `n h w 1` that follows, so that its rows can be fed."""
    readers = graph.consumers()
    for quantize in readers[name]:
        followers = readers.get(quantize.outputs[0], ())
        if len(followers) != 1 or quantize.outputs[0] in graph.outputs:
            continue
        (follower,) = followers
        if not isinstance(quantize.op, QuantizeLinear) or not isinstance(follower.op, Reshape):
            continue
        x, codes = (graph.tensors[n] for n in (name, quantize.outputs[0]))
        to_last = (0, *range(2, len(x.shape)), 1)
        if follower.op.shape != tuple(x.shape[axis] for axis in to_last):
            continue
        real, seen = (
            replace(t, name=n, shape=follower.op.shape, origin=t.origin and t.origin.permuted(to_last))
            for t, n in ((x, graph.fresh(f"{name}@nhwc")), (codes, follower.outputs[0]))
        )
        new = {
            quantize.name: replace(follower, inputs=(name,), outputs=(real.name,)),
            follower.name: replace(quantize, inputs=(real.name,), outputs=(seen.name,)),
        }
        return graph.with_((new.get(node.name, node) for node in graph.nodes), real, seen)
    return graph


def _absorb_quantize(graph: Graph, name: str) -> Graph:
    readers = graph.consumers()[name]
    if name in graph.outputs or not readers or not all(isinstance(n.op, QuantizeLinear) for n in readers):
        return graph
    if len({n.op.to for n in readers}) != 1:  # type: ignore[attr-defined]
        return graph
    quantized = [n.outputs[0] for n in readers]
    if any(n in graph.outputs for n in quantized):
        return graph
    first = quantized[0]
    nodes = [renamed(n, dict.fromkeys(quantized[1:], first)) for n in graph.nodes if n not in readers]
    inputs = tuple(first if n == name else n for n in graph.inputs)
    ports = {k: v for k, v in graph.ports.items() if k != name} | {first: graph.ports[name]}
    return graph.with_(nodes, inputs=inputs, ports=ports)
