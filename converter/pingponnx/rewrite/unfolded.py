"""What QDQ folding left over: every conversion between integers and float32, its reason and its cost."""

from collections.abc import Mapping
from dataclasses import dataclass

from pingponnx.ir import DType, Graph, Node
from pingponnx.ops import Site, site_of
from pingponnx.ops.quantize import DequantizeLinear, QuantizeLinear
from pingponnx.ops.quantize_linear import DequantizeValues, QuantizeValues


@dataclass(frozen=True, slots=True)
class Conversion:
    """A QuantizeLinear or DequantizeLinear that runs on the target.

    `bytes` is what its float32 tensor takes more than the integers would.
    """

    node: str
    op: str
    beside: str  # the float32 node that keeps it from folding; empty at the model's edge
    reason: str
    values: int
    bytes: int
    estimated_cycles: int


def conversions(graph: Graph) -> tuple[Conversion, ...]:
    """The conversions of a graph in normal form, in the order of execution."""
    producers, readers = graph.producers(), graph.consumers()
    found = []
    for node in graph.nodes:
        if isinstance(node.op, DequantizeLinear):
            real, integer = node.outputs[0], node.inputs[0]
            beside, reason = _after(graph, real, producers, readers)
        elif isinstance(node.op, QuantizeLinear):
            real, integer = node.inputs[0], node.outputs[0]
            beside, reason = _before(graph, real, producers, readers)
        elif isinstance(node.op, DequantizeValues | QuantizeValues):
            down = isinstance(node.op, DequantizeValues)
            real, integer = (node.outputs[0], node.inputs[0]) if down else (node.inputs[0], node.outputs[0])
            beside, reason = None, _why_general(graph, node, integer)
        else:
            continue
        more = graph.tensors[real].bytes - graph.tensors[integer].bytes
        cycles = node.op.kernels(site_of(graph, node))[0].cycles
        found.append(
            Conversion(
                node.name,
                type(node.op).__name__,
                beside.name if beside else "",
                reason,
                graph.tensors[real].size,
                more,
                cycles,
            )
        )
    return tuple(found)


def _why_general(graph: Graph, node: Node, integer: str) -> str:
    """Why a conversion is of a kind that never folds."""
    scale, dtype = graph.tensors[node.inputs[1]], graph.tensors[integer].dtype
    if not scale.constant:
        return "its scale is known at run time only"
    if dtype not in (DType.S8, DType.U8, DType.S16):
        return f"{dtype.value}: there are integer kernels for int8, uint8 and int16 only"
    return "activations have many scales" if scale.size > 1 else "its codes are computed as integers"


def _after(
    graph: Graph, name: str, producers: Mapping[str, Node], readers: Mapping[str, list[Node]]
) -> tuple[Node | None, str]:
    """The first reader of a dequantized tensor, and why it is no integer node."""
    if name in graph.outputs:
        return None, "the model's output is float32"
    reader = _through_aliases(graph, readers[name][0], readers)
    return reader, _why_float(graph, reader, producers, readers)


def _before(
    graph: Graph, name: str, producers: Mapping[str, Node], readers: Mapping[str, list[Node]]
) -> tuple[Node | None, str]:
    """What made a tensor that is quantized here, and why it is no integer node."""
    maker = producers.get(name)
    while maker is not None and maker.op.alias and maker.inputs[0] in producers:
        maker = producers[maker.inputs[0]]
    if maker is None or maker.op.alias:
        return None, "the model's input is float32"
    return maker, _why_float(graph, maker, producers, readers)


def _through_aliases(graph: Graph, node: Node, readers: Mapping[str, list[Node]]) -> Node:
    while node.op.alias and readers[node.outputs[0]]:
        node = readers[node.outputs[0]][0]
    return node


def _why_float(
    graph: Graph, node: Node, producers: Mapping[str, Node], readers: Mapping[str, list[Node]]
) -> str:
    """Why a node is in float32 although it stands beside integers."""
    sources = []
    for name in node.inputs:
        tensor = graph.tensors[name] if name else None
        maker = producers.get(name)
        if tensor is not None and maker is not None and isinstance(maker.op, DequantizeLinear):
            tensor = graph.tensors[maker.inputs[0]]
        elif tensor is not None and not tensor.constant and tensor.dtype is DType.F32:
            return f"{_kind(node)}: an input is not quantized"
        sources.append(tensor)
    if len(node.outputs) > 1:
        return f"{_kind(node)}: it has more than one output"
    after = readers[node.outputs[0]]
    quantizers = [n for n in after if isinstance(n.op, QuantizeLinear)]
    if node.outputs[0] in graph.outputs or len(quantizers) != len(after) or not after:
        return f"{_kind(node)}: its result is not quantized everywhere"
    if len({n.op.to for n in quantizers if isinstance(n.op, QuantizeLinear)}) > 1:
        return f"{_kind(node)}: its result is quantized in several ways"
    y = graph.tensors[quantizers[0].outputs[0]]
    reason = graph.reasons.get(node.name) or node.op.float_reason(Site(node.name, tuple(sources), (y,)))
    return f"{_kind(node)}: {reason or 'it was not folded'}"


def _kind(node: Node) -> str:
    return str(getattr(node.op, "name", "") or type(node.op).__name__)
