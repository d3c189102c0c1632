"""Integer operators in QDQ form: DequantizeLinear, the float operator, QuantizeLinear (still ONNX).

ONNX's QLinear operators and onnxruntime's (domain com.microsoft) are defined by exactly that computation,
so they need no integer kernels of their own: what folds for a QDQ model folds for them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from pingponnx.errors import Unsupported, UnsupportedError, damage
from pingponnx.names import is_onnx
from pingponnx.onnx_writer import Writer

_DOMAINS = ("", "ai.onnx", "com.microsoft")
_DROPPED = {"channels_last", "opset"}  # attributes that the float operators do not have
_SOFTMAX_OF_ONE_AXIS = 13  # older opsets flatten all axes from `axis` on

# Operators whose inputs are (value, scale, zero point) for each operand, then the output's two
_PLAIN = {
    "QLinearAdd": "Add",
    "QLinearMul": "Mul",
    "QLinearMatMul": "MatMul",
    "QLinearAveragePool": "AveragePool",
    "QLinearGlobalAveragePool": "GlobalAveragePool",
    "QLinearReduceMean": "ReduceMean",
    "QLinearLeakyRelu": "LeakyRelu",
    "QLinearSigmoid": "Sigmoid",
    "QLinearSoftmax": "Softmax",
}


def qdq_form(model: onnx.ModelProto) -> bool:
    """Rewrite the model in place; False when there was nothing to do.

    Raises UnsupportedError for the layouts that onnxruntime's own optimizer makes.
    """
    opset = next((o.version for o in model.opset_import if is_onnx(o.domain)), 0)
    nodes: list[onnx.NodeProto] = []
    changed = False
    for node in model.graph.node:
        form = _form(node)
        writer = _Writer(node, opset)
        if form is not None:
            with damage(f"{node.op_type} node {node.name!r}"):
                form(writer)
            changed = True
        nodes += writer.nodes if form else [node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return _clip_before_quantizing(model.graph) or changed


@dataclass(slots=True)
class _Writer(Writer):
    """An integer operator of a model of some opset."""

    opset: int

    def real(self, first: int, axis: int = -1) -> str:
        """Inputs `first` to `first + 2` as a real tensor; `axis` counts when there are many scales."""
        operands = [self.input(i) for i in range(first, first + 3)]
        return self.add("DequantizeLinear", *(operands if operands[2] else operands[:2]), axis=axis)

    def compute(self, op_type: str, *operands: str, output: str = "") -> str:
        """The float operator, with the attributes and the name of the replaced node."""
        result = self.add(op_type, *operands, output=output)
        self.nodes[-1].attribute.extend(a for a in self.node.attribute if a.name not in _DROPPED)
        self.nodes[-1].name = self.node.name or self.node.output[0]
        return result

    def quantize(self, real: str, scale: int) -> None:
        """The result under the scale and zero point that are inputs `scale` and `scale + 1`."""
        parameters = [name for name in (self.input(scale), self.input(scale + 1)) if name]
        self.add("QuantizeLinear", real, *parameters, output=self.node.output[0])

    def bias(self, index: int, scales: Sequence[int], alpha: float = 1.0) -> list[str]:
        """An int32 bias in units of the product of two scales, as real numbers; nothing when left out."""
        if not self.input(index):
            return []
        scale = self.add("Mul", *(self.input(i) for i in scales))
        if alpha != 1.0:
            scale = self.add("Mul", scale, self.constant(alpha, np.float32))
        return [self.add("DequantizeLinear", self.input(index), scale, axis=0)]

    def unsupported(self, reason: str) -> None:
        name = self.node.name or self.node.output[0]
        hint = "export the model without onnxruntime's layout optimizations"
        raise UnsupportedError([Unsupported(name, self.node.op_type, reason, hint)])


def _form(node: onnx.NodeProto) -> "Callable[[_Writer], None] | None":
    if node.domain not in _DOMAINS:
        return None
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        return _renamed if node.domain == "com.microsoft" else None
    if node.op_type in _PLAIN:
        return _plain
    return _FORMS.get(node.op_type)


def _renamed(w: _Writer) -> None:
    """onnxruntime had 16-bit quantization before ONNX did, under the same names."""
    w.node.domain = ""
    w.nodes.append(w.node)


def _plain(w: _Writer) -> None:
    if w.attribute("channels_last", 0):
        w.unsupported("channels_last=1")
    op_type, count = _PLAIN[w.node.op_type], (len(w.node.input) - 1) // 3
    if op_type == "Softmax":
        ages = {version >= _SOFTMAX_OF_ONE_AXIS for version in (w.opset, w.attribute("opset", w.opset))}
        if len(ages) > 1 and w.attribute("axis", -1) != -1:
            w.unsupported("a Softmax of several axes")
    operands = [w.real(3 * i) for i in range(count)]
    w.quantize(w.compute(op_type, *operands), 3 * count)


def _concat(w: _Writer) -> None:
    operands = [w.real(i) for i in range(2, len(w.node.input), 3)]
    w.quantize(w.compute("Concat", *operands), 0)


def _where(w: _Writer) -> None:
    w.quantize(w.compute("Where", w.input(0), w.real(1), w.real(4)), 7)


def _conv(w: _Writer) -> None:
    if w.attribute("channels_last", 0):
        w.unsupported("channels_last=1")
    operands = [w.real(0), w.real(3, axis=0), *w.bias(8, (1, 4))]
    w.quantize(w.compute("Conv", *operands), 6)


def _gemm(w: _Writer) -> None:
    column = 0 if w.attribute("transB", 0) else 1
    alpha = float(w.attribute("alpha", 1.0))
    operands = [w.real(0), w.real(3, axis=column), *w.bias(6, (1, 4), alpha)]
    if w.input(7):
        w.quantize(w.compute("Gemm", *operands), 7)
    else:
        w.compute("Gemm", *operands, output=w.node.output[0])


_FORMS: dict[str, Callable[[_Writer], None]] = {
    "QLinearConv": _conv,
    "QLinearConcat": _concat,
    "QLinearWhere": _where,
    "QGemm": _gemm,
}

QDQ_FORMS = _PLAIN | {op_type: op_type.removeprefix("QLinear").removeprefix("Q") for op_type in _FORMS}
"""The float operator of each integer one."""
MICROSOFT = QDQ_FORMS.keys() - {"QLinearConv", "QLinearMatMul"}
"""Those that onnxruntime added."""


def _clip_before_quantizing(graph: onnx.GraphProto) -> bool:
    """QuantizeLinear, Clip of the codes (as Brevitas limits them) becomes Clip of the values, QuantizeLinear.

    Quantizing is monotonic and maps the value of a code to the code, so the two orders are equal.
    """
    constants = {t.name: t for t in graph.initializer}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    results = {value.name for value in graph.output}
    clipped: dict[int, onnx.NodeProto] = {}  # by the identity of the QuantizeLinear
    for node in graph.node:
        (follower, *others) = readers.get(node.output[0], []) or [None]
        if node.op_type != "QuantizeLinear" or others or node.output[0] in results:
            continue
        if follower is None or follower.op_type != "Clip" or follower.input[0] != node.output[0]:
            continue
        if all(not name or name in constants for name in (*node.input[1:], *follower.input[1:])):
            clipped[id(node)] = follower
    nodes: list[onnx.NodeProto] = []
    gone = {id(node) for node in clipped.values()}
    for node in graph.node:
        if id(node) in clipped:
            with damage(f"{node.op_type} node {node.name!r}"):
                nodes += _swapped(graph, node, clipped[id(node)], constants)
        elif id(node) not in gone:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    return bool(clipped)


def _swapped(
    graph: onnx.GraphProto, quantize: onnx.NodeProto, clip: onnx.NodeProto, constants: dict[str, Any]
) -> list[onnx.NodeProto]:
    def value(name: str) -> Any:
        return numpy_helper.to_array(constants[name]).ravel()[0]

    scale = np.float32(value(quantize.input[1]))
    zero = int(value(quantize.input[2])) if len(quantize.input) > 2 and quantize.input[2] else 0
    bounds = ["", ""]
    for index, name in enumerate(clip.input[1:]):
        if name:
            bounds[index] = f"{clip.output[0]}@{('low', 'high')[index]}"
            real = np.float32(int(value(name)) - zero) * scale
            graph.initializer.append(numpy_helper.from_array(np.float32(real), bounds[index]))
    name = f"{clip.output[0]}@values"
    before = onnx.helper.make_node("Clip", [quantize.input[0], *bounds], [name], name=clip.name)
    after = onnx.NodeProto()
    after.CopyFrom(quantize)
    after.input[0], after.output[0] = name, clip.output[0]
    return [before, after]
