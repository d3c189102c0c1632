"""The verifier of memory plans: right plans pass, and every way to spoil one is found and named."""

import ast
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pingponnx.plan.replay
from pingponnx.calls import RowWindow
from pingponnx.errors import MemoryPlanError
from pingponnx.ir import DType
from pingponnx.plan.replay import verify_plan
from pingponnx.plan.schedule import Bank, InputMode, Plan, Ring, Segment, Step
from replay_cases import CASES, SAME, Case, streamed, with_blocks
from replay_machine import outputs

Edit = Callable[[Case], Case]

F32 = DType.F32


def _verify(case: Case) -> None:
    verify_plan(case.graph, case.calls, case.plan)


def _accepted(case: Case) -> bool:
    try:
        _verify(case)
    except MemoryPlanError:
        return False
    return True


# -- edits of a case --------------------------------------------------------------------------------


def plan(**changes: Any) -> Edit:
    """Other fields of the plan; the blocks follow."""
    return lambda case: replace(case, plan=with_blocks(case.graph, case.calls, replace(case.plan, **changes)))


def bare(**changes: Any) -> Edit:
    """Other fields of the plan; the blocks stay as they are."""
    return lambda case: replace(case, plan=replace(case.plan, **changes))


def at(arena: int | None = None, **offsets: int) -> Edit:
    """Tensors moved; the arena is large enough unless it is given."""
    return lambda case: plan(arena=arena or 1000, offsets={**case.plan.offsets, **offsets})(case)


def ring(name: str, *places: Any, **spare: int) -> Edit:
    return lambda case: plan(arena=1000, rings={**case.plan.rings, name: Ring(*places, **spare)})(case)


def run(text: str, backward: bool = False) -> Edit:
    return bare(segments=(streamed(text, backward),))


def call(index: int, **changes: Any) -> Edit:
    def edit(case: Case) -> Case:
        calls, changed = list(case.calls), case.calls[index]
        assert changed is not None
        calls[index] = replace(changed, **changes)
        return replace(case, calls=tuple(calls))

    return edit


def rows(index: int, **changes: Any) -> Edit:
    def edit(case: Case) -> Case:
        changed = case.calls[index]
        assert changed is not None and changed.rows is not None
        return call(index, rows=replace(changed.rows, **changes))(case)

    return edit


def graph(**changes: Any) -> Edit:
    return lambda case: replace(case, graph=replace(case.graph, **changes))


def tensor(name: str, **changes: Any) -> Edit:
    """A tensor of another shape or type, or a new one like x."""

    def edit(case: Case) -> Case:
        like = case.graph.tensors.get(name, replace(case.graph.tensors["x"], name=name))
        return graph(tensors={**case.graph.tensors, name: replace(like, **changes)})(case)

    return edit


def node(index: int, **changes: Any) -> Edit:
    def edit(case: Case) -> Case:
        nodes = list(case.graph.nodes)
        nodes[index] = replace(nodes[index], **changes)
        return graph(nodes=tuple(nodes))(case)

    return edit


def both(*edits: Edit) -> Edit:
    def edit(case: Case) -> Case:
        for change in edits:
            case = change(case)
        return case

    return edit


# Only the first four of six rows that are fed are read.
_UNREAD = both(tensor("y", shape=(1, 4, 2, 1)), rows(0, windows={0: RowWindow()}))


# -- right and wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_a_right_plan_passes(name: str) -> None:
    case = CASES[name]()
    _verify(case)
    assert outputs(case, collide=True) == outputs(case, collide=False)


@pytest.mark.parametrize(
    ("name", "edit"),
    [
        ("in_place", bare(banks=(Bank("dtcm", 0, 32, 40), Bank("sram", 32, 40, 40)))),
        ("in_place", bare(banks=(Bank("dtcm", 0, 64, 64), Bank("sram", 64, 8, 8)))),
        ("fed", both(_UNREAD, run(">a>a>a>a>>"))),
        ("ring", both(call(0, scratch=4), plan(arena=40, scratch={0: 36}))),
        ("shifted", both(at(y=4), run("aaaa", backward=True))),
        ("shifted", both(tensor("y", dtype=F32), at(x=96))),
        ("shifted", both(tensor("x", dtype=F32), at(x=0, y=0))),
        ("reduction", at(y=4)),
        ("spare", ring("t", 24, 3, 4, spare=36)),
        ("parts", rows(0, forward_only=True)),
        ("backward", at(x=36, y=0)),
        ("external", bare(segments=(Segment((0, 1)), Segment((2,))))),
    ],
)
def test_other_right_plans_pass(name: str, edit: Edit) -> None:
    case = edit(CASES[name]())
    _verify(case)


WHOLE: list[tuple[str, Edit, str]] = [
    ("in_place", at(y=28), "node 'conv' would overwrite tensor 't'"),
    ("in_place", at(t=4), "node 'relu' would overwrite tensor 'x'"),
    ("in_place", plan(scratch={1: 56}), "tensor 'y' and the scratch of node 'conv' share bytes"),
    ("in_place", plan(scratch={1: 0}), "the scratch of node 'conv' and tensor 't' share bytes"),
    ("in_place", plan(scratch={}), "no place for the scratch of node 'conv'"),
    ("in_place", bare(segments=(Segment((1,)), Segment((0,)))), "node 'relu' does not run once"),
    ("in_place", bare(segments=(Segment((0,)),)), "node 'conv' does not run once"),
    ("in_place", bare(segments=(Segment((0,)), Segment((1,)), Segment((1,)))), "node 'conv' does not run"),
    ("in_place", bare(segments=(Segment((0, 1)),)), "one whole call, not 'relu', 'conv'"),
    ("in_place", bare(segments=(Segment((0,), True), Segment((1,)))), "one whole call, not 'relu'"),
    ("in_place", bare(arena=71), "block 'conv' at 64..72 leaves the arena of 71"),
    ("in_place", at(y=-4), "block 'y' at -4..28 leaves the arena"),
    ("in_place", at(y=34), "block 'y' at 34 is not aligned"),
    ("in_place", bare(blocks=()), "tensor 'x' at 0..32 is in no tensor block"),
    ("in_place", bare(banks=(Bank("a", 0, 40, 40), Bank("b", 40, 32, 32))), "block 'y' at 32..64 lies in no"),
    ("in_place", bare(banks=(Bank("a", 0, 72, 71),)), "bank 'a' holds 71 bytes, not 72"),
    ("in_place", bare(banks=(Bank("a", 0, 64, 64), Bank("b", 60, 12, 12))), "banks 'a' and 'b' overlap"),
    ("in_place", call(0, function=""), "node 'relu' can only run by rows"),
    ("overlap", at(y=4), "node 'conv' would overwrite tensor 'x'"),
    ("overlap", call(0, overlap={1: 8}), "node 'conv' would overwrite tensor 'x'"),
    ("overlap", plan(offsets={"y": 0}), "tensor 'x' must be in one place, not in 0"),
    ("overlap", plan(offsets={"x": 8, "y": 0, "w": 0}), "places 'w', which is not an activation"),
    ("skip", at(u=0), "tensor 'x' is overwritten before node 'add' needs it"),
    ("skip", plan(scratch={1: 0}), "tensor 'x' is overwritten before node 'add' needs it"),
    ("skip", call(2, overlap={0: 0}), "node 'add' would overwrite tensor 'x'"),
    ("external", at(x=32, flat=32), "tensor 'x' must be in one place, not in 2"),
    ("external", at(flat=32), "'flat' must be the same bytes as 'x'"),
    ("external", bare(input_mode=InputMode.RESIDENT), "tensor 'x' must be in one place, not in 0"),
    ("external", graph(outputs=("flat",)), "output 'flat' is nowhere"),
    ("external", tensor("flat", shape=(1, 31)), "'flat' must be the same bytes as 'x'"),
    ("external", lambda c: replace(c, calls=(c.calls[1], *c.calls[1:])), "node 'alias' must be either"),
]

BY_ROWS: list[tuple[str, Edit, str]] = [
    ("ring", ring("t", 24, 2, 4), "row 0 of tensor 't' is overwritten before node 'two'"),
    ("ring", ring("t", 24, 0, 4), "the ring of 't' has no room"),
    ("ring", ring("t", 24, -1, 4), "the ring of 't' has no room"),
    ("ring", both(tensor("v"), node(0, outputs=("t", "v")), at(v=100)), "node 'one' cannot run by rows"),
    ("ring", ring("t", 24, 3, 8), "the ring of 't' does not hold rows of 8"),
    ("ring", ring("t", 20, 3, 4), "tensor 'x' is overwritten before node 'one'"),
    ("ring", ring("y", 100, 6, 4), "tensor 'y' must be in one place, not in 2"),
    ("ring", both(at(y=4), ring("t", 100, 3, 4)), "tensor 'x' is overwritten before node 'one'"),
    ("ring", run("aab ab ab ab abb b"), "node 'two' runs more than its 6 units"),
    ("ring", run("aab ab ab ab ab"), "node 'two' runs 5 of its 6 units"),
    ("ring", run("aba ab ab ab abb"), "row 1 of tensor 't' is not there when node 'two'"),
    ("ring", run("aaa bab ab ab abb"), "row 0 of tensor 't' is overwritten before node 'two'"),
    ("ring", run("aaaab b ab ab bb"), "tensor 't' is overwritten before node 'two'"),
    ("ring", run("aAab ab ab ab abb"), "node 'one' cannot keep a row of 't'"),
    ("ring", bare(segments=(Segment((0, 1), False, (Step(2),)),)), "runs the unknown node 2"),
    ("ring", bare(segments=(streamed("aaaaaa"), streamed("bbbbbb"))), "row 0 of tensor 't' is not there"),
    ("ring", both(rows(1, forward_only=True), run("aab ab ab ab abb", True)), "node 'two' must run forward"),
    ("ring", rows(1, windows={}), "node 'two' does not read 't' by rows"),
    ("ring", call(1, rows=None), "node 'two' cannot run by rows"),
    ("ring", graph(outputs=("t",)), "tensor 't' does not exist as a whole"),
    ("backward_ring", at(x=4, y=0), "row 4 of tensor 'x' is overwritten before node 'one'"),
    ("backward_ring", plan(scratch={0: 32}), "the scratch of node 'one' and row 5 of tensor 't' share bytes"),
    ("spare", run("aab Aab Aab Aab Aab b"), "tensor 't' is overwritten before"),
    ("spare", run("Aaab Aab Aab Aab Aab b"), "row 0 of 't' is kept before node 'one' completes it"),
    ("spare", run("aAab aAb Aab Aab Aab b"), "row 1 of tensor 't' is overwritten before the copy"),
    ("spare", run("aAaAb aAb aAb aAb ab b"), "row 0 of tensor 't' is overwritten before node 'two'"),
    ("spare", ring("t", 24, 1, 4, spare=32), "tensor 't' is overwritten before node 'two'"),
    (
        "spare",
        ring("t", 24, 2, 4, spare=28),
        "row 1 of tensor 't' and its place in the ring of 't' share bytes",
    ),
    ("residual", ring("u", 0, 0, 4, spare=24), "row 0 of tensor 'u' and rows 0 to 1 of tensor 't' share"),
    ("residual", ring("u", 0, 0, 4), "the ring of 'u' has no room"),
    ("residual", run("aabcC abc abc abc abc bc"), "node 'join' cannot keep a row of 'y'"),
    ("residual", run("aabB c abc abc abc abc bc"), "node 'conv' cannot keep a row of 'u'"),
    ("residual", run("aaabbc cbc abc abc abc"), "row 0 of tensor 'u' is overwritten before node 'join'"),
    ("fed", run(">^>a ^>a ^>a ^>a a"), "row 5 of tensor 'x' is not there when node 'conv' needs it"),
    ("fed", run(">^>a ^>a ^>a ^>a ^>a a>"), "tensor 'x' is fed more than its 6 rows"),
    ("fed", run(">>a ^>a ^>a ^>a ^>a a"), "tensor 'x' is overwritten before"),
    ("fed", run("^>>a ^>a ^>a ^>a ^>a a"), "row 0 of 'x' is kept before the caller"),
    ("fed", run(">^>a ^>a ^>a ^>a ^>a a", backward=True), "no row of 'x' can be fed"),
    ("reduction", rows(2, arguments=()), "node 'gemm' reads 'flat', whose rows are not those of 't'"),
    ("fed_as_alias", node(1, inputs=("x",)), "node 'conv' reads 'x', whose rows are not those of 'x'"),
    ("fed_as_alias", ring("x", 12, 2, 24, spare=60), "the ring of 'x' does not hold rows of 24"),
    ("fed", both(_UNREAD, bare(segments=(streamed(">a>a>a>a"), streamed(">>")))), "only 4 of 6 rows of 'x'"),
    ("fed_whole", bare(segments=(streamed(">>>>>"), Segment((0,)))), "only 5 of 6 rows of 'x'"),
    ("fed_whole", bare(segments=(Segment((0,)),)), "tensor 'x' does not exist as a whole"),
    ("fed_whole", bare(input_mode=InputMode.RESIDENT), "no row of 'x' can be fed"),
    ("fed_whole", graph(inputs=("x", "v")), "not 'x', 'v'"),
    ("fed_whole", both(node(0, inputs=()), bare(segments=(Segment((0,)),))), "only 0 of 6 rows of 'x'"),
    ("reduction", ring("flat", 100, 1, 16), "'flat' has a ring of its own, but is the same bytes as 't'"),
    ("reduction", plan(accumulators={2: 8}), "tensor 'x' is overwritten before node 'conv'"),
    (
        "reduction",
        plan(accumulators={2: 20}),
        "the accumulator of node 'gemm' and row 0 of tensor 't' share bytes",
    ),
    ("reduction", plan(accumulators={}), "no place for the accumulator of node 'gemm'"),
    (
        "reduction",
        both(call(0, scratch=4), plan(scratch={0: 16})),
        "accumulator of node 'gemm' is overwritten",
    ),
    (
        "reduction",
        both(call(2, scratch=4), plan(scratch={2: 28})),
        "scratch of node 'gemm' and the accumulator of node 'gemm' share",
    ),
    ("reduction", at(y=16), "accumulator of node 'gemm' and row 0 of tensor 'y' share bytes"),
    ("reduction", rows(2, units=1), "node 'gemm' reads 'flat', whose rows are not those of 't'"),
    ("reduction", tensor("y", shape=(1, 2, 2, 1)), "node 'gemm' cannot reduce its input to one row"),
    (
        "reduction",
        both(tensor("x", shape=(2, 2, 2, 2)), tensor("t", shape=(2, 2, 2, 2))),
        "node 'gemm' makes 1 samples of the 2 of 't'",
    ),
    ("reduction", run("ac ac aa cc"), "row 2 of tensor 't' is overwritten before node 'gemm'"),
    ("backward", run("aaaa"), "row 1 of tensor 'x' is overwritten before node 'conv'"),
    ("backward", at(y=0), "node 'conv': row 0 of tensor 'y' and row 0 of tensor 'x' share bytes"),
    ("shifted", run("aaaa", backward=True), "row 3 of tensor 'y' and row 3 of tensor 'x' share bytes"),
    ("shifted", rows(0, elementwise=False), "row 0 of tensor 'y' and row 0 of tensor 'x' share bytes"),
    ("shifted", at(x=0, y=4), "row 0 of tensor 'y' and row 0 of tensor 'x' share bytes"),
    ("shifted", rows(0, windows={0: SAME}), "row 0 of tensor 'y' and rows 0 to 1 of tensor 'x' share"),
    ("shifted", tensor("x", shape=(1, 4, 4, 1)), "row 0 of tensor 'y' and row 0 of tensor 'x' share bytes"),
    ("shifted", both(tensor("y", dtype=F32), at(x=92)), "row 3 of tensor 'y' and row 3 of tensor 'x' share"),
    (
        "shifted",
        both(tensor("x", dtype=F32), at(x=0, y=4)),
        "row 0 of tensor 'y' and row 0 of tensor 'x' share",
    ),
    ("batch", ring("t", 24, 2, 4), "tensor 't' is overwritten before node 'two'"),
    ("batch", run("aababb abaabb"), "row 4 of tensor 't' is not there"),
    ("parts", run("aba aba"), "row 0 of tensor 't' is not there when node 'relu'"),
    (
        "parts",
        both(ring("t", 16, 2, 4), at(y=20), run("aaabab")),
        "row 1 of tensor 't' is overwritten before",
    ),
    ("parts", at(y=16), "tensor 'y' is overwritten before the end of the run"),
    ("parts", run("aab ab"), "row 1 of tensor 't' is not there when node 'relu'"),
]

WRONG = [*WHOLE, *BY_ROWS]


@pytest.mark.parametrize(("name", "edit", "message"), WRONG, ids=[f"{n}-{m[:40]}" for n, _, m in WRONG])
def test_a_wrong_plan_is_named(name: str, edit: Edit, message: str) -> None:
    with pytest.raises(MemoryPlanError, match=message):
        _verify(edit(CASES[name]()))


def test_it_shares_no_code_with_the_planner() -> None:
    ours = {
        "pingponnx.plan.claims",
        "pingponnx.plan.schedule",
        "pingponnx.calls",
        "pingponnx.errors",
        "pingponnx.ir",
    }
    folder = Path(pingponnx.plan.replay.__file__).parent
    for name in ("replay.py", "claims.py"):
        tree = ast.parse((folder / name).read_text(encoding="utf-8"))
        found = {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        assert {module for module in found if module.startswith("pingponnx")} <= ours


# -- random edits -----------------------------------------------------------------------------------


def _moved(plan: Plan, block: int, by: int) -> dict[str, Any]:
    """The fields of a plan after one of its blocks has moved."""
    moves: list[dict[str, Any]] = [
        {"offsets": {**plan.offsets, name: offset + by}} for name, offset in plan.offsets.items()
    ]
    for name, r in plan.rings.items():
        moves.append({"rings": {**plan.rings, name: replace(r, offset=r.offset + by)}})
        if r.spare is not None:
            moves.append({"rings": {**plan.rings, name: replace(r, spare=r.spare + by)}})
    moves += [{"scratch": {node: offset + by}} for node, offset in plan.scratch.items()]
    moves += [{"accumulators": {node: offset + by}} for node, offset in plan.accumulators.items()]
    return moves[block % len(moves)]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(CASES)), st.integers(0, 9), st.sampled_from([-4, 4]), st.sampled_from([0, 4]))
def test_a_moved_block_is_right_or_found_out(name: str, block: int, by: int, room: int) -> None:
    case = CASES[name]()
    case = plan(**_moved(case.plan, block, by), arena=case.plan.arena + room)(case)
    if _accepted(case):
        assert outputs(case, collide=True) == outputs(CASES[name](), collide=False)


@st.composite
def schedules(draw: st.DrawFn, case: Case) -> tuple[Segment, ...]:
    """The case's segments with steps that are swapped, lost or doubled, perhaps in the other direction."""
    segments = []
    for segment in case.plan.segments:
        found = list(segment.steps)
        for _ in range(draw(st.integers(0, 3)) if found else 0):
            i, j = draw(st.integers(0, len(found) - 1)), draw(st.integers(0, len(found) - 1))
            match draw(st.sampled_from(["move", "drop", "double"])):
                case "move":
                    found.insert(j, found.pop(i))
                case "drop" if len(found) > 1:
                    del found[i]
                case _:
                    found.insert(j, found[i])
        turn = bool(found) and draw(st.booleans())
        segments.append(replace(segment, steps=tuple(found), backward=segment.backward != turn))
    return tuple(segments)


@settings(max_examples=600, deadline=None)
@given(st.data(), st.sampled_from(sorted(CASES)), st.integers(0, 9), st.sampled_from([-8, -4, 0, 4, 8]))
def test_whatever_passes_runs_right(data: st.DataObject, name: str, block: int, by: int) -> None:
    """Random schedules in random places: the verifier accepts none that computes something else."""
    case = CASES[name]()
    case = plan(**_moved(case.plan, block, by), arena=case.plan.arena + 8)(case)
    case = bare(segments=data.draw(schedules(case)))(case)
    if _accepted(case):
        assert outputs(case, collide=True) == outputs(CASES[name](), collide=False)


@pytest.mark.parametrize("name", CASES)
def test_no_unit_can_be_left_out(name: str) -> None:
    case = CASES[name]()
    for s, segment in enumerate(case.plan.segments):
        for i, step in enumerate(segment.steps):
            shorter = replace(segment, steps=segment.steps[:i] + segment.steps[i + 1 :])
            segments = (*case.plan.segments[:s], shorter, *case.plan.segments[s + 1 :])
            if not step.keep and shorter.steps:
                assert not _accepted(bare(segments=segments)(case)), (i, step)
