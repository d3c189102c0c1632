"""<model>.json: graph, plan, kernels chosen and predicted bytes, for tools."""

import json
from dataclasses import asdict
from typing import Any

from pingponnx import __version__
from pingponnx.emit.settings import Settings
from pingponnx.ir import Graph
from pingponnx.plan import Calls, Plan
from pingponnx.rewrite.unfolded import conversions


def manifest(graph: Graph, calls: Calls, memory: Plan, settings: Settings) -> str:
    """The manifest of a generated library as JSON text."""
    nodes = []
    for index, (node, call) in enumerate(zip(graph.nodes, calls, strict=True)):
        entry: dict[str, Any] = {
            "name": node.name,
            "op": type(node.op).__name__,
            "inputs": [n for n in node.inputs if n],
            "outputs": list(node.outputs),
            "kernel": call.form(by_rows=index in memory.streamed).function if call else None,
        }
        if call:
            entry |= {"macs": call.macs, "scratch": call.scratch, "constants": call.constants}
            entry |= {
                "overlap": {str(k): v for k, v in call.overlap.items()},
                "fallback": call.fallback or None,
            }
        nodes.append(entry)
    tensors = {
        name: {
            "shape": list(t.shape),
            "dtype": t.dtype.value,
            "offset": memory.offsets.get(name),
            "scale": float(t.quantization.s) if t.quantization and t.quantization.per_tensor else None,
            "zero_point": t.quantization.z if t.quantization and t.quantization.per_tensor else None,
        }
        for name, t in graph.tensors.items()
        if not t.constant
    }
    document = {
        "generator": f"pingponnx {__version__}",
        "model": graph.name,
        "checksum": graph.checksum,
        "variant": settings.variant,
        "target": settings.target,
        "goal": settings.goal,
        "rounding": str(settings.rounding),
        **({"flash_model": settings.flash_model} if settings.flash_model else {}),
        "inputs": list(graph.inputs),
        "outputs": list(graph.outputs),
        "plan": memory.row(),
        "nodes": nodes,
        "conversions": [asdict(c) for c in conversions(graph)],
        "tensors": tensors,
    }
    return json.dumps(document, indent=1, sort_keys=True) + "\n"
