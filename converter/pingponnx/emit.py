"""Values -> C text: the only place that spells C."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from pingponnx import __version__
from pingponnx._paths import cmsis_baseline, kernel_headers, runtime_c
from pingponnx.calls import (
    Argument,
    Call,
    Input,
    Inputs,
    Local,
    Output,
    Scratch,
    ScratchBytes,
    Struct,
    Table,
)
from pingponnx.fixed_point import Rounding
from pingponnx.ir import Array, DType, Graph, Node, Tensor
from pingponnx.names import comment, prefix
from pingponnx.plan import Calls, Plan

_C_TYPES = {"int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "uint16": "uint16_t"} | {
    "int32": "int32_t",
    "uint32": "uint32_t",
    "int64": "int64_t",
    "uint64": "uint64_t",
    "float32": "float",
    "bool": "uint8_t",
}
_PER_LINE = 16


@dataclass(frozen=True, slots=True)
class Settings:
    """What the generated text says about how it was made."""

    variant: str
    target: str
    goal: str
    rounding: Rounding


def emit(graph: Graph, calls: Calls, memory: Plan, settings: Settings) -> dict[str, str]:
    """The C library as {file name: text}; equal input gives equal bytes."""
    prefix = prefix_of(graph)
    writer = _Writer(graph, memory, prefix)
    blocks = [
        writer.block(i, node, call)
        for i, (node, call) in enumerate(zip(graph.nodes, calls, strict=True))
        if call is not None
    ]
    inputs = [_port(graph, memory, n, "input", i) for i, n in enumerate(graph.inputs)]
    outputs = [_port(graph, memory, n, "output", i) for i, n in enumerate(graph.outputs)]
    used = {call.header for call in calls if call is not None}
    used |= {"quantize_s8.h" for port in inputs + outputs if port["quantized"]}  # the helpers' kernels
    headers = sorted(used)
    context = {
        "prefix": prefix,
        "macro": prefix.upper(),
        "version": __version__,
        "graph": graph,
        "name": comment(graph.name),
        "settings": settings,
        "tflite": settings.rounding is Rounding.TFLITE,
        "memory": memory,
        "inputs": inputs,
        "outputs": outputs,
        "headers": headers,
        "structs": writer.structs,
        "tables": list(writer.tables.values()),
        "blocks": blocks,
    }
    files = {
        f"{prefix}{suffix}": _environment().get_template(f"{template}.j2").render(context)
        for template, suffix in _TEMPLATES.items()
    }
    files["CMakeLists.txt"] = _environment().get_template("CMakeLists.txt.j2").render(context)
    files[f"{prefix}.json"] = _manifest(graph, calls, memory, settings)
    return dict(sorted((files | _headers(["kernel.h", *headers])).items()))


def prefix_of(graph: Graph) -> str:
    """What the generated files and symbols of a graph are called."""
    return prefix(graph.name, kernel_headers())


_TEMPLATES = {"model.h": ".h", "model.c": ".c", "model_data.h": "_data.h", "model_data.c": "_data.c"}


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


class _Writer:
    """Turns calls into C, collecting constant tables (equal ones shared) and parameter structs."""

    def __init__(self, graph: Graph, memory: Plan, prefix: str) -> None:
        self.graph, self.memory, self.prefix = graph, memory, prefix
        self.tables: dict[tuple[str, bytes], dict[str, Any]] = {}
        self.structs: list[str] = []

    def block(self, index: int, node: Node, call: Call) -> dict[str, Any]:
        """What the template needs to write one node."""
        before: list[str] = []
        arguments = ", ".join(self._argument(a, index, node, call, before) for a in call.arguments)
        y = self.graph.tensors[node.outputs[0]]
        return {
            "index": index,
            "title": comment(f"{type(node.op).__name__} {node.name}"),
            "locals": before,
            "call": f"{call.function}({arguments})",
            "checked": call.checked,
            "output": self.memory.offsets[y.name],
            "bytes": y.bytes,
        }

    def _argument(self, argument: Argument, index: int, node: Node, call: Call, before: list[str]) -> str:
        match argument:
            case Input(i):
                return self._read(self.graph.tensors[node.inputs[i]], index, f"input{i}")
            case Output(i):
                tensor = self.graph.tensors[node.outputs[i]]
                return f"({tensor.dtype.c} *)(base + {self.memory.offsets[tensor.name]})"
            case Inputs(ctype):
                pointers = [
                    self._read(self.graph.tensors[n], index, f"input{i}") for i, n in enumerate(node.inputs)
                ]
                before.append(f"const {ctype} *const inputs[] = {{{', '.join(pointers)}}};")
                return "inputs"
            case Table(role, data):
                return "NULL" if data is None else self._table(data, f"n{index}_{role}")
            case Struct(ctype, fields):
                return self._struct(ctype, fields, index)
            case Local(ctype, count):
                before.append(f"{ctype}rows[{count}];" if ctype.endswith("*") else f"{ctype} work[{count}];")
                return "rows" if ctype.endswith("*") else "work"
            case Scratch():
                return f"base + {self.memory.scratch[index]}" if call.scratch else "NULL"
            case ScratchBytes():
                return str(call.scratch)
            case int():
                return str(argument)
            case _:
                return _number(argument)

    def _read(self, tensor: Tensor, index: int, role: str) -> str:
        if tensor.data is not None:
            return self._table(tensor.data, f"n{index}_{role}")
        return f"(const {tensor.dtype.c} *)(base + {self.memory.offsets[tensor.name]})"

    def _table(self, data: Array, name: str) -> str:
        data = np.ascontiguousarray(data)
        key = (str(data.dtype), data.tobytes())
        if key not in self.tables:
            values = [_number(v) for v in data.ravel().tolist()] or ["0"]
            rows = [", ".join(values[i : i + _PER_LINE]) for i in range(0, len(values), _PER_LINE)]
            symbol = f"{self.prefix}_{name}"
            declaration = f"const {_C_TYPES[str(data.dtype)]} {symbol}[{max(data.size, 1)}]"
            self.tables[key] = {"symbol": symbol, "declaration": declaration, "rows": rows}
        return str(self.tables[key]["symbol"])

    def _struct(self, ctype: str, fields: Mapping[str, Any], index: int) -> str:
        """A file-scope constant, its values in the order of the declaration and named in comments."""
        name = f"n{index}_params"
        values = [f"    {_spell(value)}, /* {field} */" for field, value in fields.items()]
        self.structs.append(f"static const {ctype} {name} = {{\n" + "\n".join(values) + "\n};")
        return f"&{name}"


def _spell(value: Any) -> str:
    if isinstance(value, tuple):
        return "{" + ", ".join(_number(v) for v in value) + "}"
    return _number(value)


def _number(value: int | float) -> str:
    """A C literal; float32 values are written with as many digits as bring them back exactly."""
    if isinstance(value, bool | int):
        return "INT32_MIN" if value == -(2**31) else str(int(value))
    if np.isnan(value):
        return "NAN"
    if np.isinf(value):
        return "INFINITY" if value > 0 else "-INFINITY"
    text = np.format_float_scientific(np.float32(value), unique=True, trim="0")
    return f"{text}f"


def _port(graph: Graph, memory: Plan, name: str, kind: str, index: int) -> dict[str, Any]:
    """What the header says about one input or output."""
    tensor, port = graph.tensors[name], graph.ports[name]
    q = tensor.quantization
    order = ""
    if len(tensor.shape) >= 3 and port.permutation is not None:
        order = "channels last (n h w c)" if len(tensor.shape) == 4 else "channels last (n w c)"
    return {
        "kind": kind,
        "index": index,
        "macro": f"{kind.upper()}_{index}",
        "name": comment(port.name),
        "ctype": tensor.dtype.c,
        "shape": "x".join(map(str, tensor.shape)) or "scalar",
        "order": order,
        "size": tensor.size,
        "bytes": tensor.bytes,
        "offset": memory.offsets[name],
        "quantized": q is not None and tensor.dtype is DType.S8,
        "scale": _number(float(q.s)) if q is not None else "",
        "zero_point": q.z if q is not None else 0,
    }


def _manifest(graph: Graph, calls: Calls, memory: Plan, settings: Settings) -> str:
    """<model>.json: graph, plan, kernels chosen and predicted bytes, for tools."""
    nodes = []
    for node, call in zip(graph.nodes, calls, strict=True):
        entry: dict[str, Any] = {
            "name": node.name,
            "op": type(node.op).__name__,
            "inputs": [n for n in node.inputs if n],
            "outputs": list(node.outputs),
            "kernel": call.function if call else None,
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
        "inputs": list(graph.inputs),
        "outputs": list(graph.outputs),
        "plan": {
            "arena": memory.arena,
            "lower_bound": memory.lower_bound,
            "strategy": memory.strategy,
            "strategies": dict(memory.strategies),
        },
        "nodes": nodes,
        "tensors": tensors,
    }
    return json.dumps(document, indent=1, sort_keys=True) + "\n"
