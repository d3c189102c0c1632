"""Which kernels goals and budgets choose."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from models import converted, make_model, make_node, save
from pingponnx.errors import BudgetError
from pingponnx.pipeline import Conversion, Options, convert, normal_form
from pingponnx.select import Goal

LENET = "lenet5/lenet5_int8.onnx"


def _made(path: Path, **changes: Any) -> Conversion:
    return converted(path, target="cortex-m4", **changes)


def _cycles(conversion: Conversion) -> int:
    return sum(call.cycles for call in conversion.calls if call)


def _constants(conversion: Conversion) -> int:
    return sum(call.constants for call in conversion.calls if call)


@pytest.fixture(scope="module")
def path(examples: Path) -> Path:
    return examples / LENET


@pytest.fixture(scope="module")
def free(path: Path) -> Mapping[Goal, Conversion]:
    """By goal, without budgets."""
    return {goal: _made(path, goal=goal) for goal in Goal}


def test_goals_get_what_they_favour(free: Mapping[Goal, Conversion]) -> None:
    arenas = {goal: found.plan.arena for goal, found in free.items()}
    cycles = {goal: _cycles(found) for goal, found in free.items()}
    assert arenas[Goal.RAM] < arenas[Goal.BALANCED] <= arenas[Goal.CYCLES]
    assert cycles[Goal.CYCLES] <= cycles[Goal.BALANCED] < cycles[Goal.RAM]


@pytest.mark.parametrize("goal", Goal)
def test_an_arena_keeps_its_budget(goal: Goal, path: Path, free: Mapping[Goal, Conversion]) -> None:
    least, most = free[Goal.RAM].plan.arena, free[Goal.CYCLES].plan.arena
    for budget in (least, (least + most) // 2):
        assert _made(path, goal=goal, ram=budget).plan.arena <= budget
    with pytest.raises(BudgetError, match=f"takes {least:,} bytes of RAM, the budget is {least - 1:,}"):
        _made(path, goal=goal, ram=least - 1)


@pytest.mark.parametrize("goal", Goal)
def test_constants_keep_their_budget(goal: Goal, path: Path, free: Mapping[Goal, Conversion]) -> None:
    with pytest.raises(BudgetError, match="the budget is 1\n") as refused:
        _made(path, goal=goal, flash=1)
    least = int(re.sub(r"\D", "", str(refused.value).split("bytes")[0]))
    for budget in (least, (least + _constants(free[Goal.CYCLES])) // 2):
        assert least <= _constants(_made(path, goal=goal, flash=budget)) <= budget
    with pytest.raises(BudgetError, match=f"take {least:,} bytes at least, the budget is {least - 1:,}"):
        _made(path, goal=goal, flash=least - 1)


def test_both_budgets_hold_together(path: Path, free: Mapping[Goal, Conversion]) -> None:
    ram, flash = free[Goal.BALANCED].plan.arena, _constants(free[Goal.BALANCED])
    found = _made(path, goal=Goal.CYCLES, ram=ram, flash=flash)
    assert found.plan.arena <= ram
    assert _constants(found) <= flash
    assert _cycles(found) < _cycles(free[Goal.RAM])


def test_an_error_says_when_fed_rows_would_fit(path: Path) -> None:
    with pytest.raises(BudgetError) as refused:
        _made(path, goal=Goal.RAM, ram=1100)
    assert "--input rows" in refused.value.hint


def test_weights_that_are_inputs_count_as_constants(tmp_path: Path) -> None:
    table = np.arange(160, dtype=np.float32).reshape(20, 8)
    index = onnx.helper.make_tensor_value_info("ids", onnx.TensorProto.INT64, [3])
    rows = onnx.helper.make_tensor_value_info("rows", onnx.TensorProto.FLOAT, [3, 8])
    node = onnx.helper.make_node("Gather", ["table", "ids"], ["rows"])
    stored = onnx.numpy_helper.from_array(table, "table")
    graph = onnx.helper.make_graph([node], "lookup", [index], [rows], [stored])
    path = tmp_path / "lookup.onnx"
    opsets = [onnx.helper.make_opsetid("", 18)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    with pytest.raises(BudgetError, match="constants take"):
        convert(normal_form(path, Options()), Options(flash=table.nbytes - 1))
    made = convert(normal_form(path, Options()), Options(flash=table.nbytes + 64))
    assert sum(call.constants for call in made.calls if call) >= table.nbytes


@pytest.mark.parametrize("goal", Goal)
def test_a_network_without_kernels_has_every_goal(goal: Goal, tmp_path: Path) -> None:
    shape = np.array([1, 20])
    model = make_model([make_node("Reshape", ["x", "s"], "y")], {"x": [1, 4, 5]}, ["y"], {"s": shape})
    assert _made(save(model, tmp_path / "model.onnx"), goal=goal).plan
