"""Samples: arrays for a model's inputs as ONNX wants them, and as the C library wants them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import numpy as np

from pingponnx.errors import Error
from pingponnx.fixed_point import code_range, dequantize_array, quantize_array
from pingponnx.ir import CODES, Array, DType, Graph, Port, Shape, Tensor
from pingponnx.names import counted
from pingponnx.ops import site_of
from pingponnx.ops.cast import Cast

_RANDOM_SAMPLES = 4
_NAME = re.compile(r"(in|out)[0-9]+")
_ALMOST = re.compile(r"(in|out)(put)?s?[_ -]?[0-9]*")
SEED = 1
"""Of made-up samples."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of the model: inputs in ONNX's layout, and the expected outputs when they are known."""

    inputs: tuple[Array, ...]
    outputs: tuple[Array | None, ...] = ()  # None for one that is not known


def read_samples(path: Path, graph: Graph, limit: int | None = None) -> list[Sample]:
    """`in0`, `in1`, ... of an .npz, samples stacked on a first axis; optional `out0`, ...

    Raises Error when the file is unreadable or an array does not fit its input.
    """
    if path.is_file() and not is_zipfile(path):
        raise Error(f"{path.name} is not an .npz file", "make one with numpy.savez(path, in0=...)")
    try:
        with np.load(path, allow_pickle=False) as data:
            found = {name: data[name] for name in data.files if name.startswith(("in", "out"))}
            # numpy hands out the bytes of a member that is no .npy file
            arrays = {name: array for name, array in found.items() if isinstance(array, np.ndarray)}
    except Exception as error:  # numpy and zipfile raise whatever a damaged archive makes them
        reason = "no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise Error(
            f"cannot read the samples {path.name}: {reason}", "make them with numpy.savez(path, in0=...)"
        ) from error
    _check_names(arrays, graph, path)
    stacks = [_stack(arrays, f"in{i}", graph, n, path) for i, n in enumerate(graph.inputs)]
    named = [(f"out{i}", n) for i, n in enumerate(graph.outputs)]
    expected = [_stack(arrays, name, graph, n, path) if name in arrays else None for name, n in named]
    counts = {len(s) for s in (*stacks, *expected) if s is not None}
    if len(counts) > 1:
        raise Error(f"the arrays of {path.name} hold different numbers of samples: {sorted(counts)}")
    count = min(counts, default=0)
    count = count if limit is None else min(count, limit)
    if not count:
        raise Error(f"{path.name} holds no samples", "stack the samples on a first axis")
    return [
        Sample(tuple(s[k] for s in stacks), tuple(None if e is None else e[k] for e in expected))
        for k in range(count)
    ]


def _check_names(arrays: Iterable[str], graph: Graph, path: Path) -> None:
    """Raises Error for an array of an input or output that the model has not, or under a name like theirs."""
    for name in sorted(arrays):
        if _ALMOST.fullmatch(name) and not _NAME.fullmatch(name):
            hint = "name them in0, in1, ... and out0, out1, ... in the order of the model's"
            raise Error(f"{path.name} has an array {name!r}, which would not be read", hint)
        kind, number = _kind(name), name.removeprefix("in").removeprefix("out")
        ports = graph.inputs if kind == "input" else graph.outputs
        if _NAME.fullmatch(name) and number not in map(str, range(len(ports))):
            raise Error(
                f"{path.name} has an array {name!r}, but the model has {counted(len(ports), kind)}",
                "give samples of this model, or save them without that array",
            )


def _kind(name: str) -> str:
    return "input" if name.startswith("in") else "output"


def _stack(arrays: dict[str, Array], name: str, graph: Graph, tensor: str, path: Path) -> Array:
    """One array of the file, `samples + shape of the input`, in the type that the ONNX model takes."""
    shape = onnx_shape(graph, tensor)
    if name not in arrays:
        raise Error(
            f"{path.name} has no array {name!r}", "name them in0, in1, ... in the order of the inputs"
        )
    array = arrays[name]
    if array.dtype.kind not in "biuf":
        raise Error(f"array {name!r} of {path.name} holds no numbers", "save numeric arrays")
    without_batch = shape[1:] if shape[:1] == (1,) else shape
    if array.ndim == 0 or array.shape[1:] not in (shape, without_batch):
        raise Error(
            f"array {name!r} of {path.name} has the shape {array.shape}, samples of {shape} are needed",
            "stack the samples on a first axis, in the axis order of the ONNX model",
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise Error(f"array {name!r} of {path.name} holds NaN or infinity", "remove those samples")
    return _typed(array, name, graph, tensor, path).reshape(len(array), *shape)


def _typed(array: Array, name: str, graph: Graph, tensor: str, path: Path) -> Array:
    """float32 where the model takes that; else whole numbers that fit the input's or output's type."""
    dtype = graph.tensors[tensor].dtype
    if dtype is DType.F32 or _is_absorbed(graph, tensor):
        return array.astype(np.float32)
    typed = array.astype(dtype.numpy)
    if not np.array_equal(typed, array):
        raise Error(
            f"array {name!r} of {path.name} does not fit the {_kind(name)}'s type {dtype.value}",
            f"save it as the model {'takes' if _kind(name) == 'input' else 'gives'} it, as {dtype.value}",
        )
    return typed


def _is_absorbed(graph: Graph, name: str) -> bool:
    """True when ONNX's own input or output is float32 and the C library's is quantized."""
    tensor = graph.tensors[name]
    if tensor.dtype not in CODES or tensor.quantization is None:
        return False
    return tensor.origin is None or tensor.origin.name != graph.ports[name].name


def choose_samples(graph: Graph, path: Path | None, limit: int) -> list[Sample]:
    """At most `limit` samples of a file, or as few made-up ones where there is none."""
    return read_samples(path, graph, limit) if path else random_samples(graph, min(limit, _RANDOM_SAMPLES))


def sample_row(path: Path | None, count: int) -> dict[str, Any]:
    """The `samples` of reports: a file's name, or the seed of made-up ones."""
    return {"file": path.name if path else None, "seed": None if path else SEED, "count": count}


def random_samples(graph: Graph, count: int = _RANDOM_SAMPLES) -> list[Sample]:
    """Deterministic made-up samples: any code for quantized inputs, standard normal for float32, indices in
    range."""
    rng, ranges = np.random.default_rng(SEED), _index_ranges(graph)
    return [Sample(tuple(_random(rng, graph, n, ranges.get(n)) for n in graph.inputs)) for _ in range(count)]


def _index_ranges(graph: Graph) -> dict[str, range]:
    """What inputs may hold that are indices, of an embedding's rows for example, also after a Cast."""
    sources = {name: {name} for name in graph.inputs}
    ranges: dict[str, range] = {}
    for node in graph.nodes:
        site = site_of(graph, node)
        for position, name in enumerate(node.inputs):
            within = node.op.index_range(site, position)
            for source in sources.get(name, ()) if within else ():
                assert within is not None
                ranges[source] = min(ranges.get(source, within), within, key=len)
        if node.op.moves_data or isinstance(node.op, Cast):
            passed = {source for name in node.inputs for source in sources.get(name, ())}
            sources.update((output, passed) for output in node.outputs)
    return ranges


def _random(rng: np.random.Generator, graph: Graph, name: str, within: range | None) -> Array:
    tensor, shape = graph.tensors[name], onnx_shape(graph, name)
    if within:
        return rng.integers(within.start, within.stop, shape).astype(tensor.dtype.numpy)
    if tensor.dtype is DType.F32:
        return rng.standard_normal(shape).astype(np.float32)
    if tensor.dtype is DType.BOOL or tensor.dtype.numpy.kind == "u":
        return rng.integers(0, 2 if tensor.dtype is DType.BOOL else 256, shape).astype(tensor.dtype.numpy)
    low, high = code_range(DType.S8 if tensor.quantization is None else tensor.dtype)
    codes = rng.integers(low, high + 1, shape).astype(tensor.dtype.numpy)
    if tensor.quantization is None or not _is_absorbed(graph, name):
        return codes
    return dequantize_array(codes, tensor.quantization)


def onnx_shape(graph: Graph, name: str) -> Shape:
    """The shape of a model input or output in ONNX's axis order."""
    tensor, port = graph.tensors[name], graph.ports[name]
    if port.permutation is None:
        return tensor.shape
    shape = [0] * len(tensor.shape)
    for ours, theirs in enumerate(port.permutation):
        shape[theirs] = tensor.shape[ours]
    return tuple(shape)


def to_ours(graph: Graph, name: str, value: Array) -> Array:
    """An ONNX value of a model input or output as the C library holds it."""
    tensor = graph.tensors[name]
    value = _permuted(np.asarray(value), graph.ports[name])
    if tensor.dtype in CODES and tensor.quantization is not None and value.dtype.kind == "f":
        value = quantize_array(value, tensor.quantization, *code_range(tensor.dtype))
    if tensor.dtype is DType.S8 and value.dtype == np.uint8:
        value = value.astype(np.int16) - 128
    return np.ascontiguousarray(value, tensor.dtype.numpy).reshape(tensor.shape)


def to_theirs(graph: Graph, name: str, value: Array) -> Array:
    """A model input or output as the C library holds it in ONNX's axis order, as real numbers."""
    port, value = graph.ports[name], to_real(graph.tensors[name], value)
    return value if port.permutation is None else value.transpose(np.argsort(port.permutation))


def to_real(tensor: Tensor, value: Array) -> Array:
    """Our output as real numbers where it is quantized, in our layout."""
    if tensor.dtype in CODES and tensor.quantization is not None:
        return dequantize_array(value, tensor.quantization)
    return value


def _permuted(value: Array, port: Port) -> Array:
    return value if port.permutation is None else value.transpose(port.permutation)


def feeds(graph: Graph, sample: Sample) -> dict[str, Array]:
    """A sample as `evaluate` takes it."""
    return {n: to_ours(graph, n, v) for n, v in zip(graph.inputs, sample.inputs, strict=True)}


def input_bytes(graph: Graph, samples: Sequence[Sample]) -> list[list[bytes]]:
    """Samples as `run` takes them."""
    return [
        [to_ours(graph, n, v).tobytes() for n, v in zip(graph.inputs, s.inputs, strict=True)] for s in samples
    ]
