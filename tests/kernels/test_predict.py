"""Predicted cycles: what calls do, what a core takes for it, and the file of factors."""

import tomllib
from dataclasses import replace

import pytest

from kernels.support import layer
from pingponnx.calls import ALL_ROWS, Call, Rows
from pingponnx.kernels import candidates, estimated, predict
from pingponnx.kernels.predict import FILE, amounts, core_of, cycles, predicted
from pingponnx.ops.conv import Conv
from pingponnx.ops.window import Window
from pingponnx.targets import Target, get_target

TABLES = tomllib.loads(FILE.read_text(encoding="utf-8"))
LAYER = layer(Conv(Window((3, 3), pads=(1, 1, 1, 1))), (1, 6, 5, 8), (4, 8, 3, 3))
SITE = LAYER.site


def _core(*flags: str, dsp: bool = False, mve: bool = False) -> Target:
    return replace(get_target("cortex-m3"), flags=flags, dsp=dsp, mve=mve)


def test_amounts_of_both_forms() -> None:
    whole = Call("k", "k.h", (), macs=70, cycles=900)
    found = amounts(whole, whole, SITE)
    assert found == {
        "estimate": 900,
        "products": 70,
        "outputs": 6 * 5 * 4,
        "pixels": 6 * 5,
        "inputs": 6 * 5 * 8,
        "units": 1,
        "once": 1,
    }
    for units, want in ((1, 6), (2, 12), (ALL_ROWS, 6)):
        rows = Rows("k_row", "k.h", (), {}, units=units)
        assert amounts(whole, rows, SITE)["units"] == want


def test_each_form_has_factors_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {"cortex-m3": {"k": {"estimate": 0.5, "once": 7}, "k_row": {"units": 100}}}
    monkeypatch.setattr(predict, "_tables", lambda: table)
    call = Call("k", "k.h", (), cycles=900, rows=Rows("k_row", "k.h", (), {}))
    found = predicted(call, SITE, get_target("cortex-m3"))
    assert found.predicted(by_rows=False) == 457
    assert found.predicted(by_rows=True) == 600
    only_rows = predicted(replace(call, function=""), SITE, get_target("cortex-m3"))
    assert only_rows.cycles == 600
    unknown = predicted(Call("other", "k.h", (), cycles=900), SITE, get_target("cortex-m3"))
    assert unknown.cycles == 900


def test_other_cores_use_the_factors_of_the_most_similar_one() -> None:
    assert core_of(get_target("cortex-m7")) == "cortex-m7"
    assert core_of(_core("-mcpu=cortex-m0plus")) == "cortex-m0"
    assert core_of(_core("-mcpu=cortex-m23")) == "cortex-m0"
    assert core_of(_core("-mcpu=sc300")) == "cortex-m3"
    assert core_of(_core("-mcpu=cortex-m35p", dsp=True)) == "cortex-m4"
    assert core_of(_core("-mcpu=cortex-m85", dsp=True, mve=True)) == "cortex-m55"


@pytest.mark.parametrize("core", TABLES)
def test_factors_are_of_amounts_and_not_negative(core: str) -> None:
    known = amounts(Call("k", "k.h", ()), Call("k", "k.h", ()), SITE)
    assert get_target(core)
    for factors in TABLES[core].values():
        assert factors.keys() <= known.keys()
        assert all(value > 0 for value in factors.values())


def test_candidates_have_predictions() -> None:
    target = get_target("cortex-m7")
    before, after = estimated(LAYER.op, SITE, target), candidates(LAYER.op, SITE, target)
    assert [c.function for c in before] == [c.function for c in after]
    factors = TABLES["cortex-m7"]
    for was, now in zip(before, after, strict=True):
        if now.function in factors:
            assert now.cycles == round(cycles(factors[now.function], amounts(was, was, SITE)))
            assert now.cycles != was.cycles
