"""Networks of most operators at random, with several inputs and outputs.

What an operator makes of shapes is left to onnx's shape inference, so that a step is only its node.
"""

from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from random_networks import Network, Shape

OPSET = 19
LARGEST = 1500  # values of a tensor

_UNARY: dict[str, dict[str, Any]] = {
    "Relu": {},
    "LeakyRelu": {"alpha": 0.3},
    "Sigmoid": {},
    "Tanh": {},
    "Elu": {"alpha": 0.7},
    "Selu": {},
    "HardSigmoid": {},
    "HardSwish": {},
    "Softplus": {},
    "Softsign": {},
    "ThresholdedRelu": {"alpha": -9.0},
    "Erf": {},
    "Abs": {},
    "Neg": {},
    "Mish": {},
}
_CELLS = {"RNN": 1, "GRU": 3, "LSTM": 4}  # gates
_POSITIONS = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]


class Unfit(Exception):
    """A step that does not suit its input; the network stays as it was."""


class Varied(Network):
    """Maps of one and two dimensions; vectors are maps without any."""

    def first(self) -> Shape:
        channels = self.draw(st.sampled_from([1, 2, 3, 4, 4, 8]))
        size = [self.draw(st.integers(3, 10)) for _ in range(self.draw(st.sampled_from([1, 2, 2, 2])))]
        return self.draw(st.sampled_from([1, 1, 1, 2])), channels, *size

    def grow(self, op_type: str, *inputs: Any, also: int = 0, **attributes: Any) -> list[str]:
        """A node of 1 + `also` outputs; raises Unfit where its shapes do not exist or are too large."""
        first = self.net.add(op_type, *inputs, **attributes)
        node = self.net.nodes[-1]
        node.output.extend(f"{first}_{i}" for i in range(also))
        found = _inferred(node, self.values, self.net.constants)
        if not all(name in found and 0 < np.prod(found[name]) <= LARGEST for name in node.output):
            self.net.nodes.pop()
            raise Unfit
        self.values |= found
        return list(node.output)

    def rank(self, x: str) -> int:
        """Dimensions of a map."""
        return len(self.values[x]) - 2

    def several(self, x: str, choices: list[int]) -> list[int]:
        return [self.draw(st.sampled_from(choices)) for _ in range(self.rank(x))]

    def latest(self) -> str:
        """The newest tensor, or as often an older one."""
        names = list(self.values)
        return self.draw(st.sampled_from([*names, *names[-1:] * len(names)]))

    def window(self, x: str, kernels: list[int], *, dilate: bool) -> dict[str, Any]:
        """Attributes of a window: any padding smaller than it, or one that ONNX computes."""
        if not self.rank(x):
            raise Unfit
        kernel = self.several(x, kernels)
        found: dict[str, Any] = {"kernel_shape": kernel, "strides": self.several(x, [1, 1, 2, 3])}
        automatic = self.draw(st.sampled_from(["", "", "", "SAME_UPPER", "SAME_LOWER", "VALID"]))
        if automatic:  # onnxruntime has no negative padding, which longer steps would need
            found["strides"] = [min(s, k) for s, k in zip(found["strides"], kernel, strict=True)]
            return found | {"auto_pad": automatic}
        pads = [self.draw(st.integers(0, k - 1)) for k in kernel * 2]
        return found | {"pads": pads} | ({"dilations": self.several(x, [1, 1, 1, 2])} if dilate else {})

    # -- steps ------------------------------------------------------------------------------------------

    def conv(self, x: str) -> None:
        """Dense, grouped or depthwise."""
        window, channels = self.window(x, [1, 1, 2, 3, 3, 5], dilate=True), self.values[x][1]
        group = self.draw(st.sampled_from([1, 1, channels, *(g for g in (2, 3, 4) if channels % g == 0)]))
        into = group * self.draw(st.sampled_from([1, 1, 2, 3, 4]))
        if into > 16:
            raise Unfit
        kernel = window["kernel_shape"]
        weights = self.spread(into, channels // group, *kernel, fan=channels // group * np.prod(kernel))
        bias = [self.net.normal(into)] if self.draw(st.integers(0, 3)) else []
        self.grow("Conv", x, weights, *bias, group=group, **window)

    def spread(self, *shape: int, fan: float) -> Any:
        """Weights that keep the signal's size."""
        return self.net.normal(*shape) / np.float32(fan**0.5)

    def conv_transpose(self, x: str) -> None:
        if not self.rank(x):
            raise Unfit
        channels, kernel = self.values[x][1], self.several(x, [1, 2, 3])
        into = self.draw(st.integers(1, 4))
        weights = self.spread(channels, into, *kernel, fan=channels * np.prod(kernel))
        self.grow("ConvTranspose", x, weights, self.net.normal(into), strides=self.several(x, [1, 2]))

    def pool(self, x: str) -> None:
        op_type = self.draw(st.sampled_from(["MaxPool", "MaxPool", "AveragePool"]))
        window = self.window(x, [1, 2, 2, 3], dilate=True)
        if "pads" in window:
            window["ceil_mode"] = self.draw(st.sampled_from([0, 0, 1]))
        if op_type == "AveragePool":
            window["count_include_pad"] = self.draw(st.sampled_from([0, 1]))
        self.grow(op_type, x, **window)

    def whole_pool(self, x: str) -> None:
        if not self.rank(x):
            raise Unfit
        self.grow(self.draw(st.sampled_from(["GlobalAveragePool", "GlobalMaxPool"])), x)

    def reduce(self, x: str) -> None:
        op_type = self.draw(st.sampled_from(["ReduceMean", "ReduceMax", "ReduceSum", "ReduceMin"]))
        axis = self.draw(st.integers(1, len(self.values[x]) - 1))
        self.grow(op_type, x, np.array([axis]), keepdims=1)

    def activation(self, x: str) -> None:
        op_type = self.draw(st.sampled_from([*_UNARY, "Clip", "PRelu", "Softmax"]))
        if op_type == "Clip":
            self.grow("Clip", x, np.float32(-0.5), np.float32(1.0))
        elif op_type == "PRelu":
            self.grow("PRelu", x, self.net.normal(*self.per_channel(x)))
        elif op_type == "Softmax":
            self.grow("Softmax", x, axis=self.draw(st.integers(1, len(self.values[x]) - 1)))
        else:
            self.grow(op_type, x, **_UNARY[op_type])

    def per_channel(self, x: str) -> Shape:
        return self.values[x][1], *(1 for _ in range(self.rank(x)))

    def binary(self, x: str) -> None:
        """With a tensor of the same or a broadcast shape, or with constants."""
        op_type = self.draw(st.sampled_from(["Add", "Add", "Sub", "Mul", "Max", "Min"]))
        others = [n for n, shape in self.values.items() if _broadcasts(shape, self.values[x])]
        constants = [self.net.normal(*self.per_channel(x)), self.net.normal()]
        other = self.draw(st.sampled_from([*others, *range(len(constants))]))
        pair = [x, constants[other] if isinstance(other, int) else other]
        self.grow(op_type, *(pair[::-1] if self.draw(st.booleans()) else pair))

    def residual(self, x: str) -> None:
        """One or two convolutions that keep the shape, and the sum."""
        if not self.rank(x):
            raise Unfit
        channels, y = self.values[x][1], x
        for _ in range(self.draw(st.integers(1, 2))):
            kernel = self.several(x, [1, 3])
            weights = self.spread(channels, channels, *kernel, fan=channels * np.prod(kernel))
            pads = [k // 2 for k in kernel] * 2
            (y,) = self.grow("Conv", y, weights, self.net.normal(channels), kernel_shape=kernel, pads=pads)
            if self.draw(st.booleans()):
                (y,) = self.grow("Relu", y)
        self.grow("Add", *self.draw(st.permutations([x, y])))

    def concat(self, x: str) -> None:
        shape = self.values[x]
        axis = self.draw(st.integers(1, len(shape) - 1))
        others = [n for n, s in self.values.items() if _but(s, axis) == _but(shape, axis)]
        self.grow("Concat", x, self.pick(others), axis=axis)

    def pad(self, x: str) -> None:
        mode = self.draw(st.sampled_from(["constant", "constant", "edge", "reflect"]))
        amounts = [0, 0, *self.several(x, [0, 1, 2]), 0, 0, *self.several(x, [0, 1, 2])]
        self.grow("Pad", x, np.array(amounts), mode=mode)

    def resize(self, x: str) -> None:
        if self.rank(x) != 2:
            raise Unfit
        scales = np.array([1, 1, *self.several(x, [1, 2, 2, 3])], np.float32)
        if self.draw(st.booleans()):
            scales[2:] *= np.float32(0.5)
        mode = self.draw(st.sampled_from(["nearest", "linear", "cubic"]))
        position = self.draw(st.sampled_from(_POSITIONS))
        wanted = ["", scales]
        if position == "align_corners":  # ONNX and onnxruntime differ where a size is no whole number
            wanted = ["", "", np.floor(scales * self.values[x]).astype(np.int64)]
        self.grow("Resize", x, *wanted, mode=mode, coordinate_transformation_mode=position)

    def transpose(self, x: str) -> None:
        axes = self.draw(st.permutations(range(1, len(self.values[x]))))
        self.grow("Transpose", x, perm=[0, *axes])

    def reshape(self, x: str) -> None:
        """The same values as a vector, or with two axes joined."""
        batch, channels, *size = self.values[x]
        shapes = [[batch, -1], [batch, -1, size[-1]], [batch, channels, -1]] if size else [[batch, 1, -1]]
        self.grow("Reshape", x, np.array(self.draw(st.sampled_from(shapes))))

    def split(self, x: str) -> None:
        axis = self.draw(st.integers(1, len(self.values[x]) - 1))
        length = self.values[x][axis]
        if length < 2:
            raise Unfit
        at = self.draw(st.integers(1, length - 1))
        self.grow("Split", x, np.array([at, length - at]), also=1, axis=axis)

    def slice(self, x: str) -> None:
        axis, step = (
            self.draw(st.integers(1, len(self.values[x]) - 1)),
            self.draw(st.sampled_from([1, 2, -1])),
        )
        length = self.values[x][axis]
        start, end = (self.draw(st.integers(0, 1)), length) if step > 0 else (length - 1, -length - 1)
        self.grow("Slice", x, *(np.array([n]) for n in (start, end, axis, step)))

    def normalise(self, x: str) -> None:
        channels = self.values[x][1]
        scale, shift = np.abs(self.net.normal(channels)), self.net.normal(channels)
        op_type = self.draw(st.sampled_from(["BatchNormalization", "InstanceNormalization", "LRN"]))
        if op_type == "BatchNormalization":
            self.grow(op_type, x, scale, shift, self.net.normal(channels), scale + np.float32(0.5))
        elif self.rank(x) == 2 and op_type == "LRN":
            self.grow(op_type, x, size=self.draw(st.sampled_from([1, 3, 5])))
        elif self.rank(x) and op_type == "InstanceNormalization":
            self.grow(op_type, x, scale, shift, epsilon=0.1)
        else:
            raise Unfit

    def choice(self, x: str) -> None:
        """Where a tensor is larger than some number its values, else others."""
        (where,) = self.grow("Greater", x, self.net.normal())
        self.values.pop(where)  # of no use to steps for numbers
        self.net.add("Where", where, x, self.net.normal(*self.per_channel(x)))
        self.values[self.net.nodes[-1].output[0]] = self.values[x]

    def dense(self, x: str) -> None:
        """Fully connected, over everything or over the last axis."""
        into, shape = self.draw(st.sampled_from([1, 3, 4, 8])), self.values[x]
        if self.draw(st.booleans()):
            self.grow("MatMul", x, self.spread(shape[-1], into, fan=shape[-1]))
            return
        if self.rank(x):
            (x,) = self.grow("Flatten", x)
        ways, turned = self.values[x][1], self.draw(st.integers(0, 1))
        weights = self.spread(*((into, ways) if turned else (ways, into)), fan=ways)
        bias = [self.net.normal(into)] if self.draw(st.booleans()) else []
        self.grow("Gemm", x, weights, *bias, transB=turned)

    def product(self, x: str) -> None:
        """Of a tensor and another one, or itself turned."""
        shape = self.values[x]
        others = [n for n, s in self.values.items() if s[:-2] == shape[:-2] and s[-2] == shape[-1]]
        if others and self.draw(st.booleans()):
            self.grow("MatMul", x, self.pick(others))
            return
        if not self.rank(x):
            raise Unfit
        (turned,) = self.grow("Transpose", x, perm=[*range(len(shape) - 2), len(shape) - 1, len(shape) - 2])
        (y,) = self.grow("MatMul", x, turned)
        self.grow("Mul", y, np.float32(1 / shape[-1]))

    def recurrent(self, x: str) -> None:
        """The last axis is time, the others but the batch the input's values."""
        if not self.rank(x):
            raise Unfit
        if self.rank(x) == 2:
            (x,) = self.grow("Reshape", x, np.array([self.values[x][0], -1, self.values[x][-1]]))
        batch, ways, _ = self.values[x]
        (sequence,) = self.grow("Transpose", x, perm=[2, 0, 1])
        cell, hidden = self.draw(st.sampled_from(list(_CELLS))), self.draw(st.integers(1, 4))
        direction = self.draw(st.sampled_from(["forward", "reverse", "bidirectional"]))
        turns, gates = 1 + (direction == "bidirectional"), _CELLS[cell] * hidden
        inputs: list[Any] = [
            self.spread(turns, gates, ways, fan=ways),
            self.spread(turns, gates, hidden, fan=hidden),
        ]
        if self.draw(st.booleans()):
            inputs += [self.net.normal(turns, 2 * gates), "", self.net.normal(turns, batch, hidden)]
        linear = {"linear_before_reset": self.draw(st.integers(0, 1))} if cell == "GRU" else {}
        all_steps, last = self.grow(
            cell, sequence, *inputs, also=1, hidden_size=hidden, direction=direction, **linear
        )
        self.grow("Transpose", last, perm=[1, 0, 2])
        self.grow("Transpose", all_steps, perm=[2, 1, 3, 0])
        for name in (sequence, all_steps, last):  # the batch is not their first axis
            self.values.pop(name)

    # -- the whole --------------------------------------------------------------------------------------

    def more_inputs(self) -> None:
        for number in range(self.draw(st.sampled_from([0, 0, 0, 1, 2]))):
            shape = self.shape if self.draw(st.booleans()) else self.first()
            self.values[f"x{number}"] = (self.shape[0], *shape[1:])

    def finished(self, inputs: dict[str, Shape]) -> onnx.ModelProto:
        """With outputs that nobody reads and maybe others, and the inputs that these need."""
        read = {name for node in self.net.nodes for name in node.input}
        made = [name for name in self.values if name not in inputs]
        ends = [name for name in made if name not in read][-3:]
        also = self.draw(st.sampled_from(made)) if self.draw(st.integers(0, 3)) == 3 else ends[-1]
        outputs = list(dict.fromkeys([also, *ends]))
        self.net.nodes[:] = _needed(self.net.nodes, outputs)
        read = {name for node in self.net.nodes for name in node.input}
        self.net.constants = {name: value for name, value in self.net.constants.items() if name in read}
        used = {name: shape for name, shape in inputs.items() if name in read}
        return self.net.model(used, *outputs, opset=OPSET)


def _but(shape: Shape, axis: int) -> Shape:
    return shape[:axis] + shape[axis + 1 :]


def _broadcasts(shape: Shape, other: Shape) -> bool:
    """Whether a tensor can be combined with another, value for value, in the other's shape."""
    return len(shape) == len(other) and all(a in (1, b) for a, b in zip(shape, other, strict=True))


def _needed(nodes: list[onnx.NodeProto], outputs: list[str]) -> list[onnx.NodeProto]:
    wanted, found = set(outputs), list[onnx.NodeProto]()
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            found.append(node)
    return found[::-1]


def _inferred(node: onnx.NodeProto, values: dict[str, Shape], constants: dict[str, Any]) -> dict[str, Shape]:
    """The shapes of a node's outputs, without those that onnx does not find."""
    inputs = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, values[n])
        for n in dict.fromkeys(node.input)
        if n in values
    ]
    outputs = [helper.make_empty_tensor_value_info(n) for n in node.output]
    known = [numpy_helper.from_array(constants[n], n) for n in node.input if n in constants]
    graph = helper.make_graph([node], "one", inputs, outputs, known)
    # older ones count windows that onnxruntime drops
    opset = 22 if node.op_type.endswith("Pool") else OPSET
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    try:
        found = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    except onnx.shape_inference.InferenceError:
        return {}
    shapes = {o.name: o.type.tensor_type.shape for o in found.graph.output}
    return {n: tuple(d.dim_value for d in s.dim) for n, s in shapes.items()}
