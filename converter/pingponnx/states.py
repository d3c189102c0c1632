"""State that outlives a run: an input whose value is what an output was in the run before."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pingponnx.errors import Error
from pingponnx.ir import DType, Graph, Quantization


def bind_states(graph: Graph, pairs: Sequence[tuple[str, str]]) -> Graph:
    """The graph with (input, output) pairs, by their ONNX names, as its state.

    Raises Error for unknown names, names used twice, and pairs that are not alike in shape, type,
    quantization and order of axes.
    """
    inputs, outputs = ({graph.ports[n].name: n for n in names} for names in (graph.inputs, graph.outputs))
    states: dict[str, str] = {}
    for source, target in pairs:
        for name, known, kind in ((source, inputs, "input"), (target, outputs, "output")):
            if name not in known:
                raise Error(f"the model has no {kind} {name!r}", f"its {kind}s are: {', '.join(known)}")
        h, new = inputs[source], outputs[target]
        if h in states or new in states.values():
            raise Error(f"the state {source}={target} uses a name twice", "give every input and output once")
        difference = _difference(graph, h, new)
        if difference:
            hint = "--float-io keeps both in float32, --nchw-io in ONNX's order of axes"
            raise Error(f"{source!r} and {target!r} cannot be one state: {difference}", hint)
        states[h] = new
    return replace(graph, states=states)


def _difference(graph: Graph, h: str, new: str) -> str:
    """What keeps an input from being replaced by an output; empty when they are alike."""
    a, b = graph.tensors[h], graph.tensors[new]
    if a.shape != b.shape:
        return f"their shapes are {a.shape} and {b.shape}"
    if a.dtype is not b.dtype:
        return f"their types are {a.dtype.value} and {b.dtype.value}"
    if not _alike(a.quantization, b.quantization):
        return "they are quantized differently"
    if a.dtype is not DType.S8 and a.quantization is not None and a.quantization.z:
        return "their zero point is not 0, which is what their bytes are set to"
    if graph.ports[h].permutation != graph.ports[new].permutation:
        return "their axes are in different orders"
    return ""


def _alike(a: Quantization | None, b: Quantization | None) -> bool:
    if a is None or b is None:
        return a is b
    return bool(np.allclose(a.scale, b.scale, rtol=1e-6, atol=0)) and a.z == b.z
