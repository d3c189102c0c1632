"""A layer with constant weights as a whole model: what the converter makes of it, next to onnxruntime."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto
from support import Case, run_onnx

from models import make_model, make_node, normal
from pingponnx.evaluate import evaluate
from pingponnx.fixed_point import Rounding
from pingponnx.ir import Array, Quantization
from pingponnx.ops import site_of
from pingponnx.rewrite import fuse
from pingponnx.samples import to_ours

_TYPES = {
    "float32": TensorProto.FLOAT,
    "int8": TensorProto.INT8,
    "uint8": TensorProto.UINT8,
    "int16": TensorProto.INT16,
}


@dataclass(frozen=True, eq=False)
class Weights:
    """Constants in ONNX's layout; with a scale they are codes (scale and zero per tensor or per channel).

    A bias is float32, or int32 in units of input scale * weight scale.
    """

    data: Array
    bias: Array | None = None
    scale: Any = None
    zero: Any = 0
    axis: int = 0


@dataclass(frozen=True)
class Then:
    """A node between the layer and its QuantizeLinear, with constant inputs."""

    op_type: str
    constants: tuple[Any, ...] = ()
    attributes: tuple[tuple[str, Any], ...] = ()


def layer_model(
    op_type: str,
    x: Array,
    weights: Weights,
    quantized: Sequence[Quantization] = (),
    then: Sequence[Then] = (),
    **attributes: Any,
) -> onnx.ModelProto:
    """x -> op -> then -> y, with DequantizeLinear before and QuantizeLinear behind when quantized."""
    constants: dict[str, Array] = {"w": weights.data}
    nodes, source, kernel = [], "x", "w"
    inputs = [source, kernel]
    if quantized:
        _scales(constants, "x", quantized[0].s, quantized[0].z, x.dtype)
        _scales(constants, "w", weights.scale, weights.zero, weights.data.dtype)
        nodes.append(make_node("DequantizeLinear", ["x", "x_scale", "x_zero"], "x_real"))
        nodes.append(make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], "w_real", axis=weights.axis))
        inputs = ["x_real", "w_real"]
    if weights.bias is not None:
        constants["b"] = weights.bias
        inputs.append("b_real" if weights.bias.dtype == np.int32 else "b")
    if weights.bias is not None and weights.bias.dtype == np.int32:
        scale = np.float32(quantized[0].s) * np.asarray(weights.scale, np.float32)
        _scales(constants, "b", scale, 0, np.dtype(np.int32))
        nodes.append(make_node("DequantizeLinear", ["b", "b_scale", "b_zero"], "b_real", axis=0))
    last = "y0"
    nodes.append(make_node(op_type, inputs, last, **attributes))
    for i, step in enumerate(then, 1):
        names = [f"y{i}_{j}" for j in range(len(step.constants))]
        constants |= {n: np.asarray(c) for n, c in zip(names, step.constants, strict=True)}
        nodes.append(make_node(step.op_type, [last, *names], f"y{i}", **dict(step.attributes)))
        last = f"y{i}"
    if quantized:
        _scales(constants, "y", quantized[1].s, quantized[1].z, x.dtype)
        nodes.append(make_node("QuantizeLinear", [last, "y_scale", "y_zero"], "y"))
        last = "y"
    opset = {"opset": 21} if x.dtype == np.int16 else {}
    return make_model(nodes, {"x": x.shape}, [last], constants, dtype=_TYPES[x.dtype.name], **opset)


def _scales(constants: dict[str, Array], name: str, scale: Any, zero: Any, dtype: np.dtype[Any]) -> None:
    scales = np.asarray(scale, np.float32)
    constants[f"{name}_scale"] = scales
    constants[f"{name}_zero"] = np.broadcast_to(np.asarray(zero), scales.shape).astype(dtype)


def layer(
    op_type: str,
    x: Array,
    weights: Weights,
    folder: Path,
    quantized: Sequence[Quantization] = (),
    then: Sequence[Then] = (),
    rounding: Rounding = Rounding.SINGLE,
    **attributes: Any,
) -> Case:
    """The only node that the converter leaves of such a model, its input and onnxruntime's answer."""
    model = layer_model(op_type, x, weights, quantized, then, **attributes)
    graph = fuse(normal(model, folder))
    working = [node for node in graph.nodes if not node.op.alias and type(node.op).__name__ != "FlipSign"]
    expected_op = "Gemm" if op_type == "MatMul" else op_type
    assert [type(n.op).__name__ for n in working] == [expected_op], [n.name for n in graph.nodes]
    (node,) = working
    (name,), (output,) = graph.inputs, graph.outputs
    values = evaluate(graph, {name: to_ours(graph, name, x)}, rounding)
    answer = to_ours(graph, output, run_onnx(model, {"x": x}))
    site = site_of(graph, node, rounding)
    # behind the node its bytes may get another shape or sign, but no other order
    expected = answer.reshape(site.y.shape)
    if answer.dtype == np.uint8:
        expected = (expected ^ np.uint8(128)).view(np.int8)
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph.output[0].type.tensor_type
    assert np.prod([d.dim_value for d in inferred.shape.dim]) == site.y.size
    array = np.ascontiguousarray(values[node.inputs[0]])
    return Case(node.op, site, (array,), expected, f"{op_type} {x.shape} {weights.data.shape} {attributes}")
