"""Pooling: maximum and average over sliding windows or the whole map; a clip is fused into it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Self

import numpy as np

from pingponnx.calls import (
    ALL_ROWS,
    Accumulator,
    Argument,
    Call,
    First,
    Input,
    Last,
    Local,
    Output,
    OutputRow,
    RowPointers,
    Rows,
    RowWindow,
    Scratch,
    ScratchBytes,
    ScratchQuery,
    Struct,
    Table,
)
from pingponnx.fixed_point import (
    INT32_MAX,
    Requantizer,
    Rounding,
    code_range,
    halfway,
    requantizer,
    wide_overflow,
    wide_requantizer,
    widest,
)
from pingponnx.ir import Array, DType, Quantization, Shape, Tensor
from pingponnx.ops import CmsisNN, Kept, OnnxNode, Operator, Site, clip_twice, fallback, operator
from pingponnx.ops.dtypes import CODES_AND_FLOAT, kernel_suffix
from pingponnx.ops.linear import clamp_bounds
from pingponnx.ops.pool_values import mean_of, sum_of, taps, with_width
from pingponnx.ops.pool_volume import PoolVolume
from pingponnx.ops.window import (
    Pads,
    Window,
    geometry,
    hw,
    lying,
    pixel_distance,
    read_window,
    row_window,
    tap_counts,
    transposed,
    with_hw,
)


@operator("MaxPool", GlobalMaxPool="Maximum over the whole map of a channel.")
@dataclass(frozen=True, slots=True)
class MaxPool(Operator):
    """Maximum over windows of up to 3 dimensions; padding is never the maximum."""

    window: Window
    low: float = -inf
    high: float = inf

    channels_last = True
    moves_data = True
    each_output = True
    int16 = True

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        if node.output or _in_volume(node):
            return PoolVolume.from_onnx(node)
        return cls(_read(node)), (0,)

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        return (_pooled(self.window, inputs[0]),)

    def with_clamp(self, low: float, high: float) -> Self | None:
        low, high = clip_twice((self.low, self.high), low, high)
        return replace(self, low=low, high=high)

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        x = arrays[0]
        assert x is not None
        lowest = -np.inf if x.dtype == np.float32 else np.iinfo(x.dtype).min
        best = np.maximum.reduce(list(taps(with_width(x), self.window, lowest)))
        low, high = _bounds(site, self.low, self.high)
        clipped: Array = best.clip(x.dtype.type(low), x.dtype.type(high))
        return clipped.reshape(site.y.shape)

    def kernels(self, site: Site) -> Sequence[Call]:
        suffix = kernel_suffix(self, site, CODES_AND_FLOAT)
        low, high = _bounds(site, self.low, self.high)
        name, ctype, clamp = f"max_pool_{suffix}", f"max_pool_params_{suffix}", {"low": low, "high": high}
        whole = Struct(ctype, geometry(*lying(site, self.window)) | clamp)
        params = Struct(ctype, geometry(site, self.window) | clamp)
        rows = _rows(self.window, name, (params, RowPointers(), Output()))
        return [_call(site, self.window, name, whole, rows)]

    def cmsis_nn(self, site: Site, library: CmsisNN) -> Call:
        plain = self.kernels(site)[0]
        reason = _cmsis_reason(site, self.window, "arm_max_pool_s8", library)
        if reason:
            return fallback(plain, reason)
        params = _cmsis_params(site, self.window, *_bounds(site, self.low, self.high))
        arguments = (params, Input(), Scratch(), ScratchBytes(), Output())
        return Call("cmsis_max_pool_s8", "cmsis_max_pool_s8.h", arguments, cycles=plain.cycles, checked=True)


@operator("AveragePool", GlobalAveragePool="Mean over the whole map of a channel.")
@dataclass(frozen=True, slots=True)
class AveragePool(Operator):
    """Mean over windows of up to 3 dimensions."""

    window: Window
    counted: Pads = (0, 0, 0, 0)  # padding that counts: count_include_pad, without ceil_mode's extra
    low: float = -inf
    high: float = inf

    channels_last = True
    int16 = True

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        if _in_volume(node):
            return PoolVolume.from_onnx(node)
        window = _read(node)
        if node.op_type == "GlobalAveragePool" or not node.attributes.get("count_include_pad", 0):
            return cls(window), (0,)
        return cls(window, _explicit_pads(node, window)), (0,)

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        return (_pooled(self.window, inputs[0]),)

    def integer(self, site: Site) -> str:
        if not site.quantized:
            return "its input is not quantized"
        if site.wide:
            most = int(self.counts(site).max())
            if most * widest(_quantization(site.x), site.x.dtype) > INT32_MAX // 2:
                return "an int32 sum could overflow"
            return wide_overflow(*self._real_scaling(site))
        ratio = float(_quantization(site.x).s) / float(_quantization(site.y).s)
        return "the output scale is so small that int32 results could overflow" if ratio > 2**20 else ""

    def with_clamp(self, low: float, high: float) -> Self | None:
        low, high = clip_twice((self.low, self.high), low, high)
        return replace(self, low=low, high=high)

    def counts(self, site: Site) -> Array:
        """How many values each window's sum is divided by, `oh ow`."""
        rows, columns = tap_counts(self.window, hw(site.x.shape), self.counted)
        return np.outer(rows, columns)

    def scaling(self, site: Site) -> Requantizer | None:
        """Multipliers per count, from the smallest count on; None when input and output scale alike."""
        x, y = _quantization(site.x), _quantization(site.y)
        if x == y:
            return None
        counts = self.counts(site)
        if site.wide:
            return wide_requantizer(*self._real_scaling(site), site.rounding)
        divisors = np.arange(counts.min(), counts.max() + 1, dtype=np.float64)
        return requantizer(float(x.s) / float(y.s) / divisors, site.rounding)

    def _real_scaling(self, site: Site) -> tuple[Array, Array]:
        """Scales per count, from the smallest count on, and the largest sums."""
        x, y, counts = _quantization(site.x), _quantization(site.y), self.counts(site)
        divisors = np.arange(counts.min(), counts.max() + 1, dtype=np.float64)
        return float(x.s) / float(y.s) / divisors, divisors * widest(x, site.x.dtype)

    # -- meaning ------------------------------------------------------------------------------------

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        x = arrays[0]
        assert x is not None
        counts = self.counts(site)[:, :, None]
        if not site.quantized:
            total = sum_of(taps(with_width(x), self.window, 0.0))
            mean = total / counts.astype(np.float32)
            clipped: Array = mean.clip(np.float32(self.low), np.float32(self.high))
            return clipped.reshape(site.y.shape)
        zero, scaling = _quantization(site.x).z, self.scaling(site)
        acc = sum_of(taps(with_width(x).astype(np.int64) - zero, self.window, 0))
        if scaling is None:
            y = mean_of(acc, counts, zero, site.rounding)
        else:
            which = counts - counts.min()
            each = Requantizer(scaling.multiplier[which], scaling.shift[which], scaling.rounding)
            y = each.apply(acc) + _quantization(site.y).z
        codes: Array = np.clip(y, *_int_bounds(site, self.low, self.high)).astype(site.y.dtype.numpy)
        return codes.reshape(site.y.shape)

    def undecided(self, site: Site, *arrays: Array | None) -> Array | None:
        x = arrays[0]
        if not site.quantized or x is None:
            return None
        acc = sum_of(taps(with_width(x).astype(np.int64) - _quantization(site.x).z, self.window, 0))
        ratio = float(_quantization(site.x).s) / float(_quantization(site.y).s)
        steps = acc / self.counts(site)[:, :, None] * ratio
        return halfway(steps, np.abs(steps) + ratio).reshape(site.y.shape)

    # -- kernels ------------------------------------------------------------------------------------

    def kernels(self, site: Site) -> Sequence[Call]:
        name = f"avg_pool_{kernel_suffix(self, site, CODES_AND_FLOAT)}"
        tables: tuple[Table, ...] = ()
        if site.quantized:
            scaling = self.scaling(site)
            plain = scaling is None or scaling.plain
            tables = (
                Table("multiplier", None if scaling is None else scaling.multiplier),
                Table("shift", None if scaling is None or plain else scaling.shift.astype(np.int8)),
            )
        flat, window = lying(site, self.window)
        op = self if flat is site else replace(self, window=window, counted=transposed(self.counted))
        return [_call(site, self.window, name, op._params(flat), self._rows(site, name, tables), tables)]

    def _params(self, site: Site) -> Struct:
        low, high = _bounds(site, self.low, self.high)
        counts = self.counts(site)
        fields: dict[str, Any] = geometry(site, self.window)
        names = ("count_top", "count_left", "count_bottom", "count_right")
        fields |= dict(zip(names, self.counted, strict=True))
        fields |= {"min_count": int(counts.min()), "max_count": int(counts.max())}
        if site.quantized:
            x, y = _quantization(site.x), _quantization(site.y)
            fields |= {"input_zero_point": x.z, "output_zero_point": y.z}
        return Struct(f"avg_pool_params_{site.suffix}", fields | {"low": low, "high": high})

    def _rows(self, site: Site, name: str, tables: tuple[Table, ...]) -> Rows:
        """Row by row of the output; a mean of the whole map is summed up row by row of the input."""
        params = self._params(site)
        if self.window.kernel != hw(site.x.shape) or any(self.window.pads):
            return _rows(self.window, name, (params, RowPointers(), OutputRow(), *tables, Output()))
        return Rows(
            f"{name}_part",
            f"{name}.h",
            (params, Input(), First(), Last(), *tables, Accumulator(), Output()),
            {0: RowWindow()},
            units=ALL_ROWS,
            accumulator=4 * site.x.shape[-1],
            forward_only=not site.quantized,
        )

    def cmsis_nn(self, site: Site, library: CmsisNN) -> Call:
        plain = self.kernels(site)[0]
        reason = _cmsis_reason(site, self.window, "arm_avgpool_s8", library) or self._cmsis_differs(site)
        if reason:
            return fallback(plain, reason)
        params = _cmsis_params(site, self.window, *_bounds(site, self.low, self.high))
        header = "cmsis_avgpool_s8.h"
        return Call(
            "cmsis_avgpool_s8",
            header,
            (params, Input(), Scratch(), ScratchBytes(), Output()),
            cycles=plain.cycles,
            scratch_query=ScratchQuery(header, "cmsis_avgpool_s8_scratch", params),
            checked=True,
        )

    def _cmsis_differs(self, site: Site) -> str:
        """Why arm_avgpool_s8 would give other values than the reference; empty when it provably does not."""
        counts = self.counts(site)
        if self.scaling(site) is not None:
            return "arm_avgpool_s8 does not requantize: input and output quantization differ"
        if not np.array_equal(counts, AveragePool(self.window).counts(site)):
            return "arm_avgpool_s8 never counts padding"
        if site.rounding is Rounding.SINGLE and not (counts % 2).all():
            # an odd count has no ties: every way to round to nearest agrees
            return "arm_avgpool_s8 rounds ties away from zero, onnxruntime to even"
        return ""


# -- geometry ---------------------------------------------------------------------------------------


def _in_volume(node: OnnxNode) -> bool:
    """True for three dimensions, and for number types that only pool_volume.py takes."""
    x = node.inputs[0]
    assert x is not None
    plain = x.quantization is None and x.dtype not in (DType.F32, DType.S8)
    return len(x.shape) > 4 or plain


def _read(node: OnnxNode) -> Window:
    """The window of a pooling node; one that sees nothing but padding somewhere is refused."""
    if node.op_type.startswith("Global"):
        sizes = node.shape()[2:]
        if len(sizes) not in (1, 2):
            node.unsupported(f"{len(sizes)}-dimensional windows", "only 1-D and 2-D are supported")
        return Window((sizes[0], 1) if len(sizes) == 1 else (sizes[0], sizes[1]))
    kernel = node.integers("kernel_shape")
    if kernel is None:
        node.unsupported("kernel_shape is missing")
    window = read_window(node, kernel)
    sizes = node.shape()[2:]
    size = (sizes[0], 1) if len(sizes) == 1 else (sizes[0], sizes[1])
    if not all(min(counts) for counts in tap_counts(window, size, (0, 0, 0, 0))):
        node.unsupported("a pooling window covers nothing but padding", "use pads smaller than the kernel")
    return window


def _explicit_pads(node: OnnxNode, window: Window) -> Pads:
    """The padding that the model asks for, without what ceil_mode adds to the end."""
    auto = node.attributes.get("auto_pad", "NOTSET")
    if auto.startswith("SAME"):
        return window.pads
    pads = node.integers("pads") if auto == "NOTSET" else None
    if pads is None:
        return (0, 0, 0, 0)
    return (pads[0], 0, pads[1], 0) if len(pads) == 2 else (pads[0], pads[1], pads[2], pads[3])


def _pooled(window: Window, x: Tensor | None) -> Shape:
    assert x is not None
    return with_hw(x.shape, window.output(*hw(x.shape)), x.shape[-1])


# -- values -----------------------------------------------------------------------------------------


def _quantization(tensor: Tensor) -> Quantization:
    assert tensor.quantization is not None
    return tensor.quantization


def _int_bounds(site: Site, low: float, high: float) -> tuple[int, int]:
    """The clamp in output units of an integer site, quantized or plain integers."""
    if site.y.quantization is None:
        least, most = code_range(site.y.dtype)
        return max(least, int(max(low, least))), min(most, int(min(high, most)))
    return clamp_bounds(low, high, site.y.quantization, site.y.dtype)


def _bounds(site: Site, low: float, high: float) -> tuple[float, float]:
    return (float(low), float(high)) if site.suffix == "f32" else _int_bounds(site, low, high)


# -- calls ------------------------------------------------------------------------------------------


def _call(
    site: Site, window: Window, name: str, params: Struct, rows: Rows, tables: tuple[Table, ...] = ()
) -> Call:
    """The whole pool; `params` are of the layer lying, whose order of values is the same."""
    pointers = Local(f"const {site.x.dtype.c} *", lying(site, window)[1].extent[0])
    distance = pixel_distance(window, hw(site.x.shape), site.x.shape[-1]) * site.x.dtype.bytes
    return Call(
        name,
        f"{name}.h",
        (params, Input(), *tables, pointers, Output()),
        overlap={0: distance} if site.x.shape[0] == 1 else {},
        cycles=6 * window.kernel[0] * window.kernel[1] * site.y.size,
        rows=rows,
    )


def _rows(window: Window, name: str, arguments: tuple[Argument, ...]) -> Rows:
    return Rows(f"{name}_row", f"{name}.h", arguments, {0: row_window(window)})


def _cmsis_reason(site: Site, window: Window, function: str, library: CmsisNN) -> str:
    if site.suffix != "s8":
        return "float32: CMSIS-NN's int8 functions do not apply"
    if window.dilation != (1, 1) and window.kernel != (1, 1):
        return f"{function} has no dilation"
    return "" if function in library.functions else f"this CMSIS-NN lacks {function}"


def _cmsis_params(site: Site, window: Window, low: float, high: float) -> Struct:
    return Struct("cmsis_pool_params", geometry(*lying(site, window)) | {"low": int(low), "high": int(high)})
