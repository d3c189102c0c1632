"""Structure-aware damage to ONNX models: what an exporter's bug, a bad disk or a hostile person would write.

Every mutation takes a source of randomness and a model and changes the model in place; it does nothing where
the model has nothing of its kind. `mutate` applies a few of them. Equal seeds give equal models.
"""

import random
from collections.abc import Callable, Iterator
from typing import Any

import onnx
from onnx import AttributeProto, TensorProto, helper

Mutation = Callable[[random.Random, onnx.ModelProto], None]
MUTATIONS: list[Mutation] = []

INTEGERS = (0, 1, -1, 2, 3, 4, 5, 7, 8, 16, -2, -5, 100, 127, 255, 65536, 10**6, 2**24, 2**31 - 1, 2**31)
INTEGERS += (-(2**31), 10**9, 10**11, 2**40, 2**62, 2**63 - 1, -(2**63))
SMALL = (0, 1, -1, 2, 3, 4, 8, 100)
REALS = (0.0, -0.0, 1.0, -1.0, 0.5, float("nan"), float("inf"), float("-inf"), 1e38, 1e-45, 3e9, -7.25)
STRINGS = (b"", b"NOTSET", b"SAME_UPPER", b"linear", b"cubic", b"wrap", b"reflect", b"\xff\xfe", b"a" * 10000)
STRINGS += (b"ij,jk->ik", b"...,->", b"/*", b"\x00", "\u202e\u2603".encode())
OPSETS = (-1, 0, 1, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 17, 18, 19, 21, 22, 23, 24, 25, 100, 2**31, 2**63 - 1)
NAMES = ("", "x", "a*/b", "../../x", "int", "%s%n", "a" * 10000, "{{7*7}}", "\u202ex", "a\nb", "a\x00b")
PLACES = ("weights.bin", "../weights.bin", "/etc/passwd", "link", "folder", "fifo", "", "nowhere", "a" * 5000)
_SCHEMAS = sorted({s.name: s for s in onnx.defs.get_all_schemas() if s.domain == ""}.items())
_FOREIGN = ["QLinearAdd", "QLinearSigmoid", "QGemm", "FusedConv", "Gelu", "BiasGelu", "Nothing"]
UNFIT = (ValueError, TypeError, OverflowError, IndexError, AttributeError)  # nothing of the kind, or no value
MAX_BYTES = 100_000  # models that grow beyond are given up
_GRAPHLIKE = onnx.GraphProto | onnx.FunctionProto


def mutation(function: Mutation) -> Mutation:
    MUTATIONS.append(function)
    return function


def mutate(data: bytes, seed: int, donors: list[bytes]) -> bytes:
    """One to four mutations of a serialized model; bytes that are no model are taken as one of `donors`."""
    rng, model = random.Random(seed), onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception:  # protobuf's own
        model.ParseFromString(rng.choice(donors))
    chosen = [rng.choice(MUTATIONS) for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4)))]
    if rng.random() < 0.1:
        donor = rng.choice(donors)
        chosen.insert(0, lambda rng, model: _splice(rng, model, donor))
    for change in chosen:
        try:
            change(rng, model)
        except UNFIT:
            continue
        if model.ByteSize() > MAX_BYTES:
            return data
    return bytes(model.SerializeToString())


# -- what a model is made of --------------------------------------------------------------------------


def _inner(graph: _GRAPHLIKE) -> Iterator[_GRAPHLIKE]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for sub in [attribute.g, *attribute.graphs] if attribute.type in (5, 10) else ():
                yield from _inner(sub)


def _graph(rng: random.Random, model: onnx.ModelProto) -> Any:
    """Mostly the main one; or one inside of it, or a function."""
    if rng.random() < 0.6:
        return model.graph
    return rng.choice([g for root in (model.graph, *model.functions) for g in _inner(root)])


def _node(rng: random.Random, model: onnx.ModelProto) -> onnx.NodeProto:
    return _any(rng, _graph(rng, model).node)


def _any(rng: random.Random, items: Any) -> Any:
    if not len(items):
        raise ValueError("nothing there")
    return items[rng.randrange(len(items))]


def _drop(rng: random.Random, items: Any) -> None:
    if len(items):
        del items[rng.randrange(len(items))]


def _names(model: onnx.ModelProto) -> list[str]:
    graph = model.graph
    found = [v.name for v in (*graph.input, *graph.initializer)]
    return [*found, *(n for node in graph.node for n in node.output), "", "nowhere"]


def _value(rng: random.Random, model: onnx.ModelProto) -> onnx.ValueInfoProto:
    return _any(rng, [*model.graph.input, *model.graph.output, *model.graph.value_info])


def _tensor(rng: random.Random, model: onnx.ModelProto) -> onnx.TensorProto:
    tensors = list(model.graph.initializer)
    tensors += [a.t for n in model.graph.node for a in n.attribute if a.type == AttributeProto.TENSOR]
    return _any(rng, tensors)


def _constant(rng: random.Random, model: onnx.ModelProto, values: list[int], scalar: bool = False) -> str:
    name = f"fuzz{rng.randrange(10**9)}"
    dims = [] if scalar else [len(values)]
    model.graph.initializer.append(helper.make_tensor(name, TensorProto.INT64, dims, values))
    return name


# -- nodes --------------------------------------------------------------------------------------------


@mutation
def swap_nodes(rng: random.Random, model: onnx.ModelProto) -> None:
    nodes = list(_graph(rng, model).node)
    a, b = _any(rng, nodes), _any(rng, nodes)
    first, second = a.SerializeToString(), b.SerializeToString()
    a.ParseFromString(second)
    b.ParseFromString(first)


@mutation
def duplicate_node(rng: random.Random, model: onnx.ModelProto) -> None:
    graph = _graph(rng, model)
    copy = graph.node.add()
    copy.CopyFrom(_any(rng, graph.node))
    if rng.random() < 0.7:
        copy.output[:] = [f"{n}@{rng.randrange(1000)}" for n in copy.output]


@mutation
def delete_node(rng: random.Random, model: onnx.ModelProto) -> None:
    _drop(rng, _graph(rng, model).node)


@mutation
def change_operator(rng: random.Random, model: onnx.ModelProto) -> None:
    node = _node(rng, model)
    if rng.random() < 0.85:
        node.op_type = rng.choice(_SCHEMAS)[0]
    else:
        node.op_type, node.domain = rng.choice(_FOREIGN), rng.choice(("com.microsoft", "", "a*/b"))
        model.opset_import.append(helper.make_opsetid(node.domain, 1))


@mutation
def rewire(rng: random.Random, model: onnx.ModelProto) -> None:
    """An input becomes another value, nothing, or what comes later: graphs with cycles among them."""
    node = _node(rng, model)
    node.input[rng.randrange(len(node.input) or 1)] = rng.choice([*_names(model), *node.output])


@mutation
def change_arity(rng: random.Random, model: onnx.ModelProto) -> None:
    node = _node(rng, model)
    names = node.input if rng.random() < 0.6 else node.output
    if rng.random() < 0.5:
        _drop(rng, names)
    else:
        names.append(rng.choice(_names(model)))


@mutation
def blank_output(rng: random.Random, model: onnx.ModelProto) -> None:
    node = _node(rng, model)
    node.output[rng.randrange(len(node.output) or 1)] = rng.choice(("", *node.input, "again"))


@mutation
def many_nodes(rng: random.Random, model: onnx.ModelProto) -> None:
    """A chain of copies of a node."""
    node = _node(rng, model)
    last = node.output[0]
    for turn in range(10 if node.ByteSize() > 300 else rng.choice((10, 100, 300))):
        copy = model.graph.node.add()
        copy.op_type, copy.domain = node.op_type, node.domain
        copy.attribute.extend(node.attribute)
        copy.input.extend([last, *node.input[1:]])
        last = f"chain{turn}"
        copy.output.append(last)


# -- attributes ---------------------------------------------------------------------------------------


def _set(rng: random.Random, attribute: AttributeProto, kind: int) -> None:
    name = attribute.name
    attribute.Clear()
    attribute.name, attribute.type = name, kind
    if kind == AttributeProto.INT:
        attribute.i = rng.choice(INTEGERS)
    elif kind == AttributeProto.FLOAT:
        attribute.f = rng.choice(REALS)
    elif kind == AttributeProto.STRING:
        attribute.s = rng.choice(STRINGS)
    elif kind == AttributeProto.INTS:
        pool = rng.choice((SMALL, INTEGERS))
        attribute.ints.extend(rng.choice(pool) for _ in range(rng.choice((0, 1, 2, 3, 4, 8))))
    elif kind == AttributeProto.FLOATS:
        attribute.floats.extend(rng.choice(REALS) for _ in range(rng.choice((0, 1, 4))))
    elif kind == AttributeProto.STRINGS:
        attribute.strings.extend(rng.choice(STRINGS) for _ in range(rng.choice((0, 1, 3))))
    elif kind == AttributeProto.TENSOR:
        dims = [rng.choice(SMALL) for _ in range(rng.choice((0, 1, 2)))]
        attribute.t.CopyFrom(TensorProto(dims=dims, data_type=rng.choice((1, 7, 3)), raw_data=bytes(8)))
    elif kind == AttributeProto.GRAPH:
        attribute.g.name = "empty"


@mutation
def change_attribute(rng: random.Random, model: onnx.ModelProto) -> None:
    attribute = _any(rng, [a for n in _graph(rng, model).node for a in n.attribute])
    kind = attribute.type if rng.random() < 0.75 else rng.randrange(12)
    if kind == AttributeProto.INTS and attribute.ints and rng.random() < 0.7:
        attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(INTEGERS)
    elif kind != AttributeProto.GRAPH or rng.random() < 0.2:
        _set(rng, attribute, kind)


@mutation
def drop_attribute(rng: random.Random, model: onnx.ModelProto) -> None:
    _drop(rng, _any(rng, [n for n in _graph(rng, model).node if n.attribute]).attribute)


@mutation
def add_attribute(rng: random.Random, model: onnx.ModelProto) -> None:
    """One that the operator has."""
    node = _node(rng, model)
    schema = dict(_SCHEMAS).get(node.op_type)
    names = sorted(schema.attributes) if schema is not None else []
    name = rng.choice(names or ["axis"])
    kind = int(schema.attributes[name].type) if names and schema is not None else AttributeProto.INT
    _set(rng, node.attribute.add(name=name), kind)


# -- values and constants -----------------------------------------------------------------------------


@mutation
def change_shape(rng: random.Random, model: onnx.ModelProto) -> None:
    shape = _value(rng, model).type.tensor_type.shape
    action = rng.randrange(4)
    if action == 0:
        shape.dim.add().dim_value = rng.choice(INTEGERS)
    elif action == 1:
        _drop(rng, shape.dim)
    elif action == 2:
        _any(rng, shape.dim).dim_param = rng.choice(("N", "batch", "", "a*/b"))
    else:
        _any(rng, shape.dim).dim_value = rng.choice(INTEGERS)


@mutation
def change_type(rng: random.Random, model: onnx.ModelProto) -> None:
    value = _value(rng, model)
    if rng.random() < 0.8:
        value.type.tensor_type.elem_type = rng.randrange(30)
    else:
        kind = rng.choice(("sequence_type", "optional_type"))
        getattr(value.type, kind).elem_type.tensor_type.elem_type = 1


@mutation
def lie_about_dims(rng: random.Random, model: onnx.ModelProto) -> None:
    tensor = _tensor(rng, model)
    if tensor.dims and rng.random() < 0.6:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(INTEGERS)
    elif rng.random() < 0.5:
        tensor.dims.append(rng.choice(INTEGERS))
    else:
        _drop(rng, tensor.dims)


@mutation
def lie_about_dtype(rng: random.Random, model: onnx.ModelProto) -> None:
    _tensor(rng, model).data_type = rng.randrange(30)


@mutation
def change_data(rng: random.Random, model: onnx.ModelProto) -> None:
    """Fewer bytes, more, others, or in a field of another type."""
    tensor = _tensor(rng, model)
    raw = bytearray(tensor.raw_data)
    action = rng.randrange(5)
    if action == 0:
        tensor.raw_data = bytes(raw[: len(raw) // 2])
    elif action == 1:
        tensor.raw_data = bytes(raw) + bytes(rng.choice((1, 4, 100)))
    elif action == 2:
        tensor.ClearField("raw_data")
    elif action == 3:
        tensor.int64_data.extend(rng.choice(INTEGERS) for _ in range(rng.choice((1, 4))))
    elif raw:
        raw[rng.randrange(len(raw))] = rng.randrange(256)
        tensor.raw_data = bytes(raw)


@mutation
def change_numbers(rng: random.Random, model: onnx.ModelProto) -> None:
    """Other values in a constant that stays well formed: shapes, axes, scales, conditions."""
    tensor = _tensor(rng, model)
    if tensor.data_type == TensorProto.INT64:
        size = len(tensor.raw_data) // 8 or len(tensor.int64_data)
        values = [rng.choice(rng.choice((SMALL, INTEGERS))) for _ in range(min(size, 16))]
        tensor.ClearField("raw_data")
        tensor.int64_data[:] = values
    elif tensor.data_type == TensorProto.FLOAT and len(tensor.raw_data) <= 64:
        count = len(tensor.raw_data) // 4 or len(tensor.float_data)
        tensor.ClearField("raw_data")
        tensor.float_data[:] = [rng.choice(REALS) for _ in range(min(count, 16))]


@mutation
def drop_value(rng: random.Random, model: onnx.ModelProto) -> None:
    graph = model.graph
    _drop(rng, rng.choice((graph.input, graph.output, graph.value_info, graph.initializer)))


@mutation
def duplicate_value(rng: random.Random, model: onnx.ModelProto) -> None:
    graph = model.graph
    values = rng.choice((graph.input, graph.output, graph.value_info, graph.initializer))
    values.add().CopyFrom(_any(rng, values))


@mutation
def rename_value(rng: random.Random, model: onnx.ModelProto) -> None:
    """Everywhere, or in one place only."""
    old, new = rng.choice(_names(model)), rng.choice((*NAMES, *_names(model)))
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        if value.name == old:
            value.name = new
    for node in model.graph.node:
        node.input[:] = [new if n == old else n for n in node.input]
        if rng.random() < 0.9:
            node.output[:] = [new if n == old else n for n in node.output]


@mutation
def move_outside(rng: random.Random, model: onnx.ModelProto) -> None:
    """External data in good, missing and forbidden places."""
    tensor = _tensor(rng, model)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entries = {"location": rng.choice(PLACES)}
    for key in ("offset", "length"):
        if rng.random() < 0.5:
            entries[key] = str(rng.choice((*INTEGERS, "x", "1e3", " 4")))
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)


@mutation
def make_sparse(rng: random.Random, model: onnx.ModelProto) -> None:
    sparse = model.graph.sparse_initializer.add()
    sparse.values.CopyFrom(_tensor(rng, model))
    sparse.indices.CopyFrom(helper.make_tensor("", TensorProto.INT64, [1], [rng.choice(INTEGERS)]))
    sparse.dims.extend([rng.choice(INTEGERS)])


# -- the model ----------------------------------------------------------------------------------------


@mutation
def change_opset(rng: random.Random, model: onnx.ModelProto) -> None:
    if rng.random() < 0.2:
        model.opset_import.append(helper.make_opsetid(rng.choice(("", "ai.onnx", "x")), rng.choice(OPSETS)))
    elif rng.random() < 0.1:
        model.ir_version = rng.choice((0, 1, 3, 7, 10, 13, 100, 2**40, -1))
    else:
        _any(rng, model.opset_import).version = rng.choice(OPSETS)


def _splice(rng: random.Random, model: onnx.ModelProto, donor: bytes) -> None:
    """A node of another model, with its constants, reads a value of this one."""
    other = onnx.ModelProto()
    other.ParseFromString(donor)
    if not other.graph.node:
        return
    node = model.graph.node.add()
    node.CopyFrom(rng.choice(list(other.graph.node)))
    known = {t.name for t in model.graph.initializer}
    model.graph.initializer.extend(
        t for t in other.graph.initializer if t.name in node.input and t.name not in known
    )
    if node.input:
        node.input[0] = rng.choice(_names(model))
