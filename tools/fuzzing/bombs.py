"""Mutations that ask for much with little: huge tensors, endless loops, functions that double."""

import random
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fuzzing.mutations import INTEGERS, _any, _constant, _node, mutation

_HUGE = (10**5, 2**16, 10**6, 10**9, 2**31 - 1, 2**31, 10**11, 2**40, 2**62, 2**63 - 1, -1)
DOMAIN = "fuzz.functions"


def _feed(rng: random.Random, model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> None:
    """Put nodes first; a reader of the model, or a new output, takes the last one's value."""
    rest = list(model.graph.node)
    kept = onnx.GraphProto()
    kept.node.extend([*nodes, *rest])
    del model.graph.node[:]
    model.graph.node.extend(kept.node)
    result = nodes[-1].output[0]
    if rng.random() < 0.6 and rest:
        reader = model.graph.node[len(nodes) + rng.randrange(len(rest))]
        if reader.input:
            reader.input[rng.randrange(len(reader.input))] = result
    else:
        _read(model, result)


def _read(model: onnx.ModelProto, name: str) -> None:
    """A new output of the model that needs a value of whatever type and shape."""
    cast = helper.make_node("Cast", [name], [f"{name}/real"], to=TensorProto.FLOAT)
    total = helper.make_node("ReduceSum", [f"{name}/real"], [f"{name}/sum"], keepdims=0)
    model.graph.node.extend([cast, total])
    model.graph.output.append(helper.make_tensor_value_info(f"{name}/sum", TensorProto.FLOAT, []))


def _result(rng: random.Random) -> str:
    return f"bomb{rng.randrange(10**9)}"


def _sizes(rng: random.Random) -> list[int]:
    return [rng.choice((1, 2, *_HUGE)) for _ in range(rng.choice((1, 2, 4)))]


@mutation
def fill(rng: random.Random, model: onnx.ModelProto) -> None:
    """ConstantOfShape, plainly or of a shape that only NonZero gives."""
    shape, result = _constant(rng, model, _sizes(rng)), _result(rng)
    nodes = []
    if rng.random() < 0.4:
        inner = f"{result}/shape"
        nodes = [helper.make_node("NonZero", [shape], [f"{inner}0"])]
        nodes.append(helper.make_node("Mul", [f"{inner}0", shape], [f"{inner}1"]))
        nodes.append(helper.make_node("Reshape", [f"{inner}1", _constant(rng, model, [-1])], [f"{inner}2"]))
        shape = f"{inner}2"
    _feed(rng, model, [*nodes, helper.make_node("ConstantOfShape", [shape], [result])])


@mutation
def grow(rng: random.Random, model: onnx.ModelProto) -> None:
    """Expand, Tile, Pad, Resize, Upsample-like growth of a value or of a constant."""
    result, sizes = _result(rng), _sizes(rng)
    names = [v.name for v in (*model.graph.input, *model.graph.initializer)]
    x = _any(rng, names) if rng.random() < 0.5 else _constant(rng, model, [1, 2])
    op = rng.choice(("Expand", "Tile", "Pad", "Resize", "Reshape", "OneHot", "Gather"))
    inputs = [x, _constant(rng, model, sizes)]
    if op == "Pad":
        inputs[1] = _constant(rng, model, sizes * 2)
    elif op == "Resize":
        inputs = [x, "", "", inputs[1]]
    elif op == "OneHot":
        inputs = [x, _constant(rng, model, sizes[:1], scalar=True), _constant(rng, model, [0, 1])]
    _feed(rng, model, [helper.make_node(op, inputs, [result])])


@mutation
def count(rng: random.Random, model: onnx.ModelProto) -> None:
    """Range over very many numbers, or with a step of nothing."""
    bounds = [_constant(rng, model, [rng.choice((0, 1, *INTEGERS))], scalar=True) for _ in range(3)]
    _feed(rng, model, [helper.make_node("Range", bounds, [_result(rng)])])


@mutation
def divide(rng: random.Random, model: onnx.ModelProto) -> None:
    """Integers of a constant expression, by zero among others."""
    kind = rng.choice((np.int32, np.int64, np.int8, np.uint8))
    info = np.iinfo(kind)
    names = []
    for values in ((1, 0, info.min, info.max), (0, 1, info.max if info.min == 0 else -1)):
        name = f"fuzz{rng.randrange(10**9)}"
        model.graph.initializer.append(numpy_helper.from_array(np.array(rng.choice(values), kind), name))
        names.append(name)
    op = rng.choice(("Div", "Mod", "Pow", "BitShift", "Mul"))
    extra: dict[str, Any] = {"direction": "LEFT"} if op == "BitShift" else {}
    _feed(rng, model, [helper.make_node(op, names, [_result(rng)], **extra)])


@mutation
def doubling(rng: random.Random, model: onnx.ModelProto) -> None:
    """A constant joined with itself, over and over."""
    last = _constant(rng, model, [1, 2, 3, 4])
    nodes, base = [], _result(rng)
    for turn in range(rng.choice((4, 12, 40))):
        nodes.append(helper.make_node("Concat", [last, last], [f"{base}/{turn}"], axis=0))
        last = f"{base}/{turn}"
    _feed(rng, model, nodes)


# -- graphs within graphs -----------------------------------------------------------------------------


def _body(rng: random.Random, model: onnx.ModelProto, loop: bool) -> onnx.GraphProto:
    node = onnx.NodeProto()
    node.CopyFrom(_node(rng, model))
    result = f"{_result(rng)}/inner"
    node.output[:] = [result, *node.output[1:]]
    value = helper.make_empty_tensor_value_info
    if not loop:
        return helper.make_graph([node], "branch", [], [value(result)])
    if node.input and rng.random() < 0.7:
        node.input[0] = "state"
    keep = helper.make_node("Identity", ["going"], ["still"])
    number = helper.make_tensor_value_info("turn", TensorProto.INT64, [])
    going = helper.make_tensor_value_info("going", TensorProto.BOOL, [])
    outputs = [value("still"), value(result), *([value(result)] if rng.random() < 0.3 else [])]
    return helper.make_graph([keep, node], "body", [number, going, value("state")], outputs)


@mutation
def branch(rng: random.Random, model: onnx.ModelProto) -> None:
    name = f"fuzz{rng.randrange(10**9)}"
    if rng.random() < 0.8:
        model.graph.initializer.append(numpy_helper.from_array(np.array(rng.random() < 0.5), name))
    branches = [_body(rng, model, False) for _ in range(2)]
    result = branches[0].output[0].name + "@if"
    node = helper.make_node("If", [name], [result], then_branch=branches[0], else_branch=branches[1])
    _end(rng, model, node)


@mutation
def loop(rng: random.Random, model: onnx.ModelProto) -> None:
    turns = _constant(rng, model, [rng.choice((0, 1, 3, 1000, *_HUGE))], scalar=rng.random() < 0.8)
    body = _body(rng, model, True)
    start = [v.name for v in (*model.graph.input, *model.graph.initializer)]
    outputs = [f"{_result(rng)}/{i}" for i in range(len(body.output) - 1)]
    node = helper.make_node("Loop", [turns, "", _any(rng, start)], outputs, body=body)
    if rng.random() < 0.3:  # within itself
        outer = _body(rng, model, True)
        outer.node[-1].CopyFrom(node)
        outer.node[-1].output[0] = outer.output[1].name
        node = helper.make_node("Loop", [turns, "", _any(rng, start)], [f"{outputs[0]}/outer"], body=outer)
    _end(rng, model, node)


def _end(rng: random.Random, model: onnx.ModelProto, node: onnx.NodeProto) -> None:
    model.graph.node.append(node)
    if rng.random() < 0.8:
        _read(model, node.output[0])


@mutation
def deep(rng: random.Random, model: onnx.ModelProto) -> None:
    """If within If within If."""
    name = f"fuzz{rng.randrange(10**9)}"
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), name))
    inner = _body(rng, model, False)
    for level in range(rng.choice((3, 20, 30, 200))):
        result = f"{name}/{level}"
        node = helper.make_node("If", [name], [result], then_branch=inner, else_branch=inner)
        inner = helper.make_graph([node], "deep", [], [helper.make_empty_tensor_value_info(result)])
        if inner.ByteSize() > 100_000:
            break
    _end(rng, model, inner.node[0])


def _function(name: str, calls: list[str], arity: int = 1) -> onnx.FunctionProto:
    """A function that passes its input through other functions."""
    nodes, last = [], "a"
    for number, called in enumerate(calls):
        domain = "" if called == "Relu" else DOMAIN
        nodes.append(helper.make_node(called, [last], [f"b{number}"], domain=domain))
        last = f"b{number}"
    imports = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, 1)]
    inputs = ["a", *(f"unused{i}" for i in range(arity - 1))]
    return helper.make_function(DOMAIN, name, inputs, [last], nodes, imports)


@mutation
def functions(rng: random.Random, model: onnx.ModelProto) -> None:
    """Functions of the model: plain ones, ones that call themselves or in a circle, ones that double."""
    depth, kind = rng.choice((2, 5, 30, 60)), rng.randrange(4)
    made = [_function("f0", ["Relu"])]
    if kind == 0:
        made = [_function("f0", ["f0"])]
    elif kind == 1:
        made = [_function(f"f{i}", [f"f{(i + 1) % depth}"]) for i in range(depth)]
    elif kind == 2:
        made += [_function(f"f{i}", [f"f{i - 1}"] * 2) for i in range(1, depth)]
    model.functions.extend(made)
    if rng.random() < 0.9:
        model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    names = [v.name for v in model.graph.input]
    node = helper.make_node(made[-1].name, [_any(rng, names)], [_result(rng)], domain=DOMAIN)
    _end(rng, model, node)


@mutation
def outline(rng: random.Random, model: onnx.ModelProto) -> None:
    """A node of the model becomes a function with attributes and constants of its own."""
    node = _node(rng, model)
    inner = onnx.NodeProto()
    inner.CopyFrom(node)
    imports = [*model.opset_import, helper.make_opsetid(DOMAIN, 1)]
    name = f"f{rng.randrange(10**6)}"
    inputs, outputs = list(dict.fromkeys(filter(None, inner.input))), [n for n in inner.output if n]
    model.functions.append(helper.make_function(DOMAIN, name, inputs, outputs, [inner], imports))
    model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    node.op_type, node.domain = name, DOMAIN
    del node.attribute[:]
    node.input[:], node.output[:] = inputs, outputs
