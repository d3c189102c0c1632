"""Memory plans: the paper's numbers, the ladder of strategies, and where a network's inputs are."""

import itertools
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layer_lists import Layers, add, conv, fc
from models import command_line, converted
from pingponnx.errors import MemoryPlanError, UnsupportedError
from pingponnx.ir import DType, Graph, Port, Tensor
from pingponnx.ops.reshape import Reshape
from pingponnx.pipeline import Conversion
from pingponnx.plan import Calls, Effort, InputMode, Placed, Plan, Wish, plan
from pingponnx.plan.replay import verify_plan
from pingponnx.plan.schedule import Segment
from pingponnx.select import Goal
from replay_cases import with_blocks

MODELS = {
    "lenet5/lenet5_f32": {"keep_all": 36472, "fused_pool": 11256, "ping_pong": 8800},
    "paper_cifar/paper_cifar_f32": {"keep_all": 206888, "fused_pool": 51240, "ping_pong": 45056},
    "paper_cifar/paper_cifar_int8": {"keep_all": 51722, "fused_pool": 12810, "ping_pong": 11264},
}
LADDER = ("ping_pong", "exact", "in_place", "overlap", "streamed")


# -- the paper --------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_the_papers_numbers(model: str, examples: Path) -> None:
    memory = converted(examples / f"{model}.onnx", goal=Goal.RAM).plan  # the paper does not count scratch
    assert {name: memory.strategies[name] for name in MODELS[model]} == MODELS[model]
    ours = [memory.strategies[name] or 0 for name in LADDER]
    assert ours == sorted(ours, reverse=True) and ours[0] > ours[-1] > 0
    assert memory.arena == ours[-1] >= memory.lower_bound


def test_the_papers_numbers_on_the_command_line(examples: Path) -> None:
    path = examples / "lenet5" / "lenet5_f32.onnx"
    shown = command_line("plan", path).stdout
    for name, size in MODELS["lenet5/lenet5_f32"].items():
        assert re.search(rf"^ +{name} +{size:,}\b", shown, re.MULTILINE), shown
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


def test_a_goal_of_cycles_runs_layer_by_layer(examples: Path) -> None:
    memory = converted(examples / "lenet5" / "lenet5_int8.onnx", goal=Goal.CYCLES).plan
    assert memory.strategy == "overlap" and not memory.rings
    assert memory.strategies["streamed"] < memory.arena == memory.strategies["overlap"]


# -- chains -----------------------------------------------------------------------------------------


def _layers(widths: Sequence[int]) -> tuple[Graph, Calls]:
    """Fully connected layers, which cannot overlap input and output."""
    return Layers((1, 1, widths[0]), fc(*widths[1:]), DType.F32).graph()


@settings(max_examples=40)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=9))
def test_a_chain_needs_its_largest_neighbours(widths: list[int]) -> None:
    graph, calls = _layers(widths)
    memory = plan(graph, calls, graph)
    sizes = [4 * n for n in widths]
    neighbours = max(a + b for a, b in itertools.pairwise(sizes))
    assert memory.strategies["exact"] == memory.lower_bound == neighbours
    assert memory.strategies["keep_all"] == memory.strategies["fused_pool"] == sum(sizes)
    assert memory.strategies["ping_pong"] == sum(sorted(sizes)[-2:])
    assert memory.arena == neighbours and memory.proven
    assert memory.strategy == "exact"  # of equal ones the simplest


def test_a_chain_is_two_ends() -> None:
    """Ping-pong is what exact placement of a chain comes to: every other tensor at the bottom."""
    graph, calls = _layers([30, 10, 30, 10, 30])
    memory = plan(graph, calls, graph)
    ends = [memory.offsets[f"x{i}"] for i in range(5)]
    assert memory.arena == 160
    assert sum(offset == 0 for offset in ends) in (2, 3)
    for (i, a), (j, b) in itertools.pairwise(enumerate(ends)):
        low, high = sorted([(a, graph.tensors[f"x{i}"].bytes), (b, graph.tensors[f"x{j}"].bytes)])
        assert low[0] + low[1] <= high[0]


# -- where the inputs are -----------------------------------------------------------------------------

NET = Layers((12, 10, 4), (conv(6, 3), conv(6, 3), conv(6, 3), add(3, 1), conv(4, 3, 2)))


@pytest.mark.parametrize("mode", list(InputMode))
def test_input_modes(mode: InputMode) -> None:
    graph, calls = NET.graph()
    memory = plan(graph, calls, graph, Wish(mode, Effort.FAST))
    wanted = {"resident": "streamed", "rows": "row_fed", "external": "external"}[mode]
    assert memory.input_mode is mode
    assert memory.strategy == wanted and memory.strategies[wanted] == memory.arena
    held = {"x0"} & (memory.offsets.keys() | memory.rings.keys())
    assert held == (set() if mode is InputMode.EXTERNAL else {"x0"})
    assert ("x0" in memory.offsets) == (mode is InputMode.RESIDENT)


def test_fed_rows_and_callers_inputs_take_less() -> None:
    graph, calls = NET.graph()
    found = plan(graph, calls, graph, Wish(InputMode.EXTERNAL, Effort.FAST)).strategies
    sizes = [found[name] or 0 for name in ("external", "row_fed", "streamed")]
    assert sizes == sorted(sizes) and 0 < sizes[1] < sizes[2]


def _two_inputs() -> tuple[Graph, Calls]:
    graph, calls = Layers((6, 4, 1), (conv(1, 3), add(1, 1))).graph()
    second = Tensor("second", (1, 6, 4, 1), DType.S8)
    nodes = (graph.nodes[0], replace(graph.nodes[1], inputs=("x1", "second")))
    ports = {**graph.ports, "second": Port("second")}
    return graph.with_(nodes, second, inputs=("x0", "second"), ports=ports), calls


def _read_whole() -> tuple[Graph, Calls]:
    graph, calls = Layers((6, 4, 1), (conv(1, 3),)).graph()
    return graph, (replace(calls[0], function="f", rows=None),)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_two_inputs, "the model has 2 inputs, rows can be fed to one only"),
        (_read_whole, "reads the input 'x0' as a whole"),
        (lambda: _layers([4, 4]), r"input 'x0' of shape \(1, 1, 1, 4\) has a single row"),
    ],
)
def test_rows_that_cannot_be_fed(make: Callable[[], tuple[Graph, Calls]], message: str) -> None:
    graph, calls = make()
    assert plan(graph, calls, graph).strategies["row_fed"] is None
    with pytest.raises(UnsupportedError, match=message):
        plan(graph, calls, graph, Wish(InputMode.ROWS))


# -- the verifier on plans of real networks -----------------------------------------------------------


@pytest.fixture(scope="module")
def lenet(examples: Path) -> Conversion:
    return converted(examples / "lenet5" / "lenet5_int8.onnx", goal=Goal.CYCLES)


def _verify(conversion: Conversion, arena: int | None = None, **moved: int) -> None:
    """The plan with tensors at other offsets, and its blocks with them."""
    memory = conversion.plan
    changed = replace(
        memory, arena=memory.arena if arena is None else arena, offsets={**memory.offsets, **moved}
    )
    changed = with_blocks(conversion.graph, tuple(conversion.calls), changed)
    verify_plan(conversion.graph, conversion.calls, changed)


def _may_share(conversion: Conversion, a: Placed, b: Placed) -> bool:
    """True when b, starting where a starts, is an output that its node may put there."""
    node, call = conversion.graph.nodes[b.first], conversion.calls[b.first]
    reads = [i for i, name in enumerate(node.inputs) if name in a.tensors]
    return a.last == b.first and call is not None and all(call.overlap.get(i, 1) <= 0 for i in reads)


@pytest.mark.parametrize("model", ["lenet5/lenet5_f32", "lenet5/lenet5_int8", "paper_cifar/paper_cifar_int8"])
def test_blocks_that_are_needed_together_may_not_lie_together(model: str, examples: Path) -> None:
    conversion = converted(examples / f"{model}.onnx", goal=Goal.CYCLES)
    _verify(conversion)
    tried = 0
    tensors = [block for block in conversion.plan.blocks if block.kind == "tensor"]
    for a, b in itertools.permutations(tensors, 2):
        if a.first > b.last or b.first > a.last or (b.first >= a.first and _may_share(conversion, a, b)):
            continue
        if a.first > b.first and _may_share(conversion, b, a):
            continue
        tried += 1
        with pytest.raises(MemoryPlanError, match=r"overwrit|share bytes"):
            _verify(conversion, 2**17, **dict.fromkeys(b.tensors, a.offset))
    assert tried >= 6


def test_offsets_stay_in_the_arena_and_aligned(lenet: Conversion) -> None:
    with pytest.raises(MemoryPlanError, match="leaves the arena"):
        _verify(lenet, lenet.plan.arena - 4)
    block = lenet.plan.blocks[0]
    for offset, message in (
        (-4, "leaves the arena"),
        (block.offset + 2, "not aligned|leaves the arena"),
        (lenet.plan.arena, "leaves the arena"),
    ):
        with pytest.raises(MemoryPlanError, match=message):
            _verify(lenet, **dict.fromkeys(block.tensors, offset))


def test_a_declared_distance_is_held(lenet: Conversion) -> None:
    """An output one word closer to its dying input than the kernel allows."""
    graph, tried = lenet.graph, 0
    for node, call in zip(graph.nodes, lenet.calls, strict=True):
        if call is None or call.overlap.get(0, 0) <= 0:
            continue
        x, y = node.inputs[0], node.outputs[0]
        distance, base = -(-call.overlap[0] // 4) * 4, 2**15
        step = graph.with_((node,), inputs=(x,), outputs=(y,), ports={x: Port(x), y: Port(y)})
        alone = _alone(step, (call,), {x: base, y: base - distance})
        verify_plan(step, (call,), alone)
        closer = _alone(step, (call,), {x: base, y: base - distance + 4})
        with pytest.raises(MemoryPlanError, match="would overwrite tensor"):
            verify_plan(step, (call,), closer)
        tried += 1
    assert tried >= 2


def _alone(graph: Graph, calls: Calls, offsets: dict[str, int]) -> Plan:
    """A plan of a single layer that is run by one call."""
    right = plan(graph, calls, graph, Wish(streaming=False))
    whole = replace(right, arena=2**17, segments=(Segment((0,)),), offsets=offsets)
    return with_blocks(graph, tuple(calls), whole)


def test_an_alias_stays_with_its_bytes(lenet: Conversion) -> None:
    alias = next(node for node in lenet.graph.nodes if isinstance(node.op, Reshape))
    moved = {alias.outputs[0]: lenet.plan.offsets[alias.inputs[0]] + 4}
    with pytest.raises(MemoryPlanError, match="must be the same bytes"):
        _verify(lenet, 2**17, **moved)
