"""Layout: transposes sink towards the outputs, meet their inverses and vanish.

`load` wraps every windowed operator in transposes (ONNX is `n c h w`, our kernels are `n h w c`). Nodes
that can work on permuted tensors let them pass; a transpose that only moves axes of length one is a
reshape. The graph's inputs may themselves be channels-last: that is tried, and kept when fewer values
have to be moved at run time.
"""

from dataclasses import replace

from pingponnx.ir import Graph, Node, Origin, Port, Shape, Tensor
from pingponnx.ops.reshape import Reshape
from pingponnx.ops.transpose import Transpose
from pingponnx.rewrite.edit import live, permuted_constant, renamed

_LAYOUT = (Transpose, Reshape)


def choose_layout(graph: Graph, *, keep_inputs: bool = False) -> Graph:
    """Sink transposes; make each image input channels-last where that saves work."""
    best = sink_transposes(graph)
    if keep_inputs:
        return best
    for name in graph.inputs:
        if len(graph.tensors[name].shape) < 3:
            continue
        candidate = _channels_last_input(graph, name)
        sunk = sink_transposes(candidate)
        if _moved(sunk) < _moved(best):
            graph, best = candidate, sunk
    return best


def _moved(graph: Graph) -> int:
    """Values that transposes move at run time; one more each, so that fewer transposes win a tie."""
    return sum(
        graph.tensors[node.outputs[0]].size + 1 for node in graph.nodes if isinstance(node.op, Transpose)
    )


def _channels_last_input(graph: Graph, name: str) -> Graph:
    """The graph with input `name` given as `n [h] w c` and transposed back by a node."""
    x = graph.tensors[name]
    rank = len(x.shape)
    to_last, to_first = (0, *range(2, rank), 1), (0, rank - 1, *range(1, rank - 1))
    last = graph.fresh(f"{name}@nhwc_input")
    shape = tuple(x.shape[axis] for axis in to_last)
    tensor = replace(x, name=last, shape=shape, origin=Origin(name, to_last))
    node = Node(f"{name}/layout", Transpose(to_first), (last,), (name,))
    ports = {k: v for k, v in graph.ports.items() if k != name} | {
        last: Port(graph.ports[name].name, to_last)
    }
    if name in graph.outputs:
        ports[name] = graph.ports[name]
    inputs = tuple(last if n == name else n for n in graph.inputs)
    return graph.with_((node, *graph.nodes), tensor, inputs=inputs, ports=ports)


def sink_transposes(graph: Graph) -> Graph:
    """Apply the rules below until none changes anything."""
    while True:
        changed = _simplify(graph) or _sink_one(graph)
        if changed is None:
            return live(graph)
        graph = changed


def _simplify(graph: Graph) -> Graph | None:
    """Merge chains of transposes and of reshapes, drop identities, spell unit-axis moves as reshapes."""
    producers = graph.producers()
    names: dict[str, str] = {}
    nodes: list[Node] = []
    changed = False
    for node in graph.nodes:
        node = renamed(node, names)
        if type(node.op) not in _LAYOUT:  # most nodes of most rounds
            nodes.append(node)
            continue
        source = producers.get(node.inputs[0]) if node.inputs and node.inputs[0] else None
        new = renamed(_merged(graph, node, source), names)
        identity = _identity(graph, new)
        if identity and new.outputs[0] not in graph.outputs:
            names[new.outputs[0]] = names.get(new.inputs[0], new.inputs[0])
            changed = True
            continue
        changed |= new != node
        nodes.append(new)
    return live(graph.with_(nodes)) if changed else None


def _merged(graph: Graph, node: Node, source: Node | None) -> Node:
    op = node.op
    if isinstance(op, Transpose):
        if source is not None and isinstance(source.op, Transpose):
            inner = source.op.permutation
            joined = Transpose(tuple(inner[axis] for axis in op.permutation))
            return replace(node, op=joined, inputs=source.inputs)
        shape = graph.tensors[node.inputs[0]].shape
        if _moves_only_units(shape, op.permutation):
            return replace(node, op=Reshape(graph.tensors[node.outputs[0]].shape))
    if isinstance(op, Reshape) and source is not None and isinstance(source.op, Reshape):
        return replace(node, inputs=source.inputs)
    return node


def _moves_only_units(shape: Shape, permutation: tuple[int, ...]) -> bool:
    order = [axis for axis in permutation if shape[axis] != 1]
    return order == sorted(order)


def _identity(graph: Graph, node: Node) -> bool:
    if isinstance(node.op, Transpose):
        return node.op.permutation == tuple(range(len(node.op.permutation)))
    if isinstance(node.op, Reshape):
        return node.op.shape == graph.tensors[node.inputs[0]].shape
    return False


def _sink_one(graph: Graph) -> Graph | None:
    """Move the transposes in front of one node behind it."""
    producers = graph.producers()
    for index, node in enumerate(graph.nodes):
        permutation = _common(graph, node, producers)
        if permutation is None:
            continue
        inverse = _inverse(permutation)
        op = node.op.permuted(inverse)
        if op is None:
            continue
        moved = _move(graph, node, replace(node, op=op), permutation, inverse, producers)
        if moved is not None:
            nodes, tensors = moved
            return live(graph.with_((*graph.nodes[:index], *nodes, *graph.nodes[index + 1 :]), *tensors))
    return None


def _common(graph: Graph, node: Node, producers: dict[str, Node]) -> tuple[int, ...] | None:
    """The permutation of the transposes that feed a node's activations, if it is one and the same.

    Activations that the inverse permutation only reshapes (one value per channel) need no transpose.
    """
    if type(node.op) is Transpose or len(node.outputs) != 1:
        return None
    found: set[tuple[int, ...]] = set()
    others: list[Tensor] = []
    for name in node.inputs:
        if not name or graph.tensors[name].constant:
            continue
        source = producers.get(name)
        if source is not None and type(source.op) is Transpose:
            found.add(source.op.permutation)
        else:
            others.append(graph.tensors[name])
    if len(found) != 1:
        return None
    permutation = found.pop()
    inverse = _inverse(permutation)
    free = (len(x.shape) == len(inverse) and _moves_only_units(x.shape, inverse) for x in others)
    return permutation if all(free) else None


def _inverse(permutation: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(range(len(permutation)), key=permutation.__getitem__))


def _move(
    graph: Graph,
    node: Node,
    moved: Node,
    permutation: tuple[int, ...],
    inverse: tuple[int, ...],
    producers: dict[str, Node],
) -> tuple[list[Node], list[Tensor]] | None:
    """The node on untransposed inputs, with the transpose behind it, and the new tensors."""
    inputs: list[str] = []
    tensors: list[Tensor] = []
    nodes: list[Node] = []
    for i, name in enumerate(node.inputs):
        source = producers.get(name)
        if not name:
            inputs.append(name)
        elif source is not None and isinstance(source.op, Transpose):
            inputs.append(source.inputs[0])
        elif not graph.tensors[name].constant:
            x = _permuted(graph.tensors[name], inverse, graph.fresh(f"{name}@{node.name}/{i}"))
            nodes.append(Node(f"{node.name}/reshape{i}", Reshape(x.shape), (name,), (x.name,)))
            tensors.append(x)
            inputs.append(x.name)
        else:
            constant = permuted_constant(graph.tensors[name], inverse, graph.fresh(f"{name}@permuted"))
            if constant is None:
                return None
            tensors.append(constant)
            inputs.append(constant.name)
    y = graph.tensors[node.outputs[0]]
    if len(y.shape) != len(permutation):
        return None
    before = _permuted(y, inverse, graph.fresh(f"{y.name}@nhwc"))
    first = replace(moved, inputs=tuple(inputs), outputs=(before.name,))
    last = Node(f"{node.name}/layout", Transpose(permutation), (before.name,), node.outputs)
    return [*nodes, first, last], [*tensors, before]


def _permuted(tensor: Tensor, permutation: tuple[int, ...], name: str) -> Tensor:
    shape = tuple(tensor.shape[axis] for axis in permutation)
    origin = tensor.origin.permuted(permutation) if tensor.origin else None
    return replace(tensor, name=name, shape=shape, origin=origin)
