"""16-bit codes under another scale and zero point, clipped: a multiplication, where int8 has a table."""

from dataclasses import replace
from math import inf

import numpy as np

from pingponnx.calls import Argument, Call, Input, Output, Struct
from pingponnx.fixed_point import wide_overflow, wide_requantizer, widest
from pingponnx.ir import Array
from pingponnx.ops import Site
from pingponnx.ops.linear import clamp_bounds
from pingponnx.ops.lookup import each_value


def _scale(site: Site) -> tuple[float, int]:
    """Input scale by output scale, and the largest magnitude that is multiplied with it."""
    x, y = site.x.quantization, site.y.quantization
    assert x is not None and y is not None
    return float(x.s) / float(y.s), widest(x, site.x.dtype)


def rescale_reason(site: Site) -> str:
    """Why the codes cannot be rescaled; empty when they can."""
    return wide_overflow(*_scale(site))


def rescale(site: Site, x: Array, low: float = -inf, high: float = inf) -> Array:
    """The output's codes of clip(x, low, high), where the bounds are real."""
    qx, qy = site.x.quantization, site.y.quantization
    assert qx is not None and qy is not None
    scaled = wide_requantizer(*_scale(site), site.rounding).apply(x.astype(np.int64) - qx.z) + qy.z
    codes: Array = np.clip(scaled, *clamp_bounds(low, high, qy, site.y.dtype)).astype(site.y.dtype.numpy)
    return codes


def rescale_call(site: Site, low: float = -inf, high: float = inf) -> Call:
    """The same in C, value by value; in place where the codes keep their size."""
    qx, qy = site.x.quantization, site.y.quantization
    assert qx is not None and qy is not None
    scaling = wide_requantizer(*_scale(site), site.rounding)
    bounds = clamp_bounds(low, high, qy, site.y.dtype)
    fields = (qx.z, qy.z, *bounds, int(scaling.multiplier[0]), int(scaling.shift[0]))
    names = ("input_zero_point", "output_zero_point", "low", "high", "multiplier", "shift")
    name = f"rescale_{site.suffix}_{site.y.dtype.suffix}"
    params = Struct("rescale_params", dict(zip(names, fields, strict=True)))
    arguments: tuple[Argument, ...] = (params, Input(), Output())
    call = each_value(name, "rescale.h", arguments, site.x.shape, cycles=10)
    if site.x.dtype is site.y.dtype or call.rows is None:
        return call
    return replace(call, overlap={}, rows=replace(call.rows, elementwise=False))
