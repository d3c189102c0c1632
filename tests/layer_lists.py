"""The ten networks of memory.md as lists of layers: shapes, and calls of kernels that work row by row.

Activations belong to their layers. A kernel may use any order within a row, so that what the planner
makes of these networks depends on nothing but its own theory.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pingponnx.calls import ALL_ROWS, Call, Rows, RowWindow
from pingponnx.ir import DType, Graph, Node, Port, Shape, Tensor
from pingponnx.ops.binary import Add

Pair = tuple[int, int]


@dataclass(frozen=True)
class Layer:
    """One operator; `inputs` count layers back from it: 1 is the one before, and so on."""

    kind: str  # conv, pool, mean, fc, act or add
    channels: int = 0  # 0: those of its input
    kernel: Pair = (1, 1)
    stride: int = 1
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)  # top, left, bottom, right
    inputs: tuple[int, ...] = (1,)
    pool: Pair = (1, 1)  # rows and stride of a max-pool that was fused into it

    def output(self, x: Shape) -> Shape:
        """Height, width and channels."""
        if self.kind in ("mean", "fc"):
            return 1, 1, self.channels or x[2]
        height, width = (
            (n + before + after - k) // self.stride + 1
            for n, before, after, k in zip(x, self.pads, self.pads[2:], self.kernel, strict=False)
        )
        return height // self.pool[1], width // self.pool[1], self.channels or x[2]

    def call(self, x: Tensor, y: Tensor) -> Call:
        if self.kind in ("act", "add"):
            windows = {i: RowWindow() for i in range(len(self.inputs))}
            rows = Rows("f", "f.h", (), windows, elementwise=True)
            return Call("f", "f.h", (), overlap=dict.fromkeys(windows, 0), rows=rows)
        if self.kind in ("mean", "fc"):
            sums = Rows("f", "f.h", (), {0: RowWindow()}, units=ALL_ROWS, accumulator=4 * y.shape[-1])
            return Call("f", "f.h", (), rows=sums if x.shape[1] > 1 else None)
        window = RowWindow(self.kernel[0], self.stride, self.pads[0])
        return Call("", "", (), rows=Rows("f", "f.h", (), {0: window}, units=self.pool[0], step=self.pool[1]))


@dataclass(frozen=True)
class Layers:
    """A network; `shape` is its input's height, width and channels."""

    shape: Shape
    layers: tuple[Layer, ...]
    dtype: DType = DType.S8

    def fused(self) -> "Layers":
        """Max-pools become part of the convolutions before them."""
        found: list[Layer] = []
        for layer in self.layers:
            if layer.kind == "pool" and layer.inputs == (1,):
                found[-1] = replace(found[-1], pool=(layer.kernel[0], layer.stride))
            else:
                found.append(layer)
        return replace(self, layers=tuple(found))

    def graph(self, name: str = "layers") -> tuple[Graph, tuple[Call, ...]]:
        """The graph, whose operators mean nothing, and its calls."""
        shapes, calls, nodes = [self.shape], [], []
        for index, layer in enumerate(self.layers):
            sources = tuple(f"x{index + 1 - back}" for back in layer.inputs)
            shapes.append(layer.output(shapes[index + 1 - layer.inputs[0]]))
            nodes.append(Node(f"{layer.kind}{index}", Add(), sources, (f"x{index + 1}",)))
        tensors = {f"x{i}": Tensor(f"x{i}", (1, *shape), self.dtype) for i, shape in enumerate(shapes)}
        for layer, node in zip(self.layers, nodes, strict=True):
            calls.append(layer.call(tensors[node.inputs[0]], tensors[node.outputs[0]]))
        last = f"x{len(nodes)}"
        ports = {"x0": Port("x0"), last: Port(last)}
        return Graph(name, tuple(nodes), tensors, ("x0",), (last,), ports), tuple(calls)


# -- layers -------------------------------------------------------------------------------------------


def conv(channels: int, kernel: int = 1, stride: int = 1, *, pad: int = -1, back: int = 1) -> Layer:
    """Padded to keep the signal's size unless `pad` says otherwise."""
    pad = kernel // 2 if pad < 0 else pad
    return Layer("conv", channels, (kernel, kernel), stride, (pad,) * 4, (back,))


def depthwise(kernel: int = 3, stride: int = 1) -> Layer:
    return conv(0, kernel, stride)


def pool(kernel: int = 2) -> Layer:
    """Maxima of disjoint windows."""
    return Layer("pool", 0, (kernel, kernel), kernel)


def fc(*channels: int) -> tuple[Layer, ...]:
    return tuple(Layer("fc", n) for n in channels)


def classifier(classes: int) -> tuple[Layer, ...]:
    return (Layer("mean"), *fc(classes))


def add(first: int, second: int) -> Layer:
    return Layer("add", inputs=(first, second))


def _separable(*blocks: Pair) -> tuple[Layer, ...]:
    """Depthwise, then pointwise; blocks are (channels, stride)."""
    return tuple(layer for channels, stride in blocks for layer in (depthwise(3, stride), conv(channels)))


def _bottlenecks(channels: int, *blocks: tuple[int, int, int, int]) -> tuple[Layer, ...]:
    """MobileNetV2's: expand, depthwise, project, and add where shapes allow.

    Blocks are (channels, expansion, stride, kernel).
    """
    found: list[Layer] = []
    for into, expansion, stride, kernel in blocks:
        found += [conv(channels * expansion)] if expansion > 1 else []
        found += [depthwise(kernel, stride), conv(into)]
        if stride == 1 and into == channels:
            found.append(add(4, 1))
        channels = into
    return tuple(found)


def _repeated(*stages: tuple[int, int, int]) -> Sequence[tuple[int, int, int, int]]:
    """(channels, repeats, first stride) as blocks of expansion 6."""
    return [
        (channels, 6, stride if i == 0 else 1, 3)
        for channels, repeats, stride in stages
        for i in range(repeats)
    ]


# -- networks -----------------------------------------------------------------------------------------

_LENET = (conv(6, 5, pad=0), pool(), conv(16, 5, pad=0), pool(), *fc(120, 84, 10))
_CIFAR = (conv(32, 5), pool(), conv(16, 5), pool(), conv(32, 5), pool(), *fc(10))
_RESNET8 = (
    *(conv(16, 3), conv(16, 3), conv(16, 3), add(3, 1)),
    *(conv(32, 3, 2), conv(32, 3), conv(32, 1, 2, back=3), add(1, 2)),
    *(conv(64, 3, 2), conv(64, 3), conv(64, 1, 2, back=3), add(1, 2)),
    *classifier(10),
)
_DS_CNN = (
    Layer("conv", 64, (10, 4), 2, (4, 1, 5, 1)),
    *_separable(*[(64, 1)] * 4),
    *classifier(12),
)
_MOBILENET_V1 = (
    conv(8, 3, 2),
    *_separable((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1)),
    *classifier(2),
)
_MOBILENET_V2 = (
    conv(16, 3, 2),
    *_bottlenecks(16, (8, 1, 1, 3)),
    *_bottlenecks(8, *_repeated((8, 2, 2), (16, 3, 2), (24, 4, 2), (32, 3, 1), (56, 3, 2), (112, 1, 1))),
    conv(1280),
    *classifier(1000),
)
_STEM = (conv(16, 3, 2), depthwise(), conv(8))
_VWW1 = (
    *_STEM,
    *_bottlenecks(8, (16, 6, 2, 3), (16, 3, 1, 3), (16, 3, 1, 3), (24, 3, 2, 7), (24, 6, 1, 3)),
    *_bottlenecks(24, (24, 5, 1, 5), (40, 6, 2, 7), (40, 6, 1, 7), (48, 6, 1, 3), (48, 4, 1, 3)),
    *_bottlenecks(48, (96, 5, 2, 5), (96, 5, 1, 3), (96, 4, 1, 3), (160, 3, 1, 7)),
    *classifier(2),
)
_IN3 = (
    *_STEM,
    *_bottlenecks(8, (16, 3, 2, 7), (16, 5, 1, 3), (16, 5, 1, 7), (16, 4, 1, 5), (24, 5, 2, 5)),
    *_bottlenecks(24, (24, 5, 1, 5), (24, 5, 1, 5), (40, 5, 2, 3), (40, 6, 1, 7), (40, 4, 1, 5)),
    *_bottlenecks(40, (48, 5, 1, 5), (48, 5, 1, 7), (48, 5, 1, 3), (96, 6, 2, 3), (96, 5, 1, 7)),
    *_bottlenecks(96, (96, 4, 1, 3), (160, 5, 1, 7)),
    *classifier(1000),
)
NETWORKS = {
    "lenet5_f32": Layers((32, 32, 1), _LENET, DType.F32),
    "lenet5_int8": Layers((32, 32, 1), _LENET),
    "cifar": Layers((32, 32, 3), _CIFAR),
    "resnet8": Layers((32, 32, 3), _RESNET8),
    "ds_cnn": Layers((49, 10, 1), _DS_CNN),
    "mobilenet_v1": Layers((96, 96, 3), _MOBILENET_V1),
    "autoencoder": Layers((1, 1, 640), fc(128, 128, 128, 128, 8, 128, 128, 128, 128, 640)),
    "mobilenet_v2": Layers((144, 144, 3), _MOBILENET_V2),
    "mcunet_vww1": Layers((80, 80, 3), _VWW1),
    "mcunet_in3": Layers((176, 176, 3), _IN3),
}
