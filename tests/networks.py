"""Networks of published shape and small ones for planning, with seeded random weights.

Nothing of them is committed; they are built on demand, float32 and quantized to int8. `python
tests/networks.py FOLDER` writes them all.
"""

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx

from models import Builder, save
from pingponnx.calibrate import quantize

Shape = tuple[int, ...]

_SAMPLES = 3  # enough for activations' ranges: nothing is learnt, so nothing can be accurate


class Network(Builder):
    """One input "x" without batch; layers know their inputs' channels and keep the signal's size."""

    def __init__(self, *shape: int, seed: int = 1) -> None:
        super().__init__(seed)
        self.shape = (1, *shape)
        self.channels = {"x": shape[0]}

    def layer(
        self,
        x: str,
        into: int,
        kernel: Sequence[int] = (1, 1),
        stride: int = 1,
        *,
        group: int = 1,
        activation: str = "Relu",
        pads: Sequence[int] = (),
    ) -> str:
        """A convolution and its activation; the default padding is the symmetric one of PyTorch's users."""
        ways = self.channels[x] // group
        spread = np.float32((2 / (ways * np.prod(kernel))) ** 0.5)  # He et al., for Relu
        y = self.add(
            "Conv",
            x,
            self.normal(into, ways, *kernel) * spread,
            self.normal(into) * np.float32(0.1),
            kernel_shape=list(kernel),
            strides=[stride] * len(kernel),
            pads=list(pads) or [size // 2 for size in kernel] * 2,
            group=group,
        )
        if activation == "Clip":
            y = self.add("Clip", y, np.float32(0), np.float32(6))
        elif activation:
            y = self.add(activation, y)
        self.channels[y] = into
        return y

    def relu6(self, x: str, into: int, kernel: int = 1, stride: int = 1) -> str:
        return self.layer(x, into, (kernel, kernel), stride, activation="Clip")

    def depthwise(self, x: str, stride: int) -> str:
        channels = self.channels[x]
        return self.layer(x, channels, (3, 3), stride, group=channels, activation="Clip")

    def pool(self, x: str, kernel: Sequence[int], stride: int, pad: int = 0) -> str:
        strides, pads = [stride] * len(kernel), [pad] * 2 * len(kernel)
        y = self.add("MaxPool", x, kernel_shape=list(kernel), strides=strides, pads=pads)
        self.channels[y] = self.channels[x]
        return y

    def sum(self, a: str, b: str) -> str:
        y = self.add("Add", a, b)
        self.channels[y] = self.channels[a]
        return y

    def classifier(self, x: str, classes: int, *, softmax: bool = False) -> onnx.ModelProto:
        """Global average, then fully connected: the whole model."""
        channels = self.channels[x]
        weights = self.normal(classes, channels) / np.float32(channels**0.5)
        flat = self.add("Flatten", self.add("GlobalAveragePool", x))
        y = self.add("Gemm", flat, weights, self.normal(classes) * np.float32(0.1), transB=1)
        y = self.add("Softmax", y, axis=-1) if softmax else y
        return self.model({"x": self.shape}, y)


def mobilenet_v1() -> onnx.ModelProto:
    """MobileNetV1-0.25 for 96x96 pictures and two classes, as for MLPerf Tiny's visual wake words."""
    net = Network(3, 96, 96)
    x = net.relu6("x", 8, 3, 2)
    blocks = [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1)]
    for into, stride in blocks:
        x = net.relu6(net.depthwise(x, stride), into)
    return net.classifier(x, 2)


def mobilenet_v2() -> onnx.ModelProto:
    """MobileNetV2-0.35 for 144x144 pictures and 1000 classes; channels as torchvision rounds them."""
    net = Network(3, 144, 144)
    x = net.relu6("x", 16, 3, 2)
    x = _bottleneck(net, x, 8, 1, 1)
    stages = [(8, 2, 2), (16, 3, 2), (24, 4, 2), (32, 3, 1), (56, 3, 2), (112, 1, 1)]
    for into, repeats, first in stages:
        for stride in [first] + [1] * (repeats - 1):
            x = _bottleneck(net, x, into, 6, stride)
    return net.classifier(net.relu6(x, 1280), 1000)


def _bottleneck(net: Network, x: str, into: int, expansion: int, stride: int) -> str:
    """MobileNetV2's block: expand, depthwise, project without activation; and add, when the shapes allow."""
    channels = net.channels[x]
    y = net.relu6(x, channels * expansion) if expansion > 1 else x
    y = net.layer(net.depthwise(y, stride), into, activation="")
    return net.sum(x, y) if stride == 1 and channels == into else y


def ds_cnn() -> onnx.ModelProto:
    """DS-CNN for 49 x 10 features of speech and 12 words, as for MLPerf Tiny's keyword spotting."""
    net = Network(1, 49, 10)
    x = net.layer("x", 64, (10, 4), 2, pads=(4, 1, 5, 1))
    for _ in range(4):
        x = net.layer(net.layer(x, 64, (3, 3), group=64), 64)
    return net.classifier(x, 12, softmax=True)


def resnet8() -> onnx.ModelProto:
    """ResNet-8 for 32 x 32 pictures and ten classes, as for MLPerf Tiny's image classification."""
    net = Network(3, 32, 32)
    x = net.layer("x", 16, (3, 3))
    for into, stride in ((16, 1), (32, 2), (64, 2)):
        y = net.layer(net.layer(x, into, (3, 3), stride), into, (3, 3), activation="")
        shortcut = x if stride == 1 else net.layer(x, into, stride=stride, activation="")
        x = net.add("Relu", net.sum(shortcut, y))
        net.channels[x] = into
    return net.classifier(x, 10)


def residual() -> onnx.ModelProto:
    """Two residual blocks: an identity that must survive, and a shortcut that is computed."""
    net = Network(3, 16, 16)
    x = net.layer("x", 8, (3, 3))
    y = net.layer(net.layer(x, 8, (3, 3)), 8, (3, 3), activation="")
    x = net.add("Relu", net.sum(x, y))
    net.channels[x] = 8
    y = net.layer(net.layer(x, 16, (3, 3), 2), 16, (3, 3), activation="")
    return net.classifier(net.sum(net.layer(x, 16, stride=2, activation=""), y), 5)


def signal() -> onnx.ModelProto:
    """One dimension: convolutions with wide kernels and strides, pooling in between."""
    net = Network(6, 128)
    x = net.layer("x", 16, (9,), 2)
    x = net.pool(net.layer(x, 16, (3,)), (2,), 2)
    x = net.layer(net.pool(net.layer(x, 24, (3,)), (3,), 2), 32, (5,))
    return net.classifier(x, 4)


def overlapping() -> onnx.ModelProto:
    """Max-pools whose windows share rows, one of them padded; pictures that are not square."""
    net = Network(3, 24, 20)
    x = net.pool(net.layer("x", 8, (3, 3)), (3, 3), 2)
    x = net.pool(net.layer(x, 16, (3, 3)), (3, 3), 2, pad=1)
    return net.classifier(net.layer(x, 24, (3, 3)), 6)


def inception() -> onnx.ModelProto:
    """Four branches of different depth over one tensor, joined by Concat."""
    net = Network(3, 16, 16)
    x = net.layer("x", 12, (3, 3), 2)
    branches = [
        net.layer(x, 8),
        net.layer(net.layer(x, 6), 12, (3, 3)),
        net.layer(net.layer(x, 4), 6, (5, 5)),
        net.layer(net.pool(x, (3, 3), 1, pad=1), 6),
    ]
    y = net.add("Concat", *branches, axis=1)
    net.channels[y] = sum(net.channels[b] for b in branches)
    return net.classifier(y, 5)


MOBILENETS: Mapping[str, Callable[[], onnx.ModelProto]] = {
    "mobilenet_v1_025_96": mobilenet_v1,
    "mobilenet_v2_035_144": mobilenet_v2,
}
MLPERF: Mapping[str, Callable[[], onnx.ModelProto]] = {"ds_cnn": ds_cnn, "resnet8": resnet8}
SMALL: Mapping[str, Callable[[], onnx.ModelProto]] = {
    "residual": residual,
    "signal": signal,
    "overlapping": overlapping,
    "inception": inception,
}
NETWORKS = {**MOBILENETS, **MLPERF, **SMALL}


def write_f32(name: str, folder: Path) -> Path:
    """A network as it was built, `<name>_f32.onnx`."""
    return save(NETWORKS[name](), folder / f"{name}_f32.onnx")


def write_int8(name: str, folder: Path) -> Path:
    """The network as `pingponnx quantize` makes it of random samples, `<name>_int8.onnx`."""
    made = folder / f"{name}_int8.onnx"
    with tempfile.TemporaryDirectory(prefix="pingponnx-") as temporary:
        model, samples = write_f32(name, Path(temporary)), Path(temporary) / "samples.npz"
        (x,) = onnx.load(model).graph.input
        shape = [size.dim_value for size in x.type.tensor_type.shape.dim]
        rng = np.random.default_rng(2)
        np.savez(samples, in0=rng.standard_normal((_SAMPLES, *shape), np.float32))
        quantize(model, made, samples)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the networks of the tests as ONNX files.")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name in NETWORKS:
        for write in (write_f32, write_int8):
            print(write(name, folder))


if __name__ == "__main__":
    main()
