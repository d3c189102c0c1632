"""Nodes that shape inference must not see, because of what it would make of them.

Pools with ceil_mode: inference of opsets below 22 counts windows that start in the padding at the end, which
onnxruntime and PyTorch drop, and infers what follows from that. They stay hidden, and it is told their shape.

Slices: onnx ends the process where an axis has a negative size, as behind a window too large, or none and the
slice goes backwards. They are shown when it is known that none has.

Expands: inference of opsets below 13 makes room for as many axes as the wanted shape has values, any number.
They are shown when that number is known.

A hidden node has a domain of ours, of which onnx knows no operators.
"""

from collections.abc import Mapping
from math import prod
from typing import Any

import onnx
from onnx import helper, numpy_helper

from pingponnx.ir import Shape
from pingponnx.names import is_onnx
from pingponnx.onnx_limits import check_rank
from pingponnx.ops.window import rounded_up

_POOLS = {"MaxPool", "AveragePool", "LpPool"}
_STEPS = 4  # which input of Slice
_HIDDEN = "pingponnx.hidden"
_Stored = Mapping[str, onnx.TensorProto]


def is_hidden(node: onnx.NodeProto) -> bool:
    return bool(node.domain == _HIDDEN)


def hide_risky(model: onnx.ModelProto) -> None:
    """Hide all slices and expands, in place."""
    for node in model.graph.node:
        if is_onnx(node.domain) and node.op_type in _RISKY:
            _hide(model, node)


def show_harmless(model: onnx.ModelProto, shapes: Mapping[str, Shape]) -> bool:
    """Show those that can be inferred, in place; False when there are none.

    Raises ModelError for a shape of too many axes.
    """
    stored = {t.name: t for t in model.graph.initializer}
    hidden = [node for node in model.graph.node if is_hidden(node) and node.op_type in _RISKY]
    ready = [node for node in hidden if _RISKY[node.op_type](node, shapes, stored)]
    for node in ready:
        node.domain = ""
    return bool(ready)


def _slice_is_harmless(node: onnx.NodeProto, shapes: Mapping[str, Shape], stored: _Stored) -> bool:
    steps = node.input[_STEPS] if len(node.input) > _STEPS else ""
    forwards = not steps or (steps in stored and bool((numpy_helper.to_array(stored[steps]) > 0).all()))
    return node.input[0] in shapes and (0 not in shapes[node.input[0]] or forwards)


def _expand_is_harmless(node: onnx.NodeProto, shapes: Mapping[str, Shape], _: _Stored) -> bool:
    if node.input[1] not in shapes:
        return False
    check_rank(f"the result of Expand node {node.name or node.output[0]!r}", prod(shapes[node.input[1]]))
    return True


_RISKY = {"Slice": _slice_is_harmless, "Expand": _expand_is_harmless}


def hide_pools(model: onnx.ModelProto, shapes: Mapping[str, Shape]) -> bool:
    """Hide the pools that would count too many windows, in place; False when there are none.

    Only the first ones, for what was inferred from their shapes is wrong too: infer again, and come back.
    """
    doubtful: set[str] = set()
    for node in model.graph.node:
        shape = shapes.get(node.input[0], ()) if node.input else ()
        if not doubtful.isdisjoint(node.input):
            doubtful.update(node.output)
        elif is_onnx(node.domain) and node.op_type in _POOLS and node.output[0] in shapes:
            size = _size(node, shape[2:])
            if size and size != shapes[node.output[0]][2:]:
                _declare(model.graph, node, (*shapes[node.output[0]][:2], *size))
                _hide(model, node)
                doubtful.update(node.output)
    return bool(doubtful)


def show(model: onnx.ModelProto) -> None:
    """Show everything again, in place."""
    for node in model.graph.node:
        if is_hidden(node):
            node.domain = ""
    kept = [o for o in model.opset_import if o.domain != _HIDDEN]
    del model.opset_import[:]
    model.opset_import.extend(kept)


def _hide(model: onnx.ModelProto, node: onnx.NodeProto) -> None:
    node.domain = _HIDDEN
    if _HIDDEN not in {o.domain for o in model.opset_import}:
        model.opset_import.append(helper.make_opsetid(_HIDDEN, 1))


def _declare(graph: onnx.GraphProto, node: onnx.NodeProto, shape: Shape) -> None:
    """Give the outputs of a node a shape, and its first one the type of its input."""
    values = {v.name: v for v in (*graph.input, *graph.value_info, *graph.output)}
    kinds = {t.name: t.data_type for t in graph.initializer}
    kinds |= {name: value.type.tensor_type.elem_type for name, value in values.items()}
    for name, kind in zip(node.output, (kinds.get(node.input[0], 0), onnx.TensorProto.INT64), strict=False):
        value = helper.make_tensor_value_info(name, kind, shape)
        if name in values:
            values[name].CopyFrom(value)
        elif name and kind:
            graph.value_info.append(value)


def _size(node: onnx.NodeProto, size: Shape) -> Shape:
    """What a pool that rounds up makes of this size; nothing when it rounds down, or is refused later."""
    given: dict[str, Any] = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    rank = len(size)
    kernel = given.get("kernel_shape", [])
    strides, dilations = (given.get(name) or [1] * rank for name in ("strides", "dilations"))
    pads = given.get("pads") or [0] * 2 * rank
    lengths = {len(kernel), len(strides), len(dilations), len(pads) / 2}
    if not given.get("ceil_mode") or given.get("auto_pad", b"NOTSET") != b"NOTSET":
        return ()
    if lengths != {rank} or min(strides, default=0) < 1:
        return ()
    axes = zip(size, kernel, strides, dilations, pads[:rank], pads[rank:], strict=True)
    return tuple(rounded_up(*axis) for axis in axes)
