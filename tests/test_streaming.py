"""What streams are counted with: distances, rings, orders and loads, against formulas and naive loops."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forced_plans import forced_plan
from layer_lists import Layer, Layers, add, classifier, conv, depthwise, fc, pool
from pingponnx.plan import InputMode
from pingponnx.plan.layout import Cut, Key, Layout, Stream
from pingponnx.plan.loads import lives_of, loads
from pingponnx.plan.placement import Effort, place
from pingponnx.plan.schedule import FEED
from pingponnx.plan.simulate import Streams
from pingponnx.plan.stages import Network, network_of

BOTH = (False, True)


def _network(net: Layers, mode: InputMode = InputMode.RESIDENT) -> Network:
    graph, calls = net.graph()
    return network_of(graph, calls, mode)


def _layout(network: Network, *cuts: Cut) -> Layout:
    streams = Streams(network, backward=False), Streams(network, backward=True)
    return Layout(streams, lives_of(network), cuts)


def _distance(net: Layers, backward: bool, written: str = "tensor") -> int:
    """D of what the network's only layer writes, from its input."""
    layout = _layout(_network(net), Cut(0, 1))
    key = Key(written, "x1") if written == "tensor" else Key(written, "x1", 0)
    found = layout.run(0, backward).distance("x0", key)
    assert found is not None
    return found


# -- distances ----------------------------------------------------------------------------------------


def _closed_form(net: Layers, pad: int, kernel: int, stride: int) -> int:
    """memory.md, B.4: D_row = max over y of (y + 1) Wo OC - lo(y, 0)."""
    (height, width, channels), (rows, columns, out) = net.shape, net.layers[0].output(net.shape)

    def low(y: int) -> int:
        return min(max(y * stride - pad, 0), height) * width * channels

    assert kernel > pad  # every window sees a row
    return max((y + 1) * columns * out - low(y) for y in range(rows))


def _enumerated(net: Layers, kernel: int, stride: int, backward: bool) -> int:
    """Every byte that is read and written, one output row after the other, in any order within a row.

    Backward the last bytes come first: addresses are counted from the end of each tensor.
    """
    (height, width, channels), (rows, columns, out) = net.shape, net.layers[0].output(net.shape)
    in_row, out_row, pad = width * channels, columns * out, net.layers[0].pads[0]
    units = range(rows)[::-1] if backward else range(rows)
    reads, writes = [], []
    for y in units:
        seen = [r for r in range(y * stride - pad, y * stride - pad + kernel) if 0 <= r < height]
        read = {r * in_row + byte for r in seen for byte in range(in_row)}
        write = {y * out_row + byte for byte in range(out_row)}
        reads.append({height * in_row - 1 - b for b in read} if backward else read)
        writes.append({rows * out_row - 1 - b for b in write} if backward else write)
    return max(max(writes[u]) + 1 - min(set().union(*reads[u:])) for u in range(rows))


def _single_layers() -> Iterator[Layers]:
    sizes = [(7, 2, 4), (8, 3, 2)]
    for kernel, stride, pad, height in itertools.product((1, 2, 3, 5), (1, 2, 3), (0, 1, 2), (5, 8, 9)):
        for (width, channels, out), fused in itertools.product(sizes, (1, 2)):
            wide = Layer("conv", out, (kernel, 1), stride, (pad, 0, pad, 0), pool=(fused, fused))
            if pad < kernel and min(wide.output((height, width, channels))) > 0:
                yield Layers((height, width, channels), (wide,))


@pytest.mark.parametrize("backward", BOTH)
def test_the_distance_of_a_window_is_the_closed_form(backward: bool) -> None:
    checked = 0
    for net in _single_layers():
        layer, (height, _, _) = net.layers[0], net.shape
        rows, pad = layer.output(net.shape)[0], layer.pads[0]
        kernel = layer.kernel[0] + (layer.pool[0] - 1) * layer.stride
        stride = layer.stride * layer.pool[1]
        if backward:  # the mirror image: the rows below the last window, or missing to it
            pad = (rows - 1) * stride + kernel - height - pad
        found = _distance(net, backward)
        assert found == _closed_form(net, pad, kernel, stride), net
        assert found == _enumerated(net, kernel, stride, backward), net
        checked += 1
    assert checked > 250


@pytest.mark.parametrize(
    ("net", "distance"),
    [
        (Layers((48, 48, 8), (depthwise(),)), 768),
        (Layers((48, 48, 8), (conv(16),)), 18816),
        (Layers((96, 96, 3), (conv(8, 3, 2),)), 480),
        (Layers((32, 32, 1), (conv(6, 5, pad=0), pool())).fused(), 344),
        (Layers((32, 32, 3), (conv(32, 5), pool())).fused(), 5504),
    ],
)
def test_the_distances_of_memory_md(net: Layers, distance: int) -> None:
    assert _distance(net, backward=False) == distance


def test_a_reduction_writes_its_output_last() -> None:
    """All of the input but its last row may be overwritten by the output, nothing by the accumulators."""
    net = Layers((6, 5, 4), fc(7))
    for backward in BOTH:
        stream = replace(_network(net).stages[0].call, function="")
        network = _network(net)
        network = replace(network, stages=(replace(network.stages[0], call=stream),))
        run = _layout(network, Cut(0, 1)).run(0, backward)
        assert run.distance("x0", Key("tensor", "x1")) == 7 - 5 * 20
        assert run.distance("x0", Key("accumulator", "x1", 0)) == 4 * 7


def test_an_elementwise_layer_works_in_place() -> None:
    """D = 0 for both inputs forward; backward values within a row still go up, so it is a row."""
    net = Layers((6, 5, 4), (conv(4), add(1, 2), conv(4)))
    whole = _layout(_network(net), Cut(0, 1), Cut(1, 2), Cut(2, 3))
    for name in ("x0", "x1"):
        assert whole.run(1, backward=False).distance(name, Key("tensor", "x2")) == 0
        assert whole.run(1, backward=True).distance(name, Key("tensor", "x2")) == 20


def test_a_single_row_in_place() -> None:
    """The row that an element-wise unit reads is not gone before it writes: it may not write above it."""
    net = Layers((1, 5, 4), (Layer("act"), Layer("mean")))
    run = _layout(_network(net), Cut(0, 2)).run(0, backward=False)
    assert isinstance(run, Stream)
    assert run.distance("x0", Key("ring", "x1", 0)) == 0


def test_no_distance_where_another_reader_is_left() -> None:
    """x1 outlives the second layer, whose output must then keep apart from all of it."""
    net = Layers((6, 5, 4), (conv(4, 3), conv(4, 3), add(2, 1)))
    layout = _layout(_network(net), *(Cut(k, k + 1) for k in range(3)))
    keys = list(layout.blocks)
    rules = {(keys[p.a].name, keys[p.b].name): (p.forward, p.backward) for p in layout.problem().pairs}
    assert rules["x1", "x2"] == ((-120, 120),) * 2
    assert rules["x0", "x1"][0] == (-2 * 20, 120)
    assert rules["x2", "x3"][0] == (0, 120)


# -- rings --------------------------------------------------------------------------------------------

CONV = conv(2, 3)
RINGS = {  # by the stages of a segment: rows that exist at once (memory.md, B.4)
    "3x3": ((CONV, CONV), [3]),
    "3x3 of stride 2": ((CONV, conv(2, 3, 2)), [3]),
    "1x1": ((CONV, conv(3)), [1]),
    "1x1 of stride 2": ((CONV, conv(3, 1, 2)), [1]),
    "5x5": ((CONV, conv(2, 5)), [5]),
    "5x5 with pool": ((CONV, replace(conv(2, 5), pool=(2, 2))), [5]),
    "pool": ((CONV, pool()), [2]),
    "overlapping pool": ((CONV, Layer("pool", 0, (3, 3), 2)), [3]),
    "a chain": ((CONV, conv(2, 5), depthwise(), conv(4)), [5, 3, 1]),
    "a skip over two": ((CONV, CONV, CONV, add(3, 1), conv(4)), [3, 3, 1, 1]),
    "a skip over one": ((CONV, CONV, add(2, 1), conv(4)), [3, 1, 1]),
    "reduction": ((CONV, *classifier(3)[:1]), [1]),
}


@pytest.mark.parametrize("spare", BOTH)
@pytest.mark.parametrize("name", RINGS)
def test_rings_have_the_rows_that_exist_at_once(name: str, spare: bool) -> None:
    layers, wanted = RINGS[name]
    network = _network(Layers((16, 5, 2), layers))
    layout = _layout(network, Cut(0, len(layers), spare))
    rows = {n: e.row_bytes for n, e in network.extents.items()}
    found = {
        key: size // rows[key.name] for key, (size, _, _) in layout.blocks.items() if key.kind != "tensor"
    }
    names = [f"x{i + 1}" for i in range(len(wanted))]
    rings = [found.get(Key("ring", n, i), 0) for i, n in enumerate(names)]
    assert rings == [n - spare for n in wanted]
    assert all((Key("spare", n, i) in found) == spare for i, n in enumerate(names))


# -- random networks ----------------------------------------------------------------------------------


@st.composite
def layer_lists(draw: st.DrawFn, longest: int = 7) -> Layers:
    """Convolutions, some with a pool, activations, additions of what has the right shape, maybe a mean."""
    shape = (draw(st.integers(1, 12)), draw(st.integers(1, 12)), draw(st.integers(1, 2)))
    shapes, layers = [shape], list[Layer]()
    for _ in range(draw(st.integers(2, longest))):
        same = [i for i, s in enumerate(shapes[:-1]) if s == shapes[-1]]
        kind = draw(st.sampled_from(["conv", "conv", "conv", "add", "act"]))
        if kind == "act":
            layer = Layer("act")
        elif kind == "add" and same:
            layer = add(len(shapes) - draw(st.sampled_from(same)), 1)
        else:
            kernel, stride = draw(st.integers(1, 4)), draw(st.sampled_from([1, 1, 1, 2, 3]))
            (top, bottom), fused = (
                (draw(st.integers(0, kernel)) for _ in BOTH),
                draw(st.sampled_from([1, 1, 2])),
            )
            layer = Layer("conv", draw(st.integers(0, 2)), (kernel, 1), stride, (top, 0, bottom, 0))
            layer = replace(layer, pool=(1 + fused, 1 + fused))
        if min(layer.output(shapes[-1])) > 0:
            layers.append(layer)
            shapes.append(layer.output(shapes[-1]))
    if draw(st.booleans()) or len(layers) < 2:
        layers += [conv(1), Layer("mean")]
    return Layers(shape, tuple(layers))


MODES = st.sampled_from(list(InputMode))


def _segments(network: Network) -> list[tuple[int, int]]:
    """All runs of neighbouring stages that stream."""
    count = len(network.stages)
    return [
        (start, stop)
        for start in range(count)
        for stop in range(start + 1, count + 1)
        if all(stage.streams for stage in network.stages[start:stop])
    ]


@given(layer_lists(), MODES, st.booleans())
def test_a_segments_order_does_not_depend_on_what_is_before_it(
    net: Layers, mode: InputMode, backward: bool
) -> None:
    network = _network(net, mode)
    shared = Streams(network, backward)
    for start, stop in _segments(network):
        alone = Streams(replace(network, stages=network.stages[start:stop]), backward)
        assert (shared.order(start, stop) == alone.order(0, stop - start) + start).all()


@given(layer_lists(), MODES, st.booleans())
def test_rows_are_made_on_demand(net: Layers, mode: InputMode, backward: bool) -> None:
    """Every unit finds its inputs complete, and nobody works before a reader must wait for it.

    Except that fed rows come first: the generated C has nothing else that it could start with.
    """
    network = _network(net, mode)
    streams = Streams(network, backward)
    start, stop = _segments(network)[-1]
    start = min(s for s, e in _segments(network) if e == stop)
    done = dict.fromkeys(range(start, stop), 0)
    rows = {network.stages[k].output: 0 for k in done}
    totals = {k: len(network.stages[k].complete) for k in done}
    for stage in streams.order(start, stop).tolist():
        node = network.stages[stage]
        for read in streams.reads[stage]:
            if read.tensor in rows:
                assert rows[read.tensor] >= read.high[done[stage]]
        reads = [(k, r) for k in done for r in streams.reads[k] if r.tensor == node.output]
        waiting = any(done[k] < totals[k] and r.high[done[k]] > rows[node.output] for k, r in reads)
        begins = node.node == FEED and not any(done.values())
        assert waiting or begins or all(done[k] == totals[k] for k, _ in reads)
        rows[node.output] = int(node.complete[done[stage]])
        done[stage] += 1
    assert done == totals
    assert mode is not InputMode.ROWS or start > 0 or streams.order(start, stop)[0] == 0


# -- loads --------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(layer_lists(longest=4), MODES)
def test_no_placement_undercuts_a_load(net: Layers, mode: InputMode) -> None:
    network = _network(net, mode)
    streams, lives = [Streams(network, d) for d in BOTH], lives_of(network)
    bounds = [loads(s, lives, 99) for s in streams]
    assert set(bounds[0]) == {
        (*segment, spare) for segment in _segments(network) if segment[1] - segment[0] > 1 for spare in BOTH
    }
    for cut, load in bounds[0].items():
        problem = _layout(network, Cut(*cut)).problem()
        assert min(load, bounds[1].get(cut, load)) <= place(problem, effort=Effort.FAST).arena


# -- placements ---------------------------------------------------------------------------------------


@settings(max_examples=150)
@given(layer_lists(), MODES, st.integers(0, 2**30))
def test_any_choice_of_segments_makes_a_right_plan(net: Layers, mode: InputMode, seed: int) -> None:
    """The rules between blocks are enough: the verifier shares no code with them."""
    graph, calls = net.graph()
    forced_plan(graph, calls, mode, random.Random(seed))


UNREAD = {  # rows that nobody reads are made when everybody else is done
    "last rows": (Layer("conv", 0, (1, 1), 2), Layer("conv", 0, (3, 1), 1, (0, 0, 2, 0))),
    "last rows of rings": (conv(2), Layer("conv", 0, (1, 1), 3), Layer("conv", 0, (4, 1), 1, (0, 0, 3, 0))),
    "none at the end": (conv(2), Layer("conv", 0, (3, 1), 3), Layer("conv", 0, (1, 1), 1, (0, 0, 4, 0))),
    "and first ones of padding": (Layer("conv", 0, (1, 1), 2, (2, 0, 0, 0)), Layer("act")),
}


@pytest.mark.parametrize("mode", list(InputMode))
@pytest.mark.parametrize("name", UNREAD)
def test_rows_that_nobody_reads(name: str, mode: InputMode) -> None:
    graph, calls = Layers((9, 6, 2), (*UNREAD[name], conv(1), Layer("mean"))).graph()
    for seed in range(30):
        forced_plan(graph, calls, mode, random.Random(seed))


def test_a_block_is_not_dead_before_its_last_row() -> None:
    """Nobody reads the last row that is fed, after all others: the output may not grow over its ring."""
    net = Layers((6, 4, 1), UNREAD["last rows"])
    run = _layout(_network(net, InputMode.ROWS), Cut(0, 3)).run(0, backward=False)
    assert isinstance(run, Stream)
    assert run.growth(Key("ring", "x0", 0), Key("tensor", "x2")) == 3 * 2
