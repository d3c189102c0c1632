"""Convolution: any kernel, stride, dilation, padding and groups; depthwise; 1-D; fused clip and max-pool."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Self

import numpy as np

from pingponnx.calls import (
    Call,
    First,
    Input,
    Local,
    Output,
    RowPointers,
    Rows,
    ScratchBytes,
    ScratchQuery,
    Struct,
    Table,
)
from pingponnx.calls import Scratch as ScratchPointer
from pingponnx.ir import Array, Shape, Tensor
from pingponnx.ops import CmsisNN, Kept, OnnxNode, Operator, Site, clip_twice, fallback, keep, operator
from pingponnx.ops.cmsis import convolution_reason, takes_general
from pingponnx.ops.computed_conv import ComputedConv
from pingponnx.ops.conv_volume import ConvVolume
from pingponnx.ops.linear import Linear, clamp_f32, clamped, linear_reason, lower_linear
from pingponnx.ops.window import (
    Window,
    geometry,
    hw,
    lying,
    read_kernel,
    read_window,
    row_distance,
    row_window,
    with_hw,
)

_SCALING_CYCLES = 20  # of one value, to rank the kernels of a fused pool


@operator("Conv")
@dataclass(frozen=True, slots=True)
class Conv(Operator):
    """Convolution over 1 to 3 dimensions, with bias; up to 2, activation and max-pool are fused into it."""

    window: Window
    group: int = 1
    low: float = -inf
    high: float = inf
    pool: Window | None = None

    channels_last = True
    int16 = True

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        weights = node.inputs[1]
        assert weights is not None
        bias = node.inputs[2] if len(node.inputs) > 2 else None
        group = int(node.attributes.get("group", 1))
        kernel = read_kernel(node, group)
        node.expect(2, weights.shape[:1])
        if len(node.shape()) > 4:
            return ConvVolume.from_onnx(node)
        if not weights.constant or (bias is not None and not bias.constant):
            return ComputedConv.from_onnx(node)
        return cls(read_window(node, kernel), group), keep(len(node.inputs))

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        x, weights = inputs[0], inputs[1]
        assert x is not None and weights is not None
        size = self.window.output(*hw(x.shape))
        if self.pool:
            size = self.pool.output(*size)
        return (with_hw(x.shape, size, weights.shape[0]),)

    def integer(self, site: Site) -> str:
        return linear_reason(site)

    def with_clamp(self, low: float, high: float) -> Self | None:
        # clip after max-pool equals clip before it: both are monotonic
        low, high = clip_twice((self.low, self.high), low, high)
        return replace(self, low=low, high=high)

    def macs(self, site: Site) -> int:
        oh, ow = self._unpooled(site)
        if self.pool:  # values outside every pooling window are never computed
            ph, pw = self.pool.output(oh, ow)
            oh, ow = ph * self.pool.kernel[0], pw * self.pool.kernel[1]
        weights = site.inputs[1]
        assert weights is not None
        return oh * ow * weights.size * site.x.shape[0]

    def _unpooled(self, site: Site) -> tuple[int, int]:
        return self.window.output(*hw(site.x.shape))

    def _depthwise(self, site: Site) -> bool:
        return self.group > 1 and self.group == site.x.shape[-1]

    def lower(self, site: Site) -> Linear:
        """Weights as `oc kh kw ic`, int32 bias, zero points and multipliers."""
        return lower_linear(self, site, self.low, self.high)

    # -- meaning ------------------------------------------------------------------------------------

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        x = arrays[0]
        assert x is not None
        linear = self.lower(site)
        acc = self._accumulate(site, x, linear)
        if self.pool:
            acc = _max_pool(acc, self.pool)
        if not site.quantized:
            return clamp_f32(acc, linear).reshape(site.y.shape)
        y = linear.requantizer.apply(acc) + linear.output_zero_point
        return clamped(y, linear, site.y.dtype).reshape(site.y.shape)

    def _accumulate(self, site: Site, x: Array, linear: Linear) -> Array:
        """Sums of products plus bias, `n oh ow oc`; int64 for int8 inputs."""
        w, (kh, kw) = self.window, self.window.kernel
        n, (h, width), c = x.shape[0], hw(site.x.shape), x.shape[-1]
        wide = np.dtype(np.int64) if site.quantized else np.dtype(np.float32)
        top, left, bottom, right = w.pads
        padded = np.zeros((n, h + top + bottom, width + left + right, c), wide)
        real: Array = x.reshape(n, h, width, c).astype(wide) - linear.input_zero_point
        padded[:, top : top + h, left : left + width] = real
        weights = linear.weights.astype(wide) - _per_channel(linear.weight_zero_point).astype(wide)
        oh, ow = self._unpooled(site)
        acc: Array = np.zeros((n, oh, ow, len(weights)), wide)
        per_group, out_group = c // self.group, len(weights) // self.group
        for ky in range(kh):
            for kx in range(kw):
                y0, x0 = ky * w.dilation[0], kx * w.dilation[1]
                taps = padded[:, y0:, x0:][:, :: w.stride[0], :: w.stride[1]][:, :oh, :ow]
                grouped = taps.reshape(n, oh, ow, self.group, per_group)
                kernel = weights[:, ky, kx].reshape(self.group, out_group, per_group)
                acc += np.einsum("nhwgi,goi->nhwgo", grouped, kernel, optimize=True).reshape(acc.shape)
        acc += linear.bias.astype(wide)
        return acc

    # -- kernels ------------------------------------------------------------------------------------

    def kernels(self, site: Site) -> Sequence[Call]:
        linear, suffix = self.lower(site), site.suffix
        whole_depth = self._depthwise(site) and len(linear.weights) == self.group
        kind = "depthwise" if whole_depth and suffix == "s8" else "conv"
        weights = linear.weights.transpose(3, 1, 2, 0) if kind == "depthwise" else linear.weights
        whole = self.window.then(self.pool) if self.pool else self.window
        params, tables = self._params(site, linear), linear.tables(weights)
        name, header, macs = f"{kind}_{suffix}", f"{kind}_{suffix}.h", self.macs(site)
        (h, w), (_, ow) = hw(site.x.shape), hw(site.y.shape)
        in_row = w * site.x.shape[-1] * site.x.dtype.bytes
        out_row = ow * site.y.shape[-1] * site.y.dtype.bytes
        call = Call(
            name,
            header,
            (params, Input(), *tables, Local(f"const {site.x.dtype.c} *", whole.extent[0]), Output()),
            overlap={0: row_distance(whole, (h, w), in_row, out_row)} if site.x.shape[0] == 1 else {},
            macs=macs,
            cycles=12 * macs,
            rows=Rows(
                f"{name}_row", header, (params, RowPointers(), *tables, Output()), {0: row_window(whole)}
            ),
        )
        if self.pool is None or self.pool.kernel[0] == 1:
            return [call]
        # pooled row by row: the window is lower, but every row of a pool's window is scaled on its own
        part = Rows(
            f"{name}_part",
            header,
            (params, RowPointers(), *tables, First(), Output()),
            {0: row_window(self.window)},
            units=self.pool.kernel[0],
            step=self.pool.stride[0],
        )
        more = _SCALING_CYCLES * site.y.size * self.pool.kernel[0]
        return [call, Call("", header, part.arguments, macs=macs, cycles=call.cycles + more, rows=part)]

    def _params(self, site: Site, linear: Linear) -> Struct:
        pool = self.pool or Window((1, 1))
        fields: dict[str, Any] = {
            "groups": self.group,
            "pool_h": pool.kernel[0],
            "pool_w": pool.kernel[1],
            "pool_stride_h": pool.stride[0],
            "pool_stride_w": pool.stride[1],
        }
        fields = geometry(site, self.window) | fields | linear.kernel_fields()
        if site.wide:
            fields["long_sums"] = int(linear.long)
        return Struct(f"conv_params_{site.suffix}", fields)

    # -- CMSIS-NN -----------------------------------------------------------------------------------

    def cmsis_nn(self, site: Site, library: CmsisNN) -> Call:
        plain = self.kernels(site)[0]
        if not site.quantized:
            return fallback(plain, "float32: CMSIS-NN's int8 functions do not apply")
        linear, depthwise = self.lower(site), self._depthwise(site)
        if self.pool or linear.weight_zero_point.any():
            return fallback(plain, "CMSIS-NN has no fused pool and takes symmetric weights only")
        if self.group > 1 and not depthwise:
            return fallback(plain, "grouped convolution is not called through CMSIS-NN")
        seen = lying(site, self.window)  # it has special functions for images of height 1
        reason = convolution_reason(*seen, linear, depthwise)
        if reason:
            return fallback(plain, reason)
        kind, needed = "depthwise_conv", "arm_depthwise_conv_wrapper_s8"
        if not depthwise:
            general = takes_general(*seen, library)
            kind = "convolve_general" if general else "convolve"
            needed = "arm_convolve_s8" if general else "arm_convolve_wrapper_s8"
        if needed not in library.functions:
            return fallback(plain, f"this CMSIS-NN lacks {needed}")
        weights = linear.weights
        if depthwise:  # `1 kh kw oc`; weights are `oc kh kw 1`
            weights = weights.transpose(3, 1, 2, 0)
        requantizer, header = linear.requantizer, f"cmsis_{kind}_s8.h"
        params = Struct("cmsis_conv_params", geometry(*seen) | linear.fields())
        return Call(
            f"cmsis_{kind}_s8",
            header,
            (
                params,
                Input(),
                Table("weights", np.ascontiguousarray(weights)),
                Table("bias", linear.bias),
                Table("multiplier", _spread(requantizer.multiplier, len(linear.weights))),
                Table("shift", _spread(requantizer.shift, len(linear.weights))),
                ScratchPointer(),
                ScratchBytes(),
                Output(),
            ),
            macs=self.macs(site),
            scratch_query=ScratchQuery(header, f"cmsis_{kind}_s8_scratch", params),
            checked=True,
        )


def _per_channel(values: Array) -> Array:
    return values.reshape(-1, 1, 1, 1)


def _spread(values: Array, count: int) -> Array:
    """One value per channel, as CMSIS-NN's per-channel functions want it."""
    return np.ascontiguousarray(np.broadcast_to(values, (count,)))


def _max_pool(acc: Array, pool: Window) -> Array:
    oh, ow = pool.output(acc.shape[1], acc.shape[2])
    taps = [
        acc[:, ky :: pool.stride[0], kx :: pool.stride[1]][:, :oh, :ow]
        for ky in range(pool.kernel[0])
        for kx in range(pool.kernel[1])
    ]
    best: Array = np.maximum.reduce(taps)
    return best
