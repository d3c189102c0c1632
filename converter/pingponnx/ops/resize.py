"""Resizing along one or two axes: which inputs an output is made of is known, so it is a table."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Self

import numpy as np

from pingponnx.calls import Argument, Call, Input, Output, Struct, Table
from pingponnx.ir import Array, DType, Shape, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site, operator
from pingponnx.ops.dtypes import kernel_suffix
from pingponnx.ops.resize_taps import LONGEST, Taps, read_taps

_WHOLE = Taps(0, 1, ((0,),), ((1.0,),))  # an axis of length 1 that stays


@operator("Resize", "Upsample")
@dataclass(frozen=True, slots=True)
class Resize(Operator):
    """Nearest, linear or cubic resizing of up to two axes, in all coordinate modes; int8 where nearest."""

    axes: tuple[Taps, ...]  # ascending

    moves_data = True

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        taps = read_taps(node)
        if len(taps) > 2:
            node.unsupported(f"resizing {len(taps)} axes", "resize two at most, and then the others")
        if max((t.size for t in taps), default=0) > LONGEST or max(node.shape(), default=0) > LONGEST:
            node.unsupported(f"an axis longer than {LONGEST}")
        if all(t.nearest for t in taps):
            return Resize(taps), (0,)
        return Interpolate(taps, float(node.attributes.get("extrapolation_value", 0.0))), (0,)

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        sizes = {t.axis: t.size for t in self.axes}
        return (tuple(sizes.get(axis, n) for axis, n in enumerate(inputs[0].shape)),)

    def permuted(self, permutation: tuple[int, ...]) -> Self:
        moved = (replace(t, axis=permutation.index(t.axis)) for t in self.axes)
        return replace(self, axes=tuple(sorted(moved, key=lambda t: t.axis)))

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        assert arrays[0] is not None
        y = arrays[0]
        for t in self.axes:
            y = y.take(t.columns[:, 0], axis=t.axis)
        return y

    def _sizes(self, shape: Shape) -> tuple[Taps, Taps, dict[str, int]]:
        """The two axes, one of which may be made up, and the parameters that both kernels share."""
        a, b = (_WHOLE, *self.axes)[-2:] if self.axes else (_WHOLE, _WHOLE)
        first, second = (self.axes[0].axis, self.axes[-1].axis) if self.axes else (len(shape), len(shape))
        two = len(self.axes) == 2
        sizes = {
            "outer": prod(shape[:first]),
            "in_a": shape[first] if two else 1,
            "out_a": a.size,
            "middle": prod(shape[first + 1 : second]) if two else 1,
            "in_b": shape[second] if self.axes else 1,
            "out_b": b.size,
            "inner": prod(shape[second + 1 :]),
        }
        return a, b, sizes

    def kernels(self, site: Site) -> Sequence[Call]:
        a, b, sizes = self._sizes(site.x.shape)
        fields: dict[str, Any] = {k: v for k, v in sizes.items() if k != "inner"}
        fields["bytes"] = sizes["inner"] * site.x.dtype.bytes
        tables = (Table("from_a", a.columns.ravel()), Table("from_b", b.columns.ravel()))
        arguments = (Struct("resize_nearest_params", fields), Input(), *tables, Output())
        return [Call("resize_nearest", "resize_nearest.h", arguments, cycles=8 * site.y.size)]


@dataclass(frozen=True, slots=True)
class Interpolate(Resize):
    """Outputs as weighted sums of inputs."""

    outside: float = 0.0  # what lies beyond the input, where it is not its edge

    moves_data = False

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        assert arrays[0] is not None
        y: Array = arrays[0].astype(np.float64)
        beyond: Array = np.zeros((1,) * y.ndim, np.bool_)
        for t in self.axes:
            along = [1] * y.ndim
            along[t.axis] = t.size
            columns, weights = t.columns, np.array(t.weights)
            taps = range(columns.shape[1])
            y = sum(y.take(columns[:, k], axis=t.axis) * weights[:, k].reshape(along) for k in taps)
            beyond = beyond | (columns[:, 0] < 0).reshape(along)
        return np.where(beyond, self.outside, y).astype(np.float32)

    def kernels(self, site: Site) -> Sequence[Call]:
        name = f"interpolate_{kernel_suffix(self, site, (DType.F32,))}"
        a, b, sizes = self._sizes(site.x.shape)
        order = ("outer", "in_a", "out_a", "taps_a", "middle", "in_b", "out_b", "taps_b", "inner")
        fields: dict[str, Any] = sizes | {"taps_a": len(a.weights[0]), "taps_b": len(b.weights[0])}
        fields = {k: fields[k] for k in order} | {"outside": self.outside}
        tables = [
            Table(f"{role}_{axis}", values)
            for axis, t in (("a", a), ("b", b))
            for role, values in (("from", t.columns.ravel()), ("weight", t.factors.ravel()))
        ]
        arguments: tuple[Argument, ...] = (
            Struct("interpolate_params_f32", fields),
            Input(),
            *tables,
            Output(),
        )
        taps = len(a.weights[0]) * len(b.weights[0])
        return [Call(name, f"{name}.h", arguments, cycles=(10 + 6 * taps) * site.y.size)]
