"""ConvInteger: a convolution of 8-bit codes, in int32."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pingponnx.calls import Call, Input, Output, Struct
from pingponnx.ir import Array, DType, Shape, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site, operator
from pingponnx.ops.matmul_integer import check_codes, zero_point, zero_step
from pingponnx.ops.window import Window, read_kernel, read_window


@operator("ConvInteger")
@dataclass(frozen=True, slots=True)
class ConvInteger(Operator):
    """Convolution of int8 or uint8 codes less their zero points, as int32, in ONNX's order of axes."""

    window: Window
    group: int = 1

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        x, weights = node.inputs[:2]
        assert x is not None and weights is not None
        check_codes(node)
        group = int(node.attributes.get("group", 1))
        kernel = read_kernel(node, group)
        x_zero, w_zero = (node.inputs[i] if i < len(node.inputs) else None for i in (2, 3))
        if (x_zero and x_zero.size != 1) or (w_zero and w_zero.size not in (1, weights.shape[0])):
            node.unsupported("zero points of other shapes than one for all or one per output channel")
        return cls(read_window(node, kernel), group), tuple(range(len(node.inputs)))

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        x, weights = inputs[:2]
        assert x is not None and weights is not None
        size = self.window.output(*_hw(x.shape))
        return ((x.shape[0], weights.shape[0], *size[: len(x.shape) - 2]),)

    def dtype(self, *inputs: Tensor | None) -> DType:
        return DType.S32

    def macs(self, site: Site) -> int:
        weights = site.inputs[1]
        assert weights is not None
        return site.y.size * weights.size // weights.shape[0]

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        x, weights, x_zero, w_zero = (*arrays, None, None)[:4]
        assert x is not None and weights is not None
        n, c, (h, w), count = *x.shape[:2], _hw(x.shape), weights.shape[0]
        real = x.reshape(n, c, h, w).astype(np.int64) - (0 if x_zero is None else int(x_zero.ravel()[0]))
        zeros = np.zeros(1, np.int64) if w_zero is None else w_zero.astype(np.int64).reshape(-1)
        kernel = weights.astype(np.int64).reshape(count, c // self.group, *self.window.kernel)
        kernel = kernel - zeros.reshape(-1, 1, 1, 1)
        top, left, bottom, right = self.window.pads
        padded = np.pad(real, ((0, 0), (0, 0), (top, bottom), (left, right)))
        oh, ow = self.window.output(h, w)
        total = np.zeros((n, self.group, count // self.group, oh, ow), np.int64)
        for ky in range(self.window.kernel[0]):
            for kx in range(self.window.kernel[1]):
                y0, x0 = ky * self.window.dilation[0], kx * self.window.dilation[1]
                taps = padded[:, :, y0 :: self.window.stride[0], x0 :: self.window.stride[1]][:, :, :oh, :ow]
                grouped = taps.reshape(n, self.group, c // self.group, oh, ow)
                each = kernel[:, :, ky, kx].reshape(self.group, count // self.group, c // self.group)
                total += np.einsum("ngihw,goi->ngohw", grouped, each)
        return total.astype(np.int32).reshape(site.y.shape)

    def kernels(self, site: Site) -> Sequence[Call]:
        x, weights, window = site.x, site.inputs[1], self.window
        assert weights is not None
        (h, w), (oh, ow) = _hw(x.shape), _hw(site.y.shape)
        fields = {
            "batch": x.shape[0],
            "groups": self.group,
            "in_channels": weights.shape[1],
            "out_channels": weights.shape[0],
            "in_h": h,
            "in_w": w,
            "out_h": oh,
            "out_w": ow,
            "kernel_h": window.kernel[0],
            "kernel_w": window.kernel[1],
            "stride_h": window.stride[0],
            "stride_w": window.stride[1],
            "pad_top": window.pads[0],
            "pad_left": window.pads[1],
            "dilation_h": window.dilation[0],
            "dilation_w": window.dilation[1],
            "x_signed": int(x.dtype is DType.S8),
            "w_signed": int(weights.dtype is DType.S8),
            "w_zero_step": zero_step(site, 3),
        }
        params, macs = Struct("conv_integer_params", fields), self.macs(site)
        arguments = (params, Input(0), Input(1), zero_point(site, 2), zero_point(site, 3), Output())
        return [Call("conv_integer", "conv_integer.h", arguments, macs=macs, cycles=20 * macs)]


def _hw(shape: Shape) -> tuple[int, int]:
    """Height and width of `n c h w`; a 1-D input is one column."""
    return shape[2], shape[3] if len(shape) == 4 else 1
