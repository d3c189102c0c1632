"""Networks that grow at random, for hypothesis."""

from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st

from models import Builder

Shape = tuple[int, ...]


class Network:
    """A network that grows at random; `values` are the tensors that the next operator may read."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw, self.net = draw, Builder(seed=draw(st.integers(0, 1000)))
        self.values: dict[str, Shape] = {"x": self.first()}
        self.shape = self.values["x"]

    def first(self) -> Shape:
        """The shape of the input."""
        raise NotImplementedError

    def pick(self, suitable: list[str]) -> str:
        return self.draw(st.sampled_from(suitable))

    def keep(self, name: str, shape: Shape) -> None:
        self.values[name] = shape

    def model(self, y: str) -> onnx.ModelProto:
        return self.net.model({"x": self.shape}, y)


class Tall(Network):
    """Many rows of few values, and windows of all kinds over them: what streams row by row.

    One in four has one dimension only.
    """

    def first(self) -> Shape:
        size = [self.draw(st.integers(6, 14)), self.draw(st.integers(2, 5))]
        return 1, self.draw(st.integers(1, 3)), *(size if self.draw(st.integers(0, 3)) else size[:1])

    @property
    def rank(self) -> int:
        return len(self.shape) - 2

    def newest(self) -> str:
        """The last tensor, or sometimes an older one."""
        suitable = [name for name, shape in self.values.items() if shape[2] >= 2]
        return self.draw(st.sampled_from([*suitable, *suitable[-1:] * 2 * len(suitable)]))

    def _sizes(self, choices: list[int]) -> list[int]:
        return [self.draw(st.sampled_from(choices)) for _ in range(self.rank)]

    def _window(self, x: str, kernels: list[int]) -> tuple[dict[str, Any], list[int]]:
        """Attributes of a window with any padding below its size, and the output's size."""
        size, kernel, strides = self.values[x][2:], self._sizes(kernels), self._sizes([1, 1, 1, 2, 3])
        begin, end = ([self.draw(st.integers(0, k - 1)) for k in kernel] for _ in range(2))
        out = [
            (n + b + e - k) // s + 1 for n, b, e, k, s in zip(size, begin, end, kernel, strides, strict=True)
        ]
        return {"kernel_shape": kernel, "strides": strides, "pads": begin + end}, out

    def conv(self, x: str) -> None:
        window, out = self._window(x, [1, 2, 3, 3, 5])
        channels = self.values[x][1]
        group = self.draw(st.sampled_from([1, channels]))
        into = group * self.draw(st.integers(1, 2))
        if min(out) > 0 and into <= 8:
            kernel = window.pop("kernel_shape")
            self.keep(self.weighted(x, into, kernel, group=group, **window), (1, into, *out))

    def pool(self, x: str) -> None:
        window, out = self._window(x, [1, 2, 2, 3])
        if min(out) > 0:
            op_type = self.draw(st.sampled_from(["MaxPool", "MaxPool", "AveragePool"]))
            self.keep(self.net.add(op_type, x, **window), (1, self.values[x][1], *out))

    def weighted(self, x: str, into: int, kernel: list[int], *, group: int, **attributes: Any) -> str:
        """A convolution with weights that keep the signal's size, and bias."""
        ways = self.values[x][1] // group
        weights = self.net.normal(into, ways, *kernel) / np.float32((np.prod(kernel) * ways) ** 0.5)
        bias = self.net.normal(into)
        return self.net.add("Conv", x, weights, bias, group=group, kernel_shape=kernel, **attributes)

    def activation(self, x: str) -> None:
        op_type = self.draw(st.sampled_from(["Relu", "Clip", "LeakyRelu", "Sigmoid"]))
        bounds = [np.float32(-0.5), np.float32(1.0)] if op_type == "Clip" else []
        self.keep(self.net.add(op_type, x, *bounds), self.values[x])

    def add(self, x: str) -> None:
        """The sum with another tensor of the same shape."""
        other = self.pick([name for name, shape in self.values.items() if shape == self.values[x]])
        self.keep(self.net.add(self.draw(st.sampled_from(["Add", "Mul"])), x, other), self.values[x])

    def concat(self, x: str) -> None:
        shape = self.values[x]
        others = [name for name, s in self.values.items() if (s[0], *s[2:]) == (shape[0], *shape[2:])]
        other = self.pick(others)
        channels = shape[1] + self.values[other][1]
        if channels <= 16:
            self.keep(self.net.add("Concat", x, other, axis=1), (1, channels, *shape[2:]))

    def head(self, x: str) -> str:
        """Flatten, by one of its spellings, and a fully connected layer."""
        count = int(np.prod(self.values[x]))
        spelled = self.draw(st.booleans())
        flat = self.net.add("Flatten", x) if spelled else self.net.add("Reshape", x, np.array([1, -1]))
        weights = self.net.normal(4, count) / np.float32(count**0.5)
        return self.net.add("Gemm", flat, weights, self.net.normal(4), transB=1)

    def pad(self, x: str) -> None:
        before, after = (self._sizes([0, 1, 2]) for _ in range(2))
        _, channels, *size = self.values[x]
        amounts = np.array([0, 0, *before, 0, 0, *after])
        out = [n + a + b for n, a, b in zip(size, before, after, strict=True)]
        self.keep(self.net.add("Pad", x, amounts), (1, channels, *out))

    def residual(self, x: str) -> None:
        """One or two convolutions that keep the shape, and the sum."""
        channels, y = self.values[x][1], x
        for _ in range(self.draw(st.integers(1, 2))):
            kernel = self._sizes([1, 3])
            pads = [k // 2 for k in kernel] * 2
            y = self.weighted(y, channels, kernel, group=1, pads=pads)
            self.keep(y, self.values[x])
        self.keep(self.net.add("Add", *self.draw(st.permutations([x, y]))), self.values[x])

    def classifier(self, x: str) -> str:
        """Global average, fully connected, and maybe softmax."""
        channels = self.values[x][1]
        flat = self.net.add("Flatten", self.net.add("GlobalAveragePool", x))
        y = self.net.add("Gemm", flat, self.net.normal(3, channels), self.net.normal(3), transB=1)
        return self.net.add("Softmax", y, axis=-1) if self.draw(st.booleans()) else y


@st.composite
def tall_networks(draw: st.DrawFn) -> onnx.ModelProto:
    made = Tall(draw)
    steps = [made.conv, made.conv, made.pool, made.residual, made.concat, made.pad, made.activation]
    made.conv("x")
    for step in draw(st.lists(st.sampled_from(steps), min_size=2, max_size=4)):
        step(made.newest())
    last = list(made.values)[-1]
    end = draw(st.sampled_from(["classifier", "head", ""]))
    if last == "x" or end == "head":
        return made.model(made.head(last))
    return made.model(made.classifier(last) if end else last)
