"""Steps as loops: nothing is lost, and what is regular is short."""

from hypothesis import given
from hypothesis import strategies as st

from pingponnx.emit.fold import Loop, Program, fold, leaves


def unfold(program: Program) -> list[object]:
    """The steps that a program runs."""
    steps: list[object] = []
    for item in program:
        steps += unfold(item.body) * item.count if isinstance(item, Loop) else [item]
    return steps


@given(st.lists(st.sampled_from("abc"), max_size=60))
def test_loops_run_the_same_steps(steps: list[str]) -> None:
    program = fold(steps)
    assert unfold(program) == steps
    assert leaves(program) <= len(steps)


def test_a_prologue_a_period_and_an_epilogue() -> None:
    period = Loop(7, (Loop(2, ("a",)), "b"))
    assert fold(["p", *"aab" * 7, "e", "f"]) == ("p", period, "e", "f")
