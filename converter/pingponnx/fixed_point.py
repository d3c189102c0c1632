"""The integer contract, mirrored by runtime_c/kernel.h and explained in docs/integer-contract.md.

A layer's real scale becomes a pair (multiplier m, shift s) with scale = m * 2**(s - 31). Accumulators are
int32. Two ways to scale one back to a few bits:

- single: (acc * m + 2**(30 - s)) >> (31 - s), one rounding, ties upwards. Scales below 0.5 use s = -1, so
  m = round(scale * 2**32) and the formula is (acc * m + 2**31) >> 32: two instructions on DSP cores.
- tflite: saturating doubling high multiply, then a rounding right shift (gemmlowp's
  SaturatingRoundingDoublingHighMul and RoundingDivideByPOT; CMSIS-NN's default). It uses the very same m,
  normalised to 2**30 <= m < 2**31.

Int16 layers round once under either, in 64 bits: `wide_requantizer` gives m as many bits as fit beside the
layer's largest accumulator (31 where that is an int32), and TFLite's 15 under tflite.
"""

from dataclasses import dataclass
from enum import StrEnum
from math import frexp, ldexp

import numpy as np
from numpy.typing import NDArray

from pingponnx.errors import ModelError
from pingponnx.ir import Array, DType, Quantization

INT32_MAX = 2**31 - 1
S8_MIN, S8_MAX = -128, 127
_SINGLE_SHIFT = -1  # s of every scale below 0.5 under single rounding
_MIN_SHIFT = -31  # the smallest shift CMSIS-NN takes
_TFLITE_WIDE_BITS = 15  # of the multiplier of a 64-bit accumulator: TFLite drops the lower half of 31
_FLOAT32_NOISE = 2.0**-22  # onnxruntime rounds four times, by 2**-24 each: inputs, result, division
_MAX_SCALE = 2.0**29  # a shift of 30, and one bit is left to round by
_WIDE_MAX = 2.0**46  # leaves an accumulator's multiplier 15 bits


class Rounding(StrEnum):
    """How an accumulator is scaled back."""

    SINGLE = "single"
    TFLITE = "tflite"


@dataclass(frozen=True, slots=True, eq=False)
class Requantizer:
    """Multipliers (int32) and shifts (int32, CMSIS-NN's sign: negative = right), one per channel."""

    multiplier: NDArray[np.int32]
    shift: NDArray[np.int32]
    rounding: Rounding

    @property
    def plain(self) -> bool:
        """True when every shift is the single-rounding default, so that no shift table is needed."""
        return self.rounding is Rounding.SINGLE and bool((self.shift == _SINGLE_SHIFT).all())

    def apply(self, accumulator: Array) -> NDArray[np.int64]:
        """Scale accumulators whose last axis is the channel (or broadcasts with one channel)."""
        return requantize(accumulator, self.multiplier, self.shift, self.rounding)


def requantizer(scale: Array | float, rounding: Rounding, *, precise: bool = False) -> Requantizer:
    """Multipliers and shifts of real scales (float64, positive).

    `precise` keeps 31 significant bits at any scale, for accumulators that are scaled down by far more
    than a layer's are (an addition's have 20 extra bits); it needs a shift of its own under any rounding.
    """
    scales = [float(s) for s in np.atleast_1d(np.asarray(scale, np.float64))]
    pairs = [_precise_multiplier(s) if precise else _multiplier(s) for s in scales]
    if rounding is Rounding.TFLITE:
        pairs = [_normalise(m, s) for m, s in pairs]
    return Requantizer(
        np.array([m for m, _ in pairs], np.int32), np.array([s for _, s in pairs], np.int32), rounding
    )


def _multiplier(scale: float) -> tuple[int, int]:
    if not (0.0 < scale <= _MAX_SCALE):
        raise ModelError(f"requantization scale {scale!r} is out of range", "check the model's scales")
    shift = _SINGLE_SHIFT
    while round(scale * 2.0 ** (31 - shift)) > INT32_MAX:
        shift += 1
    return round(scale * 2.0 ** (31 - shift)), shift


def _precise_multiplier(scale: float) -> tuple[int, int]:
    multiplier, shift = _multiplier(scale)
    while multiplier < 2**30 and shift > _MIN_SHIFT:
        shift -= 1
        multiplier = round(scale * 2.0 ** (31 - shift))
    return (multiplier, shift) if multiplier <= INT32_MAX else (2**30, shift + 1)


def _normalise(multiplier: int, shift: int) -> tuple[int, int]:
    while 0 < multiplier < 2**30 and shift > _MIN_SHIFT:
        multiplier, shift = multiplier * 2, shift - 1
    return multiplier, shift


def wide_requantizer(scale: Array | float, worst: Array | float, rounding: Rounding) -> Requantizer:
    """Multipliers and shifts of int16 layers whose accumulators are at most `worst`, for one rounding.

    Each multiplier has as many bits as leave the product with its accumulator in 63 bits, at most 31; under
    tflite the 15 that are left of TFLite's own when it scales 64-bit accumulators. Scales come from layers
    that `wide_overflow` lets pass.
    """
    scales = np.atleast_1d(np.asarray(scale, np.float64))
    pairs = []
    for s, most in zip(scales, np.broadcast_to(np.asarray(worst, np.float64), scales.shape), strict=True):
        bits = 31 if rounding is Rounding.SINGLE else _TFLITE_WIDE_BITS
        pairs.append(_wide_multiplier(float(s), min(bits, 62 - int(max(most, 1.0)).bit_length())))
    return Requantizer(
        np.array([m for m, _ in pairs], np.int32), np.array([s for _, s in pairs], np.int32), Rounding.SINGLE
    )


def _wide_multiplier(scale: float, bits: int) -> tuple[int, int]:
    """(m, s) with scale = m * 2**(s - 31) and m of `bits` bits, or fewer where s would be below -31."""
    _, exponent = frexp(scale)  # scale < 2**exponent
    shift = min(max(exponent + 31 - bits, _MIN_SHIFT), 30)
    multiplier = round(ldexp(scale, 31 - shift))
    return (2 ** (bits - 1), shift + 1) if multiplier == 2**bits else (multiplier, shift)


def wide_overflow(scale: Array | float, worst: Array | float) -> str:
    """Why sums of at most `worst` cannot be scaled by `wide_requantizer`; empty when they can."""
    if np.max(worst, initial=0) > _WIDE_MAX:
        return "a 64-bit accumulator could overflow"
    if np.max(np.maximum(worst, 1) * np.asarray(scale, np.float64), initial=0) > INT32_MAX // 2:
        return "the output scale is so small that int32 results could overflow"
    return ""


def requantize(accumulator: Array, multiplier: Array, shift: Array, rounding: Rounding) -> NDArray[np.int64]:
    """`accumulator` scaled by multiplier * 2**(shift - 31), as int64, by the given rounding."""
    acc = np.asarray(accumulator, np.int64)
    m, s = np.asarray(multiplier, np.int64), np.asarray(shift, np.int64)
    if rounding is Rounding.SINGLE:
        total = 31 - s
        once: NDArray[np.int64] = (acc * m + (np.int64(1) << (total - 1))) >> total
        return once
    high = ((acc << np.maximum(s, 0)) * m + (1 << 30)) >> 31
    exponent = np.maximum(-s, 0)
    mask = (np.int64(1) << exponent) - 1
    result = high >> exponent
    threshold = (mask >> 1) + (result < 0)
    rounded: NDArray[np.int64] = result + ((high & mask) > threshold)
    return rounded


def clamp_s8(values: Array, low: int = S8_MIN, high: int = S8_MAX) -> NDArray[np.int8]:
    return np.clip(values, low, high).astype(np.int8)


def code_range(dtype: DType) -> tuple[int, int]:
    """The smallest and the largest code of a quantized type."""
    info = np.iinfo(dtype.numpy)
    return int(info.min), int(info.max)


def widest(q: Quantization, dtype: DType) -> int:
    """The largest magnitude of a code less its zero point, per tensor."""
    low, high = code_range(dtype)
    return max(high - q.z, q.z - low)


def quantize_array(
    values: Array, q: Quantization, low: int = S8_MIN, high: int = S8_MAX
) -> NDArray[np.int64]:
    """ONNX QuantizeLinear, per tensor: float32 division, round half to even, add the zero point, clamp.

    NaN becomes the smallest code, as in onnxruntime.
    """
    with np.errstate(over="ignore"):
        scaled = np.rint(np.asarray(values, np.float32) / q.s)
    scaled = np.nan_to_num(scaled.astype(np.float64), nan=-1e9, posinf=1e9, neginf=-1e9)
    codes: NDArray[np.int64] = np.clip(scaled + q.z, low, high).astype(np.int64)
    return codes


def dequantize_array(values: Array, q: Quantization) -> NDArray[np.float32]:
    """ONNX DequantizeLinear, per tensor: (q - zero_point) * scale in float32."""
    return (values.astype(np.int32) - q.z).astype(np.float32) * q.s


def halfway(steps: Array, terms: Array) -> NDArray[np.bool_]:
    """Where exact results, in steps of the output, are so close to halfway between two whole numbers that
    float32 noise decides how they round; `terms` are the magnitudes that were summed."""
    found: NDArray[np.bool_] = np.abs(steps - np.floor(steps) - 0.5) <= terms * _FLOAT32_NOISE
    return found
