"""What `verify`, `plan` and reports say about conversions between integers and float32 that did not fold."""

from collections.abc import Mapping
from typing import Any

from pingponnx.ir import Graph
from pingponnx.names import short
from pingponnx.rewrite.unfolded import conversions


def conversion_lines(graph: Graph) -> list[str]:
    """For people; empty when everything folded."""
    left = conversions(graph)
    if not left:
        return []
    total = f"{sum(c.values for c in left):,} values, {sum(c.bytes for c in left):,} bytes of RAM more"
    lines = [f"conversions to and from float32 that did not fold: {total}"]
    for c in left:
        cost = f"{c.values:,} values, {c.bytes:,} bytes, about {c.estimated_cycles:,} cycles"
        beside = f" (beside {short(c.beside)})" if c.beside else ""
        lines.append(f"  {c.op:<16} {c.reason}{beside}; {cost}  {short(c.node)}")
    return lines


def conversion_rows(row: Mapping[str, Any]) -> list[dict[str, str]]:
    """The conversions of one measurement and what they were counted to take."""
    return [
        {
            "conversion": short(c["node"]),
            "reason": c["reason"],
            "beside": short(c["beside"]),
            "values": f"{c['values']:,}",
            "bytes more": f"{c['bytes']:,}",
            "instructions": "n/a" if c["instructions"] is None else f"{c['instructions']:,}",
            "cycles": "n/a" if c["cycles"] is None else f"{c['cycles']:,}",
        }
        for c in row["conversions"]
    ]


def accuracy_rows(row: Mapping[str, Any]) -> list[dict[str, str]]:
    """Every node of one measurement against onnxruntime when fed its own inputs, the worst first."""
    nodes = row["accuracy"]["nodes"]
    ordered = sorted(nodes, key=lambda n: (-(n["max_lsb"] or 0), n["equal"] / max(n["values"], 1)))
    return [
        {
            "node vs onnxruntime": short(n["name"]),
            "operator": n["op"],
            "values": f"{n['values']:,}",
            "equal": f"{100 * n['equal'] / max(n['values'], 1):.4f} %",
            "undecided": f"{n['undecided']:,}",
            "max": f"{n['max_abs']:.2g}" if n["max_lsb"] is None else f"{n['max_lsb']} LSB",
        }
        for n in ordered
    ]
