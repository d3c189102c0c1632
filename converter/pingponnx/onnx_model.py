"""Reading an ONNX file safely and bringing it to a static, folded form (still ONNX)."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError, Message
from onnx import inliner, numpy_helper, shape_inference, version_converter
from onnx.reference import ReferenceEvaluator

from pingponnx.errors import IN_FLOAT32, ModelError, Unsupported, UnsupportedError, first_line
from pingponnx.ir import Array, DType, Shape
from pingponnx.onnx_functions import with_defaults
from pingponnx.onnx_subgraphs import captured, unfold

OLDEST_OPSET = 11
_CONVERTED_OPSET = 13  # what models older than OLDEST_OPSET are brought to
_MAX_FOLDED_VALUES = 2**24  # a constant expression that makes more values than this is refused
_FOLD_ROUNDS = 8
_RANDOM = {
    "RandomNormal",
    "RandomUniform",
    "RandomNormalLike",
    "RandomUniformLike",
    "Multinomial",
    "Bernoulli",
}
_LIKE_INPUT = {"GroupNormalization"}  # its output has the type of its input, which onnx 1.23 does not infer
_KEPT = {"DequantizeLinear"}  # constants stay quantized
_NO_TENSORS = {"Optional", "OptionalGetElement", "OptionalHasElement", "SequenceEmpty", "SequenceConstruct"}
log = logging.getLogger(__name__)

TYPES = {
    onnx.TensorProto.FLOAT: DType.F32,
    onnx.TensorProto.DOUBLE: DType.F64,
    onnx.TensorProto.INT8: DType.S8,
    onnx.TensorProto.UINT8: DType.U8,
    onnx.TensorProto.INT16: DType.S16,
    onnx.TensorProto.UINT16: DType.U16,
    onnx.TensorProto.INT32: DType.S32,
    onnx.TensorProto.UINT32: DType.U32,
    onnx.TensorProto.INT64: DType.S64,
    onnx.TensorProto.UINT64: DType.U64,
    onnx.TensorProto.BOOL: DType.BOOL,
}


def read_model(path: Path, input_shapes: Mapping[str, Shape]) -> onnx.ModelProto:
    """The model of `path` with static shapes, functions inlined and constants folded.

    Raises ModelError for files that are not valid ONNX, have missing or unsafe external data, or whose
    shapes stay dynamic; `input_shapes` fixes inputs by name.
    """
    model = _parse(path)
    _load_external_data(model, path)
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError) as error:
        raise ModelError(f"{path.name} is not a valid ONNX model: {first_line(error)}") from error
    return static_form(model, input_shapes)


def static_form(model: onnx.ModelProto, input_shapes: Mapping[str, Shape]) -> onnx.ModelProto:
    """A valid model with static shapes, functions inlined and constants folded."""
    model = _modern(model)
    if model.functions:
        model = inliner.inline_local_functions(model)
    _fix_inputs(model, input_shapes)
    return fold(with_defaults(model, opset_version(model)))


def bound(model: onnx.ModelProto, constants: Mapping[str, Array]) -> onnx.ModelProto:
    """A copy of the model with some of its inputs fixed."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    kept = [value for value in result.graph.input if value.name not in constants]
    del result.graph.input[:]
    result.graph.input.extend(kept)
    result.graph.initializer.extend(numpy_helper.from_array(a, name) for name, a in constants.items())
    return result


def _parse(path: Path) -> onnx.ModelProto:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}", "check the path of the model") from error
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise ModelError(
            f"{path.name} is not an ONNX file, or it is truncated", "export the model again"
        ) from error
    if not model.HasField("graph") or not (model.graph.node or model.graph.output):
        raise ModelError(f"{path.name} is not an ONNX file: it holds no graph", "export the model again")
    if not _readable(model):
        raise ModelError(f"{path.name} is damaged: a name in it is not UTF-8", "export the model again")
    return model


def _readable(message: Message) -> bool:
    """False when any string is not UTF-8, which protobuf gives as bytes."""
    for field, value in message.ListFields():
        if field.type not in (field.TYPE_STRING, field.TYPE_MESSAGE):
            continue
        for item in [value] if isinstance(value, str | bytes | Message) else value:
            if isinstance(item, bytes) or (isinstance(item, Message) and not _readable(item)):
                return False
    return True


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            if attribute.HasField("g"):
                yield from _tensors(attribute.g)
            for sub in attribute.graphs:
                yield from _tensors(sub)


def _load_external_data(model: onnx.ModelProto, path: Path) -> None:
    """Read tensors stored beside the model; refuses locations outside its folder."""
    folder = path.resolve().parent
    for tensor in _tensors(model.graph):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        info = {entry.key: entry.value for entry in tensor.external_data}
        location = info.get("location", "")
        where = f"external data of tensor {tensor.name!r}"
        if not location or PurePosixPath(location).is_absolute() or ".." in PurePosixPath(location).parts:
            raise ModelError(f"{where} has the unsafe location {location!r}", "keep it beside the model")
        file = (folder / location).resolve()
        if not file.is_relative_to(folder):
            raise ModelError(f"{where} points outside the model's folder", "keep it beside the model")
        if not file.is_file():
            raise ModelError(f"{where}: file {location!r} is missing", "copy it beside the model")
        try:
            offset, length = int(info.get("offset", 0)), int(info.get("length", file.stat().st_size))
        except ValueError as error:
            raise ModelError(f"{where} has a malformed offset or length") from error
        if offset < 0 or length < 0 or offset + length > file.stat().st_size:
            raise ModelError(f"{where} lies beyond the end of {location!r}", "copy the whole file again")
        with file.open("rb") as stream:
            stream.seek(offset)
            tensor.raw_data = stream.read(length)
        del tensor.external_data[:]
        tensor.data_location = onnx.TensorProto.DEFAULT


def _modern(model: onnx.ModelProto) -> onnx.ModelProto:
    opset = opset_version(model)
    if opset >= OLDEST_OPSET:
        return model
    try:
        return version_converter.convert_version(model, _CONVERTED_OPSET)
    except Exception as error:  # the converter raises bare RuntimeError and worse
        raise ModelError(
            f"opset {opset} is older than {OLDEST_OPSET} and could not be converted: {first_line(error)}",
            "export the model with opset 11 or newer",
        ) from error


def opset_version(model: onnx.ModelProto) -> int:
    """The version of the default operator set that the model imports."""
    versions = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    if not versions and model.opset_import:
        found = [
            Unsupported(n.name or n.op_type, f"{n.domain}.{n.op_type}", "this operator is not supported")
            for n in model.graph.node
        ]
        raise UnsupportedError(found)
    if not versions:
        raise ModelError("the model imports no ONNX operator set")
    return int(max(versions))


def runtime_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """Graph inputs that are not also initializers."""
    constant = {t.name for t in graph.initializer}
    return [value for value in graph.input if value.name not in constant]


def _fix_inputs(model: onnx.ModelProto, input_shapes: Mapping[str, Shape]) -> None:
    """Give every input a static shape: the batch dimension becomes 1, others must be known."""
    inputs = {value.name: value for value in runtime_inputs(model.graph)}
    for name in input_shapes:
        if name not in inputs:
            raise ModelError(f"the model has no input {name!r}", f"its inputs are: {', '.join(inputs)}")
    changed = False
    check_types(inputs.values())
    batch = _batch_names(inputs.values())
    for name, value in inputs.items():
        dims = value.type.tensor_type.shape.dim
        given = input_shapes.get(name)
        if given is not None and len(given) != len(dims) and len(dims):
            raise ModelError(f"input {name!r} has {len(dims)} dimensions, --input-shape gives {len(given)}")
        for axis, dim in enumerate(dims):
            wanted = given[axis] if given else dim.dim_value
            if not wanted and (axis == 0 or dim.dim_param in batch) and not given:
                wanted = 1
            if wanted <= 0 and not dim.HasField("dim_value"):
                spec = ",".join(str(d.dim_value or "?") for d in dims)
                raise ModelError(
                    f"input {name!r} has the dynamic shape [{spec}]", f"fix it: --input-shape {name}=1,..."
                )
            changed |= wanted != dim.dim_value
            dim.Clear()
            dim.dim_value = wanted
    if changed:
        del model.graph.value_info[:]
        for value in model.graph.output:
            value.type.tensor_type.ClearField("shape")


def _batch_names(values: Iterable[onnx.ValueInfoProto]) -> set[str]:
    """What the model calls its batch dimension: the first one of inputs, or what has that name."""
    shapes = [[dim.dim_param for dim in value.type.tensor_type.shape.dim] for value in values]
    first = {names[0] for names in shapes if names}
    return (first | {name for names in shapes for name in names if "batch" in name.lower()}) - {""}


def check_types(values: Iterable[onnx.ValueInfoProto]) -> None:
    """Raise UnsupportedError unless all are tensors of a type that we compute with."""
    problems = []
    for value in values:
        kind = value.type.tensor_type.elem_type
        if not value.type.HasField("tensor_type"):
            problems.append(Unsupported(value.name, "input", "only tensors are supported"))
        elif kind not in TYPES:
            known = kind in onnx.TensorProto.DataType.values()
            title = onnx.TensorProto.DataType.Name(kind).lower() if known else f"type {kind}"
            problems.append(Unsupported(value.name, "tensor", f"{title} is not supported", IN_FLOAT32))
    if problems:
        raise UnsupportedError(problems)


def fold(model: onnx.ModelProto) -> onnx.ModelProto:
    """Alternate shape inference and constant folding until nothing changes."""
    for _ in range(_FOLD_ROUNDS):
        try:
            model = shape_inference.infer_shapes(_annotated(model), strict_mode=True, data_prop=True)
        except Exception as error:  # InferenceError and, for bad data propagation, others
            raise ModelError(f"shapes do not fit together: {first_line(error)}") from error
        changed = _fold_once(model)
        if unfold(model, opset_version(model)):
            model = with_defaults(model, opset_version(model))
        elif not changed:
            break
    return model


def _annotated(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the types of values that onnx infers none for, which strict inference trips over."""
    waiting = [node for node in model.graph.node if node.op_type in _LIKE_INPUT]
    while waiting:
        model = shape_inference.infer_shapes(model, data_prop=True)
        types = {v.name: v.type for v in (*model.graph.input, *model.graph.value_info)}
        ready = [node for node in waiting if node.input[0] in types and node.output[0] not in types]
        for node in ready:
            model.graph.value_info.append(onnx.helper.make_value_info(node.output[0], types[node.input[0]]))
        waiting = [n for n in waiting if n.output[0] not in types and n not in ready] if ready else []
    return model


def _fold_once(model: onnx.ModelProto) -> bool:
    """Replace constant expressions by initializers; False when there are none."""
    graph = model.graph
    shapes = static_shapes(model)
    constants = {t.name: t for t in graph.initializer}
    folded: list[onnx.NodeProto] = []
    known: set[str] = set()
    for node in graph.node:
        if node.op_type == "Shape" and not known.issuperset(node.input) and node.input[0] in shapes:
            values = np.array(shapes[node.input[0]], np.int64)
            bounds = {a.name: a.i for a in node.attribute}
            values = values[bounds.get("start", 0) : bounds.get("end", len(values))]
            folded.append(_constant(values, node.output[0]))
        elif _foldable(node, known, constants):
            folded.append(node)
        else:
            continue
        known.update(node.output)
    if not folded:
        return False
    sources = {id(node) for node in folded}
    rest = [n for n in graph.node if not known.issuperset(n.output) and id(n) not in sources]
    wanted = {name for node in rest for name in (*node.input, *captured(node))}
    wanted |= {value.name for value in graph.output}
    results = sorted(name for name in known & wanted if name)
    for name in sorted(known):
        size = int(np.prod(shapes.get(name, ()), dtype=np.float64))
        if size > _MAX_FOLDED_VALUES:
            raise ModelError(f"the constant expression {name!r} makes {size} values", "store fewer constants")
    arrays = _evaluate(model, folded, results)
    del graph.node[:]
    graph.node.extend(rest)
    graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in zip(results, arrays, strict=True))
    return True


def _foldable(node: onnx.NodeProto, known: set[str], constants: Mapping[str, Any]) -> bool:
    if node.op_type in _KEPT | _RANDOM | _NO_TENSORS or any(
        a.HasField("g") or a.graphs for a in node.attribute
    ):
        return False
    if node.domain not in ("", "ai.onnx"):
        return False
    return all(not name or name in known or name in constants for name in node.input)


def _constant(values: np.ndarray[Any, Any], name: str) -> onnx.NodeProto:
    return onnx.helper.make_node("Constant", [], [name], value=numpy_helper.from_array(values))


def _evaluate(model: onnx.ModelProto, nodes: list[onnx.NodeProto], results: list[str]) -> list[Any]:
    if not results:
        return []
    used = {name for node in nodes for name in node.input}
    graph = onnx.helper.make_graph(
        nodes,
        "constants",
        [],
        [onnx.helper.make_empty_tensor_value_info(name) for name in results],
        [t for t in model.graph.initializer if t.name in used],
    )
    folding = onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    try:
        return list(session(folding).run(results, {}))
    except Exception as first:  # onnxruntime's exceptions share no useful base class
        try:
            return list(ReferenceEvaluator(folding).run(results, {}))
        except Exception:
            what = f"a constant expression cannot be computed: {first_line(first)}"
            kinds = ", ".join(sorted({node.op_type for node in nodes}))
            raise UnsupportedError([Unsupported(results[0], kinds, what)]) from first


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """An onnxruntime session without graph optimizations, the only exact one for int8 (models.md 0.1)."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's exceptions share no useful base class
        raise ModelError(f"onnxruntime refuses the model: {first_line(error)}") from error


def static_shapes(model: onnx.ModelProto) -> dict[str, Shape]:
    """Shapes of all values that are fully known."""
    shapes: dict[str, Shape] = {t.name: tuple(t.dims) for t in model.graph.initializer}
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        kind = value.type.tensor_type
        if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
            continue
        dims = kind.shape.dim
        if all(d.HasField("dim_value") and d.dim_value >= 0 for d in dims):
            shapes[value.name] = tuple(d.dim_value for d in dims)
    return shapes
