"""Memory plans: the paper's numbers, the solver against brute force, and a verifier that catches mistakes."""

import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import HOST, command_line, converted
from pingponnx.errors import MemoryPlanError
from pingponnx.fixed_point import Rounding
from pingponnx.ir import DType, Graph, Node, Port, Tensor, check
from pingponnx.ops.binary import Add
from pingponnx.ops.gemm import Gemm
from pingponnx.ops.reshape import Reshape
from pingponnx.pipeline import Conversion, convert, normal_form
from pingponnx.plan import Placed, Plan, plan
from pingponnx.plan.place import Problem, Solution, lower_bound, place
from pingponnx.plan.verify import verify
from pingponnx.select import Goal, select, variant

MODELS = {
    "lenet5/lenet5_f32": {"keep_all": 36472, "fused_pool": 11256, "ping_pong": 8800},
    "paper_cifar/paper_cifar_f32": {"keep_all": 206888, "fused_pool": 51240, "ping_pong": 45056},
    "paper_cifar/paper_cifar_int8": {"keep_all": 51722, "fused_pool": 12810, "ping_pong": 11264},
}


# -- the paper --------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_the_papers_numbers(model: str, examples: Path) -> None:
    memory = converted(examples / f"{model}.onnx").plan
    assert {name: memory.strategies[name] for name in MODELS[model]} == MODELS[model]
    ours = [memory.strategies[name] for name in ("ping_pong", "exact", "in_place", "overlap")]
    assert ours == sorted(ours, reverse=True)
    assert memory.arena == min(memory.strategies.values()) >= memory.lower_bound


def test_the_papers_numbers_on_the_command_line(examples: Path) -> None:
    path = examples / "lenet5" / "lenet5_f32.onnx"
    shown = command_line("plan", path).stdout
    for name, size in MODELS["lenet5/lenet5_f32"].items():
        assert re.search(rf"^ +{name} +{size}\b", shown, re.MULTILINE), shown
    document = json.loads(command_line("plan", path, "--json").stdout)
    assert {"model", "strategies", "arena", "lower_bound", "blocks"} <= document.keys()
    assert document["strategies"].items() >= MODELS["lenet5/lenet5_f32"].items()
    assert document["arena"] == max(block["offset"] + block["bytes"] for block in document["blocks"])


@pytest.mark.parametrize("model", [*MODELS, "lenet5/lenet5_int8"])
def test_the_emitted_arena_is_the_plan(model: str, examples: Path) -> None:
    conversion = converted(examples / f"{model}.onnx", target="cortex-m4")
    name, memory = conversion.graph.name, conversion.plan
    header = conversion.sources[f"{name}.h"]
    assert f"#define {name.upper()}_ARENA_BYTES {memory.arena}\n" in header
    for kind, tensors in (("INPUT", conversion.graph.inputs), ("OUTPUT", conversion.graph.outputs)):
        assert f"#define {name.upper()}_{kind}_0_OFFSET {memory.offsets[tensors[0]]}\n" in header
    assert json.loads(conversion.sources[f"{name}.json"])["plan"]["arena"] == memory.arena


# -- chains -----------------------------------------------------------------------------------------


def _chain(widths: list[int]) -> Graph:
    """Fully connected layers, which cannot overlap input and output."""
    tensors = {f"x{i}": Tensor(f"x{i}", (1, n), DType.F32) for i, n in enumerate(widths)}
    for i, (n, m) in enumerate(itertools.pairwise(widths)):
        tensors[f"w{i}"] = Tensor(f"w{i}", (m, n), DType.F32, data=np.zeros((m, n), np.float32))
    nodes = tuple(Node(f"n{i}", Gemm(), (f"x{i}", f"w{i}"), (f"x{i + 1}",)) for i in range(len(widths) - 1))
    last = f"x{len(widths) - 1}"
    return check(Graph("chain", nodes, tensors, ("x0",), (last,), {"x0": Port("x0"), last: Port(last)}))


def _planned(graph: Graph) -> Plan:
    return plan(graph, select(graph, variant("optimised"), Goal.BALANCED, Rounding.SINGLE), graph)


@settings(max_examples=40)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=9))
def test_a_chain_needs_its_largest_neighbours(widths: list[int]) -> None:
    memory = _planned(_chain(widths))
    sizes = [4 * n for n in widths]
    neighbours = max(a + b for a, b in itertools.pairwise(sizes))
    assert memory.strategies["exact"] == memory.lower_bound == neighbours
    assert memory.strategies["keep_all"] == memory.strategies["fused_pool"] == sum(sizes)
    assert memory.strategies["ping_pong"] == sum(sorted(sizes)[-2:])
    assert memory.arena == neighbours and memory.proven


# -- the solver -------------------------------------------------------------------------------------


@st.composite
def problems(draw: st.DrawFn, blocks: int, largest: int) -> Problem:
    """Blocks of random lives; where one dies as the other is made, they may overlap at a random distance."""
    count = draw(st.integers(1, blocks))
    sizes = tuple(4 * draw(st.integers(1, largest)) for _ in range(count))
    starts = [draw(st.integers(-1, 5)) for _ in range(count)]
    spans = tuple((start, start + draw(st.integers(0, 4))) for start in starts)
    forbidden: dict[tuple[int, int], tuple[int, int]] = {}
    for a, b in itertools.combinations(range(count), 2):
        if spans[a][0] > spans[b][1] or spans[b][0] > spans[a][1]:
            continue
        if spans[b][1] == spans[a][0]:
            a, b = b, a
        low = -sizes[b]
        if spans[a][1] == spans[b][0] and spans[a] != spans[b] and draw(st.booleans()):
            low = max(low, 4 * draw(st.integers(-largest, largest)))
        if low < sizes[a]:
            forbidden[a, b] = (low, sizes[a])
    return Problem(sizes, spans, forbidden)


def _legal(problem: Problem, offsets: tuple[int, ...]) -> bool:
    return all(not low < offsets[b] - offsets[a] < high for (a, b), (low, high) in problem.forbidden.items())


def _arena(problem: Problem, offsets: tuple[int, ...]) -> int:
    return max(offset + size for offset, size in zip(offsets, problem.sizes, strict=True))


@settings(max_examples=100)
@given(problems(blocks=10, largest=12))
def test_a_placement_is_legal_and_no_smaller_than_the_bound(problem: Problem) -> None:
    found = place(problem)
    assert _legal(problem, found.offsets)
    assert min(found.offsets) >= 0
    assert found.arena == _arena(problem, found.offsets) >= lower_bound(problem)
    assert place(problem) == found


def _brute_force(problem: Problem) -> int:
    """The smallest arena of all placements on a grid of words."""
    count, total = len(problem.sizes), sum(problem.sizes)
    grid = np.indices((total // 4,) * count).reshape(count, -1) * 4
    legal = np.ones(grid.shape[1], bool)
    for (a, b), (low, high) in problem.forbidden.items():
        step = grid[b] - grid[a]
        legal &= (step <= low) | (step >= high)
    arenas = (grid + np.array(problem.sizes)[:, None]).max(axis=0)
    return int(arenas[legal].min())


@settings(max_examples=100)
@given(problems(blocks=4, largest=4))
def test_small_problems_are_solved_to_the_optimum(problem: Problem) -> None:
    best = _brute_force(problem)
    assert lower_bound(problem) <= best
    assert place(problem).arena == best


@settings(max_examples=25)
@given(problems(blocks=5, largest=6))
def test_the_search_is_as_good_as_trying_every_order(problem: Problem) -> None:
    orders = itertools.permutations(range(len(problem.sizes)))
    assert place(problem).arena <= min(_first_fit(problem, order).arena for order in orders)


def _first_fit(problem: Problem, order: tuple[int, ...]) -> Solution:
    """Each block at the lowest word that breaks no rule with those before it."""
    offsets: dict[int, int] = {}
    for block in order:
        for at in itertools.count(0, 4):
            trial = offsets | {block: at}
            rules = ((a, b, *r) for (a, b), r in problem.forbidden.items() if a in trial and b in trial)
            if all(not low < trial[b] - trial[a] < high for a, b, low, high in rules):
                offsets[block] = at
                break
    placed = tuple(offsets[i] for i in range(len(problem.sizes)))
    return Solution(_arena(problem, placed), placed)


# -- the verifier -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lenet(examples: Path) -> Conversion:
    return convert(normal_form(examples / "lenet5" / "lenet5_int8.onnx", HOST), HOST)


def _verify(conversion: Conversion, arena: int | None = None, **moved: int) -> None:
    memory = conversion.plan
    size = memory.arena if arena is None else arena
    verify(conversion.graph, conversion.calls, {**memory.offsets, **moved}, memory.scratch, size)


def _may_share(conversion: Conversion, a: Placed, b: Placed) -> bool:
    """True when b, starting where a starts, is an output that its node may put there."""
    node, call = conversion.graph.nodes[b.first], conversion.calls[b.first]
    reads = [i for i, name in enumerate(node.inputs) if name in a.tensors]
    return a.last == b.first and call is not None and all(call.overlap.get(i, 1) <= 0 for i in reads)


@pytest.mark.parametrize("model", ["lenet5/lenet5_f32", "lenet5/lenet5_int8", "paper_cifar/paper_cifar_int8"])
def test_blocks_that_are_needed_together_may_not_lie_together(model: str, examples: Path) -> None:
    conversion = converted(examples / f"{model}.onnx")
    _verify(conversion)
    tried = 0
    for a, b in itertools.permutations(conversion.plan.blocks, 2):
        if a.first > b.last or b.first > a.last or (b.first >= a.first and _may_share(conversion, a, b)):
            continue
        if a.first > b.first and _may_share(conversion, b, a):
            continue
        tried += 1
        moved: Mapping[str, int] = dict.fromkeys(b.tensors, a.offset)
        with pytest.raises(MemoryPlanError, match="overwrit"):
            _verify(conversion, arena=2**17, **moved)
    assert tried >= 6


def test_offsets_stay_in_the_arena_and_aligned(lenet: Conversion) -> None:
    with pytest.raises(MemoryPlanError, match="leaves the arena"):
        _verify(lenet, arena=lenet.plan.arena - 4)
    block = lenet.plan.blocks[0]
    for offset in (-4, block.offset + 2, lenet.plan.arena):
        with pytest.raises(MemoryPlanError, match="leaves the arena"):
            _verify(lenet, **dict.fromkeys(block.tensors, offset))


def test_a_declared_distance_is_held(lenet: Conversion) -> None:
    """An output one word closer to its dying input than the kernel allows."""
    graph, tried = lenet.graph, 0
    for node, call in zip(graph.nodes, lenet.calls, strict=True):
        if call is None or call.overlap.get(0, 0) <= 0:
            continue
        x, y = node.inputs[0], node.outputs[0]
        distance = -(-call.overlap[0] // 4) * 4
        offsets = dict.fromkeys(lenet.plan.offsets, 2**16)
        base = 2**15
        step = graph.with_((node,), inputs=(x,), outputs=(y,), ports={x: Port(x), y: Port(y)})
        verify(step, (call,), {**offsets, x: base, y: base - distance}, {}, 2**17)
        with pytest.raises(MemoryPlanError, match="would overwrite its input"):
            verify(step, (call,), {**offsets, x: base, y: base - distance + 4}, {}, 2**17)
        tried += 1
    assert tried >= 2


def test_an_alias_stays_with_its_bytes(lenet: Conversion) -> None:
    alias = next(node for node in lenet.graph.nodes if isinstance(node.op, Reshape))
    moved = {alias.outputs[0]: lenet.plan.offsets[alias.inputs[0]] + 4}
    with pytest.raises(MemoryPlanError, match="must be the same bytes"):
        _verify(lenet, arena=2**17, **moved)


def test_scratch_lies_apart(lenet: Conversion) -> None:
    """The scratch of a node may lie behind everything, but not over its input or outside the arena."""
    index, call = next((i, call) for i, call in enumerate(lenet.calls) if call is not None)
    memory, arena = lenet.plan, lenet.plan.arena + 16
    calls = (*lenet.calls[:index], replace(call, scratch=16), *lenet.calls[index + 1 :])
    verify(lenet.graph, calls, memory.offsets, {index: memory.arena}, arena)
    over = memory.offsets[lenet.graph.nodes[index].inputs[0]]
    for offset, message in ((over, "overlaps tensor"), (arena, "leaves the arena"), (-4, "leaves the arena")):
        with pytest.raises(MemoryPlanError, match=message):
            verify(lenet.graph, calls, memory.offsets, {index: offset}, arena)


def test_scratch_over_a_tensor_that_is_still_needed() -> None:
    """x1 waits for the addition while the layer between runs, whose scratch must not lie over it."""
    chain = _chain([4, 4, 4, 4])
    added = Tensor("sum", (1, 4), DType.F32)
    last = Node("add", Add(), ("x1", "x3"), ("sum",))
    graph = chain.with_(
        (*chain.nodes, last), added, outputs=("sum",), ports={**chain.ports, "sum": Port("sum")}
    )
    calls = select(graph, variant("optimised"), Goal.BALANCED, Rounding.SINGLE)
    assert calls[2] is not None
    calls = (*calls[:2], replace(calls[2], scratch=16), calls[3])
    offsets = {"x0": 0, "x1": 16, "x2": 0, "x3": 32, "sum": 48}
    verify(graph, calls, offsets, {2: 64}, 80)
    with pytest.raises(MemoryPlanError, match="'x1' is overwritten before 'add' reads it"):
        verify(graph, calls, offsets, {2: 16}, 80)
