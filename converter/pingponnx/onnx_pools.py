"""Pools with ceil_mode: windows that start in the end padding are dropped, by onnxruntime and PyTorch too.

Shape inference of older opsets counts such windows, and infers what follows from that. It is told the shape
instead, and not shown the pool.
"""

from collections.abc import Mapping
from typing import Any

import onnx
from onnx import helper

from pingponnx.errors import ModelError
from pingponnx.ir import Shape
from pingponnx.ops.window import rounded_up

_POOLS = {"MaxPool", "AveragePool", "LpPool"}
_HIDDEN = "pingponnx.pool"  # a domain that inference knows no operators of
_DEEPEST = 32  # such pools after one another; each makes its input smaller


def hide(model: onnx.ModelProto, shapes: Mapping[str, Shape], turn: int) -> bool:
    """Hide pools that would count such a window, in place; False when there are none.

    Only the first ones, for what was inferred from their shapes is wrong too: infer again, and come back.
    """
    doubtful: set[str] = set()
    for node in model.graph.node:
        shape = shapes.get(node.input[0], ()) if node.input else ()
        if not doubtful.isdisjoint(node.input):
            doubtful.update(node.output)
        elif node.domain in ("", "ai.onnx") and node.op_type in _POOLS and node.output[0] in shapes:
            size = _size(node, shape[2:])
            if size and size != shapes[node.output[0]][2:]:
                _declare(model.graph, node, (*shapes[node.output[0]][:2], *size))
                node.domain = _HIDDEN
                doubtful.update(node.output)
    if doubtful and turn == _DEEPEST:
        raise ModelError(
            f"more than {_DEEPEST} pools with ceil_mode after one another", "export it with opset 22"
        )
    if doubtful and _HIDDEN not in {o.domain for o in model.opset_import}:
        model.opset_import.append(helper.make_opsetid(_HIDDEN, 1))
    return bool(doubtful)


def show(model: onnx.ModelProto) -> None:
    """Undo `hide`, in place."""
    for node in model.graph.node:
        if node.domain == _HIDDEN:
            node.domain = ""
    kept = [o for o in model.opset_import if o.domain != _HIDDEN]
    del model.opset_import[:]
    model.opset_import.extend(kept)


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
