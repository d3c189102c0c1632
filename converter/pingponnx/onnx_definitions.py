"""Operators written out as others of ONNX, beyond those that ONNX itself defines (onnx_functions.py).

Each definition gets a node and may decline it, so that special cases that have a kernel of their own keep it.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from pingponnx.ir import Shape
from pingponnx.names import is_onnx
from pingponnx.onnx_writer import Writer

_EPSILON, _MOMENTUM = 1e-5, 0.9  # ONNX's defaults for batch normalization
_POOLED = 2  # axes of an image before its pixels
_IMAGE = 4  # the rank of n c h w


@dataclass(slots=True)
class Defined(Writer):
    """A node with what is known of its inputs: their types, the constant ones, and these with what is
    dequantized of them."""

    types: Mapping[str, onnx.TypeProto]
    constants: Mapping[str, onnx.TensorProto]
    fixed: Collection[str]

    @property
    def inputs(self) -> list[str]:
        return list(self.node.input)

    def values(self, name: str) -> np.ndarray[Any, Any] | None:
        """Those of a constant."""
        return numpy_helper.to_array(self.constants[name]) if name in self.constants else None

    def shape(self, name: str) -> tuple[int, ...] | None:
        kind = self.types[name].tensor_type if name in self.types else None
        if kind is None or not kind.HasField("shape"):
            return None
        return tuple(d.dim_value for d in kind.shape.dim)

    def numpy(self, name: str) -> np.dtype[Any]:
        found: np.dtype[Any] = onnx.helper.tensor_dtype_to_np_dtype(self.types[name].tensor_type.elem_type)
        return found


Definition = Callable[[Defined], bool]
"""Adds nodes and says True, or declines."""

DEFINITIONS: dict[str, Definition] = {}


def define(*op_types: str) -> Callable[[Definition], Definition]:
    def register(function: Definition) -> Definition:
        DEFINITIONS.update(dict.fromkeys(op_types, function))
        return function

    return register


def written(
    node: onnx.NodeProto,
    types: Mapping[str, onnx.TypeProto],
    constants: Mapping[str, onnx.TensorProto],
    fixed: Collection[str],
) -> list[onnx.NodeProto] | None:
    """The nodes that a node stands for; None when it stands for itself."""
    definition = DEFINITIONS.get(node.op_type) if is_onnx(node.domain) else None
    if definition is None or any(name and name not in types for name in node.input):
        return None
    writer = Defined(node, types, constants, fixed)
    return writer.nodes if definition(writer) else None


@define("Max", "Min")
def _extreme(w: Defined) -> bool:
    """Of any number of values, two at a time."""
    if len(w.inputs) == 2:
        return False
    _pairwise(w, w.node.op_type, w.node.output[0])
    return True


@define("Sum")
def _sum(w: Defined) -> bool:
    """The sum of any number of values."""
    _pairwise(w, "Add", w.node.output[0])
    return True


@define("Mean")
def _mean(w: Defined) -> bool:
    """The mean of any number of values."""
    count = w.constant(len(w.inputs), w.numpy(w.inputs[0]))
    w.add("Div", _pairwise(w, "Add"), count, output=w.node.output[0])
    return True


def _pairwise(w: Defined, op_type: str, output: str = "") -> str:
    """A function of two values over all inputs."""
    total, *others = w.inputs
    if not others:
        return w.add("Identity", total, output=output)
    for index, name in enumerate(others, 1):
        total = w.add(op_type, total, name, output=output if index == len(others) else "")
    return total


@define("Clip", "Relu")
def _clip(w: Defined) -> bool:
    x, low, high = w.input(0), w.input(1), w.input(2)
    dtype = w.numpy(x)
    if dtype == np.float32 and all(not name or name in w.constants for name in (low, high)):
        return False
    if w.node.op_type == "Relu":
        low = w.constant(0, dtype)
    for op_type, bound in (("Max", low), ("Min", high)):
        if bound:
            x = w.add(op_type, x, bound)
    w.add("Identity", x, output=w.node.output[0])
    return True


@define("BatchNormalization")
def _batch_normalization(w: Defined) -> bool:
    """In training, or with statistics that are inputs of the model."""
    x, *parameters = w.inputs
    training = w.attribute("training_mode", 0)
    shape = w.shape(x)
    if shape is None or not (training or any(name not in w.fixed for name in parameters)):
        return False
    along = (shape[1], *(1,) * (len(shape) - _POOLED))
    scale, bias, mean, variance = (w.reshaped(name, along) for name in parameters)
    momentum = w.attribute("momentum", _MOMENTUM)
    if training:
        axes = w.constant([0, *range(2, len(shape))], np.int64)
        old = (mean, variance)
        mean = w.add("ReduceMean", x, axes)
        centred = w.add("Sub", x, mean)
        variance = w.add("ReduceMean", w.add("Mul", centred, centred), axes)
        kept, new = (w.constant(f, w.numpy(x)) for f in (momentum, 1 - momentum))
        for before, now, output in zip(old, (mean, variance), w.node.output[1:], strict=False):
            if output:
                mixed = w.add("Add", w.add("Mul", before, kept), w.add("Mul", now, new))
                w.add("Reshape", mixed, w.constant(shape[1:2], np.int64), output=output)
    epsilon = w.constant(w.attribute("epsilon", _EPSILON), w.numpy(x))
    deviation = w.add("Sqrt", w.add("Add", variance, epsilon))
    normal = w.add("Div", w.add("Sub", x, mean), deviation)
    w.add("Add", w.add("Mul", normal, scale), bias, output=w.node.output[0])
    return True


@define("PRelu")
def _slope_per_channel(w: Defined) -> bool:
    """Before opset 9 a slope with one value per channel was not broadcast as usual."""
    shape, slope = w.shape(w.input(0)), w.shape(w.input(1))
    if not shape or not slope or len(slope) != 1 or len(shape) < _POOLED or slope[0] in (1, shape[-1]):
        return False
    along = w.reshaped(w.input(1), (*slope, *(1,) * (len(shape) - _POOLED)))
    w.add("PRelu", w.input(0), along, output=w.node.output[0])
    return True


@define("LogSoftmax")
def _log_softmax(w: Defined) -> bool:
    """x less the logarithm of the sum of exp(x) along an axis."""
    shape = w.shape(w.input(0))
    axis = w.attribute("axis", None)
    if shape is None or axis is None:
        return False
    w.add(
        "Sub",
        w.input(0),
        w.add("ReduceLogSumExp", w.input(0), w.constant([axis], np.int64)),
        output=w.node.output[0],
    )
    return True


@define("DepthToSpace")
def _depth_to_space(w: Defined) -> bool:
    """Channels become blocks of pixels."""
    shape, size = w.shape(w.input(0)), w.attribute("blocksize", 1)
    if shape is None or len(shape) != _IMAGE:
        return False
    n, c, height, width = shape
    rest = c // (size * size)
    rows_first = w.attribute("mode", b"DCR") == b"DCR"
    split = (n, size, size, rest, height, width) if rows_first else (n, rest, size, size, height, width)
    order = (0, 3, 4, 1, 5, 2) if rows_first else (0, 1, 4, 2, 5, 3)
    return _moved(w, split, order, (n, rest, height * size, width * size))


@define("SpaceToDepth")
def _space_to_depth(w: Defined) -> bool:
    """Blocks of pixels become channels."""
    shape, size = w.shape(w.input(0)), w.attribute("blocksize", 1)
    if shape is None or len(shape) != _IMAGE:
        return False
    n, c, height, width = shape
    split = (n, c, height // size, size, width // size, size)
    order = (0, 3, 5, 1, 2, 4) if w.attribute("mode", b"DCR") == b"DCR" else (0, 1, 3, 5, 2, 4)
    return _moved(w, split, order, (n, c * size * size, height // size, width // size))


def _moved(w: Defined, split: Shape, order: Shape, joined: Shape) -> bool:
    """The axes of a block are split off and moved."""
    y = w.add("Transpose", w.reshaped(w.input(0), split), perm=list(order))
    w.add("Reshape", y, w.constant(joined, np.int64), output=w.node.output[0])
    return True


@define("Trilu")
def _triangle(w: Defined) -> bool:
    """The upper or lower triangle of matrices, zeros elsewhere."""
    x, diagonal = w.input(0), w.input(1)
    shape = w.shape(x)
    if shape is None:
        return False
    dtype = w.numpy(x)
    rows, columns = (
        w.constant(np.arange(shape[-2])[:, None], np.int64),
        w.constant(np.arange(shape[-1]), np.int64),
    )
    if diagonal:
        rows = w.add("Add", rows, w.reshaped(diagonal, (1, 1)))
    mask = w.add("GreaterOrEqual" if w.attribute("upper", 1) else "LessOrEqual", columns, rows)
    w.add("Where", mask, x, w.constant(0, dtype), output=w.node.output[0])
    return True


@define("Hardmax")
def _hardmax(w: Defined) -> bool:
    """1 at the first largest value along an axis, else 0."""
    x, axis = w.input(0), w.attribute("axis", -1)
    shape = w.shape(x)
    if shape is None:
        return False
    index = w.add("ArgMax", x, axis=axis, keepdims=1)
    along = [1] * len(shape)
    along[axis] = shape[axis]
    places = w.constant(np.arange(shape[axis]).reshape(along), np.int64)
    w.add("Cast", w.add("Equal", places, index), to=w.types[x].tensor_type.elem_type, output=w.node.output[0])
    return True


@define("OneHot")
def _one_hot(w: Defined) -> bool:
    """A choice between its two values; indices count from the back when negative."""
    indices, depth, values = w.inputs
    shape = w.shape(indices)
    count = w.values(depth)
    if shape is None or count is None:
        return False
    n, rank = int(count.ravel()[0]), len(shape) + 1
    axis = w.attribute("axis", -1) % rank
    at = w.add("Cast", w.reshaped(indices, (*shape[:axis], 1, *shape[axis:])), to=onnx.TensorProto.INT64)
    at = w.add(
        "Where", w.add("Less", at, w.constant(0, np.int64)), w.add("Add", at, w.constant(n, np.int64)), at
    )
    places = w.constant(np.arange(n).reshape((n, *(1,) * (rank - 1 - axis))), np.int64)
    off, on = (w.add("Gather", values, w.constant(i, np.int64), axis=0) for i in (0, 1))
    w.add("Where", w.add("Equal", places, at), on, off, output=w.node.output[0])
    return True


@define("Dropout")
def _dropout(w: Defined) -> bool:
    """With a mask, or in training: a given seed stands for the mask that numpy's generator makes of it."""
    x, ratio, training = w.input(0), w.input(1), w.input(2)
    outputs, shape = [*w.node.output, ""][:2], w.shape(x)
    flag = w.values(training) if training else np.array(False)
    idle = flag is not None and not flag.any()
    if shape is None or (idle and not outputs[1]):
        return False
    if idle:
        w.add("Identity", x, output=outputs[0])
        w.add("Identity", w.constant(np.ones(shape), bool), output=outputs[1])
        return True
    seed = w.attribute("seed", None)
    if seed is None:
        return False
    chances = w.constant(np.random.RandomState(seed).uniform(0, 1, shape), np.float32)
    limit = ratio or w.constant(0.5, np.float32)
    kept = w.add("GreaterOrEqual", chances, limit)
    scaled = w.add("Div", x, w.add("Sub", w.constant(1, np.float32), limit))
    dropped = w.add("Where", kept, scaled, w.constant(0, np.float32))
    if outputs[1]:
        w.add("Or", kept, w.add("Not", training), output=outputs[1])
    w.add("Where", training, dropped, x, output=outputs[0])
    return True


@define("Pad")
def _pad(w: Defined) -> bool:
    """Of other types than float32, or wrapped around: gathered, or joined with the constant, axis by axis."""
    x, mode = w.input(0), w.attribute("mode", b"constant").decode()
    pads, shape, dtype = w.values(w.input(1)), w.shape(x), w.numpy(x)
    axes = w.values(w.input(3)) if w.input(3) else np.arange(len(shape or ()))
    plain = mode != "wrap" and dtype in (np.float32, np.int8, np.uint8)
    if shape is None or pads is None or axes is None or plain or not len(axes):
        return False
    value = w.input(2) or w.constant(0, dtype)
    sizes = list(shape)
    for axis, before, after in zip(axes, *pads.reshape(2, -1), strict=True):
        axis, before, after = int(axis) % len(sizes), int(before), int(after)
        places = np.arange(max(-before, 0), sizes[axis] + min(after, 0))
        if mode != "constant":
            how: Any = mode
            places = np.pad(places, (max(before, 0), max(after, 0)), mode=how)
        if len(places) != sizes[axis] or mode != "constant":
            x = w.add("Gather", x, w.constant(places, np.int64), axis=axis)
        sizes[axis] = len(places)
        if mode == "constant":
            ends = [max(before, 0), max(after, 0)]
            parts = [
                w.add("Expand", value, w.constant([*sizes[:axis], n, *sizes[axis + 1 :]], np.int64))
                if n
                else ""
                for n in ends
            ]
            x = w.add("Concat", *(part for part in (parts[0], x, parts[1]) if part), axis=axis)
            sizes[axis] += sum(ends)
    w.add("Identity", x, output=w.node.output[0])
    return True
