"""What RNN, GRU and LSTM share: attributes, shapes, the walk through the steps, and the C call."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar

import numpy as np

from pingponnx.calls import Argument, Call, Input, Output, Scratch, Struct, Table
from pingponnx.ir import Array, DType, Shape, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site, keep
from pingponnx.ops.dtypes import kernel_suffix

X, W, R, B, LENGTHS, FIRST_H, FIRST_C, PEEPHOLES = range(8)  # inputs
_WEIGHTS = (W, R)
_TYPES = (DType.F32, DType.S8, DType.S32)

# name -> (alpha, beta) when the node does not give them; in the order of recurrent_f32.h
_ACTIVATIONS = {
    "sigmoid": (0.0, 0.0),
    "tanh": (0.0, 0.0),
    "relu": (0.0, 0.0),
    "affine": (1.0, 0.0),
    "leakyrelu": (0.01, 0.0),
    "thresholdedrelu": (1.0, 0.0),
    "scaledtanh": (1.0, 1.0),
    "hardsigmoid": (0.2, 0.5),
    "elu": (1.0, 0.0),
    "softsign": (0.0, 0.0),
    "softplus": (0.0, 0.0),
}
_PARAMETERS = {"affine": 2, "leakyrelu": 1, "thresholdedrelu": 1, "scaledtanh": 2, "hardsigmoid": 2, "elu": 1}
_SLOTS = 6  # activations that the C struct has room for: three gates, two directions


@dataclass(frozen=True, slots=True)
class Activation:
    """One of the functions that ONNX lists for recurrent operators."""

    name: str
    alpha: float
    beta: float

    def __call__(self, x: Array) -> Array:
        with np.errstate(over="ignore"):
            return _FUNCTIONS[self.name](x, np.float32(self.alpha), np.float32(self.beta))


_FUNCTIONS: dict[str, Callable[[Array, np.float32, np.float32], Array]] = {
    "sigmoid": lambda x, a, b: 1 / (1 + np.exp(-x)),
    "tanh": lambda x, a, b: np.tanh(x),
    "relu": lambda x, a, b: np.maximum(x, 0),
    "affine": lambda x, a, b: a * x + b,
    "leakyrelu": lambda x, a, b: np.where(x < 0, a * x, x),
    "thresholdedrelu": lambda x, a, b: np.where(x >= a, x, 0),
    "scaledtanh": lambda x, a, b: a * np.tanh(b * x),
    "hardsigmoid": lambda x, a, b: np.clip(a * x + b, 0, 1),
    "elu": lambda x, a, b: np.where(x < 0, a * np.expm1(np.minimum(x, 0)), x),
    "softsign": lambda x, a, b: x / (1 + np.abs(x)),
    "softplus": lambda x, a, b: np.logaddexp(x, 0),
}


@dataclass(frozen=True, slots=True)
class Lane:
    """One direction of one sample, in numpy: its matrices, biases (or zeros) and activations."""

    w: Array
    r: Array
    w_bias: Array
    r_bias: Array
    peepholes: Array
    functions: tuple[Activation, ...]
    clip: float

    def activate(self, index: int, x: Array) -> Array:
        return self.functions[index](np.clip(x, -self.clip, self.clip))


@dataclass(frozen=True, slots=True)
class Recurrent(Operator):
    """A recurrent layer over all steps of a sequence; weights `direction, gate unit, value`.

    Inputs and outputs are those of ONNX. int8 weights (symmetric, a scale per row or one for all) are
    multiplied as they are, everything else is float32.
    """

    units: int
    activations: tuple[Activation, ...]  # by direction
    directions: int = 1
    reverse: bool = False  # the first direction goes from the last step to the first
    layout: int = 0  # 0: `step sample value`, 1: `sample step value`
    clip: float = inf
    option: bool = False  # GRU: linear_before_reset, LSTM: input_forget
    wanted: tuple[int, ...] = (0,)  # ONNX's outputs that the node names

    gates: ClassVar[int]
    work: ClassVar[int]  # scratch values per unit
    states: ClassVar[int] = 1
    defaults: ClassVar[tuple[str, ...]]
    option_name: ClassVar[str] = ""
    code_inputs = _WEIGHTS

    @abstractmethod
    def step(self, lane: Lane, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        """The state after one step; its first part is what the layer puts out."""

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        direction = node.attributes.get("direction", "forward")
        if direction not in ("forward", "reverse", "bidirectional"):
            node.unsupported(f"direction {direction!r}")
        directions = 2 if direction == "bidirectional" else 1
        units = int(node.attributes.get("hidden_size", node.shape(R)[-1]))
        layout = int(node.attributes.get("layout", 0))
        _check_shapes(node, directions, cls.gates * units, units)
        clip = float(node.attributes.get("clip", inf))
        op = cls(
            units,
            _activations(node, cls.defaults, directions),
            directions,
            direction == "reverse",
            layout,
            clip if clip > 0 else inf,
            bool(node.attributes.get(cls.option_name, 0)),
            tuple(i for i, name in enumerate(node.outputs) if name) or (0,),
        )
        return op, keep(_without_zeros(node.inputs))

    # -- shapes -------------------------------------------------------------------------------------

    def _steps_and_batch(self, x: Shape) -> tuple[int, int]:
        return (x[1], x[0]) if self.layout else (x[0], x[1])

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        steps, batch = self._steps_and_batch(inputs[0].shape)
        d, n = self.directions, self.units
        y = (batch, steps, d, n) if self.layout else (steps, d, batch, n)
        state = (batch, d, n) if self.layout else (d, batch, n)
        return tuple(state if k else y for k in self.wanted)

    def macs(self, site: Site) -> int:
        steps, batch = self._steps_and_batch(site.x.shape)
        columns = site.x.shape[2] + self.units
        return steps * batch * self.directions * self.gates * self.units * columns

    # -- meaning ------------------------------------------------------------------------------------

    def reference(self, site: Site, *arrays: Array | None) -> Array | tuple[Array, ...]:
        values = [_real(site.input(i), arrays[i]) if i < len(arrays) else None for i in range(8)]
        x, lengths = values[X], values[LENGTHS]
        assert x is not None
        if self.layout:
            x = x.swapaxes(0, 1)
        steps, batch = x.shape[:2]
        y = np.zeros((steps, self.directions, batch, self.units), np.float32)
        states = [self._first(values[k], batch) for k in (FIRST_H, FIRST_C)[: self.states]]
        for d in range(self.directions):
            lane = self._lane(d, values)
            for n in range(batch):
                length = steps if lengths is None else min(max(int(lengths[n]), 0), steps)
                order = range(length)
                state = tuple(s[d, n] for s in states)
                for t in reversed(order) if d or self.reverse else order:
                    state = tuple(s.astype(np.float32) for s in self.step(lane, x[t, n], state))
                    y[t, d, n] = state[0]
                for s, value in zip(states, state, strict=True):
                    s[d, n] = value
        found = [y, *states]
        if self.layout:
            found = [y.transpose(2, 0, 1, 3), *(s.swapaxes(0, 1) for s in states)]
        result = tuple(found[k] for k in self.wanted)
        return result if len(result) > 1 else result[0]

    def _first(self, given: Array | None, batch: int) -> Array:
        if given is None:
            return np.zeros((self.directions, batch, self.units), np.float32)
        return (given.swapaxes(0, 1) if self.layout else given).astype(np.float32)  # a copy

    def _lane(self, direction: int, values: Sequence[Array | None]) -> Lane:
        w, r, bias, peepholes = (values[k] for k in (W, R, B, PEEPHOLES))
        assert w is not None and r is not None
        rows, count = self.gates * self.units, len(self.activations) // self.directions
        both = np.zeros(2 * rows, np.float32) if bias is None else bias[direction]
        return Lane(
            w[direction],
            r[direction],
            both[:rows],
            both[rows:],
            np.zeros(3 * self.units, np.float32) if peepholes is None else peepholes[direction],
            self.activations[direction * count : (direction + 1) * count],
            self.clip,
        )

    # -- kernel -------------------------------------------------------------------------------------

    def kernels(self, site: Site) -> Sequence[Call]:
        name = f"{type(self).__name__.lower()}_{kernel_suffix(self, site, _TYPES)}"
        null, inputs = Table("none", None), [B, LENGTHS, FIRST_H, *range(FIRST_C, 8)]
        outputs = {k: Output(i) for i, k in enumerate(self.wanted)}
        arguments: list[Argument] = [self._params(site), Input(X)]
        for index, role in zip(_WEIGHTS, ("input_scale", "state_scale"), strict=True):
            arguments += _matrix(site, index, role)
        count = 5 if self.states == 2 else 3
        arguments += [Input(i) if site.input(i) else null for i in inputs[:count]]
        arguments.append(Scratch())
        arguments += [outputs.get(k, null) for k in range(1 + self.states)]
        macs = self.macs(site)
        work = self.work * self.units * site.x.dtype.bytes
        return [Call(name, f"{name}.h", tuple(arguments), scratch=work, macs=macs, cycles=10 * macs)]

    def _params(self, site: Site) -> Struct:
        steps, batch = self._steps_and_batch(site.x.shape)
        inputs, units, d = site.x.shape[2], self.units, self.directions
        x_step, x_sample = (inputs, steps * inputs) if self.layout else (batch * inputs, inputs)
        if self.layout:
            strides = (d * units, units, steps * d * units, units, d * units)
        else:
            strides = (d * batch * units, batch * units, units, batch * units, units)
        names = ("y_step", "y_direction", "y_sample", "state_direction", "state_sample")
        fields: dict[str, Any] = {
            "steps": steps,
            "batch": batch,
            "inputs": inputs,
            "units": units,
            "directions": d,
            "reverse": int(self.reverse),
            "x_step": x_step,
            "x_sample": x_sample,
            **dict(zip(names, strides, strict=True)),
            "option": int(self.option),
            "clip": self.clip,
        }
        unused = (0,) * (_SLOTS - len(self.activations))
        kinds = list(_ACTIVATIONS)
        fields["activation"] = (*(kinds.index(f.name) for f in self.activations), *unused)
        fields["alpha"] = (*(f.alpha for f in self.activations), *map(float, unused))
        fields["beta"] = (*(f.beta for f in self.activations), *map(float, unused))
        return Struct("recurrent_params_f32", fields)


def _check_shapes(node: OnnxNode, directions: int, rows: int, units: int) -> None:
    if node.attributes.get("layout", 0):
        batch = node.shape()[0]
        state: Shape = (batch, directions, units)
    else:
        batch = node.shape()[1]
        state = (directions, batch, units)
    wanted: dict[int, Shape] = {
        W: (directions, rows, node.shape()[-1]),
        R: (directions, rows, units),
        B: (directions, 2 * rows),
        LENGTHS: (batch,),
        FIRST_H: state,
        FIRST_C: state,
        PEEPHOLES: (directions, 3 * units),
    }
    for index, shape in wanted.items():
        node.expect(index, shape)


def _activations(node: OnnxNode, defaults: tuple[str, ...], directions: int) -> tuple[Activation, ...]:
    """The functions by direction; alphas and betas are listed for those that take any."""
    names = [str(n, "utf-8") if isinstance(n, bytes) else n for n in node.attributes.get("activations", ())]
    names = [n.lower() for n in names] or list(defaults) * directions
    if len(names) != len(defaults) * directions or not set(names) <= set(_ACTIVATIONS):
        node.unsupported(
            f"activations {names}", f"choose {len(defaults) * directions} of {list(_ACTIVATIONS)}"
        )
    alphas, betas = (list(node.attributes.get(f"activation_{k}", ())) for k in ("alpha", "beta"))
    found = []
    for name in names:
        alpha, beta = _ACTIVATIONS[name]
        if _PARAMETERS.get(name, 0) > 0 and alphas:
            alpha = float(alphas.pop(0))
        if _PARAMETERS.get(name, 0) > 1 and betas:
            beta = float(betas.pop(0))
        found.append(Activation(name, alpha, beta))
    return tuple(found)


def _without_zeros(inputs: Sequence[Tensor | None]) -> int:
    """How many inputs to keep: last ones that are left out, or a first state of zeros, need no table."""
    count = len(inputs)
    while count > LENGTHS:
        tensor = inputs[count - 1]
        if tensor is not None and (tensor.data is None or tensor.data.any()):
            break
        count -= 1
    return count


def _real(tensor: Tensor | None, array: Array | None) -> Array | None:
    """An input in real numbers: int8 weights are codes."""
    return tensor.real() if tensor is not None and tensor.constant and tensor.quantized else array


def _matrix(site: Site, index: int, role: str) -> tuple[Argument, Argument, Argument]:
    """Real values, or codes and the scale of every row."""
    tensor, null = site.inputs[index], Table("none", None)
    assert tensor is not None
    if tensor.quantization is None:
        return Input(index), null, null
    scale = np.broadcast_to(tensor.quantization.scale, (tensor.shape[0], tensor.shape[1]))
    return null, Input(index), Table(role, np.ascontiguousarray(scale))
