"""Addition of int8 tensors of one shape (runtime_c/add_fast_s8.h)."""

from collections.abc import Iterator

from pingponnx.calls import Call, Input, Output, Rows, RowWindow, Struct, rows_of
from pingponnx.fixed_point import S8_MAX, S8_MIN, Rounding
from pingponnx.kernels import kernels_for
from pingponnx.ops import Site
from pingponnx.ops.binary import Add
from pingponnx.ops.linear import clamp_bounds
from pingponnx.targets import Target

_NAME = "add_fast_s8"
_HALF = (2**30, 0)  # multiplier and shift of the operand that has the larger scale
_SHIFT_B = -21  # the smallest that is taken: b is shifted left by the rest of 21 bits
_SHIFT_Y = -24  # the zero point has to fit above the bits that are dropped


@kernels_for(Add)
def add(op: Add, site: Site, target: Target) -> Iterator[Call]:
    """The larger scale's operand comes first."""
    if not _long_products(target) or not site.quantized or not _one_shape(site):
        return
    fields = op.integer_fields(site)
    scales = [(int(fields[f"multiplier_{n}"]), int(fields[f"shift_{n}"])) for n in "aby"]
    if _HALF not in scales[:2]:
        return
    a = scales.index(_HALF)
    b = 1 - a
    (multiplier_b, shift_b), (multiplier_y, shift_y) = scales[b], scales[2]
    if not _simple(site.rounding, shift_b, shift_y):
        return
    qa, qb, qy = (t.quantization for t in (site.inputs[a], site.inputs[b], site.y) if t)
    assert qa and qb and qy
    low, high = clamp_bounds(op.low, op.high, qy)
    numbers = {
        "zero_a": qa.z,
        "zero_b": qb.z,
        "zero_y": qy.z,
        "low": low,
        "high": high,
        "multiplier_b": multiplier_b,
        "shift_b": shift_b,
        "multiplier_y": multiplier_y,
        "shift_y": shift_y,
    }

    def arguments(count: int) -> tuple[Struct, Input, Input, Output]:
        return Struct("add_fast_params_s8", {"count": count} | numbers), Input(a), Input(b), Output()

    header = f"{_NAME}.h"
    yield Call(
        _NAME,
        header,
        arguments(site.y.size),
        overlap={0: 0, 1: 0},
        cycles=_cycles(site, target, (low, high) != (S8_MIN, S8_MAX)),
        rows=Rows(
            _NAME,
            header,
            arguments(rows_of(site.y.shape)[2]),
            {0: RowWindow(), 1: RowWindow()},
            elementwise=True,
        ),
    )


def _one_shape(site: Site) -> bool:
    return all(t is not None and not t.constant and t.shape == site.y.shape for t in site.inputs)


def _simple(rounding: Rounding, shift_b: int, shift_y: int) -> bool:
    """True when no number leaves 32 bits: values are 9 bits, sums of both 29."""
    if rounding is Rounding.TFLITE:
        return shift_b < 0 and shift_y < 0
    return shift_b >= _SHIFT_B and _SHIFT_Y <= shift_y <= -2


# -- cycles -----------------------------------------------------------------------------------------

_VALUES = {Rounding.SINGLE: 14, Rounding.TFLITE: 20}  # of a value
_VALUES_WITHOUT_DSP = {Rounding.SINGLE: 29, Rounding.TFLITE: 52}
_CLAMP = 5


def _long_products(target: Target) -> bool:
    """False for cores that call a library for products of 64 bits; there the plain kernel is faster."""
    return not target.is_host and not any(flag.startswith("-mcpu=cortex-m0") for flag in target.flags)


def _cycles(site: Site, target: Target, clamps: bool) -> int:
    values = _VALUES if target.dsp and not target.mve else _VALUES_WITHOUT_DSP
    return site.y.size * (values[site.rounding] + (_CLAMP if clamps else 0))
