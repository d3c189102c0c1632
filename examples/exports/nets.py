"""The networks that are exported: small in width, but built of what real ones are built of.

Every entry of NETS is (module, example inputs). Weights are random: exports are about graphs.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LeNet5(nn.Module):
    """Convolutions, pools, a flattening `view` and fully connected layers."""

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(1, 4, 5, padding=2), nn.Conv2d(4, 8, 5)
        self.f1, self.f2 = nn.Linear(8 * 5 * 5, 24), nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.c1(x)), 2)
        x = F.max_pool2d(F.relu(self.c2(x)), 2)
        x = F.relu(self.f1(x.view(x.size(0), -1)))
        return F.log_softmax(self.f2(x), dim=1)


class Residual(nn.Module):
    """Two convolutions and a shortcut, which has one of its own where shapes differ."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.c1, self.b1 = nn.Conv2d(into, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.c2, self.b2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        self.short = nn.Conv2d(into, out, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.b1(self.c1(x)))
        return F.relu(self.b2(self.c2(y)) + self.short(x))


class ResNet8(nn.Module):
    """ResNet-8 of MLPerf Tiny, narrow."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.blocks = nn.Sequential(Residual(4, 4, 1), Residual(4, 8, 2), Residual(8, 12, 2))
        self.head = nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(F.relu(self.norm(self.stem(x))))
        return self.head(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


class Inverted(nn.Module):
    """Inverted residual with squeeze and excitation, padded as TensorFlow does."""

    def __init__(self, into: int, out: int, stride: int, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        wide = 3 * into
        self.expand = nn.Sequential(nn.Conv2d(into, wide, 1, bias=False), nn.BatchNorm2d(wide))
        self.depth = nn.Sequential(
            nn.Conv2d(wide, wide, 3, stride, groups=wide, bias=False), nn.BatchNorm2d(wide)
        )
        self.squeeze, self.excite = nn.Conv2d(wide, 4, 1), nn.Conv2d(4, wide, 1)
        self.project = nn.Sequential(nn.Conv2d(wide, out, 1, bias=False), nn.BatchNorm2d(out))
        self.act, self.stride, self.same = act, stride, into == out and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.expand(x))
        y = F.pad(y, (0, 2, 0, 2) if self.stride == 2 else (1, 1, 1, 1))
        y = self.act(self.depth(y))
        y = y * F.hardsigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(y, 1)))))
        y = self.project(y)
        return x + y if self.same else y


class MobileNet(nn.Module):
    """MobileNetV2 with the squeezes and activations of V3."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU6())
        self.blocks = nn.Sequential(
            Inverted(4, 4, 1, F.relu6), Inverted(4, 6, 2, F.hardswish), Inverted(6, 6, 1, F.silu)
        )
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)).mean([2, 3]))


class DSCNN(nn.Module):
    """Keyword spotting with depthwise separable convolutions."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(1, 8, (10, 4), 2, (5, 1)), nn.BatchNorm2d(8), nn.ReLU()]
        for _ in range(2):
            layers += [nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8), nn.ReLU()]
            layers += [nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2))
        self.head = nn.Linear(8, 12)

    def forward(self, x: Tensor) -> Tensor:
        return F.softmax(self.head(self.body(x)), dim=-1)


class CNN1D(nn.Module):
    """Dilated causal convolutions over a signal, with gates cut out of one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.c2 = nn.Conv1d(6, 8, 3), nn.Conv1d(4, 12, 3, dilation=2)
        self.norm, self.slope = nn.BatchNorm1d(12), nn.PReLU(12)
        self.head = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.c1(F.pad(x, (2, 0))).chunk(2, 1)
        x = torch.tanh(a) * torch.sigmoid(b)
        x = F.max_pool1d(self.slope(self.norm(self.c2(F.pad(x, (4, 0))))), 2)
        return self.head(F.elu(x).amax(-1))


class GRUNet(nn.Module):
    """A GRU over a sequence, its last step classified."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(6, 12, batch_first=True), nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.gru(x)
        return self.head(y[:, -1])


class LSTMNet(nn.Module):
    """Two bidirectional LSTM layers, averaged over time."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 8, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.lstm(x)
        return self.head(y.mean(1))


class LSTMState(nn.Module):
    """One step of an LSTM whose state is given and returned."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(6, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y, (h, c) = self.lstm(x, (h, c))
        return self.head(y[-1]), h, c


class Transformer(nn.Module):
    """One encoder layer over a sequence with learned positions, averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.place = nn.Linear(6, 16), nn.Parameter(torch.randn(1, 10, 16))
        self.layer = nn.TransformerEncoderLayer(16, 2, 24, activation="gelu", batch_first=True)
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(self.embed(x) + self.place)
        return self.head(self.norm(x).mean(1))


class Autoencoder(nn.Module):
    """Fully connected, batch-normalized after every layer."""

    def __init__(self) -> None:
        super().__init__()
        sizes = [40, 16, 4, 16]
        layers: list[nn.Module] = []
        for a, b in pairwise(sizes):
            layers += [nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.Linear(16, 40))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class UNet(nn.Module):
    """Segmentation: a transposed convolution up, a skip, bilinear up again, group and instance norms."""

    def __init__(self) -> None:
        super().__init__()
        self.down1 = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.ReLU())
        self.down2 = nn.Sequential(
            nn.Conv2d(4, 8, 3, 2, 1), nn.InstanceNorm2d(8, affine=True), nn.LeakyReLU(0.1)
        )
        self.down3 = nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.up = nn.ConvTranspose2d(8, 8, 2, 2)
        self.merge, self.head = nn.Conv2d(16, 4, 3, padding=1), nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.down1(x)
        b = self.down2(a)
        c = self.up(self.down3(b))
        c = F.relu(self.merge(torch.cat([b, c], 1)))
        c = F.interpolate(c, scale_factor=2.0, mode="bilinear", align_corners=False)
        return torch.sigmoid(self.head(torch.cat([a, c], 1)))


NETS: dict[str, tuple[type[nn.Module], tuple[tuple[int, ...], ...]]] = {
    "lenet5": (LeNet5, ((1, 28, 28),)),
    "resnet8": (ResNet8, ((3, 16, 16),)),
    "mobilenet": (MobileNet, ((3, 16, 16),)),
    "dscnn": (DSCNN, ((1, 25, 10),)),
    "cnn1d": (CNN1D, ((6, 20),)),
    "gru": (GRUNet, ((12, 6),)),
    "lstm": (LSTMNet, ((12, 6),)),
    "lstm_state": (LSTMState, ((1, -1, 6), (1, -1, 8), (1, -1, 8))),
    "transformer": (Transformer, ((10, 6),)),
    "autoencoder": (Autoencoder, ((40,),)),
    "unet": (UNet, ((1, 16, 16),)),
}
"""Module and shapes of its inputs; the batch comes first, or where -1 stands."""
