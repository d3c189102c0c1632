"""ONNX nodes for which there are no kernels, written as nodes for which there are; still ONNX to ONNX.

Shapes must be known: run it on a model that `fold` has been over, and fold again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
import onnx
from onnx import numpy_helper

from pingponnx.einsum import Product, read_equation
from pingponnx.errors import damage
from pingponnx.ir import Shape
from pingponnx.names import is_onnx
from pingponnx.onnx_writer import Writer

# op type -> from which output on they may be left out
_OPTIONAL_SINCE = {"LSTM": 0, "GRU": 0, "RNN": 0, "LayerNormalization": 1, "Dropout": 1, "MaxPool": 1}

_IMAGE = 4  # the rank of n c h w


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a model's values: shapes, which are constant or stored, and which are float32."""

    shapes: Mapping[str, Shape]
    constants: set[str]
    stored: Mapping[str, onnx.TensorProto]
    reals: frozenset[str]


@dataclass(slots=True)
class Lowering(Writer):
    """A node with what is known of the model."""

    known: Known

    def done(self, result: str) -> list[onnx.NodeProto]:
        """The nodes, the last of which gives what the old one gave."""
        name = self.node.name or self.node.op_type
        self.nodes.append(onnx.helper.make_node("Identity", [result], list(self.node.output), name=name))
        return self.nodes


def _known(graph: onnx.GraphProto, shapes: Mapping[str, Shape]) -> Known:
    values = (*graph.input, *graph.value_info, *graph.output)
    reals = (v.name for v in values if v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT)
    stored = {t.name: t for t in graph.initializer}
    return Known(shapes, set(stored), stored, frozenset(reals))


def lower(model: onnx.ModelProto, shapes: Mapping[str, Shape]) -> bool:
    """Replace what has a rule below, in place; False when nothing has."""
    graph, nodes, changed = model.graph, [], _drop_unread_outputs(model.graph)
    known = _known(graph, shapes)
    for node in graph.node:
        if node.op_type in ("DequantizeLinear", "Transpose") and known.constants.issuperset(node.input):
            known.constants.update(node.output)
        rule = RULES.get(node.op_type) if is_onnx(node.domain) else None
        with damage(f"{node.op_type} node {node.name!r}"):
            found = rule(Lowering(node, known)) if rule else None
        changed |= found is not None
        nodes.extend([node] if found is None else found)
    del graph.node[:]
    graph.node.extend(nodes)
    return changed


def _drop_unread_outputs(graph: onnx.GraphProto) -> bool:
    """Exporters name outputs that nobody reads; left out, nothing is computed or kept for them."""
    read = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    changed = False
    for node in graph.node:
        for index in range(_OPTIONAL_SINCE.get(node.op_type, len(node.output)), len(node.output)):
            if node.output[index] and node.output[index] not in read:
                node.output[index] = ""
                changed = True
    return changed


def _spatial_mean(x: Lowering) -> list[onnx.NodeProto] | None:
    """A mean over the pixels of an image, as torch's dynamo exporter writes AdaptiveAvgPool2d(1)."""
    image = x.node.input[0]
    shape = x.known.shapes.get(image, ())
    axes = x.attribute("axes")
    if len(x.node.input) > 1 and x.node.input[1]:
        proto = x.known.stored.get(x.node.input[1])
        axes = None if proto is None else numpy_helper.to_array(proto).tolist()
    if image not in x.known.reals or len(shape) != _IMAGE or axes is None:
        return None
    if sorted(int(axis) % _IMAGE for axis in axes) != [2, 3]:
        return None
    pooled = x.add("GlobalAveragePool", image)
    return x.done(pooled if x.attribute("keepdims", 1) else x.reshaped(pooled, shape[:2]))


def _gemm(x: Lowering) -> list[onnx.NodeProto] | None:
    """A Gemm that is no fully connected layer: transposes, a matrix product, a scaled sum."""
    a, b, *rest = x.node.input
    bias = rest[0] if rest else ""
    outputs = x.known.shapes.get(x.node.output[0], (0, 0))[-1]
    size = x.known.shapes.get(bias, ())
    vector = not bias or (bias in x.known.constants and prod(size) == prod(size[-1:]) in (1, outputs))
    layer = b in x.known.constants and vector
    if layer and not x.attribute("transA", 0):
        return None
    if x.attribute("transA", 0):
        a = x.add("Transpose", a, perm=[1, 0])
    if layer:
        y = x.add("Gemm", a, b, *rest)
        x.nodes[-1].attribute.extend(t for t in x.node.attribute if t.name != "transA")
        return x.done(y)
    if x.attribute("transB", 0):
        b = x.add("Transpose", b, perm=[1, 0])
    y = _times(x, x.add("MatMul", a, b), "alpha")
    return x.done(x.add("Add", y, _times(x, bias, "beta")) if bias else y)


def _times(x: Lowering, value: str, attribute: str) -> str:
    factor = float(x.attribute(attribute, 1.0))
    return value if factor == 1 else x.add("Mul", value, x.constant(factor, np.float32))


def _einsum(x: Lowering) -> list[onnx.NodeProto] | None:
    """Sums over an index, as matrix products: operands from left to right, two at a time."""
    names = list(x.node.input)
    shapes = [x.known.shapes.get(name) for name in names]
    if not all(shape is not None for shape in shapes):
        return None
    ranks = [len(shape) for shape in shapes if shape is not None]
    equation = read_equation(x.attribute("equation").decode(), ranks)
    if equation is None:
        return None
    terms, output = equation
    sizes = {
        index: n
        for term, shape in zip(terms, shapes, strict=True)
        for index, n in zip(term, shape or (), strict=True)
    }
    name, term = names[0], terms[0]
    for k in range(1, len(names)):
        later = output + "".join(terms[k + 1 :])
        product = Product(term, terms[k], later)
        name, term = _product(x, name, names[k], product, sizes), product.output
    name, term = _summed(x, name, term, output)
    if term != output:
        name = x.add("Transpose", name, perm=[term.index(index) for index in output])
    return x.done(name)


def _summed(x: Lowering, name: str, term: str, kept: str) -> tuple[str, str]:
    """Without the indices that nothing else has."""
    axes = [axis for axis, index in enumerate(term) if index not in kept]
    if not axes:
        return name, term
    wanted = x.constant(axes, np.int64)
    return x.add("ReduceSum", name, wanted, keepdims=0), "".join(i for i in term if i in kept)


def _product(x: Lowering, a: str, b: str, p: Product, sizes: Mapping[str, int]) -> str:
    """One matrix product, `batch rows columns`."""

    def length(indices: str) -> int:
        return prod(sizes[index] for index in indices)

    def matrix(name: str, term: str, rows: str, columns: str) -> str:
        name, term = _summed(x, name, term, p.batch + rows + columns)
        order = p.batch + rows + columns
        if order != term:
            name = x.add("Transpose", name, perm=[term.index(index) for index in order])
        return x.reshaped(name, (length(p.batch), length(rows), length(columns)))

    left = matrix(a, p.left, p.rows, p.inner)
    right = matrix(b, p.right, p.inner, p.columns)
    shape = tuple(sizes[index] for index in p.output)
    return x.reshaped(x.add("MatMul", left, right), shape)


def _gather(x: Lowering) -> list[onnx.NodeProto] | None:
    """One index, or several in a row, are a slice."""
    data, name = x.node.input
    shape, result = x.known.shapes.get(data), x.known.shapes.get(x.node.output[0])
    if shape is None or result is None or name not in x.known.stored or data in x.known.constants:
        return None
    axis = int(x.attribute("axis", 0)) % len(shape)
    indices = numpy_helper.to_array(x.known.stored[name])
    wanted = [int(i) % shape[axis] for i in indices.ravel()]
    if not wanted or wanted != list(range(wanted[0], wanted[0] + len(wanted))):
        return None
    bounds = (x.constant([v], np.int64) for v in (wanted[0], wanted[-1] + 1, axis))
    return x.done(x.reshaped(x.add("Slice", data, *bounds), result))


RULES: dict[str, Callable[[Lowering], list[onnx.NodeProto] | None]] = {
    "Gemm": _gemm,
    "Einsum": _einsum,
    "Gather": _gather,
    "ReduceMean": _spatial_mean,
}
