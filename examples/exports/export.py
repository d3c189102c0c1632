"""Exports every network of nets.py with both exporters of PyTorch and stores onnxruntime's outputs.

python export.py FOLDER             all opsets, for `docs/exporters.md`
python export.py FOLDER --kept      only what tests/exports keeps
"""

import argparse
import logging
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from google.protobuf.message import Message
from nets import NETS

LEGACY, DYNAMO = range(11, 21), range(18, 24)
KEPT = {"legacy": (11, 17), "dynamo": (18, 23)}  # static, dynamic
FIRST = {"transformer": 14}  # the TorchScript exporter has no attention before
SAMPLES = 2
_PATH = re.compile(r'File "|(?:^|[\s"])/\w')


def variants(name: str, kept: bool) -> Iterator[tuple[str, bool, int]]:
    """Exporter, whether the batch is dynamic, opset."""
    for exporter, opsets in (("legacy", LEGACY), ("dynamo", DYNAMO)):
        for dynamic in (False, True):
            one = max(KEPT[exporter][dynamic], FIRST.get(name, 0))
            for opset in (one,) if kept else opsets:
                yield exporter, dynamic, opset


def shape_of(shape: tuple[int, ...], batch: int) -> tuple[int, ...]:
    return tuple(batch if n < 0 else n for n in shape) if -1 in shape else (batch, *shape)


def lively(net: torch.nn.Module) -> torch.nn.Module:
    """Weights and statistics that let a signal through, so that outputs depend on every layer."""
    for parameter in net.parameters():
        if parameter.dim() > 1:
            torch.nn.init.kaiming_normal_(parameter)
        else:
            parameter.data.add_(0.2 * torch.randn_like(parameter))
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
    return net


def export(name: str, exporter: str, dynamic: bool, opset: int, path: Path) -> None:
    """One model, as a user exports it."""
    torch.manual_seed(1)
    module, shapes = NETS[name]
    net = lively(module()).eval()
    # the exporters need a batch of two to see that it is dynamic
    inputs = tuple(torch.randn(shape_of(s, 2 if dynamic else 1)) for s in shapes)
    names = ["input", "h", "c"][: len(inputs)]
    outputs = ["output", "h_out", "c_out"] if len(inputs) == 3 else ["output"]
    axis = {n: {s.index(-1) if -1 in s else 0: "batch"} for n, s in zip(names, shapes, strict=True)}
    options: dict[str, object] = {"input_names": names, "output_names": outputs, "opset_version": opset}
    if exporter == "legacy":
        given = {"dynamic_axes": axis} if dynamic else {}
        torch.onnx.export(net, inputs, str(path), dynamo=False, **given, **options)
        return
    if dynamic:
        batch = torch.export.Dim("batch")
        options["dynamic_shapes"] = tuple(dict.fromkeys(axis[n], batch) for n in names)
    program = torch.onnx.export(net, inputs, dynamo=True, verbose=False, **options)
    assert program is not None
    program.save(str(path))


def strip_paths(path: Path) -> None:
    """Take out what names files of this machine: stack traces that the exporter stores with every node."""
    model = onnx.load(path)
    waiting: list[Message] = [model]
    while waiting:
        message = waiting.pop()
        for field, value in message.ListFields():
            if field.name == "metadata_props":
                kept = [entry for entry in value if not _PATH.search(entry.value)]
                del value[:]
                value.extend(kept)
            elif field.name == "doc_string" and _PATH.search(value):
                message.ClearField("doc_string")
            elif field.type == field.TYPE_MESSAGE:
                waiting += [value] if isinstance(value, Message) else list(value)
    onnx.save(model, path)


def store_outputs(path: Path, name: str) -> None:
    """Inputs, and onnxruntime's outputs for them without graph optimizations; once for each network."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(3)
    shapes = [shape_of(s, 1) for s in NETS[name][1]]
    samples = [[rng.normal(size=s).astype(np.float32) for s in shapes] for _ in range(SAMPLES)]
    names = [value.name for value in session.get_inputs()]
    found = [session.run(None, dict(zip(names, sample, strict=True))) for sample in samples]
    arrays = {f"in{j}": np.stack([s[j] for s in samples]) for j in range(len(shapes))}
    arrays |= {f"out{j}": np.stack([f[j] for f in found]) for j in range(len(found[0]))}
    np.savez_compressed(path.with_name(f"{name}.npz"), **arrays)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kept", action="store_true")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    for name in NETS:
        for exporter, dynamic, opset in variants(name, options.kept):
            path = options.folder / f"{name}.{exporter}{'_dyn' if dynamic else ''}.{opset}.onnx"
            if options.only not in path.name:
                continue
            try:
                export(name, exporter, dynamic, opset, path)
                strip_paths(path)
                if not path.with_name(f"{name}.npz").exists():
                    store_outputs(path, name)
                print(f"{path.name}: opset {onnx.load(path).opset_import[0].version}")
            except Exception as error:  # the exporters raise whatever they like
                path.unlink(missing_ok=True)
                print(f"{path.name}: not exported: {type(error).__name__} {str(error).strip()[:120]!r}")


if __name__ == "__main__":
    main()
