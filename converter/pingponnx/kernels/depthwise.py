"""Depthwise 3x3 convolution on cores with the DSP extension (runtime_c/depthwise3x3_s8.h)."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from pingponnx.calls import Call, Input, Output, RowPointers, Rows, Scalar, Scratch, Struct, Table
from pingponnx.fixed_point import S8_MAX, S8_MIN, Rounding
from pingponnx.ir import Array
from pingponnx.kernels import kernels_for
from pingponnx.kernels.proofs import provable_tables
from pingponnx.ops import Site
from pingponnx.ops.conv import Conv
from pingponnx.ops.linear import Linear
from pingponnx.ops.window import Window, hw, row_distance, row_window
from pingponnx.targets import Target

_NAME = "depthwise3x3_s8"
_FOUR = 4  # channels that are laid out together
_PAIR_BYTES = 24  # of two columns of them
_ROOM = 120  # bytes that may be laid out on the stack: DEPTHWISE3X3_ROOM


@kernels_for(Conv)
def depthwise(op: Conv, site: Site, target: Target) -> Iterator[Call]:
    """By rows; and a whole map column by column, which is faster where it is taller than wide."""
    if not target.dsp or target.mve or not _takes(op, site):
        return
    linear = op.lower(site)
    plain = site.rounding is Rounding.TFLITE or linear.requantizer.plain
    if not plain or provable_tables(linear) is None:
        return
    upright, (oh, ow) = _fits(op.window, hw(site.x.shape)), hw(site.y.shape)
    rows = _by_rows(op, site, linear)
    if upright:
        yield rows
        if rows.scratch <= _ROOM:
            yield _on_the_stack(rows)
    if oh > ow and _fits(op.window.transposed, hw(site.x.shape)[::-1]):
        params, table = _arguments(op, site, linear, columns=True)
        yield replace(
            rows,
            arguments=(params, Input(), table, Scratch(), Output()),
            scratch=_scratch(op.window, oh),
            overlap={},
            cycles=_cycles(op, site, linear, ow, oh),
            rows=None,
        )


def _takes(op: Conv, site: Site) -> bool:
    """Kernel and tensors; whether rows or columns fit is another question."""
    w, x = op.window, site.x.shape
    if not site.quantized or op.pool or len(x) != 4 or x[0] != 1 or x[-1] < _FOUR:
        return False
    same = op.group == x[-1] == site.y.shape[-1]
    return same and (w.kernel, w.dilation) == ((3, 3), (1, 1)) and w.stride in ((1, 1), (2, 2))


def _fits(window: Window, size: tuple[int, int]) -> bool:
    """True when the middle of every window is inside the input, and there is enough of a row."""
    outputs = window.output(*size)
    ends = zip(outputs, window.stride, window.pads[:2], size, strict=True)
    inside = all(pad <= 1 and (n - 1) * stride - pad + 1 < length for n, stride, pad, length in ends)
    return inside and (outputs[1] > 1 or window.stride[1] == 2)


def _by_rows(op: Conv, site: Site, linear: Linear) -> Call:
    w, c, (oh, ow) = op.window, site.x.shape[-1], hw(site.y.shape)
    params, table = _arguments(op, site, linear, columns=False)
    size = hw(site.x.shape)
    return Call(
        _NAME,
        f"{_NAME}.h",
        (params, Input(), table, Scratch(), Output()),
        scratch=_scratch(w, ow),
        overlap={0: row_distance(w, size, size[1] * c, ow * c)},
        macs=op.macs(site),
        cycles=_cycles(op, site, linear, oh, ow),
        rows=Rows(
            f"{_NAME}_row",
            f"{_NAME}.h",
            (params, RowPointers(), table, Scratch(), Output()),
            {0: row_window(w)},
        ),
    )


def _on_the_stack(call: Call) -> Call:
    """The same without scratch."""
    assert call.rows is not None
    name, rows = "depthwise3x3_short_s8", call.rows
    by_rows, whole = (tuple(a for a in form.arguments if not isinstance(a, Scratch)) for form in (rows, call))
    rows = replace(rows, function=f"{name}_row", arguments=by_rows)
    # the stack is RAM, too: only taken where the arena has to be small
    cycles = call.cycles + call.cycles // 100 + 1
    return replace(call, function=name, arguments=whole, scratch=0, cycles=cycles, rows=rows)


def _arguments(op: Conv, site: Site, linear: Linear, *, columns: bool) -> tuple[Struct, Table]:
    """For lines that are rows, or columns: then everything is transposed."""
    fields: dict[str, Scalar]
    c, inner, outer = site.x.shape[-1], hw(site.x.shape), hw(site.y.shape)
    steps = {"in_step": c, "in_line": inner[1] * c, "out_step": c, "out_line": outer[1] * c}
    window = op.window
    if columns:
        inner, outer, window = inner[::-1], outer[::-1], window.transposed
        steps = {
            "in_step": steps["in_line"],
            "in_line": c,
            "out_step": steps["out_line"],
            "out_line": c,
        }
    fields = {
        "in_h": inner[0],
        "in_w": inner[1],
        "out_h": outer[0],
        "out_w": outer[1],
        "stride": window.stride[0],
        "pad_top": window.pads[0],
        "pad_left": window.pads[1],
        "channels": c,
    }
    weights = linear.weights[..., 0].astype(np.int64)
    table = _table(linear, weights.transpose(0, 2, 1) if columns else weights)
    return Struct("depthwise3x3_params_s8", {**fields, **steps, **linear.fields()}), Table("weights", table)


def _table(linear: Linear, weights: Array) -> Array:
    """The words of every channel; weights are `c h w`."""
    bias = linear.bias.astype(np.int64) - linear.input_zero_point * weights.sum(axis=(1, 2))
    w = weights & 0xFF
    words = [
        w[:, 0, 0] | w[:, 0, 1] << 8 | w[:, 1, 0] << 16 | w[:, 1, 1] << 24,
        w[:, 0, 2] | w[:, 2, 0] << 8 | w[:, 1, 2] << 16 | w[:, 2, 1] << 24,
        (weights[:, 2, 1] & 0xFFFF) | weights[:, 2, 2] << 16,
        bias,
        np.broadcast_to(linear.requantizer.multiplier, bias.shape).astype(np.int64),
    ]
    if linear.requantizer.rounding is Rounding.TFLITE:
        words.append(np.broadcast_to(-linear.requantizer.shift, bias.shape).astype(np.int64))
    return (np.stack(words, axis=1) & 0xFFFFFFFF).astype(np.uint32).view(np.int32)


def _pairs(window: Window, outputs: int) -> int:
    """Pairs of columns that are laid out for a line of outputs."""
    return outputs + 1 if window.stride[1] == 2 else (outputs + 1) // 2 + 1


def _scratch(window: Window, outputs: int) -> int:
    return _PAIR_BYTES * _pairs(window, outputs)


# -- cycles -----------------------------------------------------------------------------------------

_LINE = 55  # of four channels, without what follows
_EDGE = 30  # a pair that is padding, or half of it
_PAIR = 29.5  # laid out for four channels
_CHANNEL = 43  # one channel's line
_ODD = 10  # more, where it has an odd number of steps
_STEPS = {1: 32, 2: 24}  # by stride: a pair of columns of one channel
_REST = 20  # of a last output with stride 1
_TFLITE = 5  # more for each output
_CLAMP = 9  # a value, where int8 is not the limit


def _cycles(op: Conv, site: Site, linear: Linear, lines: int, outputs: int) -> int:
    """Of the whole map, for lines of so many outputs."""
    channels, stride = site.x.shape[-1], op.window.stride[0]
    pairs, edges = _pairs(op.window, outputs), 1 if stride == 2 else 2
    steps, rest = (outputs, 0) if stride == 2 else divmod(outputs, 2)
    one = _CHANNEL + steps * _STEPS[stride] + steps % 2 * _ODD + rest * _REST
    if site.rounding is Rounding.TFLITE:
        one += _TFLITE * outputs
    if (linear.low, linear.high) != (S8_MIN, S8_MAX):
        one += _CLAMP * outputs
    fours = -(-channels // _FOUR)
    return int(lines * fours * (_LINE + edges * _EDGE + (pairs - edges) * _PAIR + _FOUR * one))
