"""The typed intermediate representation: tensors, nodes and graphs as frozen values.

Every activation is channels-last (`n h w c`) once `load` has run; a tensor keeps its `origin`, the ONNX
value it stands for and how its axes were permuted, so that any stage can be compared with onnxruntime.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pingponnx.errors import ModelError

if TYPE_CHECKING:
    from pingponnx.ops import Operator

Array = NDArray[Any]
Shape = tuple[int, ...]


class DType(Enum):
    """Element types that can stand in generated C; the value is numpy's name."""

    F32 = "float32"
    F64 = "float64"
    S8 = "int8"
    U8 = "uint8"
    S16 = "int16"
    U16 = "uint16"
    S32 = "int32"
    U32 = "uint32"
    S64 = "int64"
    U64 = "uint64"
    BOOL = "bool"

    @property
    def numpy(self) -> np.dtype[Any]:
        return np.dtype(self.value)

    @property
    def bytes(self) -> int:
        return self.numpy.itemsize

    @property
    def suffix(self) -> str:
        """The suffix of kernel names: s8, f32, ..."""
        return self.name.lower()

    @property
    def c(self) -> str:
        special = {"float32": "float", "float64": "double", "bool": "uint8_t"}
        return special.get(self.value, f"{self.value}_t")


CODES = (DType.S8, DType.S16)
"""What activations of integer kernels are made of."""


@dataclass(frozen=True, slots=True, eq=False)
class Quantization:
    """Affine quantization: real = (q - zero_point) * scale; one value, or one per index of `axis`.

    `scale` is float32, `zero_point` int32, both 1-D; `axis` is None for per-tensor (length 1).
    """

    scale: NDArray[np.float32]
    zero_point: NDArray[np.int32]
    axis: int | None = None

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Quantization)
            and self.axis == other.axis
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.zero_point, other.zero_point)
        )

    def __hash__(self) -> int:
        return hash((self.scale.tobytes(), self.zero_point.tobytes(), self.axis))

    @property
    def per_tensor(self) -> bool:
        return self.axis is None

    @property
    def s(self) -> np.float32:
        """The only scale of a per-tensor quantization."""
        return np.float32(self.scale[0])

    @property
    def z(self) -> int:
        """The only zero point of a per-tensor quantization."""
        return int(self.zero_point[0])


@dataclass(frozen=True, slots=True)
class Origin:
    """The ONNX value a tensor stands for; ours = value.transpose(permutation), minus 128 for uint8."""

    name: str
    permutation: tuple[int, ...] | None = None

    def apply(self, value: Array, dtype: DType) -> Array:
        """The ONNX value in our layout and dtype."""
        if self.permutation is not None:
            value = value.transpose(self.permutation)
        if value.dtype == np.uint8 and dtype is DType.S8:
            value = (value.astype(np.int16) - 128).astype(np.int8)
        return value

    def permuted(self, permutation: tuple[int, ...]) -> "Origin":
        """The origin of `tensor.transpose(permutation)`."""
        if self.permutation is None:
            return Origin(self.name, permutation)
        return Origin(self.name, tuple(self.permutation[axis] for axis in permutation))


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """One value of the graph. `data` is set for constants; quantized tensors stand for real numbers."""

    name: str
    shape: Shape
    dtype: DType
    quantization: Quantization | None = None
    data: Array | None = None
    origin: Origin | None = None

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.size * self.dtype.bytes

    @property
    def constant(self) -> bool:
        return self.data is not None

    @property
    def quantized(self) -> bool:
        return self.quantization is not None

    def real(self) -> Array:
        """The real numbers a constant stands for, float32, shape as `shape`."""
        assert self.data is not None
        q = self.quantization
        if q is None:
            return self.data
        along = [1] * max(len(self.shape), 1)
        if q.axis is not None:
            along[q.axis] = -1
        scale, zero = (a.reshape(along) if self.shape else a[0] for a in (q.scale, q.zero_point))
        return ((self.data.astype(np.int32) - zero).astype(np.float32) * scale).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Node:
    """An operator applied to tensors, by name. `inputs` holds "" for an optional input left out."""

    name: str
    op: "Operator"
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Port:
    """A model input or output: its ONNX name, and our tensor = ONNX value.transpose(permutation)."""

    name: str
    permutation: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Graph:
    """A static network: nodes in execution order, tensors by name, and the model's boundary.

    `ports` gives for every input and output tensor what the ONNX model calls it. `states` maps inputs that
    keep their value from run to run to the outputs that give the next one. `reasons` says of nodes, by name,
    why they stayed in float32, where the graph does not show it any more.
    """

    name: str
    nodes: tuple[Node, ...]
    tensors: Mapping[str, Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    ports: Mapping[str, Port]
    checksum: str = ""
    states: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def alignment(self) -> int:
        """Bytes to a multiple of which activations are aligned: a word, or the widest of them."""
        return max([4, *(t.dtype.bytes for t in self.tensors.values() if not t.constant)])

    def producers(self) -> dict[str, Node]:
        return {name: node for node in self.nodes for name in node.outputs}

    def consumers(self) -> dict[str, list[Node]]:
        """Readers of every tensor, in order; a graph output has no entry of its own."""
        readers: dict[str, list[Node]] = {name: [] for name in self.tensors}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                if name:
                    readers[name].append(node)
        return readers

    def with_(self, nodes: Iterable[Node], *tensors: Tensor, **changes: Any) -> "Graph":
        """A copy with other nodes and added or replaced tensors; unused tensors are dropped."""
        new_nodes = tuple(nodes)
        table = {**self.tensors, **{t.name: t for t in tensors}}
        outputs = changes.get("outputs", self.outputs)
        inputs = changes.get("inputs", self.inputs)
        used = {*inputs, *outputs, *(n for node in new_nodes for n in (*node.inputs, *node.outputs))}
        return replace(
            self, nodes=new_nodes, tensors={k: v for k, v in table.items() if k in used}, **changes
        )

    def fresh(self, base: str) -> str:
        """A tensor name that is not taken yet."""
        if base not in self.tensors:
            return base
        number = 2
        while f"{base}#{number}" in self.tensors:
            number += 1
        return f"{base}#{number}"


def check(graph: Graph) -> Graph:
    """Raise ModelError when a graph is not well formed; returns it unchanged otherwise."""
    defined = set(graph.inputs) | {name for name, t in graph.tensors.items() if t.constant}
    for node in graph.nodes:
        for name in node.inputs:
            if name and name not in graph.tensors:
                raise ModelError(f"node {node.name!r} reads the unknown tensor {name!r}")
            if name and name not in defined:
                raise ModelError(f"node {node.name!r} reads {name!r} before it is computed")
        for name in node.outputs:
            if name in defined:
                raise ModelError(f"node {node.name!r} writes {name!r}, which is written already")
            defined.add(name)
        _check_shapes(graph, node)
    for name in graph.outputs:
        if name not in defined:
            raise ModelError(f"graph output {name!r} is computed by no node")
    return graph


def _check_shapes(graph: Graph, node: Node) -> None:
    inferred = node.op.infer(*(graph.tensors[n] if n else None for n in node.inputs))
    for name, shape in zip(node.outputs, inferred, strict=True):
        tensor = graph.tensors[name]
        if tensor.shape != shape:
            raise ModelError(f"node {node.name!r} gives {name!r} the shape {shape}, not {tensor.shape}")
