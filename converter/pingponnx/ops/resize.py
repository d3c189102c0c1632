"""Resizing along one or two axes: which inputs an output is made of is known, so it is a table."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Self

import numpy as np

from pingponnx.calls import Call, Input, Output, Struct, Table
from pingponnx.fixed_point import Requantizer, clamp_s8, quantize_array, requantizer
from pingponnx.ir import Array, Shape, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site, operator
from pingponnx.ops.dtypes import kernel_suffix
from pingponnx.ops.resize_taps import LONGEST, Taps, read_taps

_PLACES = 20  # binary places of int8's weights, as in interpolate_s8.h
_LARGEST_RATIO = 8.0  # of input and output scale: sums have 30 bits already
_NOISE = 2.0**-16  # of a step: errors of the weights, and of onnxruntime's float32 sums
_WHOLE = Taps(0, 1, ((0,),), ((1.0,),))  # an axis of length 1 that stays


@operator("Resize", Upsample="Nearest or linear resizing of up to two axes.")
@dataclass(frozen=True, slots=True)
class Resize(Operator):
    """Nearest, linear or cubic resizing of up to two axes, in all coordinate modes."""

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

    def integer(self, site: Site) -> str:
        if not site.quantized:
            return "its input is not quantized"
        assert site.x.quantization is not None and site.y.quantization is not None
        ratio = float(site.x.quantization.s) / float(site.y.quantization.s)
        return "" if 2.0**-10 < ratio < _LARGEST_RATIO else "its scales are too far apart"

    def _sum(self, x: Array, weights: Sequence[Array]) -> tuple[Array, Array]:
        """Weighted sums of a wide array, axis by axis from the last, and where they lie outside."""
        beyond: Array = np.zeros((1,) * x.ndim, np.bool_)
        for t, factors in reversed(list(zip(self.axes, weights, strict=True))):
            along = [1] * x.ndim
            along[t.axis] = t.size
            columns = t.columns
            taps = range(columns.shape[1])
            x = sum(x.take(columns[:, k], axis=t.axis) * factors[:, k].reshape(along) for k in taps)  # type: ignore[assignment]
            beyond = beyond | (columns[:, 0] < 0).reshape(along)
        return x, np.broadcast_to(beyond, x.shape)

    def _exact(self, site: Site, x: Array) -> tuple[Array, Array]:
        """Real outputs in float64."""
        q = site.x.quantization
        real = x.astype(np.float64) if q is None else (x.astype(np.float64) - q.z) * float(q.s)
        y, beyond = self._sum(real, [np.array(t.weights) for t in self.axes])
        return np.where(beyond, self.outside, y), beyond

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        assert arrays[0] is not None
        if not site.quantized:
            return self._exact(site, arrays[0])[0].astype(np.float32)
        fields = self._integers(site)
        wide = arrays[0].astype(np.int64) - fields["input_zero_point"]
        total, beyond = self._sum(wide, [t.fixed(_PLACES) for t in self.axes])
        missing = _PLACES * (2 - len(self.axes))  # an axis that stays has the weight 1
        acc = ((total << missing) + (1 << (_PLACES - 1))) >> _PLACES
        y = self._scaling(site).apply(acc) + fields["output_zero_point"]
        return clamp_s8(np.where(beyond, fields["outside"], y))

    def undecided(self, site: Site, *arrays: Array | None) -> Array | None:
        q = site.y.quantization
        if not site.quantized or q is None or arrays[0] is None:
            return None
        steps = self._exact(site, arrays[0])[0] / float(q.s)
        ties: Array = np.abs(steps - np.floor(steps) - 0.5) < _NOISE
        return ties

    def _scaling(self, site: Site) -> Requantizer:
        x, y = site.x.quantization, site.y.quantization
        assert x is not None and y is not None
        return requantizer(float(x.s) / float(y.s) * 2.0**-_PLACES, site.rounding, precise=True)

    def _integers(self, site: Site) -> dict[str, int]:
        """Trailing fields of the int8 kernel's parameters."""
        x, y, scaling = site.x.quantization, site.y.quantization, self._scaling(site)
        assert x is not None and y is not None
        return {
            "outside": int(quantize_array(np.array(self.outside, np.float32), y)),
            "input_zero_point": x.z,
            "output_zero_point": y.z,
            "multiplier": int(scaling.multiplier[0]),
            "shift": int(scaling.shift[0]),
        }

    def kernels(self, site: Site) -> Sequence[Call]:
        suffix = kernel_suffix(self, site)
        a, b, sizes = self._sizes(site.x.shape)
        order = ("outer", "in_a", "out_a", "taps_a", "middle", "in_b", "out_b", "taps_b", "inner")
        fields: dict[str, Any] = sizes | {"taps_a": len(a.weights[0]), "taps_b": len(b.weights[0])}
        fields = {k: fields[k] for k in order}
        fields |= self._integers(site) if site.quantized else {"outside": self.outside}
        tables = []
        for axis, t in (("a", a), ("b", b)):
            factors = t.fixed(_PLACES).astype(np.int32) if site.quantized else t.factors
            tables += [Table(f"from_{axis}", t.columns.ravel()), Table(f"weight_{axis}", factors.ravel())]
        taps, name = len(a.weights[0]) * len(b.weights[0]), f"interpolate_{suffix}"
        params = Struct(f"interpolate_params_{suffix}", fields)
        cycles = (10 + 6 * taps) * site.y.size
        return [Call(name, f"{name}.h", (params, Input(), *tables, Output()), cycles=cycles)]
