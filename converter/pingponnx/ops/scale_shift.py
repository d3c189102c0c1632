"""Batch normalization at inference: one factor and one summand per channel."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import frexp, inf
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pingponnx.calls import Argument, Call, Input, Output, Rows, RowWindow, Scalar, Struct, Table, rows_of
from pingponnx.fixed_point import clamp_s8, halfway
from pingponnx.ir import Array, DType, Shape, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site, clip_twice, operator
from pingponnx.ops.dtypes import kernel_suffix
from pingponnx.ops.linear import clamp_bounds

_EPSILON = 1e-5
_LEFT_SHIFT = 23  # of an input's distance from its zero point: then it fits 32 bits
_HIGH = 32 - _LEFT_SHIFT  # bits that the high word of a product has less than the factor
_FRACTION = 20  # fraction bits of sums, at most: as additions have
_LEAST_FRACTION = 8


@dataclass(frozen=True, slots=True, eq=False)
class _Integers:
    """Factors and summands of the channels; the latter with the output's zero point and one half."""

    pairs: NDArray[np.int32]
    fraction: int


@operator("BatchNormalization")
@dataclass(frozen=True, slots=True)
class ScaleShift(Operator):
    """x * scale + shift, per channel; batch normalization with its statistics folded in."""

    scale: tuple[float, ...]
    shift: tuple[float, ...]
    low: float = -inf
    high: float = inf

    channels_last = True

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        if node.attributes.get("training_mode", 0) or any(node.outputs[1:]):
            node.unsupported("training mode", "export the model in evaluation mode")
        if not node.attributes.get("spatial", 1):
            node.unsupported("statistics per pixel (spatial=0)")
        if len(node.shape()) not in (2, 3, 4):
            node.unsupported(f"an input of rank {len(node.shape())}")
        gamma, beta, mean, variance = (_channels(node, index) for index in range(1, 5))
        epsilon = float(node.attributes.get("epsilon", _EPSILON))
        with np.errstate(all="ignore"):
            scale = gamma / np.sqrt(variance + epsilon)
            shift = beta - mean * scale
            rounded = [a.astype(np.float32) for a in (scale, shift)]
        if not all(np.isfinite(a).all() for a in rounded):
            node.unsupported("its statistics give factors that are not finite")
        factors, summands = (tuple(float(v) for v in a) for a in rounded)
        return cls(factors, summands), (0,)

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        return (inputs[0].shape,)

    def with_clamp(self, low: float, high: float) -> Self | None:
        low, high = clip_twice((self.low, self.high), low, high)
        return replace(self, low=low, high=high)

    def integer(self, site: Site) -> str:
        found = self._integers(site)
        return found if isinstance(found, str) else ""

    def _real(self, site: Site) -> tuple[Array, Array]:
        """Factors and summands in steps of the output, the zero point in the latter; float64."""
        x, y = site.x.quantization, site.y.quantization
        assert x is not None and y is not None
        factors, summands = (np.array(a, np.float64) / float(y.s) for a in (self.scale, self.shift))
        return factors * float(x.s), summands + y.z

    def _integers(self, site: Site) -> _Integers | str:
        """What the int8 kernel needs; or why there is none."""
        quantizations = (site.x.quantization, site.y.quantization)
        if any(q is None or not q.per_tensor for q in quantizations):
            return "an operand is not quantized per tensor"
        factors, summands = self._real(site)
        steepest, furthest = (float(np.abs(a).max(initial=0.0)) for a in (factors, summands))
        fraction = min(_FRACTION, 22 - frexp(steepest)[1], 29 - frexp(furthest + 1)[1])
        if fraction < _LEAST_FRACTION:
            return "the output scale is so small that too few bits are left"
        rounded = np.rint(factors * 2.0 ** (fraction + _HIGH)), np.rint((summands + 0.5) * 2.0**fraction)
        return _Integers(np.minimum(np.stack(rounded, axis=1), 2**31 - 1).astype(np.int32), fraction)

    def undecided(self, site: Site, *arrays: Array | None) -> Array | None:
        if not site.quantized:
            return None
        assert arrays[0] is not None and site.x.quantization is not None
        factors, summands = self._real(site)
        product = (arrays[0].astype(np.float64) - site.x.quantization.z) * factors
        return halfway(product + summands, np.abs(product) + np.abs(summands))

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        assert arrays[0] is not None
        if site.quantized:
            known = self._integers(site)
            assert isinstance(known, _Integers) and site.x.quantization and site.y.quantization
            steps = (arrays[0].astype(np.int64) - site.x.quantization.z) << _LEFT_SHIFT
            factors, summands = known.pairs.astype(np.int64).T
            codes = (((steps * factors) >> 32) + summands) >> known.fraction
            return clamp_s8(codes, *clamp_bounds(self.low, self.high, site.y.quantization))
        y: Array = arrays[0] * np.array(self.scale, np.float32) + np.array(self.shift, np.float32)
        return y.clip(np.float32(self.low), np.float32(self.high))

    def kernels(self, site: Site) -> Sequence[Call]:
        name = (
            "scale_shift_s8" if site.quantized else f"scale_shift_{kernel_suffix(self, site, (DType.F32,))}"
        )
        channels = len(self.scale)
        fields, tables = self._numbers(site)

        def arguments(values: int) -> tuple[Argument, ...]:
            geometry = {"pixels": values // channels, "channels": channels}
            params = Struct(f"scale_shift_params_{site.suffix}", {**geometry, **fields})
            return params, Input(), *tables, Output()

        row = arguments(rows_of(site.x.shape)[2])
        # each value is read once, right before its result is stored
        return [
            Call(
                name,
                f"{name}.h",
                arguments(site.x.size),
                overlap={0: 0},
                cycles=(12 if site.quantized else 6) * site.x.size,
                rows=Rows(name, f"{name}.h", row, {0: RowWindow()}, elementwise=True),
            )
        ]

    def _numbers(self, site: Site) -> tuple[dict[str, Scalar], tuple[Table, ...]]:
        """The kernel's parameters after the geometry, and its tables."""
        if not site.quantized:
            real = (np.array(a, np.float32) for a in (self.scale, self.shift))
            tables = (Table(role, data) for role, data in zip(("scale", "shift"), real, strict=True))
            return {"low": self.low, "high": self.high}, tuple(tables)
        known = self._integers(site)
        assert isinstance(known, _Integers) and site.x.quantization and site.y.quantization
        low, high = clamp_bounds(self.low, self.high, site.y.quantization)
        numbers = {"zero_point": site.x.quantization.z, "fraction": known.fraction, "low": low, "high": high}
        return {**numbers}, (Table("factors", known.pairs),)

    def macs(self, site: Site) -> int:
        return site.x.size


def _channels(node: OnnxNode, index: int) -> Array:
    values = node.constant(index)
    if values is None or values.shape != (node.shape()[1],):
        node.unsupported(f"input {index} must hold one value per channel")
    return values.astype(np.float64)
