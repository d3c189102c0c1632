"""Reductions over any axes, a row each: what is summed up (or compared), and what becomes of the sum."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from pingponnx.calls import Call, Input, Output, Struct
from pingponnx.ir import Array, DType, Shape, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site, keep, operator
from pingponnx.ops.functions import INTEGERS, REALS
from pingponnx.ops.reshape import Reshape

_NUMBERS = REALS + INTEGERS
_GROUPS = 4  # runs of neighbouring axes that are kept, and that are reduced


def _log_sum_exp(x: Array, **how: Any) -> Array:
    top = np.max(x, initial=-np.inf, axis=how["axis"], keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    total: Array = np.log(np.sum(np.exp(x - top), **how)) + top.reshape(np.sum(x, **how).shape)
    return total


@dataclass(frozen=True, slots=True)
class Row:
    """A reduction: its meaning and numpy's version."""

    meaning: str
    value: Callable[..., Any]
    types: tuple[DType, ...] = _NUMBERS


def _extreme(function: Callable[..., Any], low: bool) -> Callable[..., Any]:
    """Maximum or minimum, of nothing the value that loses against all others."""

    def value(x: Array, **how: Any) -> Any:
        if x.dtype.kind == "f":
            first: Any = -np.inf if low else np.inf
        elif x.dtype.kind == "b":
            first = not low
        else:
            first = np.iinfo(x.dtype).min if low else np.iinfo(x.dtype).max
        return function(x, initial=first, **how)

    return value


def _mean(x: Array, **how: Any) -> Array:
    count = int(np.prod([x.shape[axis] for axis in how["axis"]]))
    total = np.sum(x, **how)
    if x.dtype.kind == "f":
        quotient: Array = total / max(count, 1) if count else total * np.nan
        return quotient
    rounded: Array = (np.sign(total) * (np.abs(total) // max(count, 1))).astype(x.dtype)
    return rounded


ROWS = {
    "ReduceSum": Row("Sum.", np.sum),
    "ReduceMean": Row("Mean; of integers rounded towards 0.", _mean),
    "ReduceProd": Row("Product.", np.prod),
    "ReduceMax": Row("Largest value.", _extreme(np.max, low=True), (*_NUMBERS, DType.BOOL)),
    "ReduceMin": Row("Smallest value.", _extreme(np.min, low=False), (*_NUMBERS, DType.BOOL)),
    "ReduceL1": Row("Sum of magnitudes.", lambda x, **how: np.sum(np.abs(x), **how)),
    "ReduceL2": Row("Root of the sum of squares.", lambda x, **how: np.sqrt(np.sum(x * x, **how))),
    "ReduceSumSquare": Row("Sum of squares.", lambda x, **how: np.sum(x * x, **how)),
    "ReduceLogSum": Row("Logarithm of the sum.", lambda x, **how: np.log(np.sum(x, **how)), REALS),
    "ReduceLogSumExp": Row("Logarithm of the sum of exponentials.", _log_sum_exp, REALS),
}


_OTHERS = ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin")


@operator(*(name for name in ROWS if name not in _OTHERS))
@dataclass(frozen=True, slots=True)
class Reduce(Operator):
    """A reduction."""

    name: str
    axes: tuple[int, ...]
    keepdims: bool = True

    @classmethod
    def describe(cls, op_type: str) -> str:
        return ROWS[op_type].meaning

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        x = node.inputs[0]
        assert x is not None
        if x.dtype not in ROWS[node.op_type].types:
            node.unsupported(f"{x.dtype.value} is not supported")
        rank, axes = len(x.shape), node.integers("axes", 1)
        if not axes:
            if node.attributes.get("noop_with_empty_axes", 0):
                return cls._nothing(node)
            axes = tuple(range(rank))
        if not all(-rank <= axis < rank for axis in axes):
            node.unsupported(f"axes {axes} of a tensor of rank {rank}")
        op = cls(
            node.op_type, tuple(sorted({a % rank for a in axes})), bool(node.attributes.get("keepdims", 1))
        )
        if len(op._runs(x.shape)) > 2 * _GROUPS:
            node.unsupported(f"a reduction over the axes {axes}")
        return op, keep(1)

    @classmethod
    def _nothing(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        """Over no axes each value is reduced by itself."""
        if node.op_type in ("ReduceSum", "ReduceMean", "ReduceProd", "ReduceMax", "ReduceMin"):
            return Reshape(node.shape()), keep(1)
        return cls(node.op_type, (), True), keep(1)

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        shape = inputs[0].shape
        if self.keepdims:
            return (tuple(1 if axis in self.axes else n for axis, n in enumerate(shape)),)
        return (tuple(n for axis, n in enumerate(shape) if axis not in self.axes),)

    def permuted(self, permutation: tuple[int, ...]) -> Self | None:
        if not self.keepdims:
            return None
        return replace(self, axes=tuple(sorted(permutation.index(axis) for axis in self.axes)))

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        x = arrays[0]
        assert x is not None
        wide = x.astype(np.float64) if x.dtype.kind == "f" else x
        how: dict[str, Any] = {"axis": self.axes, "keepdims": self.keepdims}
        with np.errstate(all="ignore"):
            return np.asarray(ROWS[self.name].value(wide, **how)).astype(x.dtype)

    def _runs(self, shape: Shape) -> list[tuple[int, int, bool]]:
        """Runs of axes that are all kept or all reduced: values, step between them, whether reduced."""
        runs: list[tuple[int, int, bool]] = []
        step = 1
        for axis in reversed(range(len(shape))):
            n, reduced = shape[axis], axis in self.axes
            if n == 1:
                continue
            if runs and runs[-1][2] == reduced:
                runs[-1] = (runs[-1][0] * n, runs[-1][1], reduced)
            else:
                runs.append((n, step, reduced))
            step *= n
        return runs[::-1]

    def kernels(self, site: Site) -> Sequence[Call]:
        if site.x.dtype not in ROWS[self.name].types:
            site.unsupported(self, f"{site.x.dtype.value} is not supported")
        fields = self._geometry(site)
        name = f"{self.name.lower()}_{site.suffix}"
        arguments = (Struct("reduce_params", fields), Input(), Output())
        return [Call(name, "reduce.h", arguments, cycles=15 * site.x.size)]

    def _geometry(self, site: Site) -> dict[str, Any]:
        """Sizes and steps of the runs that are kept, and of those that are reduced."""
        runs = self._runs(site.x.shape)
        fields: dict[str, Any] = {}
        for name, which in (("kept", False), ("reduced", True)):
            found = [(n, step) for n, step, reduced in runs if reduced == which]
            missing = _GROUPS - len(found)
            fields[name] = (1,) * missing + tuple(n for n, _ in found)
            fields[f"{name}_step"] = (0,) * missing + tuple(step for _, step in found)
        return fields


@operator("ReduceMax", "ReduceMin")
@dataclass(frozen=True, slots=True)
class ReduceExtreme(Reduce):
    """The largest or smallest value: one of them, so that codes will do."""

    moves_data = True
