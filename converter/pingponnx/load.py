"""The first stage: ONNX file -> Graph in channels-last form."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from pingponnx.errors import IN_FLOAT32, ModelError, Unsupported, UnsupportedError, damage
from pingponnx.evaluate import results
from pingponnx.ir import Array, DType, Graph, Node, Origin, Port, Shape, Tensor, check
from pingponnx.names import argument, is_onnx, printable
from pingponnx.onnx_folding import fold, opset_version, static_shapes
from pingponnx.onnx_functions import write_out
from pingponnx.onnx_lowering import lower
from pingponnx.onnx_model import TYPES, bound, read_model, runtime_inputs, static_form
from pingponnx.onnx_subgraphs import undecided
from pingponnx.ops import OnnxNode, Operator, Site, registry
from pingponnx.ops.copy import Copy
from pingponnx.ops.quantize import DequantizeLinear, QuantizeLinear, folds, read_quantization
from pingponnx.ops.transpose import Transpose
from pingponnx.qdq import qdq_form

_CODES = (DType.S8, DType.U8, DType.S16)


def load(path: Path, input_shapes: Mapping[str, Shape] | None = None) -> Graph:
    """Read an ONNX file; `input_shapes` fixes dynamic inputs, other batch dimensions become 1.

    Raises ModelError for broken models and UnsupportedError, which lists every unsupported node.
    """
    path = Path(path)
    model = read_model(path, input_shapes or {})
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    return _Builder(_lowered(model)).build(printable(path.stem), checksum)


def load_model(model: onnx.ModelProto, name: str, constants: Mapping[str, Array]) -> Graph:
    """The Graph of a model in memory; inputs named in `constants` are fixed to these values."""
    checksum = hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()
    fixed = bound(model, constants)
    shapes = static_shapes(fixed)  # a size of 0 is one, and no batch that nobody named
    given = {v.name: shapes[v.name] for v in runtime_inputs(fixed.graph) if 0 in shapes.get(v.name, ())}
    return _Builder(_lowered(static_form(fixed, given))).build(name, checksum)


def _lowered(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model in the operators that we have, where others can be written as them."""
    if qdq_form(model):
        model = fold(model)
    while (written := write_out(model, opset_version(model), registry().__contains__)) is not None:
        model = fold(written)
    return fold(model) if lower(model, static_shapes(model)) else model


def static_model(path: Path, input_shapes: Mapping[str, Shape] | None = None) -> onnx.ModelProto:
    """The ONNX model that `load` reads, after shapes are fixed and constants folded (for comparisons).

    Operators that are defined by others are still what onnxruntime computes them by.
    """
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
        self.contradictions: list[str] = []
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
        if self.contradictions and not self.problems:
            raise ModelError(self.contradictions[0])
        if self.problems:
            raise UnsupportedError(self.problems, model=f"{name}.onnx")
        given = {n: self._constant_output(n) if self.tensors[n].constant else n for n in outputs}
        ports = {n: Port(n) for n in inputs} | {given[n]: Port(n) for n in outputs}
        self._propagate_back()
        empty = Graph(name, (), self.tensors, tuple(inputs), tuple(given.values()), ports, checksum)
        return check(empty.with_(self.nodes))

    # -- tensors --------------------------------------------------------------------------------------

    def _type(self, name: str, elem_type: int) -> DType | None:
        dtype = TYPES.get(elem_type)
        if dtype is None:
            known = elem_type in onnx.TensorProto.DataType.values()
            kind = onnx.TensorProto.DataType.Name(elem_type).lower() if known else f"type {elem_type}"
            self._problem(name, "tensor", f"{kind} is not supported", IN_FLOAT32)
        return dtype

    def _constant(self, name: str, proto: onnx.TensorProto) -> None:
        dtype = self._type(name, proto.data_type)
        if dtype is None:
            return
        with damage(f"constant {name!r}"):
            data = np.require(numpy_helper.to_array(proto), requirements="C")  # a scalar stays one
        shape = tuple(proto.dims)  # numpy gives contiguous scalars an axis
        self.tensors[name] = Tensor(name, shape, dtype, data=data.reshape(shape))

    def _input(self, value: onnx.ValueInfoProto) -> None:
        kind = value.type.tensor_type
        dtype = self._type(value.name, kind.elem_type)
        if dtype is None:
            return
        if value.name not in self.shapes:
            raise ModelError(
                f"input {value.name!r} has no shape", f"--input-shape {argument(f'{value.name}=1,...')}"
            )
        self.tensors[value.name] = Tensor(
            value.name, self.shapes[value.name], dtype, origin=Origin(value.name)
        )

    def _constant_output(self, name: str) -> str:
        """An output that is the same for every input is copied into the arena like others."""
        x = self.tensors[name]
        if x.quantized:
            self.tensors[name] = replace(x, dtype=DType.F32, quantization=None, data=x.real())
        return self._add(Copy(), (self._fresh(f"{name}@output"),), (name,), self._unique(f"{name}/copy"))[0]

    def _problem(self, node: str, op: str, reason: str, hint: str = "", needs: str = "") -> None:
        self.problems.append(Unsupported(node, op, reason, hint, needs))
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
        cls = registry().get(proto.op_type) if is_onnx(proto.domain) else None
        known = all(not i or i in self.tensors for i in proto.input)
        missing = [i for i in proto.input if i and i not in self.tensors and i not in self.unknown]
        if missing:
            raise ModelError(f"node {name!r} reads {missing[0]!r}, which is computed by no node")
        if cls is None:
            domain = f"{proto.domain}." if not is_onnx(proto.domain) else ""
            constants = [i for i in proto.input if i not in self.tensors or self.tensors[i].constant]
            reason, needs = undecided(proto, constants) or ("this operator is not supported", "")
            self._problem(name, domain + proto.op_type, reason, needs=needs)
        if cls is None or not known:
            self.unknown.update(proto.output)
            return
        try:
            with damage(f"{proto.op_type} node {name!r}"):
                self._convert_outputs(cls, proto, name)
        except UnsupportedError as error:
            self.problems.extend(error.items)
            self.unknown.update(proto.output)

    def _convert_outputs(self, cls: type[Operator], proto: onnx.NodeProto, name: str) -> None:
        inputs = tuple(self.tensors[i] if i else None for i in proto.input)
        node = OnnxNode(name, proto.op_type, self.opset, _attributes(proto), inputs, tuple(proto.output))
        used = [i for i, output in enumerate(proto.output) if output]
        if not cls.each_output:
            self._convert(cls, node, tuple(proto.input), tuple(proto.output[i] for i in used))
            return
        for i in used:
            each = replace(node, output=i, name=self._unique(f"{name}/{i}") if len(used) > 1 else name)
            self._convert(cls, each, tuple(proto.input), (proto.output[i],))

    def _convert(
        self, cls: type[Operator], node: OnnxNode, names: tuple[str, ...], outputs: tuple[str, ...]
    ) -> None:
        if cls is DequantizeLinear and self._foldable(node, names[0]):
            return self._dequantize(node, names)
        op, kept = cls.from_onnx(node)
        inputs = tuple(names[k] if isinstance(k, int) else self._replacement(k) for k in kept)
        if inputs and all(self.tensors[n].constant for n in inputs if n):
            return self._fold_constant(op, node, inputs, outputs)
        rank = len(self.tensors[inputs[0]].shape) if inputs and inputs[0] else 0
        if op.channels_last and rank >= 3:
            to_last = (0, *range(2, rank), 1)
            if inputs[0] not in self.transposed:  # several readers share one transposed copy
                copy, name = self._fresh(f"{inputs[0]}@nhwc"), self._unique(f"{node.name}/in")
                (self.transposed[inputs[0]],) = self._add(Transpose(to_last), (copy,), inputs[:1], name)
            last = tuple(self._fresh(f"{output}@nhwc") for output in outputs)
            self._add(op, last, (self.transposed[inputs[0]], *inputs[1:]), node.name)
            to_first = (0, rank - 1, *range(1, rank - 1))
            for source, output in zip(last, outputs, strict=True):
                self._add(Transpose(to_first), (output,), (source,), self._unique(f"{node.name}/out"))
                self.tensors[source] = replace(self.tensors[source], origin=Origin(output, to_last))
        else:
            self._add(op, outputs, inputs, node.name)
        for output in outputs:
            self.tensors[output] = replace(self.tensors[output], origin=Origin(output))
            expected, got = self.shapes.get(output), self.tensors[output].shape
            if expected is not None and expected != got:
                self.contradictions.append(
                    f"node {node.name!r} gives the shape {got}, the model says {expected}"
                )
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

    def _fold_constant(
        self, op: Operator, node: OnnxNode, inputs: tuple[str, ...], outputs: tuple[str, ...]
    ) -> None:
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
        ys = tuple(
            Tensor(output, shape, dtype, q)
            for output, shape, dtype in zip(outputs, op.infer(*sources), op.types(*sources), strict=True)
        )
        arrays = results(op, Site(node.name, sources, ys), *(None if t is None else t.data for t in sources))
        for y, data in zip(ys, arrays, strict=True):
            self.tensors[y.name] = replace(y, data=data)

    def _read(self, name: str) -> Tensor | None:
        """An input as its readers see it; None when it is left out."""
        return _as_read(self.tensors[name]) if name else None

    def _add(
        self, op: Operator, outputs: tuple[str, ...], inputs: tuple[str, ...], name: str
    ) -> tuple[str, ...]:
        """Append a node and its output tensors; returns the outputs' names."""
        sources = tuple(self._read(i) for i in inputs)
        x = sources[0] if sources else None
        origin = None
        if isinstance(op, Transpose) and x is not None and x.origin is not None:
            origin = x.origin.permuted(op.permutation)
        shapes, types = op.infer(*sources), op.types(*sources)
        if len(shapes) != len(outputs):
            reason = f"{len(outputs)} outputs, {len(shapes)} can be computed"
            raise UnsupportedError([Unsupported(name, type(op).__name__, reason)])
        for output, shape, dtype in zip(outputs, shapes, types, strict=True):
            q = op.quantization(*sources) if sources else None
            self.tensors[output] = Tensor(output, shape, dtype, q, origin=origin)
        self.nodes.append(Node(name, op, inputs, outputs))
        return outputs

    def _foldable(self, node: OnnxNode, name: str) -> bool:
        """True for constants (weights), and for codes that were quantized or come from the caller as such."""
        x = node.inputs[0]
        assert x is not None
        if x.constant:
            fixed = all(t is None or t.constant for t in node.inputs[1:])
            whole = x.dtype in (DType.S8, DType.U8, DType.S16, DType.S32)
            return fixed and whole and not node.attributes.get("block_size")
        makers = {output: n for n in self.nodes for output in n.outputs}
        waiting = [name]
        while waiting:
            maker = makers.get(waiting.pop())
            if maker is not None and maker.op.moves_data:
                waiting += [n for n in maker.inputs if n and self.tensors[n].dtype in _CODES]
            elif maker is not None and not isinstance(maker.op, QuantizeLinear):
                return False
        if x.dtype is DType.S16 and folds(node) and x.quantization is not None:
            return x.quantization == read_quantization(node)[0]  # another scale is another reading
        return folds(node)

    def _dequantize(self, node: OnnxNode, names: tuple[str, ...]) -> None:
        """Constants become quantized constants; an activation gets the quantization it is read with."""
        x = node.inputs[0]
        assert x is not None
        quantization, _ = read_quantization(node)
        (output,) = node.outputs
        if x.constant:
            self.tensors[output] = replace(x, name=output, quantization=quantization)
            return
        if x.quantization not in (None, quantization):
            node.unsupported("an int8 tensor is read with two different scales")
        self.tensors[x.name] = replace(x, quantization=quantization)
        self._add(DequantizeLinear(), (output,), (names[0],), node.name)
        self.tensors[output] = replace(self.tensors[output], origin=Origin(output))

    def _propagate_back(self) -> None:
        """int8 tensors that are only moved about before they are read get their reader's quantization."""
        for node in reversed(self.nodes):
            after = self.tensors[node.outputs[0]].quantization
            for name in node.inputs:
                x = self.tensors.get(name)
                fits = x is not None and x.quantization is None and x.dtype in _CODES
                if node.op.moves_data and after is not None and x is not None and fits:
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
