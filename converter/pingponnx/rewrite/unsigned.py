"""uint8 becomes int8: q - 128 with zero point - 128 stands for the same real numbers."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pingponnx.errors import Unsupported, UnsupportedError
from pingponnx.ir import DType, Graph, Node, Quantization, Tensor
from pingponnx.ops import Operator
from pingponnx.ops.flip_sign import FlipSign
from pingponnx.ops.quantize import DequantizeLinear, QuantizeLinear


def make_signed(graph: Graph) -> Graph:
    """Every quantized uint8 tensor as int8; model inputs and outputs keep uint8 and are flipped in place."""
    tensors = {name: _signed(t) for name, t in graph.tensors.items()}
    _refuse_readers_of_codes(graph, tensors)
    nodes = [replace(node, op=_signed_op(node)) for node in graph.nodes]
    result = replace(graph, nodes=tuple(nodes), tensors=tensors)
    for name in graph.inputs:
        if graph.tensors[name] is not tensors[name]:
            result = _flip_input(result, graph.tensors[name])
    for name in graph.outputs:
        if graph.tensors[name] is not tensors[name] and name not in graph.inputs:
            result = _flip_output(result, graph.tensors[name])
    return result


def _refuse_readers_of_codes(graph: Graph, signed: Mapping[str, Tensor]) -> None:
    """Raise UnsupportedError where an operator computes with the codes that others dequantize."""
    problems = []
    for node in graph.nodes:
        aware = node.op.moves_data or node.op.alias or isinstance(node.op, DequantizeLinear)
        codes = [n for n in node.inputs if n and not aware and not signed[n].constant]
        if found := [n for n in codes if signed[n] is not graph.tensors[n]]:
            reason = f"it reads the uint8 codes {found[0]!r}, which are dequantized elsewhere"
            problems.append(Unsupported(node.name, type(node.op).__name__, reason))
    if problems:
        raise UnsupportedError(problems)


def _shifted(q: Quantization) -> Quantization:
    return replace(q, zero_point=q.zero_point - np.int32(128))


def _signed(tensor: Tensor) -> Tensor:
    if tensor.dtype is not DType.U8 or tensor.quantization is None:
        return tensor
    data = None
    if tensor.data is not None:
        data = (tensor.data.astype(np.int16) - 128).astype(np.int8)
    return replace(tensor, dtype=DType.S8, data=data, quantization=_shifted(tensor.quantization))


def _signed_op(node: Node) -> Operator:
    if isinstance(node.op, QuantizeLinear) and node.op.integer_type is DType.U8:
        return QuantizeLinear(_shifted(node.op.to), DType.S8)
    return node.op


def _flip_input(graph: Graph, unsigned: Tensor) -> Graph:
    """The model input stays uint8 under its name; what the nodes read is its signed copy."""
    inner = replace(graph.tensors[unsigned.name], name=graph.fresh(f"{unsigned.name}@s8"))
    nodes = [
        replace(node, inputs=tuple(inner.name if n == unsigned.name else n for n in node.inputs))
        for node in graph.nodes
    ]
    flip = Node(f"{unsigned.name}/signed", FlipSign(DType.S8), (unsigned.name,), (inner.name,))
    return graph.with_((flip, *nodes), unsigned, inner)


def _flip_output(graph: Graph, unsigned: Tensor) -> Graph:
    inner = replace(graph.tensors[unsigned.name], name=graph.fresh(f"{unsigned.name}@s8"))
    swap = {unsigned.name: inner.name}
    nodes = [
        replace(
            node,
            inputs=tuple(swap.get(n, n) for n in node.inputs),
            outputs=tuple(swap.get(n, n) for n in node.outputs),
        )
        for node in graph.nodes
    ]
    flip = Node(f"{unsigned.name}/unsigned", FlipSign(DType.U8), (inner.name,), (unsigned.name,))
    return graph.with_((*nodes, flip), unsigned, inner)
