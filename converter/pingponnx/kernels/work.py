"""How much a layer in blocks of four channels has to do, for the prediction of its cycles."""

from dataclasses import dataclass
from math import prod

from pingponnx.kernels.blocks import CHANNELS
from pingponnx.ops import Site
from pingponnx.ops.conv import Conv
from pingponnx.ops.gemm import Gemm
from pingponnx.ops.window import hw


@dataclass(frozen=True, slots=True)
class Work:
    """Counts over the whole layer: taps are those of a block, padding ones included."""

    paired: int  # taps of two pixels that are made together, of both
    single: int  # of others
    runs: int  # of taps without a branch between them, of a pixel
    pixels: int  # of a block, before pooling
    outputs: int

    def cycles(self, paired: float, single: float, run: float, pixel: float, output: float) -> int:
        """With what each of these takes."""
        each = (paired, single, run, pixel, output)
        counts = (self.paired, self.single, self.runs, self.pixels, self.outputs)
        return round(sum(cost * count for cost, count in zip(each, counts, strict=True)))


def convolution_work(op: Conv, site: Site) -> Work:
    """Of a convolution that is not depthwise."""
    window, (_, width) = op.window, hw(site.x.shape)
    rows, columns = hw(site.y.shape)
    first, each = window.pads[1], op.pool.kernel[1] if op.pool else 1
    step = op.pool.stride[1] if op.pool else 1
    inside = [
        0 <= x * window.stride[1] - first <= width - window.extent[1]
        for column in range(columns)
        for x in range(column * step, column * step + each)
    ]
    paired = at = 0
    while at + 1 < len(inside):
        together = inside[at] and inside[at + 1] and (each == 1 or at % each + 1 < each)
        paired, at = paired + 2 * together, at + 1 + together
    blocks = -(-site.y.shape[-1] // CHANNELS) * site.x.shape[0]
    lines = rows * (op.pool.kernel[0] if op.pool else 1) * blocks
    taps = prod(window.kernel) * site.x.shape[-1]
    runs = window.kernel[0] * (window.kernel[1] if window.dilation[1] > 1 else 1)
    count = len(inside)
    return Work(lines * paired * taps, lines * (count - paired) * taps, lines * count * runs, lines * count, site.y.size)


def depthwise_work(op: Conv, site: Site) -> Work:
    """Of a depthwise convolution."""
    rows, columns = hw(site.y.shape)
    pixels = site.x.shape[0] * rows * columns * (prod(op.pool.kernel) if op.pool else 1)
    pixels *= site.y.shape[-1] // CHANNELS
    taps = pixels * prod(op.window.kernel)
    return Work(0, taps, pixels * op.window.kernel[0], pixels, site.y.size)


def gemm_work(op: Gemm, site: Site) -> Work:
    """Of a fully connected layer."""
    rows, blocks = prod(site.x.shape[:-1]), -(-site.y.shape[-1] // CHANNELS)
    return Work(0, rows * blocks * site.x.shape[-1], rows * blocks, rows * blocks, site.y.size)
