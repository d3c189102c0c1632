"""Normalization of int8 codes in integers only: what normalize_s8.h computes, and the constants it needs.

A group has `count` values v (codes less their mean, or less the zero point), and becomes

    v / sqrt(sum of v^2 / count + epsilon) * scale + shift,

in steps of the output. Multiplied by `count`, all of it but the root is whole numbers: with c = count * v and
the size s = (count * sum of v^2 + epsilon * count^2) * 2^widen it is c / sqrt(s) * 2^(widen / 2). The inverse
root comes from Newton's iteration in 32 bits. The 2-norm is the same with 1 for the counts.
"""

from dataclasses import dataclass
from math import frexp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pingponnx.fixed_point import clamp_s8
from pingponnx.ir import Array

LONGEST = 2**16  # values of a group, of which sums of squares fit 32 bits
_CODES = 255  # the largest distance of two codes
_SIZE_BITS = 61
_LEFT_BITS = 23  # of the count, shifted left: times 255 it fits 32 bits
_FRACTION = 20  # fraction bits of sums, at most: as additions have
_LEAST_FRACTION = 3
_SUM_BITS = 30


@dataclass(frozen=True, slots=True)
class Groups:
    """What is normalized: numbers of values, how they are centred, and what a code stands for."""

    count: int
    centred: bool  # on their mean, or on the zero point
    mean: bool  # of squares, or the sum
    scale: float
    zero_point: int
    epsilon: float


@dataclass(frozen=True, slots=True, eq=False)
class Constants:
    """The fields of normalize_params_s8 after the geometry, and scales and shifts of places."""

    fields: dict[str, Any]
    scale: NDArray[np.int32]
    shift: NDArray[np.int32]  # with one half in it, by which sums are rounded


def constants(groups: Groups, scale: Array, shift: Array) -> Constants | str:
    """Of scales and shifts in steps of the output, its zero point in the shifts; or why there are none."""
    if groups.count > LONGEST:
        return f"statistics of more than {LONGEST} values"
    if not (np.isfinite(scale).all() and np.isfinite(shift).all() and 0 <= groups.epsilon < np.inf):
        return "its scale, shift or epsilon is not finite"
    factor = groups.count if groups.mean else 1
    epsilon = groups.epsilon * factor**2 / groups.scale**2
    widen = (_SIZE_BITS - _bits(max(factor * groups.count * _CODES**2, epsilon))) // 2 * 2
    steepest, furthest = (float(np.abs(a).max(initial=0.0)) for a in (scale, shift))
    fraction = min(_FRACTION, _SUM_BITS - _bits(factor**0.5 * steepest + furthest + 1))
    if widen < 0 or fraction < _LEAST_FRACTION:
        return "its epsilon, scale or shift is too large for int32"
    added = max(1, round(epsilon * 2.0**widen))
    left = _LEFT_BITS - (factor - 1).bit_length()
    # fraction bits of a product's high word, but for half of the size's; 31 more than a sum's at most
    exponent = min(31 - _bits(steepest) + left - widen // 2 - 34, fraction - 1)
    least = max(groups.count - 1, 1) if groups.centred else factor  # of what sizes are made of, but for 0
    if exponent + _half((least << widen) + added) < _LEAST_FRACTION:
        return "the output scale is so small that too few bits are left"
    bits = exponent - (left - widen // 2 - 34)
    fields = {
        "zero_point": 0 if groups.centred else groups.zero_point,
        "centred": int(groups.centred),
        "count": factor,
        "left": left,
        "widen": widen,
        "epsilon_high": added >> 32,
        "epsilon_low": added & 0xFFFFFFFF,
        "exponent": exponent,
        "fraction": fraction,
    }
    multipliers = np.minimum(np.rint(scale * 2.0**bits), 2**31 - 1).astype(np.int32)
    return Constants(fields, multipliers, np.rint((shift + 0.5) * 2.0**fraction).astype(np.int32))


def _bits(value: float) -> int:
    """n with value < 2^n."""
    return frexp(value)[1]


def _half(size: int) -> int:
    """Half of a size's bits, rounded up."""
    return (size.bit_length() + 1) // 2


def inverse_root(x: NDArray[np.int64]) -> NDArray[np.int64]:
    """2^62 / sqrt(2^32 x) for x from 2^30 to 2^32, off by 2 at most, and below 2^31."""
    y: NDArray[np.int64] = 2290001373 - ((x * 1308572213) >> 32)
    for _ in range(4):
        square = (y * y) >> 31
        product = (x * square) >> 32
        y = (y * ((3 << 29) - product)) >> 30
    return y


def normalize(known: Constants, codes: Array) -> NDArray[np.int8]:
    """int8 results of codes as `outer rows groups width`; scale and shift are as `groups width`, or one."""
    f = known.fields
    values = codes.astype(np.int64) - f["zero_point"]

    def total(array: Array) -> Array:
        found: Array = array.sum(axis=(1, 3), keepdims=True)
        return found

    added = (f["epsilon_high"] << 32) + f["epsilon_low"]
    centre = total(values) * f["centred"]
    size = ((f["count"] * total(values * values) - centre**2) << f["widen"]) + added
    half = _halves(size)
    top = np.where(half >= 16, size >> np.maximum(2 * half - 32, 0), size << np.maximum(32 - 2 * half, 0))
    bits = np.maximum(half + f["exponent"], 0)
    up, down = (np.maximum(sign * (bits - f["fraction"]), 0) for sign in (-1, 1))
    factor = (inverse_root(top) * known.scale.astype(np.int64)) >> 32
    product = (((values * f["count"] - centre) << f["left"]) * factor) >> 32
    return clamp_s8((((product << up) >> down) + known.shift.astype(np.int64)) >> f["fraction"])


def _halves(size: NDArray[np.int64]) -> NDArray[np.int64]:
    """`_half` of every size."""
    return np.array([_half(int(s)) for s in size.ravel()], np.int64).reshape(size.shape)
