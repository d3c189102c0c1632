"""Local response normalization."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pingponnx.calls import Argument, Call, Input, Output, Rows, RowWindow, Struct, rows_of
from pingponnx.ir import Array, DType, Shape, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site, operator
from pingponnx.ops.dtypes import kernel_suffix


@operator("LRN")
@dataclass(frozen=True, slots=True)
class LRN(Operator):
    """x / (bias + alpha / size * sum of x^2 over `size` neighbouring channels)^beta."""

    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    bias: float = 1.0

    channels_last = True

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        size = int(node.attributes["size"])
        if size < 1 or len(node.shape()) < 3:
            node.unsupported(f"size {size} for an input of rank {len(node.shape())}")
        defaults = {"alpha": 1e-4, "beta": 0.75, "bias": 1.0}
        return cls(size, **{k: float(node.attributes.get(k, v)) for k, v in defaults.items()}), (0,)

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        return (inputs[0].shape,)

    @property
    def _around(self) -> tuple[int, int]:
        """Channels before and after that take part."""
        return (self.size - 1) // 2, self.size // 2

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        assert arrays[0] is not None
        x = arrays[0].astype(np.float64)
        before, after = self._around
        padded = np.pad(x * x, [(0, 0)] * (x.ndim - 1) + [(before, after)])
        channels = x.shape[-1]
        squares = sum(padded[..., k : k + channels] for k in range(self.size))
        y: Array = x / (self.bias + self.alpha / self.size * squares) ** self.beta
        return y.astype(np.float32)

    def kernels(self, site: Site) -> Sequence[Call]:
        name = f"lrn_{kernel_suffix(self, site, (DType.F32,))}"
        channels = site.x.shape[-1]
        before, after = self._around

        def arguments(values: int) -> tuple[Argument, ...]:
            fields: dict[str, float] = {
                "pixels": values // channels,
                "channels": channels,
                "before": before,
                "after": after,
            }
            factors = {"alpha": self.alpha / self.size, "beta": self.beta, "bias": self.bias}
            return Struct("lrn_params_f32", fields | factors), Input(), Output()

        rows = Rows(name, f"{name}.h", arguments(rows_of(site.x.shape)[2]), {0: RowWindow()})
        cycles = (100 + 3 * self.size) * site.x.size
        return [Call(name, f"{name}.h", arguments(site.x.size), cycles=cycles, rows=rows)]
