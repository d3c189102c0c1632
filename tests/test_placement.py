"""Placements: no rule broken, as small as brute force and CP-SAT say, within banks, the same every time."""

import itertools
import json
import random
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pingponnx.errors import BudgetError, Error
from pingponnx.plan.exact import solve
from pingponnx.plan.placement import (
    Effort,
    Item,
    Pair,
    Problem,
    Rule,
    Solution,
    bank_starts,
    lower_bound,
    place,
)

NETWORKS = sorted((Path(__file__).parent / "data" / "placement").glob("*.json"))
BOTH = (False, True)


# -- problems -----------------------------------------------------------------------------------------


def _apart(items: tuple[Item, ...], a: int, b: int, group: int = 0) -> Pair:
    rule = (-items[b].bytes, items[a].bytes)
    return Pair(a, b, group, rule, rule)


def _overlapping(items: tuple[Item, ...], a: int, b: int, group: int, forward: int, backward: int) -> Pair:
    """b is written while a dies; forward it stays that far below, backward that far above."""
    x, y = items[a].bytes, items[b].bytes
    rules = (max(-y, -forward), x), (-y, min(x, x - y + backward))
    return Pair(a, b, group, *(rule if rule[0] < rule[1] else None for rule in rules))


@st.composite
def problems(draw: st.DrawFn, items: int, largest: int, alignments: tuple[int, ...] = (4,)) -> Problem:
    """Some pairs of items never overlap, some do at a distance, some only in one direction."""
    blocks = tuple(
        Item(4 * draw(st.integers(1, largest)), draw(st.sampled_from(alignments)))
        for _ in range(draw(st.integers(1, items)))
    )
    directions = draw(st.lists(st.sampled_from([(False,), (True,), BOTH, BOTH]), min_size=1, max_size=3))
    words = st.integers(-largest, largest).map(lambda n: 4 * n)
    pairs = []
    for a, b in itertools.combinations(range(len(blocks)), 2):
        group = draw(st.integers(0, len(directions) - 1))
        kind = draw(st.sampled_from(["free", "apart", "apart", "overlap", "overlap", "once"]))
        if kind == "apart":
            pairs.append(_apart(blocks, a, b, group))
        elif kind == "overlap":
            pairs.append(_overlapping(blocks, a, b, group, draw(words), draw(words)))
        elif kind == "once":
            pairs.append(Pair(a, b, group, None, (-blocks[b].bytes, blocks[a].bytes)))
    return Problem(blocks, tuple(pairs), tuple(directions))


def _random(seed: int) -> Problem:
    """Twelve to twenty items in a few groups: larger than what tests can solve by brute force."""
    rng = random.Random(seed)
    items = tuple(Item(4 * rng.randint(1, 200)) for _ in range(rng.randint(12, 20)))
    pairs = []
    for a, b in itertools.combinations(range(len(items)), 2):
        group, near = rng.randrange(3), rng.random()
        if near < 0.25:
            pairs.append(_apart(items, a, b, group))
        elif near < 0.4:
            forward, backward = (4 * rng.randint(-50, 200) for _ in BOTH)
            pairs.append(_overlapping(items, a, b, group, forward, backward))
    return Problem(items, tuple(pairs), (BOTH, BOTH, (False,)))


def _network(path: Path) -> tuple[Problem, int]:
    """A streamed network (all its blocks, a group per segment) and its optimum, which CP-SAT proved."""
    data = json.loads(path.read_text())

    def rule(ends: list[int] | None) -> Rule:
        return (ends[0], ends[1]) if ends else None

    return Problem(
        tuple(Item(size, data["alignment"]) for size in data["items"]),
        tuple(Pair(a, b, group, rule(fore), rule(back)) for a, b, group, fore, back in data["pairs"]),
        tuple(tuple(allowed) for allowed in data["directions"]),
        data["bound"],
    ), data["optimum"]


# -- checks that share nothing with the solver --------------------------------------------------------


def _check(problem: Problem, found: Solution) -> None:
    ends = [offset + item.bytes for offset, item in zip(found.offsets, problem.items, strict=True)]
    assert found.arena == max(ends) >= lower_bound(problem)
    assert all(d in allowed for d, allowed in zip(found.backward, problem.directions, strict=True))
    for pair in problem.pairs:
        rule = pair.backward if found.backward[pair.group] else pair.forward
        delta = found.offsets[pair.b] - found.offsets[pair.a]
        assert rule is None or delta <= rule[0] or delta >= rule[1]
    starts = bank_starts(problem)
    for item, offset, end in zip(problem.items, found.offsets, ends, strict=True):
        bank = max(k for k, start in enumerate(starts) if start <= offset)
        assert (offset - starts[bank]) % item.alignment == 0
        if problem.banks:
            assert end <= starts[bank] + problem.banks[bank]
            assert item.bank in (None, bank)


def _brute_force(problem: Problem) -> int | None:
    """The smallest arena of all placements on a grid of words; None: nothing fits the banks."""
    starts = bank_starts(problem)
    limit = sum(item.bytes + item.alignment for item in problem.items)
    windows = list(zip(starts, problem.banks, strict=False)) or [(0, limit)]
    axes = [
        [
            start + at
            for bank, (start, capacity) in enumerate(windows)
            for at in range(0, capacity - item.bytes + 1, item.alignment)
            if item.bank in (None, bank)
        ]
        for item in problem.items
    ]
    grid = np.stack([axis.ravel() for axis in np.meshgrid(*axes)])
    arenas = (grid + np.array([[item.bytes] for item in problem.items])).max(axis=0)
    best = []
    for facing in itertools.product(*problem.directions):
        legal = np.ones(arenas.size, bool)
        for pair in problem.pairs:
            if rule := pair.backward if facing[pair.group] else pair.forward:
                delta = grid[pair.b] - grid[pair.a]
                legal &= (delta <= rule[0]) | (delta >= rule[1])
        best += [int(arenas[legal].min())] if legal.any() else []
    return min(best, default=None)


def _stacked(problem: Problem) -> Solution:
    """Every item behind the one before it: a legal placement that is as bad as can be."""
    offsets, end = [], 0
    for item in problem.items:
        offsets.append(-(-end // item.alignment) * item.alignment)
        end = offsets[-1] + item.bytes
    return Solution(end, tuple(offsets), tuple(allowed[0] for allowed in problem.directions), False)


# -- quality ------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(problems(items=10, largest=12, alignments=(1, 4, 16)))
def test_a_placement_is_legal_and_repeatable(problem: Problem) -> None:
    found = place(problem, effort=Effort.FAST)
    _check(problem, found)
    assert place(problem, effort=Effort.FAST) == found


@settings(max_examples=100)
@given(problems(items=4, largest=4, alignments=(4, 4, 8)))
def test_small_problems_are_solved_to_the_optimum(problem: Problem) -> None:
    found = place(problem, effort=Effort.NORMAL)
    _check(problem, found)
    assert lower_bound(problem) <= found.arena == _brute_force(problem)


@settings(max_examples=60)
@given(problems(items=7, largest=20, alignments=(4, 4, 4, 16)))
def test_the_search_is_as_good_as_cp_sat(problem: Problem) -> None:
    proven = solve(problem, hint=_stacked(problem))
    _check(problem, proven)
    assert proven.proven
    assert place(problem, effort=Effort.NORMAL).arena == proven.arena >= lower_bound(problem)


def test_less_effort_costs_little() -> None:
    for seed in range(6):
        problem = _random(seed)
        fast, normal = (place(problem, effort=effort) for effort in (Effort.FAST, Effort.NORMAL))
        _check(problem, fast)
        _check(problem, normal)
        assert normal.arena <= fast.arena <= 1.1 * normal.arena


@pytest.mark.parametrize("path", NETWORKS, ids=lambda path: path.stem)
def test_networks_are_placed_at_their_optimum(path: Path) -> None:
    problem, optimum = _network(path)
    for effort, tolerance in ((Effort.NORMAL, 1), (Effort.FAST, 1.05)):
        found = place(problem, effort=effort)
        _check(problem, found)
        assert optimum <= found.arena <= tolerance * optimum
        assert found.proven == (found.arena == lower_bound(problem))


@pytest.mark.parametrize("name", ["cifar_resident", "ds_cnn_resident", "vww_rows"])
def test_cp_sat_proves_what_the_bound_does_not(name: str) -> None:
    problem, optimum = _network(next(path for path in NETWORKS if path.stem == name))
    assert problem.bound <= lower_bound(problem) < optimum
    normal, exact = (place(problem, effort=effort) for effort in (Effort.NORMAL, Effort.EXACT))
    assert not normal.proven and exact.proven
    assert exact.offsets == normal.offsets and exact.arena == optimum


# -- chains -------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(st.lists(st.integers(1, 400), min_size=2, max_size=30))
def test_ping_pong_is_the_case_without_overlap(words: list[int]) -> None:
    items = tuple(Item(4 * n) for n in words)
    pairs = tuple(_apart(items, a, b, a) for a, b in itertools.pairwise(range(len(items))))
    found = place(Problem(items, pairs, (BOTH,) * len(pairs)), effort=Effort.FAST)
    assert found.arena == max(a.bytes + b.bytes for a, b in itertools.pairwise(items))
    assert found.proven


def _chain(layers: list[tuple[int, float]]) -> tuple[Problem, int]:
    """Layers of so many words, each of which may lie so far over its input; and the least arena.

    As layers turn in zigzag, each can lie with its input at one end and its output at the other.
    """
    items = tuple(Item(4 * words) for words, _ in layers)
    distances = [4 * round(words * part) for words, part in layers]
    links = list(enumerate(itertools.pairwise(range(len(items)))))
    pairs = tuple(_overlapping(items, a, b, g, distances[b], distances[b]) for g, (a, b) in links)
    widest = max(max(items[a].bytes + max(distances[b], 0), items[b].bytes) for _, (a, b) in links)
    return Problem(items, pairs, (BOTH,) * len(pairs)), widest


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 400), st.floats(-0.5, 1)), min_size=2, max_size=12))
def test_a_chain_with_overlap_needs_its_widest_layer(layers: list[tuple[int, float]]) -> None:
    problem, widest = _chain(layers)
    found = place(problem, effort=Effort.NORMAL)
    assert found.arena == widest and found.proven


def test_a_long_chain_zigzags_from_the_start() -> None:
    """So long that a search does not come across it."""
    rng = random.Random(0)
    problem, widest = _chain([(rng.randint(1, 400), rng.uniform(-0.5, 1)) for _ in range(240)])
    found = place(problem, effort=Effort.FAST)
    assert found.arena == widest and found.proven


# -- the lower bound ----------------------------------------------------------------------------------


def test_the_lower_bound() -> None:
    items = (Item(40), Item(24), Item(12), Item(8))
    pairs = tuple(_apart(items, a, b) for a, b in itertools.combinations(range(3), 2))
    assert lower_bound(Problem((), (), ())) == 0
    assert lower_bound(Problem(items, (), ())) == 40
    assert lower_bound(Problem(items, (), (), bound=41)) == 44  # arenas end at multiples of four here
    assert lower_bound(Problem(items, pairs[:1], (BOTH,))) == 64
    assert lower_bound(Problem(items, pairs, (BOTH,))) == 76
    assert lower_bound(Problem((*items, Item(4, bank=1)), (), (), banks=(64, 64))) == 68


def test_the_lower_bound_lets_a_group_turn_as_a_whole() -> None:
    """Each pair may overlap in a direction, but not both in the same one."""
    items = (Item(40), Item(24), Item(60))
    apart = (-24, 40), (-60, 40)
    pairs = Pair(0, 1, 0, apart[0], None), Pair(0, 2, 0, None, apart[1])
    assert lower_bound(Problem(items, pairs, (BOTH,))) == 64
    assert lower_bound(Problem(items, pairs, ((True,),))) == 100
    found = place(Problem(items, pairs, (BOTH,)), effort=Effort.FAST)
    assert found.arena == 64 and found.backward == (False,) and found.proven


# -- banks --------------------------------------------------------------------------------------------


def _crowd(*items: Item, banks: tuple[int, ...]) -> Problem:
    """Items that are all needed at once."""
    pairs = tuple(_apart(items, a, b) for a, b in itertools.combinations(range(len(items)), 2))
    return Problem(items, pairs, ((False,),), banks=banks)


@settings(max_examples=60)
@given(problems(items=3, largest=5), st.lists(st.integers(1, 8), min_size=1, max_size=3), st.data())
def test_banks_are_kept(problem: Problem, words: list[int], data: st.DataObject) -> None:
    pins = st.sampled_from([None, None, *range(len(words))])
    items = tuple(Item(item.bytes, item.alignment, data.draw(pins)) for item in problem.items)
    banked = Problem(items, problem.pairs, problem.directions, banks=tuple(4 * n for n in words))
    best = _brute_force(banked)
    if best is None:
        with pytest.raises(BudgetError, match=r"bank \d"):
            place(banked, effort=Effort.EXACT)
        return
    for effort in Effort:
        found = place(banked, effort=effort)
        _check(banked, found)
        assert found.arena == best


def test_blocks_go_to_the_first_bank_that_has_room() -> None:
    found = place(_crowd(Item(40), Item(24), Item(16), banks=(64, 64)), effort=Effort.NORMAL)
    assert sorted(found.offsets) in ([0, 24, 64], [0, 40, 64]) and found.arena == 80
    found = place(_crowd(Item(40), Item(24), banks=(64, 64)), effort=Effort.NORMAL)
    assert found.arena == 64 and found.proven


def test_a_block_stays_in_its_bank() -> None:
    found = place(_crowd(Item(8, bank=1), Item(16), banks=(64, 32)), effort=Effort.NORMAL)
    assert found.offsets == (64, 0) and found.arena == 72 and found.proven


def test_a_bank_starts_aligned() -> None:
    problem = _crowd(Item(36, 4), Item(32, 16), banks=(36, 40))
    assert bank_starts(problem) == (0, 48, 96)
    assert place(problem, effort=Effort.NORMAL).offsets == (0, 48)


@pytest.mark.parametrize(
    "problem, message",
    [
        (
            _crowd(Item(8), Item(100), banks=(64, 96)),
            "bank 1 of 96 bytes has no room for block 1 of 100",
        ),
        (_crowd(Item(8), Item(72, bank=0), banks=(64, 96)), "bank 0 of 64 bytes has no room for block 1"),
        (_crowd(Item(40), Item(40), banks=(64,)), r"bank 0 of 64 bytes .* of 40 bytes beside the others"),
    ],
)
def test_what_does_not_fit_is_named(problem: Problem, message: str) -> None:
    for effort in Effort:
        with pytest.raises(BudgetError, match=message) as caught:
            place(problem, effort=effort)
        assert "add a bank" in caught.value.hint


# -- CP-SAT -------------------------------------------------------------------------------------------


def test_cp_sat_finds_room_where_the_hint_had_none() -> None:
    problem = _crowd(Item(40), Item(24), Item(32), banks=(64, 32))
    found = solve(problem, hint=Solution(192, (0, 96, 120), (False,), False))
    _check(problem, found)
    assert found.arena == 96 and found.proven


def test_cp_sat_keeps_the_hint_within_its_limit() -> None:
    problem, _ = _network(next(path for path in NETWORKS if path.stem == "resnet8_resident"))
    hint = place(problem, effort=Effort.NORMAL)
    assert solve(problem, hint=hint, limit_deterministic=0.01) == hint


def test_cp_sat_repeats_itself() -> None:
    problem = _random(3)
    for workers in (1, 2):
        once, again = (solve(problem, hint=_stacked(problem), workers=workers) for _ in BOTH)
        assert once == again and once.proven


def test_without_or_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ortools.sat.python.cp_model", None)
    problem, _ = _network(next(path for path in NETWORKS if path.stem == "cifar_resident"))
    with pytest.raises(Error, match="needs OR-tools") as caught:
        place(problem, effort=Effort.EXACT)
    assert caught.value.hint == "pip install 'pingponnx[exact]'"
    assert place(problem, effort=Effort.NORMAL).arena == 5376


def test_nothing_to_place() -> None:
    assert place(Problem((), (), ()), effort=Effort.EXACT) == Solution(0, (), (), True)
