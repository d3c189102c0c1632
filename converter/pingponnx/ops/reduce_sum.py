"""Sums and means over any axes; of int8 codes the exact sum is requantized once."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from pingponnx.calls import Call, Input, Output, Struct
from pingponnx.fixed_point import INT32_MAX, S8_MAX, S8_MIN, clamp_s8, halfway, requantizer
from pingponnx.ir import Array
from pingponnx.ops import Site, operator
from pingponnx.ops.reduce import ROWS, Reduce

_CODES = S8_MAX - S8_MIN


@operator(ReduceSum=ROWS["ReduceSum"].meaning, ReduceMean=ROWS["ReduceMean"].meaning)
@dataclass(frozen=True, slots=True)
class ReduceSum(Reduce):
    """A sum or mean."""

    def _count(self, site: Site) -> int:
        return prod(site.x.shape[axis] for axis in self.axes)

    def _scale(self, site: Site) -> float:
        """Output steps per step of the sum."""
        x, y = site.x.quantization, site.y.quantization
        assert x is not None and y is not None
        return float(x.s) / float(y.s) / (self._count(site) if self.name == "ReduceMean" else 1)

    def integer(self, site: Site) -> str:
        tensors = (site.x.quantization, site.y.quantization)
        if any(q is None or not q.per_tensor for q in tensors):
            return "an operand is not quantized per tensor"
        if not site.x.size:
            return "its input is empty"
        largest = self._count(site) * _CODES
        if max(largest, largest * self._scale(site)) > INT32_MAX // 2:
            return "an int32 sum or result could overflow"
        return ""

    def _sums(self, site: Site, x: Array) -> Array:
        """Of values less their zero point."""
        assert site.x.quantization is not None
        values = x.astype(np.int64) - site.x.quantization.z
        return np.asarray(values.sum(axis=self.axes, keepdims=self.keepdims))

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        assert arrays[0] is not None
        if not site.quantized:
            return Reduce.reference(self, site, *arrays)
        assert site.y.quantization is not None
        scaled = requantizer(self._scale(site), site.rounding, precise=True)
        sums = self._sums(site, arrays[0])
        return clamp_s8(scaled.apply(sums[..., None])[..., 0] + site.y.quantization.z)

    def undecided(self, site: Site, *arrays: Array | None) -> Array | None:
        if not site.quantized:
            return None
        assert arrays[0] is not None and site.x.quantization is not None
        away = np.abs(arrays[0].astype(np.int64) - site.x.quantization.z)
        terms = away.sum(axis=self.axes, keepdims=self.keepdims)
        scale = self._scale(site)
        return halfway(self._sums(site, arrays[0]) * scale, terms * scale)

    def kernels(self, site: Site) -> Sequence[Call]:
        if not site.quantized:
            return Reduce.kernels(self, site)
        x, y = site.x.quantization, site.y.quantization
        assert x is not None and y is not None
        scaled = requantizer(self._scale(site), site.rounding, precise=True)
        fields = self._geometry(site) | {
            "zero_sum": self._count(site) * x.z,
            "zero_point": y.z,
            "multiplier": int(scaled.multiplier[0]),
            "shift": int(scaled.shift[0]),
        }
        arguments = (Struct("reduce_params_s8", fields), Input(), Output())
        return [Call("reduce_sum_s8", "reduce_s8.h", arguments, cycles=6 * site.x.size)]
