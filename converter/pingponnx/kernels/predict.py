"""Predicted cycles: how much a call has to do, times what that takes on a core (predictions.toml).

What a kernel's module says of its cycles is an estimate, right for the core it was written on. Each form of a
kernel, as a whole and by rows, has factors for it and for other amounts, fitted to measured layers by
tools/calibrate.py. Kernels without factors keep their estimate.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from pingponnx.calls import ALL_ROWS, Call, Rows, rows_of
from pingponnx.ops import Site
from pingponnx.targets import Target

FILE = Path(__file__).with_name("predictions.toml")

Amounts = Mapping[str, float]


def predicted(call: Call, site: Site, target: Target) -> Call:
    """The call with predicted cycles of both of its forms."""
    if target.is_host:
        return call
    factors = _factors(core_of(target))

    def of(form: Call | Rows) -> int:
        known = factors.get(form.function)
        return call.cycles if known is None else round(cycles(known, amounts(call, form, site)))

    by_rows = call.rows and of(call.rows)
    whole = of(call) if call.function else by_rows or 0
    return replace(call, cycles=whole, rows=call.rows and replace(call.rows, cycles=by_rows or 0))


def cycles(factors: Amounts, found: Amounts) -> float:
    """What amounts take."""
    return sum(factor * found[name] for name, factor in factors.items())


def amounts(call: Call, form: Call | Rows, site: Site) -> Amounts:
    """What a form of a call does; `call` still has its estimate.

    A pixel is all channels of an output; a unit is a call of the kernel: see calls.Rows.
    """
    x, y = site.x, site.y
    units = 1
    if isinstance(form, Rows):
        samples, rows, _ = rows_of(x.shape if form.units == ALL_ROWS else y.shape)
        units = samples * rows * max(form.units, 1)
    return {
        "estimate": call.cycles,
        "products": call.macs,
        "outputs": y.size,
        "pixels": y.size // y.shape[-1],
        "inputs": x.size,
        "units": units,
        "once": 1,
    }


def core_of(target: Target) -> str:
    """The core whose factors are used: the target's, or the one most like it."""
    core = next((flag.removeprefix("-mcpu=") for flag in target.flags if flag.startswith("-mcpu=")), "")
    if core in _tables():
        return core
    if target.mve:
        return "cortex-m55"
    if target.dsp:
        return "cortex-m4"
    return "cortex-m0" if core in _NARROW else "cortex-m3"


_NARROW = ("cortex-m0plus", "cortex-m1", "cortex-m23")


def _factors(core: str) -> Mapping[str, Amounts]:
    return _tables().get(core, {})


@cache
def _tables() -> Mapping[str, Mapping[str, Amounts]]:
    """By core and by function."""
    return tomllib.loads(FILE.read_text(encoding="utf-8"))
