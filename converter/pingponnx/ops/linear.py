"""What convolution and fully connected layers share: integer lowering of weights, bias and scales."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from pingponnx.calls import Scalar, Table
from pingponnx.fixed_point import (
    INT32_MAX,
    Requantizer,
    code_range,
    quantize_array,
    requantizer,
    wide_overflow,
    wide_requantizer,
    widest,
)
from pingponnx.ir import Array, DType, Quantization, Tensor
from pingponnx.ops import Operator, Site


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """Constants of a layer that multiplies by weights; output channels are the weights' first axis.

    Integers for int8 and int16 sites (weights int8, bias int32, low/high the clamp in output units); float32
    ones otherwise, with zero points 0 and no requantizer. `worst` is how large an accumulator can get.
    """

    weights: Array
    bias: Array
    weight_zero_point: Array
    low: Any
    high: Any
    input_zero_point: int = 0
    output_zero_point: int = 0
    scaling: Requantizer | None = None
    worst: int = 0

    @property
    def long(self) -> bool:
        """True when an int16 layer's accumulators need 64 bits."""
        return self.worst > INT32_MAX

    @property
    def requantizer(self) -> Requantizer:
        assert self.scaling is not None
        return self.scaling

    def tables(self, weights: Array) -> tuple[Table, ...]:
        """The constant arguments of our kernels; `weights` is repacked by the caller."""
        tables = (Table("weights", np.ascontiguousarray(weights)), Table("bias", self.bias))
        if self.scaling is None:
            return tables
        zero = self.weight_zero_point if self.weight_zero_point.any() else None
        length = len(self.bias) if self._per_channel else 1
        shift = None if self.scaling.plain else self.scaling.shift[:length].astype(np.int8)
        return (
            *tables,
            Table("weight_zero_point", zero),
            Table("multiplier", np.ascontiguousarray(self.scaling.multiplier[:length])),
            Table("shift", shift),
        )

    @property
    def _per_channel(self) -> bool:
        """False when one multiplier serves all channels, so that the tables need not repeat it."""
        r = self.requantizer
        return bool((r.multiplier != r.multiplier[0]).any() or (r.shift != r.shift[0]).any())

    def kernel_fields(self) -> dict[str, Scalar]:
        """The trailing fields of our kernels' parameter structs."""
        return self.fields() | ({} if self.scaling is None else {"channel_step": int(self._per_channel)})

    def fields(self) -> dict[str, Scalar]:
        """Zero points and clamp, as every parameter struct has them."""
        if self.scaling is None:
            return {"low": float(self.low), "high": float(self.high)}
        return {
            "input_zero_point": self.input_zero_point,
            "output_zero_point": self.output_zero_point,
            "low": int(self.low),
            "high": int(self.high),
        }


def clamp_f32(values: Array, linear: Linear) -> Array:
    """Float32 values limited to the layer's fused activation."""
    return np.clip(values.astype(np.float32), np.float32(linear.low), np.float32(linear.high))


def clamped(values: Array, linear: Linear, dtype: DType) -> Array:
    """Integer results limited to the layer's clamp, as codes."""
    codes: Array = np.clip(values, linear.low, linear.high).astype(dtype.numpy)
    return codes


def clamp_bounds(low: float, high: float, q: Quantization, dtype: DType = DType.S8) -> tuple[int, int]:
    """A real clip in output units: quantization is monotonic, so clip and quantize commute."""
    bounds = quantize_array(np.array([low, high], np.float32), q, *code_range(dtype))
    return int(bounds[0]), int(bounds[1])


# Lowering the same site is asked for by reference, kernels and CMSIS-NN call; sites are cheap to compare
# by identity of their tensors.
@lru_cache(maxsize=256)
def lower_linear(op: Operator, site: Site, low: float, high: float) -> Linear:
    """Constants of a Conv- or Gemm-like site: input 1 weights `oc ic [kh] [kw]`, input 2 bias or none."""
    weights, bias = site.inputs[1], site.input(2)
    assert weights is not None and weights.data is not None
    channels = weights.shape[0]
    if not site.quantized:
        zeros = np.zeros(channels, np.float32)
        real = zeros if bias is None else np.broadcast_to(bias.real().astype(np.float32).ravel(), channels)
        values = _channels_last(weights.real().astype(np.float32))
        return Linear(values, np.ascontiguousarray(real), np.zeros(channels, np.int32), low, high)
    x, y = site.x.quantization, site.y.quantization
    wq = weights.quantization
    assert x is not None and y is not None and wq is not None
    if wq.axis not in (None, 0):
        site.unsupported(op, f"weights quantized along axis {wq.axis}", "quantize them per output channel")
    w_scale = np.broadcast_to(wq.scale.astype(np.float64), (channels,))
    w_zero = np.broadcast_to(wq.zero_point, (channels,)).astype(np.int32)
    acc_scale = w_scale * float(x.s)
    integers = _channels_last(weights.data)
    b = _integer_bias(bias, acc_scale)
    scale = acc_scale / float(y.s)
    worst = _worst(integers, w_zero, b, widest(x, site.x.dtype))
    if site.wide:
        scaling = wide_requantizer(scale, worst, site.rounding)
    else:
        scaling = requantizer(scale, site.rounding)
        _prove_bounds(op, site, worst, scale)
    bounds = clamp_bounds(low, high, y, site.y.dtype)
    most = int(worst.max(initial=0))
    return Linear(integers, b.astype(np.int32), w_zero, *bounds, x.z, y.z, scaling, most)


def linear_reason(site: Site) -> str:
    """Why a Conv- or Gemm-like site stays in float32; empty when it runs on integers."""
    weights, bias = site.inputs[1], site.input(2)
    assert weights is not None
    x, y, wq = site.x.quantization, site.y.quantization, weights.quantization
    if wq is None:
        return "its weights are not quantized"
    if not site.wide:
        return ""
    if x is None or y is None or weights.data is None or weights.dtype is not DType.S8:
        return "its weights are not int8"
    if wq.axis not in (None, 0):
        return f"its weights are quantized along axis {wq.axis}"
    channels = weights.shape[0]
    scale = np.broadcast_to(wq.scale.astype(np.float64), (channels,)) * float(x.s)
    zero = np.broadcast_to(wq.zero_point, (channels,)).astype(np.int32)
    steps = _integer_bias(bias, scale)
    if steps.max(initial=0) > INT32_MAX or steps.min(initial=0) < -INT32_MAX - 1:
        return "its bias does not fit int32"
    worst = _worst(_channels_last(weights.data), zero, steps, widest(x, site.x.dtype))
    return wide_overflow(scale / float(y.s), worst)


def _channels_last(weights: Array) -> Array:
    """`oc ic`, `oc ic kw` or `oc ic kh kw` -> `oc ic` or `oc kh kw ic`."""
    if weights.ndim == 2:
        return weights
    if weights.ndim == 3:
        weights = weights[:, :, :, None]
    return np.ascontiguousarray(weights.transpose(0, 2, 3, 1))


def _integer_bias(bias: Tensor | None, scale: Array) -> Array:
    """The bias in accumulator units, int64; int32 biases that have that scale already are kept."""
    if bias is None:
        return np.zeros(len(scale), np.int64)
    q = bias.quantization
    if q is not None and not q.zero_point.any() and np.allclose(q.scale, scale, rtol=1e-5, atol=0):
        assert bias.data is not None
        return np.broadcast_to(bias.data.ravel(), scale.shape).astype(np.int64)
    steps = np.rint(np.broadcast_to(bias.real().ravel(), scale.shape).astype(np.float64) / scale)
    limit = 2.0**40  # far beyond int32, so that the layer is refused
    limited: Array = np.clip(np.nan_to_num(steps, nan=limit), -limit, limit).astype(np.int64)
    return limited


def _worst(weights: Array, w_zero: Array, bias: Array, reach: int) -> Array:
    """The largest accumulator of each channel, for inputs up to `reach` away from their zero point."""
    flat = np.abs(weights.reshape(len(weights), -1).astype(np.int64) - w_zero[:, None])
    worst: Array = flat.sum(axis=1) * reach + np.abs(bias)
    return worst


def _prove_bounds(op: Operator, site: Site, worst: Array, scale: Array) -> None:
    """Refuse a layer whose accumulator or scaled result could leave int32 for some input."""
    if worst.max(initial=0) > INT32_MAX:
        site.unsupported(op, "an int32 accumulator could overflow", "use a smaller reduction or bias")
    if (worst * np.maximum(scale, 1)).max(initial=0) > INT32_MAX // 2:
        site.unsupported(op, "the output scale is so small that int32 results could overflow")
