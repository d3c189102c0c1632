"""Float32 islands that are a function of one int8 value become tables.

Between a DequantizeLinear and a QuantizeLinear there may be many operators that work value by value, with
constants that are one number: x * sigmoid(x), Elu written out as a comparison and a choice, a polynomial.
Whatever they are, the int8 result depends on the int8 input only, so 256 entries say it all.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pingponnx.evaluate import results
from pingponnx.fixed_point import dequantize_array, quantize_array
from pingponnx.ir import Array, DType, Graph, Node, Tensor
from pingponnx.ops import site_of
from pingponnx.ops.function_table import FunctionTable
from pingponnx.ops.quantize import DequantizeLinear, QuantizeLinear
from pingponnx.rewrite.edit import live

_CODES = np.arange(-128, 128, dtype=np.int8)


def make_tables(graph: Graph) -> Graph:
    """Every QuantizeLinear of what is a function of one dequantized tensor, as a table."""
    sources: dict[str, str] = {}  # float tensor -> the int8 tensor that it is a function of
    values: dict[str, Array] = {}  # and its value for every code
    names: dict[str, tuple[str, ...]] = {}  # and the operators on the way
    nodes: list[Node] = []
    for node in graph.nodes:
        x = node.inputs[0] if node.inputs else ""
        if isinstance(node.op, DequantizeLinear):
            q = graph.tensors[x].quantization
            assert q is not None
            if graph.tensors[x].dtype is DType.S8:
                sources[node.outputs[0]], names[node.outputs[0]] = x, ()
                values[node.outputs[0]] = dequantize_array(_CODES, q)
        elif isinstance(node.op, QuantizeLinear) and node.op.integer_type is DType.S8 and names.get(x):
            codes = quantize_array(values[x], node.op.to).astype(np.int8).tobytes()
            table = FunctionTable(codes, ", ".join(names[x]))
            node = replace(node, op=table, inputs=(sources[x],))
        elif source := _only_source(graph, node, sources):
            y = node.outputs[0]
            sources[y], values[y] = source, _values(graph, node, values)
            before = [name for n in node.inputs for name in names.get(n, ())]
            names[y] = (*dict.fromkeys(before), type(node.op).__name__)
        nodes.append(node)
    return live(graph.with_(nodes))


def _only_source(graph: Graph, node: Node, sources: Mapping[str, str]) -> str:
    """The int8 tensor that a node's output is a function of, value by value; empty when it is not."""
    if not node.op.each_value or len(node.outputs) != 1:
        return ""
    tensors = [graph.tensors[n] for n in node.inputs if n]
    activations = [t for t in tensors if not t.constant]
    found = {sources.get(t.name, "") for t in activations}
    alike = all(t.shape == graph.tensors[node.outputs[0]].shape for t in activations)
    numbers = all(t.size == 1 for t in tensors if t.constant)
    return found.pop() if len(found) == 1 and alike and numbers else ""


def _values(graph: Graph, node: Node, values: Mapping[str, Array]) -> Array:
    """The node's value for every code of its source."""
    site = site_of(graph, node)
    inputs = tuple(t and _flat(t) for t in site.inputs)
    arrays = [None if t is None else values[t.name] if t.data is None else t.data for t in inputs]
    flat = replace(site, inputs=inputs, outputs=tuple(_flat(t) for t in site.outputs))
    with np.errstate(all="ignore"):
        return results(node.op, flat, *arrays)[0]


def _flat(tensor: Tensor) -> Tensor:
    """The tensor as one value for every code; a constant as its number."""
    if tensor.data is None:
        return replace(tensor, shape=_CODES.shape)
    data = np.broadcast_to(tensor.real().reshape(-1), (1,))
    return replace(tensor, shape=(1,), data=data, quantization=None)
