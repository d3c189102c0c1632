"""Graph -> graph in normal form: a visible list of passes, each a pure function in a file of its own."""

from collections.abc import Callable

from pingponnx.ir import Graph, check
from pingponnx.rewrite.batch_norm import fold_scale_shift
from pingponnx.rewrite.bias import fold_bias
from pingponnx.rewrite.boundary import absorb_boundary
from pingponnx.rewrite.clamp import fuse_clamps
from pingponnx.rewrite.flatten import absorb_flatten
from pingponnx.rewrite.group_norm import fuse_group_norm
from pingponnx.rewrite.layout import choose_layout, sink_transposes
from pingponnx.rewrite.pad import fuse_pad
from pingponnx.rewrite.pool import fuse_pool
from pingponnx.rewrite.quantize import fold_quantization
from pingponnx.rewrite.tables import make_tables
from pingponnx.rewrite.unsigned import make_signed

Pass = Callable[[Graph], Graph]


def passes(*, float_io: bool = False, nchw_io: bool = False) -> tuple[Pass, ...]:
    """The passes in order; the options keep float32 or `n c h w` at the model's boundary."""
    return (
        make_signed,
        fuse_group_norm,
        lambda graph: choose_layout(graph, keep_inputs=nchw_io),
        fold_bias,
        fold_scale_shift,
        fuse_pad,
        fuse_clamps,
        fold_quantization,
        fuse_clamps,
        sink_transposes,
        absorb_flatten,
        fold_quantization,
        make_tables,
        lambda graph: absorb_boundary(graph, float_io=float_io, nchw_io=nchw_io),
    )


def rewrite(graph: Graph, *, float_io: bool = False, nchw_io: bool = False) -> Graph:
    """The normal form that every variant starts from; checked after each pass."""
    for step in passes(float_io=float_io, nchw_io=nchw_io):
        graph = check(step(graph))
    return graph


def fuse(graph: Graph) -> Graph:
    """What only our own engine does: a max-pool runs inside the convolution before it."""
    return check(fuse_pool(graph))
