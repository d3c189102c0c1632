"""Batch normalization at inference: one factor and one summand per channel."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Self

import numpy as np

from pingponnx.calls import Argument, Call, Input, Output, Rows, RowWindow, Struct, Table, rows_of
from pingponnx.ir import Array, Shape, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site, clip_twice, operator
from pingponnx.ops.dtypes import kernel_suffix

_EPSILON = 1e-5


@operator("BatchNormalization")
@dataclass(frozen=True, slots=True)
class ScaleShift(Operator):
    """x * scale + shift, per channel; batch normalization with its statistics folded in."""

    scale: tuple[float, ...]
    shift: tuple[float, ...]
    low: float = -inf
    high: float = inf

    channels_last = True

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        if node.attributes.get("training_mode", 0) or any(node.outputs[1:]):
            node.unsupported("training mode", "export the model in evaluation mode")
        if not node.attributes.get("spatial", 1):
            node.unsupported("statistics per pixel (spatial=0)")
        if len(node.shape()) not in (2, 3, 4):
            node.unsupported(f"an input of rank {len(node.shape())}")
        gamma, beta, mean, variance = (_channels(node, index) for index in range(1, 5))
        epsilon = float(node.attributes.get("epsilon", _EPSILON))
        with np.errstate(all="ignore"):
            scale = gamma / np.sqrt(variance + epsilon)
            shift = beta - mean * scale
            rounded = [a.astype(np.float32) for a in (scale, shift)]
        if not all(np.isfinite(a).all() for a in rounded):
            node.unsupported("its statistics give factors that are not finite")
        factors, summands = (tuple(float(v) for v in a) for a in rounded)
        return cls(factors, summands), (0,)

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        return (inputs[0].shape,)

    def with_clamp(self, low: float, high: float) -> Self | None:
        low, high = clip_twice((self.low, self.high), low, high)
        return replace(self, low=low, high=high)

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        assert arrays[0] is not None
        y: Array = arrays[0] * np.array(self.scale, np.float32) + np.array(self.shift, np.float32)
        return y.clip(np.float32(self.low), np.float32(self.high))

    def kernels(self, site: Site) -> Sequence[Call]:
        name = f"scale_shift_{kernel_suffix(self, site)}"
        channels = len(self.scale)
        tables = (
            Table("scale", np.array(self.scale, np.float32)),
            Table("shift", np.array(self.shift, np.float32)),
        )

        def arguments(values: int) -> tuple[Argument, ...]:
            fields = {
                "pixels": values // channels,
                "channels": channels,
                "low": self.low,
                "high": self.high,
            }
            return Struct("scale_shift_params_f32", fields), Input(), *tables, Output()

        row = arguments(rows_of(site.x.shape)[2])
        # each value is read once, right before its result is stored
        return [
            Call(
                name,
                f"{name}.h",
                arguments(site.x.size),
                overlap={0: 0},
                cycles=6 * site.x.size,
                rows=Rows(name, f"{name}.h", row, {0: RowWindow()}, elementwise=True),
            )
        ]

    def macs(self, site: Site) -> int:
        return site.x.size


def _channels(node: OnnxNode, index: int) -> Array:
    values = node.constant(index)
    if values is None or values.shape != (node.shape()[1],):
        node.unsupported(f"input {index} must hold one value per channel")
    return values.astype(np.float64)
