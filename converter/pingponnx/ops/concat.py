"""Concatenation along any axis."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Self

import numpy as np

from pingponnx.calls import Argument, Call, Inputs, Output, Rows, RowWindow, Struct, Table, rows_of
from pingponnx.ir import Array, DType, Shape, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site, keep, operator


@operator("Concat")
@dataclass(frozen=True, slots=True)
class Concat(Operator):
    """The inputs one after the other along an axis."""

    axis: int

    moves_data = True
    int16 = True

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        rank = len(node.shape())
        axis = int(node.attributes.get("axis", 1))  # the default of opset 1
        if not -rank <= axis < rank:
            node.unsupported(f"axis {axis} of a tensor of rank {rank}")
        return cls(axis % rank), keep(len(node.inputs))

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        shapes = [x.shape for x in inputs if x is not None]
        length = sum(shape[self.axis] for shape in shapes)
        return ((*shapes[0][: self.axis], length, *shapes[0][self.axis + 1 :]),)

    def integer(self, site: Site) -> str:
        same = all(
            x is None or (x.dtype, x.quantization) == (site.y.dtype, site.y.quantization) for x in site.inputs
        )
        return "" if same else "its inputs are quantized differently"

    def permuted(self, permutation: tuple[int, ...]) -> Self:
        return replace(self, axis=permutation.index(self.axis))

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        return np.concatenate([x for x in arrays if x is not None], axis=self.axis)

    def kernels(self, site: Site) -> Sequence[Call]:
        name = f"concat_{site.suffix}"
        header = f"{name}.h" if site.x.dtype in (DType.S8, DType.F32) else "concat_plain.h"
        tensors = [x for x in site.inputs if x is not None]
        outer = prod(site.y.shape[: self.axis])
        blocks = [x.size // max(outer, 1) for x in tensors]

        def arguments(outer: int) -> tuple[Argument, ...]:
            return (
                Struct("concat_params", {"outer": outer, "inputs": len(blocks)}),
                Inputs(site.x.dtype.c),
                Table("blocks", np.array(blocks, np.int32)),
                Output(),
            )

        samples, rows, _ = rows_of(site.y.shape)
        within = outer % (samples * rows) == 0 and not any(x.constant for x in tensors)
        windows = {i: RowWindow() for i in range(len(tensors))}
        by_rows = Rows(name, header, arguments(outer // (samples * rows)), windows)
        return [
            Call(
                name,
                header,
                arguments(outer),
                overlap=_distances(tensors, outer, blocks),
                cycles=site.y.size,
                rows=by_rows if within else None,
            )
        ]


def _distances(tensors: Sequence[Tensor], outer: int, blocks: Sequence[int]) -> dict[int, int]:
    """Safe D per input: when its last block is moved (memmove), all output before it is written already.

    The gap between what is written and what is still to be read only grows, so the last block decides.
    A tensor that is named twice must be safe in both places.
    """
    starts = np.cumsum([0, *blocks])
    total = int(starts[-1])
    needs = [(outer - 1) * (total - b) + int(s) for s, b in zip(starts[:-1], blocks, strict=True)]
    worst: dict[str, int] = {}
    for tensor, need in zip(tensors, needs, strict=True):
        worst[tensor.name] = max(need, worst.get(tensor.name, 0))
    return {i: worst[tensor.name] * tensor.dtype.bytes for i, tensor in enumerate(tensors)}
