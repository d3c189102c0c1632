"""One operator at a time: a tiny ONNX model, its Site, onnxruntime's answer, and the C kernel on the host."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from host import Run, run_c
from onnx import helper, numpy_helper

from pingponnx.calls import Call
from pingponnx.fixed_point import Rounding
from pingponnx.ir import Array, DType, Quantization, Tensor
from pingponnx.ops import CmsisNN, OnnxNode, Operator, Site, registry

EVERY_CMSIS = CmsisNN("test", frozenset({"arm_max_pool_s8", "arm_avgpool_s8"}))


@dataclass(frozen=True)
class Constant:
    """An input that is an initializer of the model."""

    data: Array


def quantization(scale: float, zero_point: int) -> Quantization:
    return Quantization(np.array([scale], np.float32), np.array([zero_point], np.int32))


@dataclass(frozen=True)
class Case:
    """An operator at a site with data; `expected` is onnxruntime's answer; all in our layout."""

    op: Operator
    site: Site
    arrays: tuple[Array, ...]
    expected: Array
    label: str = ""

    @property
    def reference(self) -> Array:
        return self.op.reference(self.site, *self.arrays)

    def with_rounding(self, rounding: Rounding) -> "Case":
        return replace(self, site=replace(self.site, rounding=rounding))


# -- models -----------------------------------------------------------------------------------------


def make_case(
    op_type: str,
    *inputs: Array | Constant | None,
    opset: int = 18,
    quantized: Sequence[Quantization] = (),
    rounding: Rounding = Rounding.SINGLE,
    **attributes: Any,
) -> Case:
    """A node over the given inputs; with quantizations (inputs', then the output's) int8 codes around it."""
    model, feeds = _model(op_type, inputs, opset, quantized, attributes)
    real = [x.astype(np.float32) if quantized and isinstance(x, np.ndarray) else x for x in inputs]
    node = read_node(op_type, *real, opset=opset, **attributes)
    op, kept = registry()[op_type].from_onnx(node)
    assert all(isinstance(k, int) for k in kept)
    arrays = [_data(inputs[k]) for k in kept if isinstance(k, int)]
    expected = run_onnx(model, feeds)
    inferred = op.infer(*(_tensor("x", _layout(op, a), None) for a in arrays))
    assert inferred == (_layout(op, expected).shape,), f"{op_type}: infer {inferred}"
    # ONNX's own inference counts ceil_mode windows that start in the end padding; onnxruntime drops them
    assert attributes.get("ceil_mode") or _onnx_shape(model) == expected.shape
    constants = [isinstance(inputs[k], Constant) for k in kept if isinstance(k, int)]
    return _case(op, arrays, expected, quantized, rounding, f"{op_type} {attributes}", constants)


def _case(
    op: Operator,
    arrays: Sequence[Array],
    expected: Array,
    quantized: Sequence[Quantization],
    rounding: Rounding,
    label: str,
    constants: Sequence[bool] = (),
) -> Case:
    """Of quantized nodes the constants are float32, and part of the site."""
    arrays = [_layout(op, arrays[0]), *arrays[1:]]
    scales = iter(quantized or [None] * (len(arrays) + 1))
    fixed = constants if quantized else [False] * len(arrays)
    tensors = tuple(
        replace(_tensor(f"x{i}", a, None if c else next(scales)), data=a if c else None)
        for i, (a, c) in enumerate(zip(arrays, fixed, strict=True))
    )
    y = replace(_tensor("y", _layout(op, expected), next(scales)), data=None)
    site = Site("node", tensors, (y,), rounding)
    return Case(op, site, tuple(arrays), _layout(op, expected), label)


def read_node(op_type: str, *inputs: Array | Constant | None, opset: int = 18, **attributes: Any) -> OnnxNode:
    """What load hands to from_onnx."""
    outputs = attributes.pop("outputs", ("y",))
    tensors = tuple(
        None if x is None else replace(_tensor(f"x{i}", _data(x), None), data=_constant(x))
        for i, x in enumerate(inputs)
    )
    return OnnxNode("node", op_type, opset, attributes, tensors, outputs)


def _constant(x: Array | Constant) -> Array | None:
    return x.data if isinstance(x, Constant) else None


def _data(x: Array | Constant | None) -> Array:
    assert x is not None
    return x.data if isinstance(x, Constant) else x


def _tensor(name: str, array: Array, q: Quantization | None) -> Tensor:
    dtype = DType.F32 if array.dtype == np.float32 and q is None else DType(array.dtype.name)
    return Tensor(name, array.shape, dtype, q)


def _layout(op: Operator, array: Array) -> Array:
    if not op.channels_last or array.ndim < 3:
        return array
    return np.ascontiguousarray(np.moveaxis(array, 1, -1))


def _model(
    op_type: str,
    inputs: Sequence[Array | Constant | None],
    opset: int,
    quantized: Sequence[Quantization],
    attributes: Mapping[str, Any],
) -> tuple[onnx.ModelProto, dict[str, Array]]:
    attributes = {k: v for k, v in attributes.items() if k != "outputs"}
    nodes, values, constants, names = [], [], [], []
    feeds: dict[str, Array] = {}
    scales = iter(quantized)
    for i, x in enumerate(inputs):
        name = f"x{i}" if x is not None else ""
        if isinstance(x, Constant):
            constants.append(numpy_helper.from_array(x.data, name))
        elif x is not None:
            feeds[name] = x
            element = helper.np_dtype_to_tensor_dtype(x.dtype)
            values.append(helper.make_tensor_value_info(name, element, x.shape))
            if quantized:
                constants += _scales(name, next(scales), x.dtype)
                nodes.append(_scaled("DequantizeLinear", name, name, f"{name}_real"))
                name = f"{name}_real"
        names.append(name)
    nodes.append(helper.make_node(op_type, names, ["y"], **attributes))
    if quantized:
        constants += _scales("y", quantized[-1], inputs[0].dtype)
        nodes.append(_scaled("QuantizeLinear", "y", "y", "y_code"))
    y = helper.make_empty_tensor_value_info("y_code" if quantized else "y")
    graph = helper.make_graph(nodes, "test", values, [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model), feeds


def _scales(name: str, q: Quantization, dtype: np.dtype[Any]) -> list[onnx.TensorProto]:
    return [
        numpy_helper.from_array(np.array(q.s), f"{name}_scale"),
        numpy_helper.from_array(np.array(q.z, dtype), f"{name}_zero"),
    ]


def _scaled(op_type: str, prefix: str, source: str, target: str) -> onnx.NodeProto:
    return helper.make_node(op_type, [source, f"{prefix}_scale", f"{prefix}_zero"], [target])


def run_onnx(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> Array:
    """onnxruntime's answer, nothing optimised."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (y,) = session.run(None, dict(feeds))
    return np.asarray(y)


def _onnx_shape(model: onnx.ModelProto) -> tuple[int, ...]:
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    return tuple(d.dim_value for d in inferred.graph.output[0].type.tensor_type.shape.dim)


# -- comparisons ------------------------------------------------------------------------------------


def run_of(case: Case, call: Call | None = None, shared: int | None = None) -> Run:
    y = case.site.y
    return Run(call or case.op.kernels(case.site)[0], case.arrays, y.shape, y.dtype.numpy, shared)


def check_c(cases: Iterable[Case], tmp_path: Path, flags: Sequence[str] = ()) -> None:
    """Each case's first kernel equals the reference, apart from its inputs and over declared overlaps.

    All its kernels that work by rows then give the very same values, forward and backward.
    """
    pairs: list[tuple[Case, Run]] = []
    for case in cases:
        calls = case.op.kernels(case.site)
        pairs.append((case, run_of(case, calls[0])))
        pairs += [(case, run_of(case, calls[0], index)) for index in calls[0].overlap]
        pairs += [(case, run) for call in calls for run in row_runs(run_of(case, call))]
    outputs = run_c([run for _, run in pairs], tmp_path, flags)
    whole: Array = np.zeros(0)
    for (case, run), got in zip(pairs, outputs, strict=True):
        label = f"{case.label} shared={run.shared} order={run.order}"
        if run.order:
            np.testing.assert_array_equal(got, whole, label)
        else:
            assert_close(case.reference, got, label)
            whole = got if run.shared is None else whole


def row_runs(run: Run) -> list[Run]:
    """The same by rows, in both orders; element-wise kernels also within the rows that they read."""
    rows = run.call.rows
    if rows is None:
        return []
    places: list[int | None] = [None]
    if rows.elementwise:
        places += rows.windows
    orders = (1,) if rows.forward_only else (1, -1)
    return [replace(run, shared=place, order=order) for place in places for order in orders]


def assert_close(expected: Array, got: Array, label: str = "") -> None:
    """Equal integers, or float32 within 1e-5."""
    if expected.dtype == np.float32:
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5, err_msg=label)
    else:
        np.testing.assert_array_equal(got, expected, err_msg=label)


def check_permutations(case: Case, permutations: Iterable[tuple[int, ...]]) -> int:
    """op.permuted(p) on permuted data is the permuted result; returns how many permutations it takes."""
    taken = 0
    for permutation in permutations:
        op = case.op.permuted(permutation)
        if op is None:
            continue
        taken += 1

        def move(t: Tensor, permutation: tuple[int, ...] = permutation) -> Tensor:
            return replace(t, shape=tuple(t.shape[a] for a in permutation))

        inputs = tuple(move(t) for t in case.site.inputs if t is not None)
        site = replace(case.site, inputs=inputs, outputs=(move(case.site.y),))
        assert op.infer(*inputs) == (site.y.shape,)
        moved = op.reference(site, *(a.transpose(permutation) for a in case.arrays))
        assert_close(case.reference.transpose(permutation), moved, f"{case.label} {permutation}")
    return taken


def agreement(pairs: Iterable[tuple[Array, Array]]) -> tuple[float, int]:
    """Share of equal values and largest difference."""
    differences = np.concatenate([np.abs(a.astype(np.int64) - b).ravel() for a, b in pairs])
    return float((differences == 0).mean()), int(differences.max())
