"""Constant folding of ONNX models, with onnxruntime as the calculator, within limits."""

from collections.abc import Callable, Iterable, Mapping
from math import prod
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from pingponnx.errors import ModelError, Unsupported, UnsupportedError, damage, first_line
from pingponnx.ir import Shape
from pingponnx.names import is_onnx
from pingponnx.onnx_functions import with_defaults
from pingponnx.onnx_hidden import hide_pools, hide_risky, is_hidden, show, show_harmless
from pingponnx.onnx_limits import MAX_FOLDED, check_nodes, check_shapes, check_work, may_follow
from pingponnx.onnx_subgraphs import captured, unfold

_FOLD_ROUNDS = 64
_DEEPEST = 64  # pools and slices after one another, each of which is inferred once more
_GENEROUS = 32  # times the memory of their results is what such operators take
CONSTANTS_ALONE = 4  # IR version since which constants need not be listed as inputs
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
_TEXT = {
    "ImageDecoder",
    "RegexFullMatch",
    "StringConcat",
    "StringNormalizer",
    "StringSplit",
    "TfIdfVectorizer",
}
_ENDLESS = {"GatherElements"}  # takes onnx's reference forever for some wrong indices
# Whose results have at most so many values as their inputs, for each axis of these
_MEASURED = {"NonZero", "Compress", "Unique", "NonMaxSuppression"}
_MEASURED |= {"SplitToSequence", "SequenceAt", "SequenceErase", "SequenceLength", "ConcatFromSequence"}


def opset_version(model: onnx.ModelProto) -> int:
    """The version of the default operator set that the model imports."""
    versions = [o.version for o in model.opset_import if is_onnx(o.domain)]
    if not versions and model.opset_import:
        found = [
            Unsupported(n.name or n.op_type, f"{n.domain}.{n.op_type}", "this operator is not supported")
            for n in model.graph.node
        ]
        raise UnsupportedError(found)
    if not versions:
        raise ModelError("the model imports no ONNX operator set")
    newest = onnx.defs.onnx_opset_version()
    if max(versions) > newest:
        known = f"onnx {onnx.__version__} knows opsets up to {newest}"
        raise ModelError(f"the model has opset {max(versions)}, {known}", "export it with an older opset")
    return int(max(versions))


def fold(model: onnx.ModelProto) -> onnx.ModelProto:
    """Alternate shape inference and constant folding until nothing changes."""
    for _ in range(_FOLD_ROUNDS):
        check_nodes(model)
        model = _inferred(model)
        check_shapes(static_shapes(model))
        changed = _fold_once(model)
        if unfold(model, opset_version(model)):
            model = with_defaults(model, opset_version(model))
        elif not changed:
            break
    return model


def _inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with inferred types and shapes; raises ModelError when they are too large or do not fit."""
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    hide_risky(plain)
    for _ in range(_DEEPEST):
        plain = _anew(plain)
        shapes = static_shapes(plain)
        if not (show_harmless(plain, shapes) or hide_pools(plain, shapes)):
            break
    else:
        show(plain)
    if any(is_hidden(node) for node in plain.graph.node):
        model = plain
    model = _annotated(model)
    problem: Exception | None = None
    for follow in (True, False) if may_follow(plain.graph) else (False,):
        try:
            model = shape_inference.infer_shapes(model, strict_mode=True, data_prop=follow)
            break
        except Exception as error:  # following takes a row of integers for the vector that it was made of
            problem = problem or error
    else:
        assert problem is not None
        raise ModelError(f"shapes do not fit together: {first_line(problem)}") from problem
    check_shapes(static_shapes(model))
    show(model)
    return model


def _anew(model: onnx.ModelProto) -> onnx.ModelProto:
    """Inferred without what the model says of its own values, which may be a lie."""
    ours = {name for node in model.graph.node if is_onnx(node.domain) for name in node.output}
    kept = [value for value in model.graph.value_info if value.name not in ours]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)
    for value in model.graph.output:
        if value.name in ours:
            value.type.tensor_type.ClearField("shape")
    try:
        model = shape_inference.infer_shapes(model)
    except Exception as error:  # InferenceError and others
        raise ModelError(f"shapes do not fit together: {first_line(error)}") from error
    check_shapes(static_shapes(model))
    return model


def _annotated(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the types of values that onnx infers none for, which strict inference trips over."""
    waiting = [node for node in model.graph.node if node.op_type in _LIKE_INPUT]
    while waiting:
        model = shape_inference.infer_shapes(model)
        types = {v.name: v.type for v in (*model.graph.input, *model.graph.value_info)}
        ready = [node for node in waiting if node.input[0] in types and node.output[0] not in types]
        for node in ready:
            model.graph.value_info.append(onnx.helper.make_value_info(node.output[0], types[node.input[0]]))
        waiting = [n for n in waiting if n.output[0] not in types and n not in ready] if ready else []
    return model


def _fold_once(model: onnx.ModelProto) -> bool:
    """Replace constant expressions by initializers; False when there are none."""
    graph = model.graph
    nodes, sources = _expressions(model)
    if not nodes:
        return False
    known = {name for node in nodes for name in node.output}
    gone = {id(node) for node in sources}
    rest = [n for n in graph.node if not known.issuperset(n.output) and id(n) not in gone]
    wanted = {name for node in rest for name in (*node.input, *captured(node))}
    wanted |= {value.name for value in graph.output}
    results = sorted(name for name in known & wanted if name)
    arrays = _evaluate(model, nodes, results)
    del graph.node[:]
    graph.node.extend(rest)
    with damage("a constant expression"):
        graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in zip(results, arrays, strict=True))
    return True


def _expressions(model: onnx.ModelProto) -> tuple[list[onnx.NodeProto], list[onnx.NodeProto]]:
    """Nodes that can be computed now, and those of the model that they stand for.

    What a result's size depends on must be known: nothing is computed before it is known to be small.
    """
    shapes = static_shapes(model)
    stored = {t.name: t for t in model.graph.initializer}
    constants = set(stored)
    known = set(constants)
    found: list[tuple[onnx.NodeProto, onnx.NodeProto]] = []  # and the node of the model
    for node in model.graph.node:
        if node.op_type == "Shape" and not known.issuperset(node.input) and node.input[0] in shapes:
            values = np.array(shapes[node.input[0]], np.int64)
            bounds = {a.name: a.i for a in node.attribute}
            values = values[bounds.get("start", 0) : bounds.get("end", len(values))]
            found.append((_constant(values, node.output[0]), node))
        elif _foldable(node, known):
            found.append((node, node))
        else:
            continue
        known.update(node.output)
    # The model's own word for a shape may be a lie, so they are inferred anew
    alone = _inferred(_alone(model, [node for node, _ in found], []))
    sizes, reals, total = static_shapes(alone), _reals(alone.graph), 0
    known = set(constants)
    nodes: list[onnx.NodeProto] = []
    sources: list[onnx.NodeProto] = []
    for node, source in found:
        sized = node.op_type in _MEASURED or all(name in sizes for name in node.output if name)
        measured = node.op_type in _MEASURED
        check = _CHECKS.get(node.op_type)
        if check is _check_division and node.output[0] in reals:
            check = None
        ready = constants if check or measured else known  # what they are given is looked at first
        if check and ready.issuperset(node.input):
            check(node, [stored[name] for name in node.input])
        if sized and all(not name or name in ready for name in node.input):
            bounds = (
                {name: (_most(shapes, node.input),) for name in node.output if name} if measured else sizes
            )
            total += check_work(node, bounds)
            nodes.append(node)
            sources.append(source)
            known.update(node.output)
    if total > MAX_FOLDED:
        raise ModelError(f"constant expressions make {total:,} values", "store fewer constants")
    return nodes, sources


def _most(shapes: Mapping[str, Shape], names: Iterable[str]) -> int:
    """How many values a measured result may have, with what it takes to find them."""
    found = [shapes.get(name, ()) for name in names]
    return _GENEROUS * sum(prod(shape) * max(len(shape), 1) for shape in found)


def _reals(graph: onnx.GraphProto) -> set[str]:
    """Values that are floating-point numbers."""
    kinds = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16)
    return {v.name for v in graph.value_info if v.type.tensor_type.elem_type in kinds}


def _check_division(node: onnx.NodeProto, operands: list[onnx.TensorProto]) -> None:
    """Integer divisions without a result end a process, onnxruntime's as any."""
    what = f"{node.op_type} node {node.name!r}"
    with damage(what):
        x, y = (numpy_helper.to_array(t) for t in operands)
        lowest = np.iinfo(x.dtype).min if x.dtype.kind == "i" else None
    if (y == 0).any() or (lowest is not None and (x == lowest).any() and (y == -1).any()):
        raise ModelError(f"{what} divides constants without a result", "check the values that it divides")


def _check_range(node: onnx.NodeProto, limits: list[onnx.TensorProto]) -> None:
    """Where the distance from start to end is no number of their type, its length is anybody's guess."""
    what = f"{node.op_type} node {node.name!r}"
    with damage(what):
        start, end, step = (numpy_helper.to_array(t) for t in limits)
        with np.errstate(all="ignore"):
            distance = end - start
        exact = end.dtype.kind != "i" or int(distance.item()) == int(end.item()) - int(start.item())
    if not exact or not np.isfinite([distance.item(), step.item()]).all() or not step.item():
        raise ModelError(f"{what} has no length", "check its start, limit and delta")


_Check = Callable[[onnx.NodeProto, list[onnx.TensorProto]], None]
# What these are given is looked at before they are computed
_CHECKS: dict[str, _Check] = {"Div": _check_division, "Mod": _check_division, "Range": _check_range}


def _foldable(node: onnx.NodeProto, known: set[str]) -> bool:
    if node.op_type in _KEPT | _RANDOM | _NO_TENSORS | _TEXT or any(
        a.HasField("g") or a.graphs for a in node.attribute
    ):
        return False
    if not is_onnx(node.domain):
        return False
    return all(not name or name in known for name in node.input)


def _constant(values: np.ndarray[Any, Any], name: str) -> onnx.NodeProto:
    return onnx.helper.make_node("Constant", [], [name], value=numpy_helper.from_array(values))


def _alone(model: onnx.ModelProto, nodes: list[onnx.NodeProto], results: Iterable[str]) -> onnx.ModelProto:
    """A model of these nodes and the constants that they read."""
    used = {name for node in nodes for name in node.input}
    graph = onnx.helper.make_graph(
        nodes,
        "constants",
        [],
        [onnx.helper.make_empty_tensor_value_info(name) for name in results],
        [t for t in model.graph.initializer if t.name in used],
    )
    version = max(model.ir_version, CONSTANTS_ALONE)
    return onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=version)


def _evaluate(model: onnx.ModelProto, nodes: list[onnx.NodeProto], results: list[str]) -> list[Any]:
    if not results:
        return []
    folding = _alone(model, nodes, results)
    kinds = ", ".join(sorted({node.op_type for node in nodes}))
    calculator: Any = None
    try:
        calculator = session(folding)
    except ModelError as error:  # types that onnxruntime has no kernels for
        if any(node.op_type in _ENDLESS for node in nodes):
            raise UnsupportedError([Unsupported(results[0], kinds, error.message)]) from error
    try:
        return list((calculator or ReferenceEvaluator(folding)).run(results, {}))
    except Exception as error:  # neither's exceptions share a useful base class
        what = f"a constant expression cannot be computed: {first_line(error)}"
        raise UnsupportedError([Unsupported(results[0], kinds, what)]) from error


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
