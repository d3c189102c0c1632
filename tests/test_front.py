"""What `plan --pareto` shows: choices none of which is worse than another, each as `convert` makes it."""

import json
import shlex
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import command_line, converted
from pingponnx.decide import Budget
from pingponnx.errors import BudgetError
from pingponnx.front import Point, front
from pingponnx.ir import Graph
from pingponnx.pareto import not_dominated
from pingponnx.pipeline import Conversion, Options, normal_form
from pingponnx.report.front_chart import front_chart, front_rows
from pingponnx.select import Goal

LENET = "lenet5/lenet5_int8.onnx"


@pytest.fixture(scope="module")
def lenet(examples: Path) -> Graph:
    return normal_form(examples / LENET, Options())


@pytest.fixture(scope="module")
def points(lenet: Graph) -> tuple[Point, ...]:
    return front(lenet, Options())


def _costs(conversion: Conversion) -> tuple[int, int, int]:
    calls = {k: call for k, call in enumerate(conversion.calls) if call}
    cycles = sum(c.predicted(by_rows=k in conversion.plan.streamed) for k, c in calls.items())
    return conversion.plan.arena, sum(c.constants for c in calls.values()), cycles


# -- the front --------------------------------------------------------------------------------------

SMALL = st.integers(0, 4)
SOME = st.lists(st.builds(Point, st.sampled_from(Goal), st.just(Budget()), SMALL, SMALL, SMALL), max_size=12)


def _worse_or_equal(worse: Point, better: Point) -> bool:
    return all(a <= b for a, b in zip(better.costs, worse.costs, strict=True))


@given(SOME)
def test_what_is_left_out_is_no_better_than_something_kept(some: list[Point]) -> None:
    kept = not_dominated(some, lambda p: p.costs)
    assert all(any(_worse_or_equal(p, q) for q in kept) for p in some)
    assert not any(_worse_or_equal(p, q) for p in kept for q in kept if p is not q)


def test_there_is_something_to_choose(points: tuple[Point, ...]) -> None:
    assert len(points) >= 3
    assert list(points) == not_dominated(points, lambda p: p.costs)
    assert [p.cycles for p in points] == sorted(p.cycles for p in points)


def test_every_point_is_what_convert_makes_of_its_arguments(
    points: tuple[Point, ...], examples: Path
) -> None:
    for p in points:
        found = converted(
            examples / LENET, target="cortex-m4", goal=p.goal, ram=p.budget.ram, flash=p.budget.flash
        )
        assert _costs(found) == p.costs


@pytest.mark.parametrize("goal", Goal)
def test_no_goal_alone_is_better(goal: Goal, points: tuple[Point, ...], examples: Path) -> None:
    costs = _costs(converted(examples / LENET, target="cortex-m4", goal=goal))
    alone = Point(goal, Budget(), *costs)
    assert any(_worse_or_equal(alone, p) for p in points)


def test_budgets_hold_for_all_points(points: tuple[Point, ...], lenet: Graph) -> None:
    ram = sorted(p.arena for p in points)[len(points) // 2]
    flash = sorted(p.constants for p in points)[len(points) // 2]
    found = front(lenet, Options(ram=ram, flash=flash))
    assert found
    for point in found:
        assert point.arena <= ram
        assert point.constants <= flash


@pytest.mark.parametrize("budget", [{"ram": 100}, {"flash": 100}])
def test_budgets_that_nothing_keeps_are_refused(budget: dict[str, int], lenet: Graph) -> None:
    with pytest.raises(BudgetError, match="the budget is 100"):
        front(lenet, Options(**budget))  # type: ignore[arg-type]


# -- how it is shown --------------------------------------------------------------------------------


def test_the_picture_has_every_point_and_is_always_the_same(points: tuple[Point, ...]) -> None:
    first, second = (front_chart("net", Options(), points) for _ in range(2))
    assert first == second
    texts = [element.text or "" for element in ElementTree.fromstring(first).iter()]
    numbers = [int(n) for text in texts if "e" not in text for n in text.split(", ") if n.isdigit()]
    assert all(numbers.count(n) >= 2 for n in range(1, len(points) + 1))  # in both panels
    assert "http" not in first.replace("http://www.w3.org/", "")


def test_a_name_cannot_become_markup(points: tuple[Point, ...]) -> None:
    chart = front_chart('a<script>"b"\x1b', Options(), points)
    tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(chart).iter()}
    assert tags <= {"svg", "rect", "g", "path", "text", "line"}


def test_the_command_prints_and_draws(points: tuple[Point, ...], examples: Path, tmp_path: Path) -> None:
    drawing = tmp_path / "front.svg"
    arguments = ["plan", str(examples / LENET), "--pareto"]
    done = command_line(*arguments, "--map", str(drawing), "--json")
    found = json.loads(done.stdout)
    assert [(p["arena"], p["constants"], p["cycles"]) for p in found["points"]] == [p.costs for p in points]
    assert drawing.read_text() == front_chart("lenet5_int8", Options(), points)
    assert [row["how to get it"] for row in front_rows(points)] == [f"convert {p.arguments}" for p in points]
    assert all(shlex.split(p.arguments)[0] == "--goal" for p in points)
