"""Values -> C text: the only place that spells C."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from pingponnx import __version__
from pingponnx._paths import cmsis_baseline, kernel_headers, runtime_c
from pingponnx.constants import Constant, constants
from pingponnx.emit.literals import C_TYPES, number, rows_of
from pingponnx.emit.manifest import manifest
from pingponnx.emit.places import Places
from pingponnx.emit.proof import Proof
from pingponnx.emit.settings import Settings
from pingponnx.emit.streams import Streams, state_bytes
from pingponnx.emit.writer import Writer
from pingponnx.fixed_point import Rounding
from pingponnx.hot import hottest
from pingponnx.ir import CODES, Graph
from pingponnx.names import comment, prefix
from pingponnx.plan import Calls, InputMode, Plan
from pingponnx.plan.schedule import Segment


def emit(
    graph: Graph, calls: Calls, memory: Plan, settings: Settings, proof: Proof | None = None
) -> dict[str, str]:
    """The C library as {file name: text}, with a proof also its self-test; equal input gives equal bytes."""
    prefix = prefix_of(graph)
    places = Places(graph, memory)
    tables = constants(graph, calls, memory)
    hot = hottest(tables.values(), settings.hot_weights)
    writer = Writer(places, prefix, tables)
    streams = Streams(places, writer, calls)
    parts = [_part(i, s, graph, calls, streams) for i, s in enumerate(memory.segments)]
    inputs = [_port(places, n, "input", i) for i, n in enumerate(graph.inputs)]
    outputs = [_port(places, n, "output", i) for i, n in enumerate(graph.outputs)]
    used = {h for s in memory.segments for h in _headers_of(s, calls)}
    used |= {f"quantize_{p['codes']}.h" for p in inputs + outputs if p["codes"]}  # the helpers' kernels
    headers = sorted(used)
    handle = "state" if memory.input_mode is InputMode.ROWS else "arena"
    context = {
        "prefix": prefix,
        "macro": prefix.upper(),
        "version": __version__,
        "graph": graph,
        "name": comment(graph.name),
        "settings": settings,
        "tflite": settings.rounding is Rounding.TFLITE,
        "memory": memory,
        "mode": memory.input_mode.value,
        "banks": list(zip(places.banks, places.bases, strict=False)),
        "idle_banks": [bank.name for bank in memory.banks if not bank.bytes],
        "handle": handle,
        "kinds": [bank.name for bank in places.banks] or [handle],
        "handle_type": f"{'const ' if places.banks and handle == 'arena' else ''}{prefix}_{handle}",
        "inputs": inputs,
        "outputs": outputs,
        "headers": headers,
        "structs": list(writer.structs.values()),
        "tables": [_table(prefix, t, t in hot.tables) for t in tables.values()],
        "hot": hot,
        "states": _states(graph, memory),
        "parts": parts,
        "fed": next((part for part in parts if part.get("fed")), None),
        "proof": proof.context(prefix, tables.values()) if proof else None,
    }
    files = {
        f"{prefix}{suffix}": _environment().get_template(f"{template}.j2").render(context)
        for template, suffix in (_TEMPLATES | (_SELF_TEST if proof else {})).items()
    }
    files["CMakeLists.txt"] = _environment().get_template("CMakeLists.txt.j2").render(context)
    files[f"{prefix}.json"] = manifest(graph, calls, memory, settings)
    return dict(sorted((files | _headers(["kernel.h", *headers])).items()))


def prefix_of(graph: Graph) -> str:
    """What the generated files and symbols of a graph are called."""
    return prefix(graph.name, kernel_headers())


_TEMPLATES = {"model.h": ".h", "model.c": ".c", "model_data.h": "_data.h", "model_data.c": "_data.c"}
_SELF_TEST = {"self_test.h": "_self_test.h", "self_test.c": "_self_test.c"}


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("pingponnx"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # every name went through `names`; the output is C
    )


def _headers_of(segment: Segment, calls: Calls) -> list[str]:
    """The kernel headers that a segment includes."""
    found = ["rows.h"] if segment.steps else []
    for call in (calls[node] for node in segment.nodes):
        assert call is not None
        found.append(call.form(by_rows=bool(segment.steps)).header)
    return found


def _headers(names: Sequence[str]) -> dict[str, str]:
    """The kernel headers named, and those that they include."""
    found: dict[str, str] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        path = next((p for p in (runtime_c() / name, cmsis_baseline() / name) if p.is_file()), None)
        if path is None:  # a CMSIS-NN or C library header
            continue
        found[name] = path.read_text(encoding="utf-8")
        waiting += [line.split('"')[1] for line in found[name].splitlines() if line.startswith('#include "')]
    return found


def _part(index: int, segment: Segment, graph: Graph, calls: Calls, streams: Streams) -> dict[str, Any]:
    """What the templates need to write a segment: whole calls, or functions that stream rows."""
    titles = [
        {"index": n, "title": comment(f"{type(graph.nodes[n].op).__name__} {graph.nodes[n].name}")}
        for n in segment.nodes
    ]
    if segment.steps:
        return {"streamed": True, "titles": titles, "blocks": [], **streams.segment(index, segment)}
    (number_of_node,) = segment.nodes
    node, call = graph.nodes[number_of_node], calls[number_of_node]
    assert call is not None
    declarations, text = streams.writer.whole(number_of_node, node, call)
    y = graph.tensors[node.outputs[0]]
    block = {
        **titles[0],
        "locals": declarations,
        "call": text,
        "checked": call.checked,
        "output": streams.places.whole(y.name),
        "bytes": y.bytes,
    }
    return {"streamed": False, "blocks": [block]}


def _table(prefix: str, constant: Constant, hot: bool) -> dict[str, Any]:
    """A constant table's definition."""
    data, symbol = constant.data, f"{prefix}_{constant.name}"
    declaration = f"const {C_TYPES[str(data.dtype)]} {symbol}[{max(data.size, 1)}]"
    alignment = max(4, data.itemsize)
    return {
        "symbol": symbol,
        "declaration": declaration,
        "rows": rows_of(data),
        "hot": hot,
        "alignment": alignment,
    }


def _port(places: Places, name: str, kind: str, index: int) -> dict[str, Any]:
    """What the header says about one input or output."""
    graph, memory = places.graph, places.memory
    tensor, port = graph.tensors[name], graph.ports[name]
    q, extent = tensor.quantization, places.extent(name)
    order = ""
    if len(tensor.shape) >= 3 and port.permutation is not None:
        order = "channels last (n h w c)" if len(tensor.shape) == 4 else "channels last (n w c)"
    return {
        "kind": kind,
        "index": index,
        "macro": f"{kind.upper()}_{index}",
        "name": comment(port.name),
        "ctype": tensor.dtype.c,
        "item": tensor.dtype.bytes,
        "shape": "x".join(map(str, tensor.shape)) or "scalar",
        "order": order,
        "size": tensor.size,
        "bytes": tensor.bytes,
        **_place(memory, name, kind),
        "rows": extent.rows,
        "row_size": extent.row_bytes // tensor.dtype.bytes if kind == "input" else 0,
        "codes": tensor.dtype.suffix if q is not None and tensor.dtype in CODES else "",
        "scale": number(float(q.s)) if q is not None else "",
        "zero_point": q.z if q is not None else 0,
    }


def _states(graph: Graph, memory: Plan) -> list[dict[str, Any]]:
    """The state of the network: what a reset writes, and what is copied after a run."""
    found = []
    for h, output in graph.states.items():
        tensor, (source, target) = graph.tensors[h], (memory.offsets[output], memory.offsets[h])
        zero = tensor.quantization.z if tensor.quantization else 0
        found.append(
            {
                "input": graph.inputs.index(h),
                "output": graph.outputs.index(output),
                "bytes": tensor.bytes,
                "zero": zero & 0xFF,
                "offset": target,
                "source": None if source == target else source,
            }
        )
    return found


def _place(memory: Plan, name: str, kind: str) -> dict[str, Any]:
    """Where in the arena's memories a port lies, for the header; nowhere when it is in the caller's."""
    if kind == "input" and memory.input_mode is not InputMode.RESIDENT:
        return {"offset": None, "base": ""}
    offset = memory.offsets[name]
    bank = memory.bank_of(offset)
    return (
        {"offset": offset - bank.start, "base": f"{bank.name}->bytes"}
        if bank
        else {"offset": offset, "base": "bytes"}
    )


__all__ = ["Proof", "Settings", "emit", "prefix_of", "state_bytes"]
