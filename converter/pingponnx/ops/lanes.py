"""Operators along one axis: the place of an extreme, running sums and products, the largest values."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Self

import numpy as np

from pingponnx.calls import Call, Input, Output, Struct
from pingponnx.ir import Array, DType, Shape, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site, keep, operator
from pingponnx.ops.functions import INTEGERS, REALS

_NUMBERS = REALS + INTEGERS


def _axis(node: OnnxNode, axis: int) -> int:
    rank = len(node.shape())
    if not -rank <= axis < rank:
        node.unsupported(f"axis {axis} of a tensor of rank {rank}")
    return axis % rank


def _number(node: OnnxNode) -> None:
    x = node.inputs[0]
    assert x is not None
    if x.dtype not in _NUMBERS:
        node.unsupported(f"{x.dtype.value} is not supported")


def lanes(shape: Shape, axis: int) -> dict[str, int]:
    """Values before, along and after an axis."""
    return {"outer": prod(shape[:axis]), "length": shape[axis], "inner": prod(shape[axis + 1 :])}


@operator("ArgMax", ArgMin="The index of the smallest value along an axis, int64.")
@dataclass(frozen=True, slots=True)
class ArgExtreme(Operator):
    """The index of the largest value along an axis, int64."""

    smallest: bool
    axis: int
    keepdims: bool = True
    last: bool = False  # of equal values

    only_compares = True

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        _number(node)
        flags = (bool(node.attributes.get(n, d)) for n, d in (("keepdims", 1), ("select_last_index", 0)))
        axis = _axis(node, int(node.attributes.get("axis", 0)))
        if not node.shape()[axis]:
            node.unsupported("an empty axis")
        return cls(node.op_type == "ArgMin", axis, *flags), keep(1)

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        shape = inputs[0].shape
        return ((*shape[: self.axis], *(1,) * self.keepdims, *shape[self.axis + 1 :]),)

    def dtype(self, *inputs: Tensor | None) -> DType:
        return DType.S64

    def permuted(self, permutation: tuple[int, ...]) -> Self | None:
        return replace(self, axis=permutation.index(self.axis)) if self.keepdims else None

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        x = arrays[0]
        assert x is not None
        find = np.argmin if self.smallest else np.argmax
        turned = np.flip(x, self.axis) if self.last else x
        found = find(turned, self.axis, keepdims=self.keepdims)
        if self.last:
            found = x.shape[self.axis] - 1 - found
        return np.asarray(found, np.int64)

    def kernels(self, site: Site) -> Sequence[Call]:
        params = Struct("lane_params", lanes(site.x.shape, self.axis))
        flags = (int(self.smallest), int(self.last))
        name = f"arg_extreme_{site.suffix}"
        return [Call(name, "lanes.h", (params, *flags, Input(), Output()), cycles=10 * site.x.size)]


@operator("CumProd")
@dataclass(frozen=True, slots=True)
class Cumulate(Operator):
    """Running products along an axis."""

    product: bool
    axis: int
    exclusive: bool = False
    reverse: bool = False

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        _number(node)
        axis = node.integers("axis", 1) or (0,)
        flags = (bool(node.attributes.get(name, 0)) for name in ("exclusive", "reverse"))
        return cls(node.op_type == "CumProd", _axis(node, axis[0]), *flags), keep(1)

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        return (inputs[0].shape,)

    def permuted(self, permutation: tuple[int, ...]) -> Self | None:
        return replace(self, axis=permutation.index(self.axis))

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        x = arrays[0]
        assert x is not None
        x = np.moveaxis(x, self.axis, 0)[:: -1 if self.reverse else 1]
        if self.exclusive:
            x = np.concatenate([np.full_like(x[:1], int(self.product)), x[:-1]])
        with np.errstate(all="ignore"):
            total = (np.cumprod if self.product else np.cumsum)(x, axis=0, dtype=x.dtype)
        return np.moveaxis(total[:: -1 if self.reverse else 1], 0, self.axis)

    def kernels(self, site: Site) -> Sequence[Call]:
        params = Struct("lane_params", lanes(site.x.shape, self.axis))
        flags = (int(self.product), int(self.exclusive), int(self.reverse))
        name = f"cumulate_{site.suffix}"
        return [Call(name, "lanes.h", (params, *flags, Input(), Output()), cycles=8 * site.x.size)]


@operator("TopK")
@dataclass(frozen=True, slots=True)
class TopK(Operator):
    """The k largest or smallest values along an axis in order, and their indices (int64)."""

    count: int
    axis: int
    smallest: bool
    indices: bool  # these, or the values

    each_output = True
    only_compares = True

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        _number(node)
        axis, counts = _axis(node, int(node.attributes.get("axis", -1))), node.integers("k", 1)
        if not counts or not 0 <= counts[0] <= node.shape()[axis]:
            node.unsupported(f"k = {counts} of {node.shape()[axis]} values")
        kind = cls if node.output == 1 else TopValues
        return kind(counts[0], axis, not node.attributes.get("largest", 1), node.output == 1), keep(1)

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        shape = inputs[0].shape
        return ((*shape[: self.axis], self.count, *shape[self.axis + 1 :]),)

    def dtype(self, *inputs: Tensor | None) -> DType:
        assert inputs[0] is not None
        return DType.S64 if self.indices else inputs[0].dtype

    def permuted(self, permutation: tuple[int, ...]) -> Self | None:
        return replace(self, axis=permutation.index(self.axis))

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        x = arrays[0]
        assert x is not None
        ranked = np.flip(x, self.axis) if not self.smallest else x
        order = np.argsort(ranked, axis=self.axis, kind="stable")
        if not self.smallest:  # from the back, where equal values are in the order of their indices
            order = x.shape[self.axis] - 1 - np.flip(order, self.axis)
        order = np.take(order, range(self.count), self.axis)
        return order.astype(np.int64) if self.indices else np.take_along_axis(x, order, self.axis)

    def kernels(self, site: Site) -> Sequence[Call]:
        params = Struct("lane_params", lanes(site.x.shape, self.axis))
        name = f"top_{'indices' if self.indices else 'values'}_{site.suffix}"
        arguments = (params, self.count, int(self.smallest), Input(), Output())
        return [Call(name, "lanes.h", arguments, cycles=10 * site.x.size * max(self.count, 1))]


@dataclass(frozen=True, slots=True)
class TopValues(TopK):
    """The values: some of the input's, so that they stay codes."""

    only_compares = False
    moves_data = True
    int16 = True
