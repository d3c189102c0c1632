"""What the `plan` command says: the ladder of strategies, the certificate, the segments and the blocks."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from pingponnx.ir import Graph
from pingponnx.names import short
from pingponnx.pipeline import Conversion, flash_of
from pingponnx.plan import Placed, Plan, roots_of
from pingponnx.plan.schedule import FEED, Ring, Segment
from pingponnx.report.conversions import conversion_lines
from pingponnx.report.tables import share
from pingponnx.rewrite.unfolded import conversions


def plan_result(conversion: Conversion) -> dict[str, Any]:
    """The JSON of `plan`: nodes by name, but the lives of blocks by the indices of nodes."""
    graph, plan, flash = conversion.graph, conversion.plan, flash_of(conversion.options)
    segments = [
        {
            "nodes": [graph.nodes[k].name for k in segment.nodes],
            "backward": segment.backward,
            "streamed": streamed(segment),
            "steps": len(segment.steps),
            "bytes": held(plan, segment),
        }
        for segment in plan.segments
    ]
    return plan.row() | {
        "model": graph.name,
        "conversions": [asdict(c) for c in conversions(graph)],
        "gap": plan.arena - plan.lower_bound,
        "proven": plan.proven,
        "effort": str(conversion.options.effort),
        "flash_model": flash.name if flash else None,
        "segments": segments,
        "rings": {name: asdict(ring) for name, ring in plan.rings.items()},
        "blocks": [asdict(block) for block in plan.blocks],
        "banks": [asdict(bank) for bank in plan.banks],
    }


def plan_lines(conversion: Conversion) -> list[str]:
    """`plan` for people."""
    graph, plan = conversion.graph, conversion.plan
    lines = [f"{graph.name}: bytes of RAM, network input and output included; per cent of ping_pong"]
    for name, size in plan.strategies.items():
        part = share(size, plan.strategies["ping_pong"])
        used = "  <- used" if name == plan.strategy else ""
        lines.append(f"  {name:<12} {'-' if size is None else f'{size:,}':>11} {part:>9}{used}")
    lines.append(f"{certificate(plan)}; effort {conversion.options.effort}")
    if flash := flash_of(conversion.options):
        lines.append(
            f"flash {short(flash.name)}: loops fit its {conversion.target.code_buffer:,} bytes of code buffer"
        )
    for bank in plan.banks:
        lines.append(
            f"  bank {bank.name}: {bank.bytes:,} of {bank.capacity:,} bytes, from offset {bank.start:,} on"
        )
    lines.append(f"segments: nodes, direction, bytes held; input {plan.input_mode}")
    lines += [line for segment in plan.segments for line in _segment_lines(graph, plan, segment)]
    lines += conversion_lines(graph)
    lines.append("blocks: offset + bytes, alive from node to node (-1: before the first), kind, name")
    lines += [_block_line(block) for block in plan.blocks]
    return lines


def certificate(plan: Plan) -> str:
    """How large the arena is, and how much smaller it could be at most."""
    found = f"arena {plan.arena:,} bytes, lower bound {plan.lower_bound:,}"
    gap = plan.arena - plan.lower_bound
    if plan.banks:
        return f"{found} in one memory"
    if plan.proven:
        return f"{found}, proven: no schedule of this kind needs less"
    return f"{found}, gap {gap:,} ({100 * gap / max(plan.lower_bound, 1):.1f} %)"


def members(segment: Segment) -> tuple[int, ...]:
    """The nodes of a segment, and FEED before them when it takes the rows of the input."""
    feeds = any(step.node == FEED for step in segment.steps)
    return (FEED, *segment.nodes) if feeds else segment.nodes


def streamed(segment: Segment) -> bool:
    """True when nodes take turns; a single one may run row by row too, to run backward."""
    return len(members(segment)) > 1


def held(plan: Plan, segment: Segment) -> int:
    """Bytes of the arena in which anything lies while a segment runs; shared ones count once."""
    nodes = members(segment)
    total = end = 0
    for block in sorted(plan.blocks, key=lambda b: b.offset):
        if block.first <= nodes[-1] and nodes[0] <= block.last:
            total += max(0, block.offset + block.bytes - max(end, block.offset))
            end = max(end, block.offset + block.bytes)
    return total


def describe_ring(ring: Ring) -> str:
    """`ring of 2 rows of 512 bytes + spare row`."""
    if not ring.rows:
        return f"spare row of {ring.row_bytes:,} bytes"
    rows = "1 row" if ring.rows == 1 else f"{ring.rows} rows"
    return f"ring of {rows} of {ring.row_bytes:,} bytes{'' if ring.spare is None else ' + spare row'}"


def _segment_lines(graph: Graph, plan: Plan, segment: Segment) -> Iterator[str]:
    nodes, roots = members(segment), roots_of(graph)
    span = str(nodes[0]) if len(nodes) == 1 else f"{nodes[0]}..{nodes[-1]}"
    direction = "backward" if segment.backward else "forward"
    way = f"streamed in {len(segment.steps)} steps" if streamed(segment) else "layer by layer"
    yield f"  {span:>8}  {direction:<8} {held(plan, segment):>9,}  {way}"
    for k in nodes if streamed(segment) else ():
        operator = "input rows" if k == FEED else type(graph.nodes[k].op).__name__
        name = graph.inputs[0] if k == FEED else graph.nodes[k].outputs[0]
        ring = plan.rings.get(roots[name])
        yield f"    {k:>6}  {operator:<18} {describe_ring(ring) if ring else 'whole'}: {short(name)}"


def _block_line(block: Placed) -> str:
    span = f"{block.first:>3}..{block.last:<3}"
    return f"  {block.offset:>9,} + {block.bytes:<9,} {span}  {block.kind:<11} {short(block.name)}"
