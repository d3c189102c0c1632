"""Operators: one definition each, found by importing every module of this package.

An operator reads its ONNX attributes, infers shapes, states its meaning in numpy, and offers kernels.
Adding one means adding a module here, a kernel header and a test; nothing else is edited.
"""

import importlib
import inspect
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, ClassVar, NoReturn, Self

import numpy as np

from pingponnx.calls import Call
from pingponnx.errors import ModelError, Unsupported, UnsupportedError
from pingponnx.fixed_point import Rounding
from pingponnx.ir import Array, DType, Graph, Node, Quantization, Shape, Tensor

Kept = tuple[int | Tensor, ...]
_REGISTRY: dict[str, type["Operator"]] = {}


@dataclass(frozen=True, slots=True)
class OnnxNode:
    """An ONNX node in neutral types, axes in ONNX order; inputs that are left out are None."""

    name: str
    op_type: str
    opset: int
    attributes: Mapping[str, Any]
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[str, ...]
    output: int = 0  # the one that is asked for, of an operator with `each_output`

    def unsupported(self, reason: str, hint: str = "", *, needs: str = "") -> NoReturn:
        raise UnsupportedError([Unsupported(self.name, self.op_type, reason, hint, needs)])

    def broken(self, reason: str) -> NoReturn:
        """Refuse what onnx's own inference lets pass."""
        raise ModelError(f"{self.op_type} node {self.name!r}: {reason}")

    def expect(self, index: int, shape: Shape) -> None:
        """Raises ModelError when input `index` is given, and in another shape."""
        tensor = self.inputs[index] if index < len(self.inputs) else None
        if tensor is not None and tensor.shape != shape:
            self.broken(f"input {index} has the shape {tensor.shape} instead of {shape}")

    def constant(self, index: int) -> Array | None:
        """The real value of constant input `index`; None when left out; unsupported when not constant."""
        if index >= len(self.inputs) or self.inputs[index] is None:
            return None
        tensor = self.inputs[index]
        assert tensor is not None
        if tensor.data is None:
            hint = "simplify the model or fix its shapes"
            self.unsupported(f"input {index} must be a constant", hint, needs=tensor.name)
        return tensor.real()

    def integers(self, name: str, index: int | None = None) -> tuple[int, ...] | None:
        """A list of integers that is an attribute, or since some opset the constant input `index`."""
        if name in self.attributes:
            value = self.attributes[name]
            return tuple(int(v) for v in (value if isinstance(value, list | tuple) else [value]))
        array = self.constant(index) if index is not None else None
        return None if array is None else tuple(int(v) for v in np.atleast_1d(array))

    def shape(self, index: int = 0) -> Shape:
        tensor = self.inputs[index]
        assert tensor is not None
        return tensor.shape


@dataclass(frozen=True, slots=True)
class Site:
    """Where an operator stands: its tensors and the rounding in force."""

    node: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    rounding: Rounding = Rounding.SINGLE

    @property
    def x(self) -> Tensor:
        """The first input."""
        tensor = self.inputs[0]
        assert tensor is not None
        return tensor

    @property
    def y(self) -> Tensor:
        """The first output."""
        return self.outputs[0]

    def input(self, index: int) -> Tensor | None:
        return self.inputs[index] if index < len(self.inputs) else None

    @property
    def suffix(self) -> str:
        """Kernel name suffix of the first input's type."""
        return self.x.dtype.suffix

    @property
    def wide(self) -> bool:
        """True when a quantized tensor has 16-bit codes."""
        tensors = [t for t in (*self.inputs, *self.outputs) if t is not None]
        return any(t.quantized and t.dtype is DType.S16 for t in tensors)

    @property
    def quantized(self) -> bool:
        """True when input and output are quantized activations."""
        return self.x.quantized and self.y.quantized

    def unsupported(self, op: "Operator", reason: str, hint: str = "") -> NoReturn:
        raise UnsupportedError([Unsupported(self.node, type(op).__name__, reason, hint)])


def site_of(graph: Graph, node: Node, rounding: Rounding = Rounding.SINGLE) -> Site:
    """The tensors around a node of a graph."""
    return Site(
        node.name,
        tuple(graph.tensors[n] if n else None for n in node.inputs),
        tuple(graph.tensors[n] for n in node.outputs),
        rounding,
    )


@dataclass(frozen=True, slots=True)
class CmsisNN:
    """What the CMSIS-NN copy at hand offers; None of its functions are assumed."""

    version: str
    functions: frozenset[str]


class Operator(ABC):
    """Base class; a subclass is a frozen dataclass whose fields are the operator's attributes."""

    onnx: ClassVar[tuple[str, ...]] = ()
    meanings: ClassVar[Mapping[str, str]]  # of those op types that the docstring's first line is not for
    channels_last: ClassVar[bool] = False  # input 0 and output 0 are `n [h] w c`; load adds transposes
    alias: ClassVar[bool] = False  # the output is the input's bytes under another shape
    code_inputs: ClassVar[tuple[int, ...]] = ()  # constants that float32 kernels read as int8 codes
    mixed: ClassVar[bool] = False  # of 8-bit and 16-bit activations in one node
    int16: ClassVar[bool] = False  # its kernels and reference also take activations of 16-bit codes
    moves_data: ClassVar[bool] = False  # only moves or picks values, so it commutes with quantization
    only_compares: ClassVar[bool] = False  # its one input's values, so codes will do for them
    each_value: ClassVar[bool] = (
        False  # output value i depends on nothing but the (broadcast) inputs' value i
    )
    each_output: ClassVar[bool] = False  # every output of the ONNX node becomes a node of its own

    @classmethod
    def describe(cls, op_type: str) -> str:
        """The row of an ONNX op type in docs/operators.md."""
        return cls.meanings.get(op_type) or (inspect.getdoc(cls) or "").splitlines()[0]

    @classmethod
    @abstractmethod
    def from_onnx(cls, node: OnnxNode) -> tuple["Operator", "Kept"]:
        """The operator and the inputs it keeps, by index or as a new constant; raises UnsupportedError."""

    @abstractmethod
    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        """Output shapes: of those outputs that the ONNX node names, in order."""

    @abstractmethod
    def reference(self, site: Site, *arrays: Array | None) -> Array | tuple[Array, ...]:
        """The meaning in numpy, bit-exact for integers, float32 otherwise; a tuple for several outputs."""

    def undecided(self, site: Site, *arrays: Array | None) -> Array | None:
        """Where the exact result lies halfway between two int8 steps: noise in its float32 sums decides
        how onnxruntime rounds there, so a comparison may not. None: nowhere, or rarely enough."""
        return None

    @abstractmethod
    def kernels(self, site: Site) -> Sequence[Call]:
        """Our candidates, the plain one first; empty only for an alias."""

    def cmsis_nn(self, site: Site, library: CmsisNN) -> Call:
        """The CMSIS-NN call; by default our plain kernel, reported as a fallback."""
        reason = "CMSIS-NN has no such function" if site.quantized else "not an int8 node"
        return fallback(self.kernels(site)[0], reason)

    def dtype(self, *inputs: Tensor | None) -> DType:
        """Element type of the output before quantization folding."""
        return _leading(inputs).dtype

    def types(self, *inputs: Tensor | None) -> tuple[DType, ...]:
        """Element types of all outputs."""
        return (self.dtype(*inputs),) * len(self.infer(*inputs))

    def quantization(self, *inputs: Tensor | None) -> Quantization | None:
        """Quantization of the output that follows from the inputs alone."""
        return _leading(inputs).quantization if self.moves_data else None

    def integer(self, site: Site) -> str:
        """Why this node cannot run on int8 tensors of this site; empty when it can."""
        return "" if self.moves_data else "no integer kernel"

    def float_reason(self, site: Site) -> str:
        """Why this node stays in float32 between the quantized tensors of this site; empty when it folds."""
        if site.wide and not self.int16:
            return "no int16 kernel"
        codes = [t for t in (*site.inputs, *site.outputs) if t is not None and t.quantized and not t.constant]
        if site.wide and not self.mixed and any(t.dtype is not DType.S16 for t in codes):
            return "8- and 16-bit codes meet in it"
        return self.integer(site)

    def index_range(self, site: Site, index: int) -> range | None:
        """The integers that input `index` may hold where it picks from another one; None: any value."""
        return None

    def permuted(self, permutation: tuple[int, ...]) -> Self | None:
        """op' with op'(x.transpose(p)) == op(x).transpose(p) for permutation p; None when there is none."""
        return None

    def with_clamp(self, low: float, high: float) -> Self | None:
        """This operator followed by clip(low, high), in one; None when it cannot."""
        return None

    def clamp(self) -> tuple[float, float] | None:
        """(low, high) when the operator is nothing but a clip."""
        return None

    def macs(self, site: Site) -> int:
        """Multiply-accumulates, padding taps included."""
        return 0


def _leading(inputs: Sequence[Tensor | None]) -> Tensor:
    """The first activation: a quantized constant in front of it will be read as real numbers."""
    return next(t for t in (*(t for t in inputs if t and not t.constant), *inputs) if t is not None)


def operator(*op_types: str, **meanings: str) -> Callable[[type[Operator]], type[Operator]]:
    """Class decorator: the ONNX op types that a class reads; by name those with a meaning of their own."""

    def register(cls: type[Operator]) -> type[Operator]:
        cls.onnx, cls.meanings = (*op_types, *meanings), meanings
        for op_type in cls.onnx:
            _REGISTRY[op_type] = cls
        return cls

    return register


@cache
def registry() -> Mapping[str, type[Operator]]:
    """ONNX op type -> operator class, from every module of this package."""
    for module in sorted(info.name for info in pkgutil.iter_modules(__path__)):
        importlib.import_module(f"{__name__}.{module}")
    return dict(sorted(_REGISTRY.items()))


def fallback(call: Call, reason: str) -> Call:
    """The same call as a fallback of the CMSIS-NN variant, which runs layer by layer as CMSIS-NN does."""
    return replace(call, fallback=reason, rows=None)


def keep(count: int) -> tuple[int, ...]:
    """The indices of the first `count` inputs."""
    return tuple(range(count))


def clip_twice(bounds: tuple[float, float], low: float, high: float) -> tuple[float, float]:
    """The bounds of clip(*bounds) followed by min(max(x, low), high): the second clip moves the first's."""
    first, last = (min(max(bound, low), high) for bound in bounds)
    return first, last
