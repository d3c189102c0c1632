"""Convolution with packed weights and without scratch (runtime_c/conv_direct_s8.h): windows stay where they are.

Slower than with a column of two pixels (kernels.packed), but it costs no byte of the arena.
"""

from collections.abc import Iterator
from dataclasses import replace
from math import prod

from pingponnx.calls import Argument, Call, First, Input, Output, RowPointers, Struct
from pingponnx.fixed_point import Rounding
from pingponnx.kernels import kernels_for
from pingponnx.kernels.packed import BLOCK, QUAD, Packed, pack
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
    packed = pack(op.lower(site), site, run=0 if _gathers(op, site) else _run(op, site))
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


def _gathers(op: Conv, site: Site) -> bool:
    """True when windows are put together on the stack."""
    kernel = op.window.kernel
    return kernel[0] > 1 and -(-kernel[0] * _run(op, site) // QUAD) * QUAD <= _WINDOW


def _instead(plain: Call, op: Conv, site: Site, packed: Packed) -> Call:
    """The plain kernel's call with packed weights."""
    old = plain.arguments[0]
    assert isinstance(old, Struct) and plain.rows is not None
    fields = {k: v for k, v in old.fields.items() if k != "channel_step"}
    gathers = _gathers(op, site)
    quads = packed.quads if gathers else packed.quads // op.window.kernel[0]
    more = {"quads": quads, "unroll": int(gathers), "apart": int(any(op.window.pads))}
    params = Struct("conv_packed_params_s8", fields | more)
    first = (First(),) if plain.rows.units > 1 else ()
    by_rows = (params, RowPointers(), packed.stream, *first, Output())
    whole: tuple[Argument, ...] = by_rows
    if plain.function:
        whole = (params, Input(), packed.stream, plain.arguments[-2], Output())
    header, kind = f"{_NAME}.h", "part" if plain.rows.units > 1 else "row"
    return replace(
        plain,
        function=_NAME if plain.function else "",
        header=header,
        arguments=whole,
        cycles=_cycles(op, site, packed),
        rows=replace(plain.rows, function=f"{_NAME}_{kind}", header=header, arguments=by_rows),
    )


# -- cycles -----------------------------------------------------------------------------------------

# Of 4 channels and a pixel, fitted to what the model of the Cortex-M4 counts.
_QUAD_CYCLES = 22
_REST_QUAD_CYCLES = 18  # of a single pair of channels
_BYTES_CYCLES = 60  # a quad of which some values are not inside of a row, or behind it
_RUN_CYCLES = 20  # a row of a window
_EDGE_CYCLES = 50  # more, where some of it is padding
_PIXEL_CYCLES = 22
_OUTPUT_CYCLES = 9
_TFLITE_CYCLES = 4  # more for each value that is scaled


def _cycles(op: Conv, site: Site, packed: Packed) -> int:
    """Of the whole layer."""
    pool, (kh, kw) = op.pool or Window((1, 1)), op.window.kernel
    (out_h, out_w), outputs, run = hw(site.y.shape), site.y.shape[-1], kw * site.x.shape[-1]
    lines, columns = out_h * pool.kernel[0], out_w * pool.kernel[1]
    fours, pairs = outputs // BLOCK, (outputs % BLOCK + 1) // 2
    quads = run // QUAD
    row = _RUN_CYCLES + (_BYTES_CYCLES if run % QUAD else 0)
    four = kh * (quads * _QUAD_CYCLES + row) + _PIXEL_CYCLES
    pair = kh * (quads * _REST_QUAD_CYCLES + row) + _PIXEL_CYCLES
    scaling = _OUTPUT_CYCLES + (_TFLITE_CYCLES if site.rounding is Rounding.TFLITE else 0)
    return lines * columns * (fours * four + pairs * pair) + site.y.size * scaling
