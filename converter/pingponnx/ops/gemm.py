"""Fully connected layers: Gemm, and MatMul with a constant matrix."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, prod
from typing import Self

import numpy as np

from pingponnx.calls import (
    ALL_ROWS,
    Accumulator,
    Argument,
    Call,
    First,
    Input,
    Last,
    Output,
    Part,
    Rows,
    RowValues,
    RowWindow,
    Scalar,
    Scratch,
    ScratchBytes,
    ScratchQuery,
    Struct,
    Table,
)
from pingponnx.errors import ModelError
from pingponnx.ir import Array, Shape, Tensor
from pingponnx.ops import CmsisNN, Kept, OnnxNode, Operator, Site, clip_twice, fallback, operator
from pingponnx.ops.cmsis import scaling_reason
from pingponnx.ops.dtypes import CODES_AND_FLOAT, kernel_suffix
from pingponnx.ops.linear import Linear, clamp_f32, clamped, linear_reason, lower_linear


@operator("Gemm")
@dataclass(frozen=True, slots=True)
class Gemm(Operator):
    """y = x W^T + bias over the last axis of x; W is constant, `out in`; the activation is fused."""

    low: float = -inf
    high: float = inf

    int16 = True

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        weights = node.inputs[1]
        assert weights is not None
        if not weights.constant or len(weights.shape) != 2:
            node.unsupported("the second matrix must be a constant of rank 2")
        if node.attributes.get("transA", 0):  # load puts a Transpose in front instead
            node.unsupported("transA=1", "transpose the input in the model instead")
        bias = node.inputs[2] if len(node.inputs) > 2 else None
        outputs = weights.shape[0 if node.attributes.get("transB", 0) else 1]
        if bias is not None and not (bias.constant and bias.size == prod(bias.shape[-1:]) in (1, outputs)):
            node.unsupported("the bias must be a constant with one value per output")
        transposed = weights if node.attributes.get("transB", 0) else _transposed(weights)
        kept: list[int | Tensor] = [0, _times(node, transposed, "alpha")]
        return cls(), (*kept, *([] if bias is None else [_times(node, bias, "beta")]))

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        x, weights = inputs[0], inputs[1]
        assert x is not None and weights is not None
        if x.shape[-1:] != weights.shape[1:]:  # inference of onnx accepts that
            raise ModelError(f"a matrix of {weights.shape[1]} inputs cannot take a tensor of shape {x.shape}")
        return ((*x.shape[:-1], weights.shape[0]),)

    def integer(self, site: Site) -> str:
        return linear_reason(site)

    def with_clamp(self, low: float, high: float) -> Self | None:
        low, high = clip_twice((self.low, self.high), low, high)
        return replace(self, low=low, high=high)

    def macs(self, site: Site) -> int:
        return site.y.size * site.x.shape[-1]

    def lower(self, site: Site) -> Linear:
        """Weights `out in`, int32 bias, zero points and multipliers."""
        return lower_linear(self, site, self.low, self.high)

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        x = arrays[0]
        assert x is not None
        linear = self.lower(site)
        if not site.quantized:
            real: Array = x.astype(np.float32) @ linear.weights.T + linear.bias
            return clamp_f32(real, linear)
        weights = linear.weights.astype(np.int64) - linear.weight_zero_point[:, None]
        acc = (x.astype(np.int64) - linear.input_zero_point) @ weights.T + linear.bias
        y = linear.requantizer.apply(acc) + linear.output_zero_point
        return clamped(y, linear, site.y.dtype)

    def _sizes(self, site: Site) -> dict[str, Scalar]:
        return {
            "rows": prod(site.x.shape[:-1]),
            "in_n": site.x.shape[-1],
            "out_n": site.y.shape[-1],
        }

    def kernels(self, site: Site) -> Sequence[Call]:
        linear, macs = self.lower(site), self.macs(site)
        suffix = kernel_suffix(self, replace(site, inputs=(site.x,)), CODES_AND_FLOAT)
        fields = self._sizes(site) | linear.kernel_fields()
        if site.wide:
            fields["long_sums"] = int(linear.long)
        params = Struct(f"gemm_params_{suffix}", fields)
        tables, name = linear.tables(linear.weights), f"gemm_{suffix}"
        # the input may be a map that was flattened: then each of its rows is a part of the sums
        part = Rows(
            f"{name}_part",
            f"{name}.h",
            (params, Input(), Part(), RowValues(), First(), Last(), *tables, Accumulator(), Output()),
            {0: RowWindow()},
            units=ALL_ROWS,
            accumulator=(8 if linear.long and site.wide else 4) * site.y.shape[-1],
            forward_only=not site.quantized,
        )
        return [
            Call(
                name,
                f"{name}.h",
                (params, Input(), *tables, Output()),
                macs=macs,
                cycles=8 * macs,
                rows=part if prod(site.x.shape[:-1]) == 1 else None,
            )
        ]

    def cmsis_nn(self, site: Site, library: CmsisNN) -> Call:
        plain = self.kernels(site)[0]
        if not site.quantized:
            return fallback(plain, "float32: CMSIS-NN's int8 functions do not apply")
        linear = self.lower(site)
        if linear.weight_zero_point.any():
            return fallback(plain, "CMSIS-NN takes symmetric weights only")
        reason = scaling_reason(linear)
        if reason:
            return fallback(plain, reason)
        requantizer, count = linear.requantizer, len(linear.weights)
        per_tensor = len(np.unique(np.stack([requantizer.multiplier, requantizer.shift]), axis=1).T) == 1
        kind = "fully_connected" if per_tensor else "fully_connected_per_channel"
        needed = {"arm_fully_connected_s8"}
        if not per_tensor and "arm_fully_connected_per_channel_s8" not in library.functions:
            needed |= {"arm_convolve_wrapper_s8"}  # a 1x1 convolution is the same computation
        if not needed <= library.functions:
            return fallback(plain, f"this CMSIS-NN lacks {' or '.join(sorted(needed))}")
        tables: tuple[Argument, ...] = ()
        fields = self._sizes(site) | linear.fields()
        if per_tensor:
            fields |= {"multiplier": int(requantizer.multiplier[0]), "shift": int(requantizer.shift[0])}
        else:
            fields |= {"multiplier": 0, "shift": 0}
            tables = (Table("multiplier", requantizer.multiplier), Table("shift", requantizer.shift))
        params, name = Struct("cmsis_fc_params", fields), f"cmsis_{kind}_s8"
        arguments: tuple[Argument, ...] = (
            params,
            Input(),
            Table("weights", np.ascontiguousarray(linear.weights)),
            Table("bias", np.ascontiguousarray(np.broadcast_to(linear.bias, (count,)))),
            *tables,
            Scratch(),
            ScratchBytes(),
            Output(),
        )
        query = ScratchQuery(f"{name}.h", f"{name}_scratch", params)
        return Call(name, f"{name}.h", arguments, macs=self.macs(site), scratch_query=query, checked=True)


def _times(node: OnnxNode, constant: Tensor, attribute: str) -> Tensor:
    """A constant times alpha or beta; a quantized one only gets another scale."""
    factor, q = float(node.attributes.get(attribute, 1.0)), constant.quantization
    if factor == 1.0:
        return constant
    name = f"{constant.name}@{attribute}"
    if q is None:
        return replace(constant, name=name, data=constant.real() * np.float32(factor), origin=None)
    if factor <= 0:
        node.unsupported(f"{attribute} of {factor:g} with a quantized constant", "fold it into the constant")
    return replace(constant, name=name, quantization=replace(q, scale=q.scale * np.float32(factor)))


def _transposed(weights: Tensor) -> Tensor:
    """A constant matrix `in out` as `out in`, its quantization axis with it."""
    assert weights.data is not None
    q = weights.quantization
    if q is not None and q.axis is not None:
        q = replace(q, axis=1 - q.axis)
    return replace(
        weights,
        name=f"{weights.name}@transposed",
        shape=weights.shape[::-1],
        data=np.ascontiguousarray(weights.data.T),
        quantization=q,
    )
