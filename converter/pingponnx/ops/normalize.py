"""Normalization by statistics of the input itself: of layers, instances and groups, and by norms."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, ClassVar

import numpy as np

from pingponnx.calls import Argument, Call, Input, Output, Rows, RowWindow, Struct, Table, rows_of
from pingponnx.ir import Array, DType, Shape, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site, operator
from pingponnx.ops.dtypes import kernel_suffix
from pingponnx.ops.normalize_s8 import Constants, Groups, constants, normalize

_VARIANCE, _MEAN_SQUARE, _L1, _L2 = range(4)  # as in normalize_f32.h
_EPSILON = 1e-5
_MVN_EPSILON = 1e-18  # ONNX adds 1e-9 to the deviation, not to the variance
_LONGEST = 4  # runs of axes: outer, rows, groups, width


@dataclass(frozen=True, slots=True)
class Normalize(Operator):
    """Groups of values brought to a common mean and size, then scaled and shifted.

    Seen as `outer rows groups width`, a group is what has the same indices of outer and groups. Scale and
    shift (inputs 1 and 2, which may be left out) have one value per place of `groups width`. Outputs after
    the first are the statistics of every group: mean, and the factor by which it is scaled.
    """

    axes: tuple[int, ...]  # that the statistics go over
    kind: int = _VARIANCE
    epsilon: float = _EPSILON
    groups: int = 0  # of neighbouring channels, the last axis; 0: channels are not grouped
    statistics: tuple[int, ...] = ()  # outputs after the first: 0 means, 1 factors

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        shape = inputs[0].shape
        kept = tuple(1 if axis in self.axes else n for axis, n in enumerate(shape))
        return (shape, *(kept for _ in self.statistics))

    def _sizes(self, site: Site) -> tuple[int, ...]:
        """outer, rows, groups and width: neighbouring axes of one kind as one."""
        shape = site.x.shape
        if self.groups:
            return shape[0], prod(shape[1:-1]), self.groups, shape[-1] // self.groups
        if all(shape[axis] == 1 for axis in self.axes):  # every value alone, with the operands of its channel
            return prod(shape[: self.axes[0]]), 1, prod(shape[self.axes[0] :]), 1
        runs: list[tuple[int, bool]] = [(1, False)]
        for axis, n in enumerate(shape):
            member = axis in self.axes
            if n > 1 and runs[-1][1] == member:
                runs[-1] = (runs[-1][0] * n, member)
            elif n > 1:
                runs.append((n, member))
        if len(runs) > _LONGEST:
            site.unsupported(self, f"statistics over axes {self.axes} of shape {shape}")
        sizes = tuple(n for n, _ in runs)
        if len(sizes) == 2 and len(shape) - 1 in self.axes:  # a group's values are neighbours
            return sizes[0], 1, 1, sizes[1]
        return sizes + (1,) * (_LONGEST - len(sizes))

    def integer(self, site: Site) -> str:
        if self.kind == _L1:
            return "no integer kernel for the 1-norm"
        if any(t is not None and not t.constant for t in site.inputs[1:]):
            return "its scale or shift is computed"
        found = self._integers(site)
        return found if isinstance(found, str) else ""

    def _integers(self, site: Site) -> Constants | str:
        """What the int8 kernel needs; or why there is none."""
        x, y = site.x.quantization, site.y.quantization
        if x is None or y is None or not x.per_tensor or not y.per_tensor:
            return "an operand is not quantized per tensor"
        _, rows, groups, width = self._sizes(site)
        operands = (site.input(i) for i in (1, 2))
        real = [np.full(1, d) if t is None else t.real() for t, d in zip(operands, (1.0, 0.0), strict=True)]
        scale, shift = (a.astype(np.float64).ravel() / float(y.s) for a in real)
        shift = shift + y.z
        alike = all((a == a[0]).all() for a in (scale, shift))
        places = (1, 1) if alike else (groups, width)
        scale, shift = (np.broadcast_to(a[:1] if alike else a, prod(places)) for a in (scale, shift))
        mean, centred = self.kind != _L2, self.kind == _VARIANCE
        what = Groups(rows * width, centred, mean, float(x.s), x.z, self.epsilon if mean else 0.0)
        return constants(what, scale.reshape(places), shift.reshape(places))

    def reference(self, site: Site, *arrays: Array | None) -> Array | tuple[Array, ...]:
        assert arrays[0] is not None
        outer, rows, groups, width = self._sizes(site)
        if site.quantized:
            known = self._integers(site)
            assert isinstance(known, Constants)
            return normalize(known, arrays[0].reshape(outer, rows, groups, width)).reshape(site.y.shape)
        x = arrays[0].astype(np.float64).reshape(outer, rows, groups, width)

        def total(values: Array) -> Array:
            found: Array = values.sum(axis=(1, 3), keepdims=True)
            return found

        count = rows * width
        mean = total(x) / count if self.kind == _VARIANCE else total(0 * x)
        x = x - mean
        if self.kind == _L1:
            norm = total(np.abs(x))
        elif self.kind == _L2:
            norm = np.sqrt(total(x * x))
        else:
            norm = np.sqrt(total(x * x) / count + self.epsilon)
        factor = np.divide(1.0, norm, out=np.zeros_like(norm), where=norm != 0)
        y = x * factor
        for array, apply in zip(arrays[1:], (np.multiply, np.add), strict=False):
            if array is not None:
                y = apply(y, array.reshape(groups, width))
        found = [y, *((mean, factor)[k] for k in self.statistics)]
        shapes = [t.shape for t in site.outputs]
        result = tuple(a.astype(np.float32).reshape(n) for a, n in zip(found, shapes, strict=True))
        return result if self.statistics else result[0]

    def kernels(self, site: Site) -> Sequence[Call]:
        name = "normalize_s8" if site.quantized else f"normalize_{kernel_suffix(self, site, (DType.F32,))}"
        outer, rows, groups, width = self._sizes(site)
        fields, operands = self._numbers(site)

        def arguments(outer: int) -> tuple[Argument, ...]:
            geometry = {"outer": outer, "rows": rows, "groups": groups, "width": width}
            return Struct(f"normalize_params_{site.suffix}", geometry | fields), Input(), *operands, Output()

        # A group is read before it is written; groups that lie side by side reach over each other's starts.
        apart = (rows - 1) * groups * width * site.x.dtype.bytes if groups > 1 else 0
        lanes, rest = divmod(rows_of(site.x.shape)[2], rows * groups * width)
        steps = Rows(name, f"{name}.h", arguments(lanes), {0: RowWindow()}, elementwise=not apart)
        return [
            Call(
                name,
                f"{name}.h",
                arguments(outer),
                overlap={} if self.statistics else {0: apart},
                cycles=30 * site.x.size,
                rows=None if rest or self.statistics else steps,
            )
        ]

    def _numbers(self, site: Site) -> tuple[dict[str, Any], list[Argument]]:
        """The kernel's parameters after the geometry, and its arguments between input and output."""
        if site.quantized:
            known = self._integers(site)
            assert isinstance(known, Constants)
            places = np.stack([known.scale.ravel(), known.shift.ravel()], axis=1)
            return known.fields | {"step": 2 * int(known.scale.size > 1)}, [Table("places", places)]
        null = Table("none", None)
        operands = [Input(i) if site.input(i) else null for i in (1, 2)]
        wanted = {k: Output(i) for i, k in enumerate(self.statistics, 1)}
        statistics = [wanted.get(k, null) for k in (0, 1)]
        return {"kind": self.kind, "epsilon": self.epsilon}, [*operands, *statistics]


def _spread(node: OnnxNode, index: int, shape: Shape) -> int | Tensor | None:
    """A scale or shift with one value per place of `shape`; None when it is left out."""
    tensor = node.inputs[index] if index < len(node.inputs) else None
    if tensor is None or tensor.shape == shape or (tensor.size == prod(shape) and not tensor.constant):
        return None if tensor is None else index
    if not tensor.constant:
        node.unsupported(f"a computed input {index} of shape {tensor.shape} instead of {shape}")
    data = np.ascontiguousarray(np.broadcast_to(tensor.real(), shape))
    return replace(tensor, name=f"{tensor.name}@{node.name}", shape=shape, data=data, quantization=None)


def _kept(*operands: int | Tensor | None) -> Kept:
    """The input and its operands; only the last can be left out, the others are needed by it."""
    return (0, *(o for o in operands if o is not None))


@operator("LayerNormalization", RMSNormalization="Mean square 1 over the axes from `axis` on.")
@dataclass(frozen=True, slots=True)
class LayerNorm(Normalize):
    """Mean 0 and variance 1 over the axes from `axis` on."""

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        shape = node.shape()
        rank = len(shape)
        axis = int(node.attributes.get("axis", -1))
        if not -rank <= axis < rank:
            node.unsupported(f"axis {axis} of a tensor of rank {rank}")
        axes = tuple(range(axis % rank, rank))
        kind = _VARIANCE if node.op_type == "LayerNormalization" else _MEAN_SQUARE
        epsilon = float(node.attributes.get("epsilon", _EPSILON))
        statistics = tuple(i for i, name in enumerate(node.outputs[1:]) if name)
        operands = (_spread(node, i, shape[axes[0] :]) for i in (1, 2))
        return cls(axes, kind, epsilon, 0, statistics), _kept(*operands)


@dataclass(frozen=True, slots=True)
class _Image(Normalize):
    """Statistics of every sample over its pixels."""

    channels_last: ClassVar[bool] = True

    @classmethod
    def read(cls, node: OnnxNode, groups: int) -> tuple[Operator, Kept]:
        rank, channels = len(node.shape()), node.shape()[1]
        if rank < 3 or channels % max(groups, 1):
            node.unsupported(f"{groups} groups in a tensor of shape {node.shape()}")
        epsilon = float(node.attributes.get("epsilon", _EPSILON))
        operands = (_spread(node, i, (channels,)) for i in (1, 2))
        return cls(tuple(range(1, rank - 1)), _VARIANCE, epsilon, groups), _kept(*operands)


@operator("InstanceNormalization")
@dataclass(frozen=True, slots=True)
class InstanceNorm(_Image):
    """Mean and variance of every channel of every sample."""

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        for index in (1, 2):
            node.expect(index, node.shape()[1:2])
        return cls.read(node, 0)


@operator("GroupNormalization")
@dataclass(frozen=True, slots=True)
class GroupNorm(_Image):
    """Mean and variance of every group of channels of every sample."""

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        groups = int(node.attributes["num_groups"])
        if groups < 1:
            node.broken(f"num_groups is {groups}")
        return cls.read(node, groups)


@operator("MeanVarianceNormalization")
@dataclass(frozen=True, slots=True)
class MeanVariance(Normalize):
    """Mean 0 and variance 1 over some axes."""

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        rank = len(node.shape())
        axes = node.integers("axes") or (0, 2, 3)
        if any(not -rank <= axis < rank for axis in axes):
            node.unsupported(f"axes {axes} of a tensor of rank {rank}")
        return cls(tuple(sorted({axis % rank for axis in axes})), epsilon=_MVN_EPSILON), (0,)


@operator("LpNormalization")
@dataclass(frozen=True, slots=True)
class LpNorm(Normalize):
    """x / (sum |x|^p)^(1/p) along one axis, p 1 or 2."""

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        rank = len(node.shape())
        axis, p = int(node.attributes.get("axis", -1)), int(node.attributes.get("p", 2))
        if not -rank <= axis < rank or p not in (1, 2):
            node.unsupported(f"the {p}-norm along axis {axis} of a tensor of rank {rank}")
        return cls((axis % rank,), _L1 if p == 1 else _L2), (0,)
