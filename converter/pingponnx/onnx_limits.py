"""What a model may ask for. A few bytes of ONNX can demand any memory or time: counted before it is spent.

The bounds are far above what a microcontroller can hold, and low enough for the machine that converts.
"""

from collections.abc import Iterable, Mapping
from math import prod

import onnx
from google.protobuf.message import Message

from pingponnx.errors import ModelError
from pingponnx.ir import Shape

MAX_BYTES = 2**31 - 1  # of a file, and of all external data: more does not fit into a protobuf message
MAX_NODES = 20_000  # with functions, branches and loops written out
MAX_VALUES = 2**26  # in any tensor
MAX_FOLDED_VALUES = 2**24  # in any result of a constant expression
MAX_FOLDED = 2**26  # values in all of them together
MAX_WORK = 2**30  # multiply-adds of one constant expression
_MAX_WINDOWED = 2**26  # the same where onnxruntime copies out every window
_MAX_FOLLOWED = 2**16  # elements of one vector of integers
_MAX_FOLLOWED_IN_ALL = 2**21
_DEEPEST_CALL = 64
_MOST_AXES = 32

# Operators whose results shape inference follows element by element when they are vectors of integers
_FOLLOWED = {"Add", "Cast", "Concat", "Gather", "Mul", "Slice", "Squeeze", "Sub", "Unsqueeze"}
_FOLLOWED |= {"ConstantOfShape"}
_PRODUCTS = {"MatMul", "Gemm", "MatMulInteger", "QLinearMatMul"}
_CONVOLUTIONS = {"Conv", "ConvInteger", "QLinearConv", "DeformConv", "ConvTranspose"}
_POOLS = {"AveragePool", "MaxPool", "LpPool"}


def check_limits(model: onnx.ModelProto, messages: Iterable[Message]) -> None:
    """Raise ModelError when a model, read but not computed yet, is too large; `messages` are all it holds."""
    for message in messages:
        if isinstance(message, onnx.TensorProto):
            check_size(f"constant {message.name!r}", message.dims)
        elif isinstance(message, onnx.SparseTensorProto):
            check_size(f"constant {message.values.name!r}", message.dims)
        elif isinstance(message, onnx.ValueInfoProto):
            known = [d.dim_value for d in message.type.tensor_type.shape.dim if d.HasField("dim_value")]
            check_size(f"value {message.name!r}", known)
    check_nodes(model)


def check_rank(what: str, rank: int) -> None:
    """Raise ModelError for too many axes."""
    if rank > _MOST_AXES:
        raise ModelError(f"{what} has {rank} dimensions", f"up to {_MOST_AXES} can be converted")


def check_size(what: str, dims: Iterable[int]) -> None:
    """Raise ModelError for a shape that is none, or for too many values."""
    shape = tuple(dims)
    check_rank(what, len(shape))
    if any(n < 0 for n in shape):
        raise ModelError(f"{what} has the shape {list(shape)}", "no dimension can be negative")
    values = prod(shape)
    if values > MAX_VALUES or any(n > MAX_VALUES for n in shape):
        hint = f"a tensor may have {MAX_VALUES:,} values; no microcontroller holds more"
        raise ModelError(f"{what} has the shape {list(shape)}: {values:,} values", hint)


def check_shapes(shapes: Mapping[str, Shape]) -> None:
    """The same for all values of a graph whose shapes are known."""
    for name, shape in shapes.items():
        check_size(f"value {name!r}", shape)


def check_nodes(model: onnx.ModelProto) -> None:
    """Raise ModelError for too many nodes, and for functions that call themselves."""
    bodies = {(f.domain, f.name): f for f in model.functions}
    counts: dict[tuple[str, str], int] = {}

    def called(key: tuple[str, str], callers: tuple[tuple[str, str], ...]) -> int:
        if key in callers or len(callers) > _DEEPEST_CALL:
            why = "calls itself" if key in callers else f"is called through {_DEEPEST_CALL} others"
            raise ModelError(f"the function {'.'.join(key)!r} {why}", "export the model without functions")
        if key not in counts:
            counts[key] = total(bodies[key].node, (*callers, key))
        return counts[key]

    def total(nodes: Iterable[onnx.NodeProto], callers: tuple[tuple[str, str], ...]) -> int:
        count = 0
        for node in nodes:
            key = node.domain, node.op_type
            count += max(called(key, callers), 1) if key in bodies else 1
            for attribute in node.attribute:
                for graph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                    count += total(graph.node, callers)
        return count

    count = total(model.graph.node, ())
    if count > MAX_NODES:
        hint = f"{MAX_NODES:,} nodes can be converted: simplify the model"
        raise ModelError(f"the model has {count:,} nodes with its functions written out", hint)


def may_follow(graph: onnx.GraphProto, outer: Mapping[str, int] | None = None) -> bool:
    """Whether shape inference may follow integers, given what is inferred without.

    It makes an object for every element of every vector, so none may be long, or of a length that is not
    known yet, nor may they all together.
    """
    total = 0
    lengths = dict(outer or {}) | {t.name: prod(t.dims) if len(t.dims) < 2 else 0 for t in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        dims = kind.shape.dim
        if kind.HasField("shape") and (len(dims) != 1 or dims[0].HasField("dim_value")):
            lengths[value.name] = dims[0].dim_value if len(dims) == 1 else len(dims) == 0
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                if not may_follow(inner, lengths):
                    return False
        if node.op_type not in _FOLLOWED:
            continue
        found = [lengths.get(name, _MAX_FOLLOWED + 1) for name in node.input if name]
        length = sum(found) if node.op_type == "Concat" else max(found, default=0)
        if node.op_type == "ConstantOfShape":  # a vector when it is made of one number
            length = lengths.get(node.output[0], _MAX_FOLLOWED + 1 if found == [1] else 0)
        total += length
        if length > _MAX_FOLLOWED or total > _MAX_FOLLOWED_IN_ALL:
            return False
        for name in node.output:
            lengths.setdefault(name, length)
    return True


def check_work(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> int:
    """The values that a constant expression makes; raises ModelError when it takes too much to compute."""
    sizes = [prod(shapes.get(name, ())) for name in node.output if name]
    for name in node.output:
        if prod(shapes.get(name, ())) > MAX_FOLDED_VALUES:
            what = f"the constant expression {name!r} makes {prod(shapes[name]):,} values"
            raise ModelError(what, "store fewer constants")
    inputs = [shapes.get(name, ()) for name in node.input]
    made, work, limit = sum(sizes), 0, MAX_WORK
    attributes = {a.name: a for a in node.attribute}
    if node.op_type in _PRODUCTS and inputs:
        work = made * max(inputs[0], default=1)
    elif node.op_type in _CONVOLUTIONS:
        weights = max((prod(shape[1:]) for shape in inputs[1:]), default=1)
        work, limit = max(made, prod(inputs[0])) * weights, _MAX_WINDOWED
    elif node.op_type in _POOLS and "kernel_shape" in attributes:
        work, limit = made * prod(abs(n) for n in attributes["kernel_shape"].ints), _MAX_WINDOWED
    elif node.op_type == "Einsum":
        axes: dict[str, int] = {}
        terms = attributes["equation"].s.decode("utf-8", "replace").split("->")[0].split(",")
        for term, shape in zip(terms, inputs, strict=False):
            axes |= dict(zip(reversed(term.replace(" ", "")), reversed(shape), strict=False))
        work = prod(axes.values())
    elif node.op_type in ("LSTM", "GRU", "RNN"):
        work = max((n for n in inputs[0]), default=1) * sum(prod(shape) for shape in inputs)
    if work > limit:
        what = f"the constant expression {node.output[0]!r} takes {work:,} multiplications"
        raise ModelError(what, "store its value instead of computing it")
    return made
