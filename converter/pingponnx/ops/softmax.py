"""Softmax along any axis, or over the product of neighbouring axes as before opset 13."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, prod
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pingponnx.calls import Argument, Call, Input, Output, Rows, RowWindow, Struct, Table, rows_of
from pingponnx.fixed_point import clamp_s8
from pingponnx.ir import Array, Shape, Tensor
from pingponnx.ops import CmsisNN, Kept, OnnxNode, Operator, Site, fallback, operator
from pingponnx.ops.dtypes import kernel_suffix

_CODES = 256  # distances from the maximum that two int8 codes can have, and one more
_FAR = _CODES * 2  # a quotient that saturates whatever the zero point is


@dataclass(frozen=True, slots=True, eq=False)
class _Integers:
    """Fixed-point constants: exponentials of all distances, and 1 / output scale as inverse * 2**-shift."""

    exponentials: NDArray[np.uint32]
    inverse: int
    shift: int
    zero_point: int


@operator("Softmax")
@dataclass(frozen=True, slots=True)
class Softmax(Operator):
    """exp(x) / sum(exp(x)) along one axis (before opset 13: over all axes from `axis` on)."""

    axes: tuple[int, ...]  # neighbours, ascending

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        rank = len(node.shape())
        axis = int(node.attributes.get("axis", -1 if node.opset >= 13 else 1))
        if not -rank <= axis < max(rank, 1):
            node.unsupported(f"axis {axis} of a tensor of rank {rank}")
        axis %= rank
        if node.opset >= 13:
            return cls((axis,)), (0,)
        # axes of length 1 take no part, which leaves one axis in most models: it can be permuted freely
        axes = tuple(a for a in range(axis, rank) if node.shape()[a] > 1) or (axis,)
        return cls(tuple(range(axes[0], axes[-1] + 1))), (0,)

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        return (inputs[0].shape,)

    def integer(self, site: Site) -> str:
        if not site.quantized:
            return "its input is not quantized"
        return "" if _integers(site, self._lengths(site)[1]) else "the output scale is out of range"

    def permuted(self, permutation: tuple[int, ...]) -> Self | None:
        axes = sorted(permutation.index(axis) for axis in self.axes)
        neighbours = axes[-1] - axes[0] == len(axes) - 1
        return replace(self, axes=tuple(axes)) if neighbours else None

    def _lengths(self, site: Site) -> tuple[int, int, int]:
        """Values before, along and after the axes."""
        shape, first, last = site.x.shape, self.axes[0], self.axes[-1]
        return prod(shape[:first]), prod(shape[first : last + 1]), prod(shape[last + 1 :])

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        assert arrays[0] is not None
        lengths = self._lengths(site)
        x = arrays[0].reshape(lengths)
        if not site.quantized:
            e = np.exp(x - x.max(axis=1, keepdims=True))
            y: Array = e / e.sum(axis=1, keepdims=True)
            return y.reshape(site.y.shape)
        integers = _integers(site, lengths[1])
        assert integers is not None
        codes = x.astype(np.int64)
        e = integers.exponentials.astype(np.uint64)[codes.max(axis=1, keepdims=True) - codes]
        total = e.sum(axis=1, keepdims=True)
        reciprocal = (np.uint64(integers.inverse) + total // np.uint64(2)) // total
        half_down = np.uint64((1 << (integers.shift - 1)) - 1)
        quotient = np.minimum((e * reciprocal + half_down) >> np.uint64(integers.shift), np.uint64(_FAR))
        return clamp_s8(quotient.astype(np.int64) + integers.zero_point).reshape(site.y.shape)

    def kernels(self, site: Site) -> Sequence[Call]:
        suffix = kernel_suffix(self, site)
        outer, length, inner = self._lengths(site)
        fields = {"length": length, "inner": inner}
        tables: tuple[Table, ...] = ()
        if suffix == "s8":
            integers = _integers(site, length)
            assert integers is not None
            tables = (Table("exponentials", integers.exponentials),)
            fields |= {
                "inverse_high": integers.inverse >> 32,
                "inverse_low": integers.inverse & 0xFFFFFFFF,
                "shift": integers.shift,
                "output_zero_point": integers.zero_point,
            }
        # A value is stored after its last reading, and each lane is finished before the next one begins.
        # Lanes that lie side by side (inner > 1) reach over the starts of later lanes.
        distance = 0 if inner == 1 else (length - 1) * inner * site.x.dtype.bytes
        name = f"softmax_{suffix}"

        def arguments(outer: int) -> tuple[Argument, ...]:
            return Struct(f"softmax_params_{suffix}", {"outer": outer} | fields), Input(), *tables, Output()

        lanes, rest = divmod(rows_of(site.x.shape)[2], length * inner)
        # no row for itself where lanes go through several rows
        rows = Rows(name, f"{name}.h", arguments(lanes), {0: RowWindow()}, elementwise=inner == 1)
        return [
            Call(
                name,
                f"{name}.h",
                arguments(outer),
                overlap={0: distance},
                cycles=40 * site.x.size,
                rows=None if rest else rows,
            )
        ]

    def cmsis_nn(self, site: Site, library: CmsisNN) -> Call:
        reason = "arm_softmax_s8 is not bit-equal with onnxruntime's rounding"
        return fallback(self.kernels(site)[0], reason if site.quantized else "not an int8 node")


def _integers(site: Site, length: int) -> _Integers | None:
    """Constants of the int8 kernel; None when the output scale does not fit it.

    The largest exponential of a lane is exactly 2**k, so the sum is at least that, and `inverse / sum` fits
    32 bits. Rounding it is an error of at most 2**-32 / (output scale) output steps: 2**-24 as a rule.
    """
    x, y = site.x.quantization, site.y.quantization
    assert x is not None and y is not None
    k = 31
    while (1 << k) * length >= 1 << 32:
        k -= 1
    exponentials = [round(exp(-d * float(x.s)) * 2**k) for d in range(_CODES)]
    shift = 62
    while shift > 0 and round(2.0**shift / float(y.s)) >= (2**32 - 1) << k:
        shift -= 1
    if shift < 1:
        return None
    return _Integers(np.array(exponentials, np.uint32), round(2.0**shift / float(y.s)), shift, y.z)
