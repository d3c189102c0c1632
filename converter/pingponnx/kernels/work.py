"""How much a layer in blocks of four channels has to do, for the prediction of its cycles."""

from dataclasses import dataclass
from math import prod

from pingponnx.kernels.blocks import CHANNELS
from pingponnx.ops import Site
from pingponnx.ops.conv import Conv
from pingponnx.ops.window import Window, hw

Costs = tuple[float, float, float, float]  # in the order of Work's fields


@dataclass(frozen=True, slots=True)
class Work:
    """Counts over the whole layer: taps are those of a block, padding ones included."""

    paired: int  # taps of two pixels that are made together, of both
    single: int  # of others
    pixels: int  # of a block, before pooling
    outputs: int

    def cycles(self, costs: Costs) -> int:
        """With what each of these takes."""
        counts = (self.paired, self.single, self.pixels, self.outputs)
        return round(sum(cost * count for cost, count in zip(costs, counts, strict=True)))


def convolution_work(op: Conv, site: Site) -> Work:
    """Of a convolution that is not depthwise."""
    inside, each = _inside(op, site, 1), op.pool.kernel[1] if op.pool else 1
    paired = at = 0
    while at + 1 < len(inside):
        together = inside[at] and inside[at + 1] and (each == 1 or at % each + 1 < each)
        paired, at = paired + 2 * together, at + 1 + together
    lines = len(_inside(op, site, 0)) * -(-site.y.shape[-1] // CHANNELS) * site.x.shape[0]
    taps, count = prod(op.window.kernel) * site.x.shape[-1], len(inside)
    return Work(lines * paired * taps, lines * (count - paired) * taps, lines * count, site.y.size)


def depthwise_work(op: Conv, site: Site) -> Work:
    """Of a depthwise convolution: `paired` are taps of pixels without padding."""
    rows, columns = _inside(op, site, 0), _inside(op, site, 1)
    blocks = site.x.shape[0] * site.y.shape[-1] // CHANNELS
    pixels, inner = len(rows) * len(columns) * blocks, sum(rows) * sum(columns) * blocks
    taps = prod(op.window.kernel)
    return Work(inner * taps, (pixels - inner) * taps, pixels, site.y.size)


def _inside(op: Conv, site: Site, axis: int) -> list[bool]:
    """For every index before pooling that is needed: its window sees no padding."""
    window, pool = op.window, op.pool or Window((1, 1))
    last = hw(site.x.shape)[axis] - window.extent[axis]
    indices = [
        i * pool.stride[axis] + k for i in range(hw(site.y.shape)[axis]) for k in range(pool.kernel[axis])
    ]
    return [0 <= i * window.stride[axis] - window.pads[axis] <= last for i in indices]


def gemm_work(site: Site) -> Work:
    """Of a fully connected layer."""
    rows, blocks = prod(site.x.shape[:-1]), -(-site.y.shape[-1] // CHANNELS)
    return Work(0, rows * blocks * site.x.shape[-1], rows * blocks, site.y.size)
