"""The integer contract: rational models, scales at every edge, and kernel.h against Python."""

import subprocess
from fractions import Fraction
from math import floor, inf, nan
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pingponnx.errors import ModelError
from pingponnx.fixed_point import (
    INT32_MAX,
    Rounding,
    dequantize_array,
    quantize_array,
    requantize,
    requantizer,
)
from pingponnx.ir import Array, Quantization

ROOT = Path(__file__).resolve().parents[1]
INT32_MIN = -(2**31)
TFLITE = ["-DPINGPONNX_ROUNDING_TFLITE"]
accumulators = st.one_of(
    st.integers(INT32_MIN, INT32_MAX),
    st.integers(-70000, 70000),
    st.sampled_from([INT32_MIN, INT32_MIN + 1, -1, 0, 1, INT32_MAX - 1, INT32_MAX]),
)
multipliers = st.one_of(
    st.integers(2**30, INT32_MAX),
    st.sampled_from([2**30, 2**30 + 1, 3 * 2**29, INT32_MAX]),
    st.integers(0, 9),
)


def single_model(acc: int, multiplier: int, shift: int) -> int:
    """One rounding to nearest, ties upwards."""
    return floor(Fraction(acc * multiplier) / Fraction(2) ** (31 - shift) + Fraction(1, 2))


def tflite_model(acc: int, multiplier: int, shift: int) -> int:
    """A doubling high multiply, ties upwards; then a division by a power of two, ties away from zero."""
    high = floor(Fraction(acc * 2 ** max(shift, 0) * multiplier, 2**31) + Fraction(1, 2))
    scaled = Fraction(high, 2 ** max(-shift, 0))
    away = floor(abs(scaled) + Fraction(1, 2))
    return away if scaled >= 0 else -away


MODELS = {Rounding.SINGLE: single_model, Rounding.TFLITE: tflite_model}


def apply(acc: int, multiplier: int, shift: int, rounding: Rounding) -> int:
    return int(requantize(np.array(acc), np.array(multiplier), np.array(shift), rounding))


# -- requantize -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rounding", list(Rounding))
@settings(max_examples=400)
@given(acc=accumulators, multiplier=multipliers, shift=st.integers(-31, 0))
@example(acc=INT32_MIN, multiplier=INT32_MAX, shift=0)
@example(acc=INT32_MIN, multiplier=2**30, shift=-31)
@example(acc=-3, multiplier=2**30, shift=0)
def test_requantize_equals_the_rational_model(
    rounding: Rounding, acc: int, multiplier: int, shift: int
) -> None:
    assert apply(acc, multiplier, shift, rounding) == MODELS[rounding](acc, multiplier, shift)


@pytest.mark.parametrize("rounding", list(Rounding))
@given(data=st.data(), multiplier=st.integers(2**30, INT32_MAX), shift=st.integers(1, 30))
def test_requantize_upwards_equals_the_rational_model(
    rounding: Rounding, data: st.DataObject, multiplier: int, shift: int
) -> None:
    """Accumulators whose results stay in int32, which the converter guarantees."""
    limit = 2 ** (30 - shift)
    acc = data.draw(st.integers(-limit, limit))
    assert apply(acc, multiplier, shift, rounding) == MODELS[rounding](acc, multiplier, shift)


def test_where_the_roundings_differ() -> None:
    """Negative ties, and values whose first rounding made a tie of them."""
    acc = np.array([-6, -5, -3, -2, -1, 1, 2, 3, 5, 6])  # in quarters
    single, tflite = (requantizer(0.25, r).apply(acc).tolist() for r in Rounding)
    assert single == [-1, -1, -1, 0, 0, 0, 1, 1, 1, 2]
    assert tflite == [-2, -1, -1, -1, 0, 1, 1, 1, 2, 2]


# -- requantizer ------------------------------------------------------------------------------------

BELOW_HALF = [float(np.nextafter(0.5, 0)), 0.5 - 2.0**-33, 0.5 - 2.0**-34, 0.4999999]
SCALES = [1e-9, 2.0**-33, 2.0**-32, 1e-6, 0.001, 0.25, 0.3, *BELOW_HALF, 0.5, 0.75, 1.0, 1.5, 3.1, 100.0]


@pytest.mark.parametrize("precise", [False, True])
@pytest.mark.parametrize("rounding", list(Rounding))
@given(scale=st.one_of(st.sampled_from(SCALES), st.floats(1e-9, 100.0)))
def test_requantizer_is_as_close_as_its_bits_allow(precise: bool, rounding: Rounding, scale: float) -> None:
    found = requantizer(scale, rounding, precise=precise)
    multiplier, shift = int(found.multiplier[0]), int(found.shift[0])
    assert 0 <= multiplier <= INT32_MAX and -31 <= shift <= 30
    error = abs(Fraction(multiplier) * Fraction(2) ** (shift - 31) - Fraction(scale))
    significant = Fraction(scale) / 2**31 if precise or scale >= 0.5 else Fraction(0)
    assert error <= max(significant, Fraction(1, 2**33))
    if precise and scale >= 2**-32:  # below, the smallest shift is in force
        assert multiplier >= 2**30 and error <= significant
    if rounding is Rounding.TFLITE and scale >= 2**-32:
        assert multiplier >= 2**30


@given(st.one_of(st.sampled_from([s for s in SCALES if s < 0.5]), st.floats(1e-9, 0.4999)))
def test_the_plain_shift_is_that_of_scales_below_one_half(scale: float) -> None:
    found = requantizer(scale, Rounding.SINGLE)
    rounds_up = round(scale * 2**32) == 2**31
    assert found.plain != rounds_up
    assert int(found.multiplier[0]) == (2**30 if rounds_up else round(scale * 2**32))


@pytest.mark.parametrize(
    ("scale", "pair"),
    [
        (0.5, (2**30, 0)),
        (0.5 - 2.0**-34, (2**30, 0)),  # rounds to 2^31, which is one bit too many
        (0.5 - 2.0**-32, (INT32_MAX, -1)),
        (1.0, (2**30, 1)),
        (1.0 - 2.0**-53, (2**30, 1)),
        (0.75, (3 * 2**29, 0)),
        (100.0, (1677721600, 7)),
        (1e-9, (4, -1)),
        (2.0**-33, (0, -1)),
        (2.0**29, (2**30, 30)),
    ],
)
def test_pairs_at_the_edges(scale: float, pair: tuple[int, int]) -> None:
    found = requantizer(scale, Rounding.SINGLE)
    assert (int(found.multiplier[0]), int(found.shift[0])) == pair


def test_tflite_normalises_the_very_same_multiplier() -> None:
    for scale in SCALES:
        single, tflite = (requantizer(scale, r) for r in (Rounding.SINGLE, Rounding.TFLITE))
        product = [int(r.multiplier[0]) * Fraction(2) ** int(r.shift[0]) for r in (single, tflite)]
        assert product[0] == product[1]


def test_one_channel_of_a_vector_is_its_own() -> None:
    found = requantizer(np.array(SCALES), Rounding.SINGLE)
    alone = [requantizer(s, Rounding.SINGLE) for s in SCALES]
    assert found.multiplier.tolist() == [int(a.multiplier[0]) for a in alone]
    assert found.shift.tolist() == [int(a.shift[0]) for a in alone]
    assert not found.plain


@pytest.mark.parametrize("scale", [0.0, -0.5, inf, nan, 2.0**29 * 1.0001, 2.0**30])
def test_scales_out_of_range_are_refused(scale: float) -> None:
    for precise in (False, True):
        with pytest.raises(ModelError, match="out of range"):
            requantizer(scale, Rounding.SINGLE, precise=precise)


# -- quantize_array ---------------------------------------------------------------------------------


@given(st.integers(-128, 127), st.floats(-300, 300, width=32), st.sampled_from([1.0, 0.05, 0.3, 1e-30, 1e30]))
def test_quantize_is_the_nearest_code(zero: int, steps: float, scale: float) -> None:
    q = Quantization(np.array([scale], np.float32), np.array([zero], np.int32))
    real = np.float32(steps) * q.s
    code = int(quantize_array(np.array(real), q))
    exact = Fraction(float(real)) / Fraction(float(q.s)) + zero
    clipped = min(max(exact, Fraction(-128)), Fraction(127))
    assert abs(code - clipped) <= Fraction(1, 2) + Fraction(1, 10**4)


def test_dequantize_and_quantize_return_every_code() -> None:
    codes = np.arange(-128, 128, dtype=np.int8)
    for scale in (1e-38, 1e-9, 0.05, 1 / 3, 7.0, 1e36):
        for zero in (-128, 0, 127):
            q = Quantization(np.array([scale], np.float32), np.array([zero], np.int32))
            np.testing.assert_array_equal(quantize_array(dequantize_array(codes, q), q), codes)


# -- kernel.h ---------------------------------------------------------------------------------------

DRIVER = """
#include <stdio.h>
#include "kernel.h"
#include "quantize_s8.h"
int main(void) {
    int32_t n[3];
    while (fread(n, sizeof n, 1, stdin) == 1) {
        int32_t y = requantize(n[0], n[1], n[2]);
        fwrite(&y, sizeof y, 1, stdout);
    }
    return 0;
}
"""
QUANTIZE = """
#include <stdio.h>
#include "quantize_s8.h"
int main(void) {
    struct { float real, scale; int32_t zero; } n;
    while (fread(&n, sizeof n, 1, stdin) == 1) {
        int8_t y = quantize_value_s8(n.real, n.scale, n.zero);
        fwrite(&y, sizeof y, 1, stdout);
    }
    return 0;
}
"""


def _program(source: str, folder: Path, *flags: str) -> Path:
    (folder / "driver.c").write_text(source)
    warn = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
    sanitize = ["-fsanitize=undefined,float-cast-overflow", "-fno-sanitize-recover=all"]
    command = ["cc", *warn, *sanitize, f"-I{ROOT / 'runtime_c'}", *flags, "driver.c", "-o", "driver", "-lm"]
    subprocess.run(command, cwd=folder, check=True, timeout=60)
    return folder / "driver"


def _answers(program: Path, data: bytes, dtype: type) -> Array:
    done = subprocess.run([str(program)], input=data, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return np.frombuffer(done.stdout, dtype)


def _triples(rounding: Rounding) -> Array:
    """Accumulators, multipliers and shifts: random ones, and all combinations of extremes, that fit int32."""
    rng = np.random.default_rng(101)
    count = 20000
    acc = rng.integers(INT32_MIN, 2**31, count) >> rng.integers(0, 31, count)
    random = np.stack([acc, rng.integers(2**30, 2**31, count), rng.integers(-31, 31, count)], axis=1)
    ends = [INT32_MIN, INT32_MIN + 1, -(2**30), -3, -2, -1, 0, 1, 2, 3, 2**30, INT32_MAX - 1, INT32_MAX]
    edges = [0, 1, 4, 2**30, 2**30 + 1, 3 * 2**29, INT32_MAX - 1, INT32_MAX]
    extreme = np.array([(a, m, s) for a in ends for m in edges for s in range(-31, 31)])
    triples = np.concatenate([random, extreme])
    acc, multiplier, shift = triples.T
    fits = np.abs(acc.astype(np.float64) * multiplier) * 2.0 ** (shift - 31) < 2**31 - 1
    if rounding is Rounding.TFLITE:  # the multiplier of a left shift is normalised
        fits &= (shift <= 0) | (multiplier >= 2**30)
    return triples[fits]


@pytest.mark.parametrize("rounding", list(Rounding))
def test_kernel_h_equals_python(tmp_path: Path, rounding: Rounding) -> None:
    triples = _triples(rounding)
    assert len(triples) > 15000 and set(triples[:, 2]) == set(range(-31, 31))
    program = _program(DRIVER, tmp_path, *(TFLITE if rounding is Rounding.TFLITE else []))
    got = _answers(program, triples.astype(np.int32).tobytes(), np.int32)
    np.testing.assert_array_equal(got, requantize(*triples.T, rounding))


def test_quantize_value_equals_rint(tmp_path: Path) -> None:
    rng = np.random.default_rng(102)
    steps = np.concatenate([np.arange(-1200, 1200) * 0.5, rng.normal(size=2000) * 90]).astype(np.float32)
    above, below = (np.nextafter(steps, np.float32(end)) for end in (inf, -inf))
    extremes = np.array(
        [inf, -inf, nan, 3.4e38, -3.4e38, 1e-45, -0.0, 2**22, 2**23 + 1, -(2**24)], np.float32
    )
    reals = np.concatenate([steps, above, below, extremes])
    program = _program(QUANTIZE, tmp_path)
    for scale in (1.0, 0.1, 1e-38, 1e30):
        for zero in (-128, 0, 3, 127):
            q = Quantization(np.array([scale], np.float32), np.array([zero], np.int32))
            with np.errstate(over="ignore"):
                scaled = reals if scale == 1.0 else reals * q.s
            table = np.zeros(len(scaled), [("real", "<f4"), ("scale", "<f4"), ("zero", "<i4")])
            table["real"], table["scale"], table["zero"] = scaled, q.s, zero
            got = _answers(program, table.tobytes(), np.int8)
            np.testing.assert_array_equal(got, quantize_array(scaled, q))
            finite = np.isfinite(scaled) & (np.abs(scaled) < 1e9)
            if scale == 1.0:
                want = np.clip(np.rint(scaled[finite]).astype(np.int64) + zero, -128, 127)
                np.testing.assert_array_equal(got[finite], want)
