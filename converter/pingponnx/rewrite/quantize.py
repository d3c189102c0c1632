"""QDQ folding: DequantizeLinear, operator, QuantizeLinear become one integer node.

Rules, applied until none changes anything:
 1. Q(DQ(x)) is x under the same quantization, and a lookup table otherwise.
 2. A node whose activations all come from DQ and whose result only goes to equal Qs runs on integers.
 3. A node that only compares the values of one DQ reads its codes.
 4. A node that only moves data commutes with DQ (which sinks below it) and with Q (which rises above it).
What does not fold stays a float32 island between explicit Q and DQ nodes.
"""

from collections.abc import Callable
from dataclasses import replace

from pingponnx.fixed_point import code_range, quantize_array
from pingponnx.ir import DType, Graph, Node, Quantization, Tensor
from pingponnx.ops import Site
from pingponnx.ops.quantize import DequantizeLinear, QuantizeLinear, Requantize
from pingponnx.ops.reshape import Reshape
from pingponnx.rewrite.edit import live, renamed

Rule = Callable[[Graph], Graph | None]


def fold_quantization(graph: Graph) -> Graph:
    """Fold Q and DQ pairs as far as they go, and make quantized constants of float nodes float32."""
    rules: tuple[Rule, ...] = (_cancel_pair, _fold_node, _compare_codes, _sink_dequantize, _raise_quantize)
    while True:
        for rule in rules:
            changed = rule(graph)
            if changed is not None:
                graph = live(changed)
                break
        else:
            return _dequantize_constants(graph)


def _splice(graph: Graph, node: Node, new: tuple[Node, ...], *tensors: Tensor) -> Graph:
    """The graph with `node` replaced by `new`."""
    nodes: list[Node] = []
    for old in graph.nodes:
        nodes.extend(new if old is node else (old,))
    return graph.with_(nodes, *tensors)


def _is_dequantize(node: Node | None) -> bool:
    return node is not None and isinstance(node.op, DequantizeLinear)


def _cancel_pair(graph: Graph) -> Graph | None:
    producers = graph.producers()
    for node in graph.nodes:
        if not isinstance(node.op, QuantizeLinear):
            continue
        before = producers.get(node.inputs[0])
        if before is None or not isinstance(before.op, DequantizeLinear):
            continue
        x, y = graph.tensors[before.inputs[0]], graph.tensors[node.outputs[0]]
        if _codes_of(x) != _codes_of(y):
            if Requantize().float_reason(Site(node.name, (x,), (y,))):
                continue
            return _splice(graph, node, (replace(node, op=Requantize(), inputs=(x.name,)),))
        if y.name in graph.outputs:
            return _splice(graph, node, (replace(node, op=Reshape(y.shape), inputs=(x.name,)),))
        nodes = (renamed(n, {y.name: x.name}) for n in graph.nodes if n is not node)
        return graph.with_(nodes, replace(x, origin=x.origin or y.origin))
    return None


def _quantizer_after(graph: Graph, node: Node, readers: dict[str, list[Node]]) -> list[Node]:
    """The Q nodes that read a node's only output, when they all agree and nobody else reads it."""
    (name,) = node.outputs
    found = readers[name]
    if name in graph.outputs or not found or not all(isinstance(n.op, QuantizeLinear) for n in found):
        return []
    return found if len({n.op.to for n in found}) == 1 else []  # type: ignore[attr-defined]


def _real(tensor: Tensor) -> bool:
    """True for what stands for real numbers: neither truth values nor indices."""
    return tensor.quantized or tensor.dtype is DType.F32


def _codes(tensor: Tensor) -> bool:
    """True for an activation that stands for real numbers."""
    return not tensor.constant and _real(tensor)


def _fold_node(graph: Graph) -> Graph | None:
    producers, readers = graph.producers(), graph.consumers()
    for node in graph.nodes:
        if isinstance(node.op, QuantizeLinear | DequantizeLinear) or len(node.outputs) != 1:
            continue
        tensors = [graph.tensors[n] for n in node.inputs if n]
        activations = [t.name for t in tensors if _codes(t)]
        table = node.op.moves_data and any(t.constant and t.quantized for t in tensors)
        if not (activations or table) or not all(_is_dequantize(producers.get(n)) for n in activations):
            continue
        after = _quantizer_after(graph, node, readers)
        if not after:
            continue
        folded = _folded(graph, node, producers, graph.tensors[after[0].outputs[0]])
        if folded is None:
            continue
        same = {n.outputs[0]: after[0].outputs[0] for n in after[1:] if n.outputs[0] not in graph.outputs}
        gone = {id(n) for n in after if n is after[0] or n.outputs[0] in same}
        rest = graph.with_(n for n in graph.nodes if id(n) not in gone or n is node)
        spliced = _splice(rest, node, folded[0], *folded[1])
        return spliced.with_(renamed(n, same) for n in spliced.nodes)
    return None


def _folded(
    graph: Graph, node: Node, producers: dict[str, Node], y: Tensor
) -> tuple[tuple[Node, ...], list[Tensor]] | None:
    """The integer node (with requantized inputs in front where it only moves data), or None."""
    sources = [producers[n].inputs[0] if n and _codes(graph.tensors[n]) else n for n in node.inputs]
    extra: list[Node] = []
    tensors: list[Tensor] = []
    if node.op.moves_data:
        if len(sources) == 1 and graph.tensors[sources[0]].quantization != y.quantization:
            return None  # rule 4: the data moves first, the lookup comes after it
        same: dict[str, str] = {}
        for i, name in enumerate(sources):
            x = graph.tensors[name]
            if _codes_of(x) != _codes_of(y) and name not in same and _real(x):
                aligned = _aligned(graph, x, f"{name}@{node.name}", y)
                if not x.constant:
                    if Requantize().float_reason(Site(node.name, (x,), (aligned,))):
                        return None
                    extra.append(Node(f"{node.name}/requantize{i}", Requantize(), (name,), (aligned.name,)))
                tensors.append(aligned)
                same[name] = aligned.name
        sources = [same.get(name, name) for name in sources]
    table = {**graph.tensors, **{t.name: t for t in tensors}}
    site = Site(node.name, tuple(table[n] if n else None for n in sources), (y,))
    if node.op.float_reason(site):
        return None
    return (*extra, replace(node, inputs=tuple(sources), outputs=(y.name,))), tensors


def _compare_codes(graph: Graph) -> Graph | None:
    """Scales are positive: codes are in the order of what they stand for."""
    producers = graph.producers()
    for node in graph.nodes:
        before = producers.get(node.inputs[0]) if node.op.only_compares else None
        if before is not None and _is_dequantize(before):
            return _splice(graph, node, (replace(node, inputs=before.inputs),))
    return None


def _codes_of(tensor: Tensor) -> tuple[DType, Quantization | None]:
    """What a tensor's codes mean."""
    return tensor.dtype, tensor.quantization


def _aligned(graph: Graph, x: Tensor, name: str, y: Tensor) -> Tensor:
    """`x` under the quantization of `y`; a constant's codes are made here."""
    aligned = replace(x, name=graph.fresh(name), quantization=y.quantization, origin=None)
    if not x.constant or y.quantization is None:
        return aligned if x.constant else replace(aligned, dtype=y.dtype)
    data = quantize_array(x.real(), y.quantization, *code_range(y.dtype)).astype(y.dtype.numpy)
    return replace(aligned, dtype=y.dtype, data=data)


def _only_input(graph: Graph, node: Node) -> str | None:
    """The single activation of a node that only moves data."""
    if not node.op.moves_data or len(node.outputs) != 1 or len(node.inputs) != 1:
        return None
    name = node.inputs[0]
    return None if graph.tensors[name].constant else name


def _integer_twin(graph: Graph, tensor: Tensor, codes: Tensor) -> Tensor:
    """A tensor of the same shape with the type and quantization of `codes`."""
    name = graph.fresh(f"{tensor.name}@{codes.dtype.suffix}")
    return replace(tensor, name=name, dtype=codes.dtype, quantization=codes.quantization, origin=None)


def _sink_dequantize(graph: Graph) -> Graph | None:
    producers = graph.producers()
    for node in graph.nodes:
        name = _only_input(graph, node)
        before = producers.get(name) if name else None
        if before is None or not isinstance(before.op, DequantizeLinear):
            continue
        x, y = graph.tensors[before.inputs[0]], graph.tensors[node.outputs[0]]
        moved = _integer_twin(graph, y, x)
        if node.op.float_reason(Site(node.name, (x,), (moved,))):
            continue
        return _splice(
            graph,
            node,
            (
                replace(node, inputs=(x.name,), outputs=(moved.name,)),
                Node(f"{node.name}/dequantize", DequantizeLinear(), (moved.name,), node.outputs),
            ),
            moved,
        )
    return None


def _raise_quantize(graph: Graph) -> Graph | None:
    readers = graph.consumers()
    for node in graph.nodes:
        name = _only_input(graph, node)
        after = _quantizer_after(graph, node, readers) if name else []
        if not name or not after:
            continue
        op, x, y = after[0].op, graph.tensors[name], graph.tensors[after[0].outputs[0]]
        early = _integer_twin(graph, x, y)
        if node.op.float_reason(Site(node.name, (early,), (y,))):
            continue
        same = {n.outputs[0]: y.name for n in after[1:]}
        if any(n in graph.outputs for n in same):
            continue
        gone = {id(n) for n in after}
        rest = graph.with_(renamed(n, same) if n is not node else n for n in graph.nodes if id(n) not in gone)
        return _splice(
            rest,
            node,
            (
                Node(after[0].name, op, (name,), (early.name,)),
                replace(node, inputs=(early.name,), outputs=(y.name,)),
            ),
            early,
            y,
        )
    return None


def _dequantize_constants(graph: Graph) -> Graph:
    """Nodes that stay in float32 read float32 constants, or codes where their kernels do that."""
    tensors: dict[str, Tensor] = {}
    nodes: list[Node] = []
    reasons = {**graph.reasons}
    for node in graph.nodes:
        names: dict[str, str] = {}
        if reason := _wide_reason(graph, node):
            reasons[node.name] = reason
        if all(graph.tensors[n].dtype is DType.F32 for n in node.outputs):
            for index, name in enumerate(node.inputs):
                t = graph.tensors.get(name)
                if t is not None and t.constant and t.quantized and not _read_as_codes(node, index, t):
                    real = replace(t, name=f"{name}@f32", dtype=DType.F32, quantization=None, data=t.real())
                    tensors[real.name] = real
                    names[name] = real.name
        nodes.append(renamed(node, names))
    return graph.with_(nodes, *tensors.values(), reasons=reasons)


def _wide_reason(graph: Graph, node: Node) -> str:
    """Why a node with quantized constants between int16 activations stays in float32."""
    inputs = [graph.tensors[n] for n in node.inputs if n]
    if len(node.outputs) != 1 or not any(t.constant and t.quantized for t in inputs):
        return ""
    producers, after = graph.producers(), _quantizer_after(graph, node, graph.consumers())
    if not after:
        return ""
    makers = [producers.get(n) for n in node.inputs]
    sources = [
        m.inputs[0] if _is_dequantize(m) and m else n for m, n in zip(makers, node.inputs, strict=True)
    ]
    tensors = tuple(graph.tensors[n] if n else None for n in sources)
    site = Site(node.name, tensors, (graph.tensors[after[0].outputs[0]],))
    return node.op.float_reason(site) if site.wide else ""


def _read_as_codes(node: Node, index: int, t: Tensor) -> bool:
    """True for symmetric int8 weights that stay what they are: a quarter of the flash."""
    q = t.quantization
    symmetric = q is not None and not q.zero_point.any() and q.axis in (None, 1)
    return index in node.op.code_inputs and t.dtype is DType.S8 and symmetric
