"""Running sums along an axis; of int8 codes every exact sum is requantized once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pingponnx.calls import Call, Input, Output, Struct
from pingponnx.fixed_point import INT32_MAX, S8_MAX, S8_MIN, Requantizer, clamp_s8, halfway, requantizer
from pingponnx.ir import Array, Quantization
from pingponnx.ops import Site, operator
from pingponnx.ops.lanes import Cumulate, lanes

_CODES = S8_MAX - S8_MIN


@operator("CumSum")
@dataclass(frozen=True, slots=True)
class RunningSum(Cumulate):
    """Running sums along an axis."""

    def integer(self, site: Site) -> str:
        x, y = site.x.quantization, site.y.quantization
        if x is None or y is None or not x.per_tensor or not y.per_tensor:
            return "an operand is not quantized per tensor"
        largest = site.x.shape[self.axis] * _CODES
        if max(largest, largest * float(x.s) / float(y.s)) > INT32_MAX // 2:
            return "an int32 sum or result could overflow"
        return ""

    def _scaling(self, site: Site) -> tuple[Quantization, Quantization, Requantizer]:
        """Of the input, of the output, and from sums of one to the other."""
        x, y = site.x.quantization, site.y.quantization
        assert x is not None and y is not None
        return x, y, requantizer(float(x.s) / float(y.s), site.rounding, precise=True)

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        if not site.quantized:
            return Cumulate.reference(self, site, *arrays)
        assert arrays[0] is not None
        x, y, scaling = self._scaling(site)
        sums = Cumulate.reference(self, site, arrays[0].astype(np.int64) - x.z)
        return clamp_s8(scaling.apply(sums[..., None])[..., 0] + y.z)

    def undecided(self, site: Site, *arrays: Array | None) -> Array | None:
        if not site.quantized:
            return None
        assert arrays[0] is not None
        x, y, _ = self._scaling(site)
        values, scale = arrays[0].astype(np.float64) - x.z, float(x.s) / float(y.s)
        sums, terms = (Cumulate.reference(self, site, a * scale) for a in (values, np.abs(values)))
        return halfway(sums, terms)

    def kernels(self, site: Site) -> Sequence[Call]:
        if not site.quantized:
            return Cumulate.kernels(self, site)
        x, y, scaling = self._scaling(site)
        fields = lanes(site.x.shape, self.axis) | {
            "exclusive": int(self.exclusive),
            "reverse": int(self.reverse),
            "input_zero_point": x.z,
            "output_zero_point": y.z,
            "multiplier": int(scaling.multiplier[0]),
            "shift": int(scaling.shift[0]),
        }
        arguments = (Struct("running_sum_params_s8", fields), Input(), Output())
        return [Call("running_sum_s8", "running_sum_s8.h", arguments, cycles=20 * site.x.size)]
