"""Layers at the edges of what CMSIS-NN takes, as one graph: every node reads its own input."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pingponnx.ir import Array, DType, Graph, Node, Port, Quantization, Tensor
from pingponnx.ops import Operator
from pingponnx.ops.conv import Conv
from pingponnx.ops.gemm import Gemm
from pingponnx.ops.pool import AveragePool, MaxPool
from pingponnx.ops.window import Window


@dataclass
class Builder:
    """Collects nodes; `rng` decides every number that the caller does not."""

    rng: np.random.Generator
    nodes: list[Node] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)

    def add(
        self, op: Operator, shape: Sequence[int], qx: Quantization, qy: Quantization, *rest: Tensor
    ) -> None:
        name = f"n{len(self.nodes)}"
        x = Tensor(f"{name}_x", tuple(shape), DType.S8, qx)
        constants = [replace(t, name=f"{name}_{t.name}") for t in rest]
        (y_shape,) = op.infer(x, *constants)
        y = Tensor(f"{name}_y", y_shape, DType.S8, qy)
        self.nodes.append(Node(name, op, tuple(t.name for t in (x, *constants)), (y.name,)))
        self.tensors |= {t.name: t for t in (x, y, *constants)}
        self.inputs.append(x.name)

    def graph(self) -> Graph:
        outputs = tuple(node.outputs[0] for node in self.nodes)
        ports = {name: Port(name) for name in (*self.inputs, *outputs)}
        return Graph("sites", tuple(self.nodes), self.tensors, tuple(self.inputs), outputs, ports)

    def linear(self, op: Operator, shape: Sequence[int], weights: Sequence[int], **how: Any) -> None:
        """A convolution or fully connected layer; `how` is for `_numbers`."""
        self.add(op, shape, *_numbers(self.rng, tuple(weights), **how))


def _numbers(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    *,
    per_channel: bool = True,
    scale: float | Sequence[float] | None = None,
    zeros: tuple[int, int] | None = None,
    extreme: bool = False,
) -> tuple[Quantization, Quantization, Tensor, Tensor]:
    """Quantizations of input and output, weights and bias.

    `scale` is the factor from accumulator to output; without it outputs fill most of int8. `extreme` makes
    all weights 127 or -128.
    """
    count = shape[0]
    zx, zy = zeros or (int(rng.integers(-128, 128)), int(rng.integers(-128, 128)))
    data = rng.integers(-128, 128, shape).astype(np.int8)
    if extreme:
        data = np.where(rng.random(shape) < 0.5, 127, -128).astype(np.int8)
    taps = int(np.prod(shape[1:]))
    factors = np.full(count, 1.0) if scale is None else np.broadcast_to(scale, count).astype(float)
    if scale is None:
        spread = rng.uniform(0.3, 1.0, count) if per_channel else np.full(count, 0.6)
        factors = spread * 60 / (74 * 90 * np.sqrt(taps))
    # input and output scale are 1: the weights' scales are then the factors
    axis = 0 if per_channel else None
    scales = factors if per_channel else factors[:1]
    w = Tensor("w", shape, DType.S8, _quantization(scales, 0, axis), data)
    limit = max(1, int(40 / float(np.max(factors))))
    bias = rng.integers(-limit, limit + 1, count).astype(np.int32)
    b = Tensor("b", (count,), DType.S32, _quantization(scales, 0, axis), bias)
    return _quantization([1.0], zx, None), _quantization([1.0], zy, None), w, b


def _quantization(scale: Any, zero: int, axis: int | None) -> Quantization:
    scales = np.asarray(scale, np.float32)
    return Quantization(scales, np.full(len(scales), zero, np.int32), axis)


def sites(seed: int = 1) -> Graph:
    """The whole collection."""
    builder = Builder(np.random.default_rng(seed))
    _convolutions(builder)
    _one_dimensional(builder)
    _depthwise(builder)
    _fully_connected(builder)
    _large_scales(builder)
    _pools(builder)
    return builder.graph()


def conv(b: Builder, shape: Sequence[int], out: int, window: Window, *, group: int = 1, **how: Any) -> None:
    clamp = how.pop("clamp", None)
    op = Conv(window, group) if clamp is None else Conv(window, group, *clamp)
    kernel = window.kernel if len(shape) == 4 else window.kernel[:1]
    b.linear(op, shape, (out, shape[-1] // group, *kernel), **how)


def _convolutions(b: Builder) -> None:
    same, odd = (1, 1, 1, 1), (0, 1, 2, 1)
    conv(b, (1, 7, 6, 3), 5, Window((3, 3), pads=same))
    conv(b, (1, 7, 6, 4), 8, Window((3, 3), (2, 2), pads=odd), per_channel=False)
    conv(b, (2, 6, 5, 5), 3, Window((3, 2), (1, 2), (2, 1), (1, 0, 2, 1)))
    conv(b, (1, 9, 9, 1), 4, Window((3, 3), dilation=(2, 3), pads=(2, 3, 1, 2)), zeros=(-128, 127))
    conv(b, (1, 9, 8, 16), 7, Window((5, 5), (3, 2), pads=(2, 2, 2, 2)), zeros=(127, -128))
    conv(b, (1, 5, 5, 17), 9, Window((3, 3), pads=same), extreme=True)
    conv(b, (1, 5, 5, 32), 4, Window((3, 3)), extreme=True, zeros=(-128, 0), clamp=(-20.0, 30.0))
    conv(b, (1, 5, 6, 6), 5, Window((1, 1)))
    conv(b, (3, 5, 6, 7), 6, Window((1, 1)), per_channel=False, extreme=True)
    conv(b, (2, 5, 7, 9), 5, Window((1, 1), (2, 3)))
    conv(b, (1, 5, 7, 33), 2, Window((1, 1), (1, 2)), zeros=(127, 127))
    conv(b, (1, 4, 4, 3), 4, Window((1, 1), pads=(1, 0, 0, 1)))
    conv(b, (1, 4, 4, 3), 4, Window((1, 1), pads=(0, 0, 1, 2)))  # padding that the wrapper does not see
    conv(b, (1, 4, 4, 3), 4, Window((1, 1), (2, 2), pads=(0, 0, 2, 1)))
    conv(b, (1, 4, 4, 4), 3, Window((1, 1), dilation=(2, 2)))
    conv(b, (1, 3, 3, 2), 3, Window((3, 3), pads=(3, 3, 3, 3)))  # windows of padding only
    conv(b, (1, 8, 8, 3), 6, Window((8, 8)))


def _one_dimensional(b: Builder) -> None:
    for count, stride, left, right in ((12, 1, 1, 1), (8, 2, 1, 2), (9, 1, 0, 0), (4, 2, 2, 0), (8, 3, 0, 0)):
        for channels in (4, 5):
            conv(b, (1, 20, channels), 6, Window((5, 1), (stride, 1), pads=(left, 0, right, 0)))
        width = (count - 1) * stride + 5 - left - right
        conv(b, (2, width, 3), 5, Window((5, 1), (stride, 1), pads=(left, 0, right, 0)), extreme=True)
    conv(b, (1, 8, 4), 4, Window((3, 1), pads=(3, 0, 3, 0)))  # the first and last window see only padding
    conv(b, (1, 8, 4), 4, Window((3, 1), pads=(5, 0, 5, 0)))  # and here two are beyond it
    conv(b, (1, 4, 4), 4, Window((5, 1), pads=(2, 0, 2, 0)))  # a kernel longer than the input
    conv(b, (1, 12, 4), 4, Window((3, 1), dilation=(2, 1), pads=(2, 0, 2, 0)))
    conv(b, (1, 1, 8, 4), 3, Window((1, 3), pads=(1, 1, 1, 1)))  # three output rows of one input row
    conv(b, (1, 1, 8, 4), 3, Window((3, 3), pads=(1, 1, 1, 1)))


def _depthwise(b: Builder) -> None:
    same = (1, 1, 1, 1)
    for channels in (4, 7, 130):
        conv(b, (1, 6, 5, channels), channels, Window((3, 3), pads=same), group=channels)
        conv(b, (1, 6, 5, channels), channels, Window((3, 3), (2, 2), pads=(0, 0, 1, 1)), group=channels)
    conv(b, (1, 7, 7, 9), 9, Window((5, 3), (2, 1), pads=(2, 1, 1, 0)), group=9, zeros=(-128, 127))
    conv(b, (1, 7, 7, 126), 126, Window((2, 2)), group=126, extreme=True)
    conv(b, (1, 9, 8, 5), 5, Window((3, 3), dilation=(2, 2), pads=(2, 2, 1, 2)), group=5)
    conv(b, (2, 5, 5, 6), 6, Window((3, 3), pads=same), group=6, per_channel=False)
    conv(b, (1, 6, 6, 3), 6, Window((3, 3), pads=same), group=3)
    conv(b, (1, 6, 6, 3), 12, Window((3, 3), (2, 1), pads=(1, 0, 0, 1)), group=3, zeros=(127, -128))
    conv(b, (1, 6, 6, 2), 16, Window((3, 2), pads=(1, 1, 1, 1)), group=2, extreme=True)
    conv(b, (1, 1, 9, 8), 8, Window((1, 4), (1, 2), pads=(0, 1, 0, 2)), group=8)
    conv(b, (1, 3, 1, 4), 4, Window((3, 3), pads=(1, 1, 1, 1)), group=4)
    conv(b, (1, 9, 8), 8, Window((3, 1), pads=(1, 0, 1, 0)), group=8)


def _fully_connected(b: Builder) -> None:
    for rows, inputs, outputs in ((1, 1, 1), (1, 17, 5), (1, 64, 10), (3, 35, 9), (2, 300, 4)):
        for per_channel in (False, True):
            b.linear(Gemm(), (rows, inputs), (outputs, inputs), per_channel=per_channel)
    b.linear(Gemm(), (1, 400), (6, 400), extreme=True, zeros=(-128, 127))
    b.linear(Gemm(), (1, 400), (6, 400), extreme=True, zeros=(127, -128), per_channel=False)
    b.linear(Gemm(-10.0, 50.0), (2, 33), (7, 33))


# Powers of two make a tie of every second accumulator: the roundings differ the most there.
_LARGE = (0.5, 0.75, 1.0, 1.5, 2.0, 3.1, 0.25, 0.125, 0.4999999, 2.0**-20, 2.0**-31, 1e-9)


def _large_scales(b: Builder) -> None:
    count = len(_LARGE)
    for zeros in ((0, 0), (-128, 127), (3, -5)):
        for inputs in (1, 8):
            b.linear(Gemm(), (4, inputs), (count, inputs), scale=_LARGE, zeros=zeros)
            conv(b, (1, 3, 5, inputs), count, Window((1, 1)), scale=_LARGE, zeros=zeros)
            conv(b, (1, 3, 5, inputs), count, Window((2, 2)), scale=_LARGE, zeros=zeros)
        for scale in (0.5, 1.0, 2.5):
            b.linear(Gemm(), (4, 3), (5, 3), scale=scale, per_channel=False, zeros=zeros)
        conv(b, (1, 5, 5, count), count, Window((3, 3)), group=count, scale=_LARGE, zeros=zeros)
        conv(b, (1, 5, 5, count), count, Window((2, 3)), group=count, scale=_LARGE, zeros=zeros)
        conv(b, (1, 9, 5), count, Window((2, 1)), scale=_LARGE, zeros=zeros)


def _pools(b: Builder) -> None:
    q = _quantization([0.1], -7, None)
    for channels in (1, 5, 16, 33):
        b.add(MaxPool(Window((2, 2), (2, 2))), (1, 6, 7, channels), q, q)
        b.add(MaxPool(Window((3, 2), (2, 1), pads=(1, 0, 0, 1)), -1.0, 3.0), (2, 6, 7, channels), q, q)
        b.add(AveragePool(Window((3, 3), (2, 2))), (1, 7, 7, channels), q, q)
        b.add(AveragePool(Window((5, 1))), (2, 5, 3, channels), q, q)


def feeds(graph: Graph, seed: int = 2) -> Iterator[list[Array]]:
    """Samples: random ones, both ends of int8, and values around the zero point."""
    rng = np.random.default_rng(seed)
    shapes = [graph.tensors[name].shape for name in graph.inputs]
    yield [rng.integers(-128, 128, s).astype(np.int8) for s in shapes]
    yield [np.full(s, -128, np.int8) for s in shapes]
    yield [np.full(s, 127, np.int8) for s in shapes]
    near = [graph.tensors[n].quantization.z for n in graph.inputs]  # type: ignore[union-attr]
    yield [
        np.clip(z + rng.integers(-3, 4, s), -128, 127).astype(np.int8)
        for z, s in zip(near, shapes, strict=True)
    ]
