"""Operators that ONNX itself defines by others, written out as these.

onnx's own inliner of schema functions trips over optional inputs that are left out and over attributes
that have defaults, so each call becomes a function of the model, which its plain inliner takes.
"""

from collections.abc import Callable

import onnx
from onnx import inliner

from pingponnx.errors import damage
from pingponnx.names import is_onnx
from pingponnx.onnx_definitions import written

_DOMAIN = "pingponnx.defined"

PROVEN = {
    "Attention": "softmax(Q K^T) V with masks, groups of heads and caches.",
    "CastLike": "Cast to the type of another value.",
    "CausalConvWithState": "Convolution over time of every channel; the latest inputs are its state.",
    "DynamicQuantizeLinear": "uint8 codes, with the scale and zero point of the range that this run has.",
    "NegativeLogLikelihoodLoss": "The loss of log-probabilities, for the classes that are right.",
    "RotaryEmbedding": "Pairs of values turned by angles that depend on the position.",
    "SoftmaxCrossEntropyLoss": "The loss of scores, for the classes that are right.",
    "SwiGLU": "Swish of one half of the values, times the other.",
}
"""Meanings of those whose definition by ONNX is made of what we have, as ONNX's own tests show."""


def write_out(model: onnx.ModelProto, opset: int, known: Callable[[str], bool]) -> onnx.ModelProto | None:
    """The model, whose types are inferred, with one level of unknown operators replaced by their
    definitions; None when there is nothing to replace."""
    types = {v.name: v.type for v in (*model.graph.input, *model.graph.value_info, *model.graph.output)}
    for tensor in model.graph.initializer:
        types[tensor.name] = onnx.helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    fixed = set(constants)
    functions: list[onnx.FunctionProto] = []
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and fixed.issuperset(node.input):
            fixed.update(node.output)
        with damage(f"{node.op_type} node {node.name!r}"):
            ours = written(node, types, constants, fixed)
        nodes += [node] if ours is None else ours
        if ours is not None:
            continue
        if not is_onnx(node.domain) or known(node.op_type):
            continue
        function = _definition(node, opset, types)
        if function is not None:
            function.domain, function.name = _DOMAIN, f"{node.op_type}_{len(functions)}"
            node.domain, node.op_type = function.domain, function.name
            functions.append(function)
    changed = len(nodes) != len(model.graph.node) or any(
        a is not b for a, b in zip(nodes, model.graph.node, strict=True)
    )
    if changed:
        kept = onnx.GraphProto()
        kept.node.extend(nodes)
        del model.graph.node[:]
        model.graph.node.extend(kept.node)
    if not functions:
        return model if changed else None
    model.functions.extend(functions)
    model.opset_import.append(onnx.helper.make_opsetid(_DOMAIN, 1))
    with damage("a definition of an operator"):
        inlined = inliner.inline_local_functions(model)
    imports = [o for o in inlined.opset_import if o.domain != _DOMAIN]
    del inlined.opset_import[:]
    inlined.opset_import.extend(imports)
    return inlined


def _definition(
    node: onnx.NodeProto, opset: int, types: dict[str, onnx.TypeProto]
) -> onnx.FunctionProto | None:
    """What a node stands for; None when ONNX does not say, or not for these types."""
    schema = _schema(node, opset)
    if schema is None:
        return None
    _set_defaults(node, schema)
    try:
        if schema.has_function:
            version = max(v for v in schema.function_opset_versions if v <= opset)
            data = schema.get_function_with_opset_version(version)
        else:
            version = max(v for v in schema.context_dependent_function_opset_versions if v <= opset)
            inputs = [types.get(name, onnx.TypeProto()).SerializeToString() for name in node.input]
            data = schema.get_context_dependent_function_with_opset_version(
                version, node.SerializeToString(), inputs
            )
    except (ValueError, RuntimeError):  # no version of it, or types that it does not expect
        return None
    function = onnx.FunctionProto()
    function.ParseFromString(data)
    for inner in function.node:
        inner.name = f"{node.name or node.op_type}/{inner.op_type}"
    del function.opset_import[:]  # operators have not changed since, or it would have a newer version
    function.opset_import.append(onnx.helper.make_opsetid("", opset))
    return function if function.node else None


def with_defaults(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """The model with the defaults of attributes spelled out where ONNX's definition reads them."""
    for node in model.graph.node:
        schema = _schema(node, opset)
        if schema is not None:
            _set_defaults(node, schema)
    return model


def _schema(node: onnx.NodeProto, opset: int) -> onnx.defs.OpSchema | None:
    """The schema of an operator that others define."""
    try:
        schema = onnx.defs.get_schema(node.op_type, opset, node.domain)
    except onnx.defs.SchemaError:
        return None
    return schema if schema.has_function or schema.has_context_dependent_function else None


def _set_defaults(node: onnx.NodeProto, schema: onnx.defs.OpSchema) -> None:
    given = {attribute.name for attribute in node.attribute}
    for name, attribute in schema.attributes.items():
        if name not in given and attribute.default_value.type:
            node.attribute.append(attribute.default_value)
            node.attribute[-1].name = name
