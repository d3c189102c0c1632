"""Convolution with packed weights and without scratch (runtime_c/conv_direct_s8.h).

Windows stay where they are: slower than a column of two pixels (kernels.packed), but no byte of the arena.
"""

from collections.abc import Iterator
from dataclasses import replace
from math import prod

from pingponnx.calls import Argument, Call, First, Input, Output, RowPointers, Struct
from pingponnx.fixed_point import Rounding
from pingponnx.kernels import kernels_for
from pingponnx.kernels.packed import (
    BLOCK,
    QUAD,
    Packed,
    copy_cycles,
    longest,
    ones_cycles,
    pack,
    row_quads,
    window_order,
)
from pingponnx.ops import Site
from pingponnx.ops.conv import Conv
from pingponnx.ops.window import Window, hw
from pingponnx.targets import Target

_NAME = "conv_direct_s8"
_WINDOW = 128  # CONV_DIRECT_WINDOW


@kernels_for(Conv)
def convolution(op: Conv, site: Site, target: Target) -> Iterator[Call]:
    """Rows as the plain kernel's."""
    if not target.dsp or target.mve or not _applies(op, site):
        return
    whole = _straight(op, site) or _gathers(op, site)
    run = 0 if whole else _run(op, site)
    order = window_order(op, site) if whole else None
    packed = pack(op.lower(site), site, run, fill=not _straight(op, site), order=order, most=longest(target))
    if packed is None:
        return
    for plain in op.kernels(site):
        yield _instead(plain, op, site, packed)


def _applies(op: Conv, site: Site) -> bool:
    across = op.window.dilation[1] == 1 or op.window.kernel[1] == 1
    return site.quantized and op.group == 1 and site.x.shape[0] == 1 and across


def _run(op: Conv, site: Site) -> int:
    """Values of a window's row."""
    return op.window.kernel[1] * site.x.shape[-1]


def _straight(op: Conv, site: Site) -> bool:
    """True when windows are quads in one piece."""
    return op.window.kernel[0] == 1 and not any(op.window.pads) and _run(op, site) % QUAD == 0


def _gathers(op: Conv, site: Site) -> bool:
    """True when windows are put together on the stack."""
    values = op.window.kernel[0] * _run(op, site)
    return not _straight(op, site) and values <= _WINDOW


def _instead(plain: Call, op: Conv, site: Site, packed: Packed) -> Call:
    """The plain kernel's call with packed weights."""
    old = plain.arguments[0]
    assert isinstance(old, Struct) and plain.rows is not None
    fields = {k: v for k, v in old.fields.items() if k != "channel_step"}
    whole = _straight(op, site) or _gathers(op, site)
    unroll, quads = (packed.unroll, packed.quads) if whole else (0, packed.quads // op.window.kernel[0])
    more = {"quads": quads, "unroll": unroll, "row_quads": row_quads(op, site)}
    more["apart"] = int(any(op.window.pads))
    params = Struct("conv_packed_params_s8", fields | more)
    first = (First(),) if plain.rows.units > 1 else ()
    by_rows = (params, RowPointers(), packed.stream, *first, Output())
    arguments: tuple[Argument, ...] = by_rows
    if plain.function:
        arguments = (params, Input(), packed.stream, plain.arguments[-2], Output())
    header, kind = f"{_NAME}.h", "part" if plain.rows.units > 1 else "row"
    return replace(
        plain,
        function=_NAME if plain.function else "",
        header=header,
        arguments=arguments,
        cycles=_cycles(op, site, packed),
        rows=replace(plain.rows, function=f"{_NAME}_{kind}", header=header, arguments=by_rows),
    )


# -- cycles -----------------------------------------------------------------------------------------

# Of 4 channels and a pixel of windows that stay where they are, fitted to the model of the Cortex-M4.
_QUAD_CYCLES = 20.5
_REST_QUAD_CYCLES = 18  # of a single pair of channels
_BYTES_CYCLES = 28  # a quad that ends a row
_ROUND_CYCLES = 5.5
_ROW_CYCLES = 30
_PIXEL_CYCLES = 70
_LONG = 32  # PACKED_LONG: quads from which on there are rounds of 8
_TFLITE_CYCLES = 4  # more for each value that is scaled


def _cycles(op: Conv, site: Site, packed: Packed) -> int:
    """Of the whole layer."""
    pool, (out_h, out_w) = op.pool or Window((1, 1)), hw(site.y.shape)
    pixels, outputs = out_h * out_w * prod(pool.kernel), site.y.shape[-1]
    if _straight(op, site):
        pixel = ones_cycles(op, outputs, packed)
    elif _gathers(op, site):
        pixel = ones_cycles(op, outputs, packed) + copy_cycles(op)
    else:
        pixel = _rows_cycles(op, outputs, _run(op, site))
    scaling = _TFLITE_CYCLES * outputs if site.rounding is Rounding.TFLITE else 0
    return int(pixels * (pixel + scaling))


def _rows_cycles(op: Conv, outputs: int, run: int) -> float:
    """Of one pixel, from rows of `run` values."""
    quads, rest = divmod(run, QUAD)
    rounds = quads // 8 + quads % 8 // 4 if quads >= _LONG else quads // 4
    loops = (rounds + quads % 4) * _ROUND_CYCLES + _ROW_CYCLES + (_BYTES_CYCLES if rest else 0)
    height = op.window.kernel[0]
    four = height * (quads * _QUAD_CYCLES + loops) + _PIXEL_CYCLES
    pair = height * (quads * _REST_QUAD_CYCLES + loops) + _PIXEL_CYCLES
    return outputs // BLOCK * four + (outputs % BLOCK + 1) // 2 * pair
