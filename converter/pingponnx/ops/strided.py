"""Operators whose output walks over the input in fixed steps: slices, splits, repetitions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from pingponnx.calls import Call
from pingponnx.ir import Array, Shape, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site, keep, operator
from pingponnx.ops.reshape import Reshape
from pingponnx.ops.walk import steps_of, walk


@operator("Slice", Split="Neighbouring slices along an axis.")
@dataclass(frozen=True, slots=True)
class Slice(Operator):
    """Every n-th value from a start on, along any axes."""

    starts: tuple[int, ...]
    steps: tuple[int, ...]
    sizes: Shape

    moves_data = True
    int16 = True
    each_output = True

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        op = cls._split(node) if node.op_type == "Split" else cls._slice(node)
        return (Reshape(op.sizes) if op.sizes == node.shape() and min(op.steps, default=1) > 0 else op), keep(
            1
        )

    @classmethod
    def _slice(cls, node: OnnxNode) -> Self:
        shape = node.shape()
        starts, ends = node.integers("starts", 1), node.integers("ends", 2)
        assert starts is not None and ends is not None
        axes = node.integers("axes", 3) or tuple(range(len(starts)))
        steps = node.integers("steps", 4) or (1,) * len(starts)
        slices = [slice(None)] * len(shape)
        for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
            # an end before the first value cannot be said by a negative index, which counts from the back
            before = step < 0 and end < -shape[axis]
            slices[axis] = slice(start, None if before else end, step)
        ranges = [range(*s.indices(n)) for s, n in zip(slices, shape, strict=True)]
        return cls(
            tuple(r.start if len(r) else 0 for r in ranges),
            tuple(r.step for r in ranges),
            tuple(len(r) for r in ranges),
        )

    @classmethod
    def _split(cls, node: OnnxNode) -> Self:
        shape, count = node.shape(), len(node.outputs)
        axis = int(node.attributes.get("axis", 0))
        if not -len(shape) <= axis < len(shape):
            node.unsupported(f"axis {axis} of a tensor of rank {len(shape)}")
        axis %= len(shape)
        each = -(-shape[axis] // count)
        equal = [max(min(each, shape[axis] - i * each), 0) for i in range(count)]
        sizes = list(node.integers("split", 1) or equal)
        if len(sizes) != count or sum(sizes) != shape[axis] or min(sizes) < 0:
            node.unsupported(f"parts of {sizes} along an axis of {shape[axis]}")
        starts = [0] * len(shape)
        starts[axis] = sum(sizes[: node.output])
        result = list(shape)
        result[axis] = sizes[node.output]
        return cls(tuple(starts), (1,) * len(shape), tuple(result))

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        return (self.sizes,)

    def permuted(self, permutation: tuple[int, ...]) -> Self:
        starts, steps, sizes = (
            tuple(v[a] for a in permutation) for v in (self.starts, self.steps, self.sizes)
        )
        return type(self)(starts, steps, sizes)

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        x = arrays[0]
        assert x is not None
        for axis, (start, step, size) in enumerate(zip(self.starts, self.steps, self.sizes, strict=True)):
            x = np.take(x, start + step * np.arange(size), axis)
        return x

    def kernels(self, site: Site) -> Sequence[Call]:
        unit = steps_of(site.x.shape)
        steps = tuple(u * s for u, s in zip(unit, self.steps, strict=True))
        start = sum(u * s for u, s in zip(unit, self.starts, strict=True)) if site.y.size else 0
        return [walk(site, self, self.sizes, steps, start)]


@operator("Tile", Expand="The input several times along axes of length 1.")
@dataclass(frozen=True, slots=True)
class Repeat(Operator):
    """The whole input several times along its axes."""

    repeats: tuple[int, ...]  # per axis of the output; the input gets as many axes of length 1 in front

    moves_data = True
    int16 = True

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        shape, wanted = node.shape(), node.integers("repeats" if node.op_type == "Tile" else "shape", 1)
        assert wanted is not None
        if node.op_type == "Expand":
            rank = max(len(shape), len(wanted))
            shape, target = ((1,) * (rank - len(s)) + tuple(s) for s in (shape, wanted))
            if any(a != b and 1 not in (a, b) for a, b in zip(shape, target, strict=True)):
                node.unsupported(f"{node.shape()} cannot be expanded to {wanted}")
            wanted = tuple(b if a == 1 else 1 for a, b in zip(shape, target, strict=True))
        if len(wanted) != len(shape) or min(wanted, default=0) < 0:
            node.unsupported(f"repeats {wanted} of a tensor of rank {len(shape)}")
        if all(n == 1 for n in wanted):
            return Reshape(shape), keep(1)
        return cls(wanted), keep(1)

    def _full(self, shape: Shape) -> Shape:
        return (1,) * (len(self.repeats) - len(shape)) + shape

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        return (tuple(n * r for n, r in zip(self._full(inputs[0].shape), self.repeats, strict=True)),)

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        assert arrays[0] is not None
        return np.tile(arrays[0], self.repeats)

    def kernels(self, site: Site) -> Sequence[Call]:
        shape = self._full(site.x.shape)
        sizes: list[int] = []
        steps: list[int] = []
        for n, step, repeats in zip(shape, steps_of(shape), self.repeats, strict=True):
            sizes += [repeats, n]
            steps += [0, step]
        return [walk(site, self, tuple(sizes), tuple(steps))]
