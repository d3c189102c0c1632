"""Zero padding in front of a convolution becomes the convolution's own."""

from dataclasses import replace

from pingponnx.ir import Graph, Node, Tensor
from pingponnx.ops.conv import Conv
from pingponnx.ops.pad import Pad
from pingponnx.rewrite.edit import merge_pairs


def fuse_pad(graph: Graph) -> Graph:
    """Pad(constant 0) then Conv -> Conv with larger pads; exact, for padding is real zero in both."""
    return merge_pairs(graph, _merge)


def _merge(graph: Graph, before: Node, node: Node, between: str) -> tuple[Node, tuple[Tensor, ...]] | None:
    pad, conv = before.op, node.op
    if not isinstance(pad, Pad) or not isinstance(conv, Conv) or node.inputs[0] != between:
        return None
    edges = spatial_pads(pad, len(graph.tensors[between].shape))
    if edges is None:
        return None
    top, left, bottom, right = (a + b for a, b in zip(conv.window.pads, edges, strict=True))
    op = replace(conv, window=replace(conv.window, pads=(top, left, bottom, right)))
    return replace(node, op=op, inputs=(before.inputs[0], *node.inputs[1:])), ()


def spatial_pads(pad: Pad, rank: int) -> tuple[int, int, int, int] | None:
    """Top, left, bottom, right of a pad of a channels-last image with zeros; None for any other pad."""
    begins, ends = pad.before, pad.after
    if pad.mode != "constant" or pad.value != 0 or min(*begins, *ends) < 0 or rank not in (3, 4):
        return None
    if begins[0] or ends[0] or begins[-1] or ends[-1]:
        return None
    left, right = (begins[2], ends[2]) if rank == 4 else (0, 0)
    return begins[1], left, ends[1], right
