"""Plans with segments, directions and kernels at random: right ones, though nobody would choose them."""

import random
from dataclasses import replace

from pingponnx.emit import Settings, emit
from pingponnx.ir import Graph
from pingponnx.pipeline import Conversion, Options
from pingponnx.plan import Calls, Effort, InputMode, Plan
from pingponnx.plan.assemble import Candidate, assemble
from pingponnx.plan.layout import Cut, Layout
from pingponnx.plan.loads import lives_of
from pingponnx.plan.placement import place
from pingponnx.plan.replay import verify_plan
from pingponnx.plan.simulate import Streams
from pingponnx.plan.stages import Network, network_of
from pingponnx.select import offers, variant
from pingponnx.targets import get_target


def forced(normal: Graph, mode: InputMode, seed: int) -> Conversion:
    """A conversion with a plan that the verifier replayed."""
    options, chosen, rng = Options(target="host", input_mode=mode), variant("optimised"), random.Random(seed)
    graph = chosen.prepare(normal)
    found = offers(graph, chosen, options.rounding, get_target("host", None))
    calls = tuple(rng.choice(row) if row else None for row in found)
    memory = forced_plan(graph, calls, mode, rng)
    sources = emit(graph, calls, memory, Settings(options.variant, "host", "forced", options.rounding))
    return Conversion(options, get_target("host", None), graph, calls, memory, sources, None)


def forced_plan(graph: Graph, calls: Calls, mode: InputMode, rng: random.Random) -> Plan:
    """Raises MemoryPlanError when the verifier finds the planner wrong."""
    network = network_of(graph, calls, mode)
    streams = Streams(network, backward=False), Streams(network, backward=True)
    layout = Layout(streams, lives_of(network), _cuts(network, rng))
    problem = layout.problem()
    directions = tuple((rng.choice(allowed),) for allowed in problem.directions)
    solution = place(replace(problem, directions=directions), effort=Effort.FAST)
    memory = assemble(Candidate(layout, solution, 0), len(graph.nodes), mode, "forced", {})
    verify_plan(graph, calls, memory)
    return memory


def _cuts(network: Network, rng: random.Random) -> tuple[Cut, ...]:
    """Runs of streaming stages of random length, mostly long; what does not stream is alone."""
    cuts, start, count = list[Cut](), 0, len(network.stages)
    while start < count:
        longest = start + 1
        while longest < count and network.stages[start].streams and network.stages[longest].streams:
            longest += 1
        stop = max(rng.randint(start + 1, longest), rng.randint(start + 1, longest))
        cuts.append(Cut(start, stop, stop - start > 1 and rng.random() < 0.5))
        start = stop
    return tuple(cuts)
