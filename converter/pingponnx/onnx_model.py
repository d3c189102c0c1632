"""Reading an ONNX file safely and bringing it to a static, folded form (still ONNX)."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import onnx
from onnx import inliner, numpy_helper, version_converter

from pingponnx.errors import IN_FLOAT32, ModelError, Unsupported, UnsupportedError, damage, first_line
from pingponnx.ir import Array, DType, Shape
from pingponnx.names import argument
from pingponnx.onnx_files import read_file
from pingponnx.onnx_folding import CONSTANTS_ALONE, fold, opset_version
from pingponnx.onnx_functions import with_defaults
from pingponnx.onnx_limits import check_nodes

OLDEST_OPSET = 11
CONVERTED_OPSET = 13
"""What older models are brought to; also the first with scales per channel."""

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
    model = read_file(path)
    kinds = [v.type.tensor_type for v in model.graph.output if v.type.HasField("tensor_type")]
    shapeless = [kind for kind in kinds if not kind.HasField("shape")]  # onnxruntime takes these
    for kind in shapeless:
        kind.shape.SetInParent()
    model.ir_version = max(model.ir_version, CONSTANTS_ALONE)  # onnxruntime's quantizer leaves older ones
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        raise ModelError(f"{path.name} is not a valid ONNX model: {first_line(error)}") from error
    for kind in shapeless:
        kind.ClearField("shape")
    return static_form(model, input_shapes)


def static_form(model: onnx.ModelProto, input_shapes: Mapping[str, Shape]) -> onnx.ModelProto:
    """A valid model with static shapes, functions inlined and constants folded."""
    model = modern(model)
    check_nodes(model)
    if model.functions:
        with damage("a function of the model", onnx.checker.ValidationError):
            model = inliner.inline_local_functions(model)
    stored = {t.name for t in model.graph.initializer}
    said = [v for v in model.graph.value_info if v.name not in stored]  # of constants it is told twice
    del model.graph.value_info[:]
    model.graph.value_info.extend(said)
    working = onnx.GraphProto()
    working.node.extend(node for node in model.graph.node if any(node.output))
    if len(working.node) < len(model.graph.node):  # some are for nothing
        del model.graph.node[:]
        model.graph.node.extend(working.node)
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


def modern(model: onnx.ModelProto, oldest: int = OLDEST_OPSET, hint: str = "") -> onnx.ModelProto:
    """The model in opset 13 when its own is older than `oldest`, which may be that at most.

    Raises ModelError, with another hint when one is given, when onnx cannot convert it.
    """
    opset = opset_version(model)
    if opset >= oldest:
        return model
    try:
        return version_converter.convert_version(model, CONVERTED_OPSET)
    except Exception as error:  # the converter raises bare RuntimeError and worse
        raise ModelError(
            f"opset {opset} is older than {oldest} and could not be converted: {first_line(error)}",
            hint or f"export the model with opset {oldest} or newer",
        ) from error


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
                    f"input {name!r} has the dynamic shape [{spec}]",
                    f"fix it: --input-shape {argument(f'{name}=1,...')}",
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
