"""Which element types a header kernel is written for."""

from pingponnx.errors import IN_FLOAT32
from pingponnx.ir import DType
from pingponnx.ops import Operator, Site

_KERNELS = (DType.S8, DType.F32)
CODES_AND_FLOAT = (DType.S8, DType.S16, DType.F32)


def kernel_suffix(op: Operator, site: Site, types: tuple[DType, ...] = _KERNELS) -> str:
    """`s8`, `f32`, or `s16` where `types` has it; others are refused, before a missing header is named."""
    if any(t is not None and t.dtype not in types for t in (*site.inputs, *site.outputs)):
        names = sorted({t.dtype.value for t in (*site.inputs, *site.outputs) if t is not None})
        site.unsupported(
            op, f"no kernel for {', '.join(names)}", f"it takes float32 and quantized int8: {IN_FLOAT32}"
        )
    return site.suffix
