"""The first stage: ONNX file -> Graph in channels-last form."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from pingponnx.errors import Error, ModelError, Unsupported, UnsupportedError
from pingponnx.ir import DType, Graph, Node, Origin, Port, Shape, Tensor, check
from pingponnx.onnx_model import fold, opset_version, read_model, runtime_inputs, static_shapes
from pingponnx.ops import OnnxNode, Operator, Site, registry
from pingponnx.ops.quantize import DequantizeLinear, read_quantization
from pingponnx.ops.transpose import Transpose
from pingponnx.qdq import qdq_form

_TYPES = {
    onnx.TensorProto.FLOAT: DType.F32,
    onnx.TensorProto.INT8: DType.S8,
    onnx.TensorProto.UINT8: DType.U8,
    onnx.TensorProto.INT16: DType.S16,
    onnx.TensorProto.INT32: DType.S32,
    onnx.TensorProto.INT64: DType.S64,
    onnx.TensorProto.BOOL: DType.BOOL,
}


def load(path: Path, input_shapes: Mapping[str, Shape] | None = None) -> Graph:
    """Read an ONNX file; `input_shapes` fixes dynamic inputs, other batch dimensions become 1.

    Raises ModelError for broken models and UnsupportedError, which lists every unsupported node.
    """
    path = Path(path)
    model = read_model(path, input_shapes or {})
    if qdq_form(model):
        model = fold(model)
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    return _Builder(model).build(path.stem, checksum)


def static_model(path: Path, input_shapes: Mapping[str, Shape] | None = None) -> onnx.ModelProto:
    """The ONNX model that `load` reads, after shapes are fixed and constants folded (for comparisons).

    Its QLinear operators are still what onnxruntime computes them by."""
    return read_model(Path(path), input_shapes or {})


class _Builder:
    """Walks the ONNX nodes once; collects everything unsupported before giving up."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.opset = opset_version(model)
        self.shapes = static_shapes(model)
        self.tensors: dict[str, Tensor] = {}
        self.nodes: list[Node] = []
        self.names: set[str] = set()
        self.taken = {value.name for value in (*model.graph.input, *model.graph.initializer)}
        self.taken |= {name for node in model.graph.node for name in node.output}
        self.transposed: dict[str, str] = {}
        self.problems: list[Unsupported] = []
        self.unknown: set[str] = set()

    def build(self, name: str, checksum: str) -> Graph:
        graph = self.model.graph
        initializers = {t.name: t for t in graph.initializer}
        for onnx_name, proto in initializers.items():
            self._constant(onnx_name, proto)
        inputs = [value.name for value in runtime_inputs(graph)]
        for value in runtime_inputs(graph):
            self._input(value)
        for index, node in enumerate(graph.node):
            self._node(node, index)
        outputs = [value.name for value in graph.output]
        missing = [n for n in outputs if n not in self.tensors and n not in self.unknown]
        if missing:
            raise ModelError(f"output {missing[0]!r} is computed by no node")
        for output in outputs:
            if output in self.tensors and self.tensors[output].constant:
                self._problem(output, "output", "it is the same for every input", "drop it from the model")
        if self.problems:
            raise UnsupportedError(self.problems, model=f"{name}.onnx")
        ports = {n: Port(n) for n in (*inputs, *outputs)}
        self._propagate_back()
        empty = Graph(name, (), self.tensors, tuple(inputs), tuple(outputs), ports, checksum)
        return check(empty.with_(self.nodes))

    # -- tensors --------------------------------------------------------------------------------------

    def _type(self, name: str, elem_type: int) -> DType | None:
        dtype = _TYPES.get(elem_type)
        if dtype is None:
            known = elem_type in onnx.TensorProto.DataType.values()
            kind = onnx.TensorProto.DataType.Name(elem_type).lower() if known else f"type {elem_type}"
            self._problem(name, "tensor", f"{kind} is not supported", "export the model in float32")
        return dtype

    def _constant(self, name: str, proto: onnx.TensorProto) -> None:
        dtype = self._type(name, proto.data_type)
        if dtype is None:
            return
        try:
            data = np.ascontiguousarray(numpy_helper.to_array(proto))
        except (ValueError, TypeError) as error:
            raise ModelError(f"constant {name!r} is damaged: {error}", "export the model again") from error
        self.tensors[name] = Tensor(name, data.shape, dtype, data=data)

    def _input(self, value: onnx.ValueInfoProto) -> None:
        kind = value.type.tensor_type
        dtype = self._type(value.name, kind.elem_type)
        if dtype is None:
            return
        if value.name not in self.shapes:
            raise ModelError(f"input {value.name!r} has no shape", f"--input-shape {value.name}=1,...")
        self.tensors[value.name] = Tensor(
            value.name, self.shapes[value.name], dtype, origin=Origin(value.name)
        )

    def _problem(self, node: str, op: str, reason: str, hint: str = "") -> None:
        self.problems.append(Unsupported(node, op, reason, hint))
        self.unknown.add(node)

    # -- nodes ----------------------------------------------------------------------------------------

    def _unique(self, wanted: str) -> str:
        name, number = wanted, 2
        while name in self.names:
            name, number = f"{wanted}#{number}", number + 1
        self.names.add(name)
        return name

    def _node(self, proto: onnx.NodeProto, index: int) -> None:
        name = self._unique(proto.name or f"{proto.op_type}_{index}")
        cls = registry().get(proto.op_type) if proto.domain in ("", "ai.onnx") else None
        known = all(not i or i in self.tensors for i in proto.input)
        if cls is None:
            domain = f"{proto.domain}." if proto.domain not in ("", "ai.onnx") else ""
            self._problem(name, domain + proto.op_type, "this operator is not supported")
        if cls is None or not known:
            self.unknown.update(proto.output)
            return
        node = OnnxNode(
            name,
            proto.op_type,
            self.opset,
            _attributes(proto),
            tuple(self.tensors[i] if i else None for i in proto.input),
            tuple(proto.output),
        )
        try:
            self._convert(cls, node, tuple(proto.input))
        except UnsupportedError as error:
            self.problems.extend(error.items)
            self.unknown.update(proto.output)
        except Error:
            raise
        except (ValueError, IndexError, KeyError, TypeError, AssertionError, ZeroDivisionError) as error:
            raise ModelError(f"{proto.op_type} node {name!r} is malformed: {error}") from error

    def _convert(self, cls: type[Operator], node: OnnxNode, names: tuple[str, ...]) -> None:
        if cls is DequantizeLinear:
            return self._dequantize(node, names)
        op, kept = cls.from_onnx(node)
        inputs = tuple(names[k] if isinstance(k, int) else self._replacement(k) for k in kept)
        used = [name for name in node.outputs if name]
        if len(used) != 1:
            node.unsupported("more than one output")
        if all(self.tensors[n].constant for n in inputs if n):
            self._fold_constant(op, node, inputs, used[0])
            return None
        rank = len(node.shape())
        if op.channels_last and rank >= 3:
            to_last = (0, *range(2, rank), 1)
            if names[0] not in self.transposed:  # several readers share one transposed copy
                copy, name = self._fresh(f"{names[0]}@nhwc"), self._unique(f"{node.name}/in")
                self.transposed[names[0]] = self._add(Transpose(to_last), copy, (names[0],), name)
            inputs = (self.transposed[names[0]], *inputs[1:])
            last = self._add(op, self._fresh(f"{used[0]}@nhwc"), inputs, node.name)
            to_first = (0, rank - 1, *range(1, rank - 1))
            self._add(Transpose(to_first), used[0], (last,), self._unique(f"{node.name}/out"))
            origin = Origin(used[0], to_last)
            self.tensors[last] = replace(self.tensors[last], origin=origin)
        else:
            self._add(op, used[0], inputs, node.name)
        self.tensors[used[0]] = replace(self.tensors[used[0]], origin=Origin(used[0]))
        expected, got = self.shapes.get(used[0]), self.tensors[used[0]].shape
        # shape inference counts windows that start in the end padding of ceil_mode; onnxruntime does not
        if expected is not None and expected != got and not node.attributes.get("ceil_mode", 0):
            raise ModelError(f"node {node.name!r} gives the shape {got}, the model says {expected}")
        return None

    def _replacement(self, tensor: Tensor) -> str:
        """A constant that an operator made of one of its inputs (weights in its own layout)."""
        name = self._fresh(tensor.name)
        self.tensors[name] = replace(tensor, name=name)
        return name

    def _fresh(self, wanted: str) -> str:
        """A tensor name that the model does not use, not even further down."""
        name, number = wanted, 2
        while name in self.taken:
            name, number = f"{wanted}#{number}", number + 1
        self.taken.add(name)
        return name

    def _fold_constant(self, op: Operator, node: OnnxNode, inputs: tuple[str, ...], output: str) -> None:
        """A node that reads only constants, among them dequantized ones that onnxruntime did not fold."""
        if op.channels_last and len(node.shape()) >= 3:
            node.unsupported("an image operator on a constant", "simplify the model")
        sources = tuple(self.tensors[n] if n else None for n in inputs)
        x = sources[0]
        assert x is not None
        q = x.quantization
        if isinstance(op, Transpose) and q is not None and q.axis is not None:
            q = replace(q, axis=op.permutation.index(q.axis))
        if q is not None and (
            not op.moves_data or len(sources) > 1 or not (q.per_tensor or isinstance(op, Transpose))
        ):
            sources = tuple(
                t and replace(t, dtype=DType.F32, quantization=None, data=t.real()) for t in sources
            )
            q = None
        (shape,) = op.infer(*sources)
        dtype = op.dtype(*sources)
        y = Tensor(output, shape, dtype, q)
        data = op.reference(Site(node.name, sources, (y,)), *(None if t is None else t.data for t in sources))
        self.tensors[output] = replace(y, data=np.ascontiguousarray(data, dtype.numpy))

    def _add(self, op: Operator, output: str, inputs: tuple[str, ...], name: str) -> str:
        """Append a node and its output tensor; returns the output's name."""
        sources = tuple(_as_read(self.tensors[i]) if i else None for i in inputs)
        (shape,) = op.infer(*sources)
        x = sources[0]
        origin = None
        if isinstance(op, Transpose) and x is not None and x.origin is not None:
            origin = x.origin.permuted(op.permutation)
        self.tensors[output] = Tensor(
            output, shape, op.dtype(*sources), op.quantization(*sources), origin=origin
        )
        self.nodes.append(Node(name, op, inputs, (output,)))
        return output

    def _dequantize(self, node: OnnxNode, names: tuple[str, ...]) -> None:
        """Constants become quantized constants; an activation gets the quantization it is read with."""
        x = node.inputs[0]
        assert x is not None
        quantization, _ = read_quantization(node)
        (output,) = node.outputs
        if x.constant:
            self.tensors[output] = replace(x, name=output, quantization=quantization)
            return
        if not quantization.per_tensor:
            node.unsupported("activations quantized per channel", "quantize activations per tensor")
        if x.dtype not in (DType.S8, DType.U8):
            node.unsupported(f"activations of type {x.dtype.value}", "quantize them to int8 or uint8")
        if x.quantization not in (None, quantization):
            node.unsupported("an int8 tensor is read with two different scales")
        self.tensors[x.name] = replace(x, quantization=quantization)
        self._add(DequantizeLinear(), output, (names[0],), node.name)
        self.tensors[output] = replace(self.tensors[output], origin=Origin(output))

    def _propagate_back(self) -> None:
        """int8 tensors that are only moved about before they are read get their reader's quantization."""
        for node in reversed(self.nodes):
            after = self.tensors[node.outputs[0]].quantization
            for name in node.inputs:
                x = self.tensors.get(name)
                if node.op.moves_data and after is not None and x is not None and x.quantization is None:
                    self.tensors[name] = replace(x, quantization=after)


def _as_read(tensor: Tensor) -> Tensor:
    """A quantized constant as the real numbers that its readers see."""
    if not (tensor.constant and tensor.quantized):
        return tensor
    return replace(tensor, dtype=DType.F32, quantization=None)


def _attributes(proto: onnx.NodeProto) -> dict[str, Any]:
    """Attributes as Python values: strings decoded, tensors as arrays."""
    values: dict[str, Any] = {}
    for attribute in proto.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        elif isinstance(value, onnx.TensorProto):
            value = numpy_helper.to_array(value)
        values[attribute.name] = value
    return values
