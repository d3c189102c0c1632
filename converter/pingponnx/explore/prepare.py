"""From a model on disk to the measurements to make."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pingponnx.calibrate import quantize
from pingponnx.errors import Error
from pingponnx.explore.choices import Space
from pingponnx.explore.work import Work
from pingponnx.load import load, static_model
from pingponnx.measure import find_samples
from pingponnx.pipeline import Options, normal_form
from pingponnx.samples import Sample, random_samples, read_samples
from pingponnx.workspace import temporary_folder


@dataclass(frozen=True, slots=True)
class Exploration:
    """What is to be measured; `made_up` is true when the samples are random, and accuracy means nothing.

    `against`: whose top answers the measured ones are compared with.
    """

    name: str
    works: tuple[Work, ...]
    made_up: bool
    against: str

    @property
    def note(self) -> str:
        """What the numbers are."""
        accuracy = f"top-1: how often the top answer is that of {self.against}"
        warning = "; the samples are made up, so it says nothing about the model: give --samples"
        return f"RAM and flash in bytes, cycles modelled; {accuracy}{warning if self.made_up else ''}."


def dtypes_of(path: Path, options: Options, wished: Sequence[str]) -> tuple[str, ...]:
    """The wished dtypes, by default all that the model can have. A quantized model stays as it is."""
    quantized = any(t.quantized for t in load(path, options.input_shapes).tensors.values())
    possible = ("int8",) if quantized else ("float32", "int8")
    if quantized and "float32" in wished:
        raise Error(f"{path.name} is quantized: there is no float32 in it", "give the float32 model")
    return tuple(wished) or possible


def prepare(path: Path, options: Options, space: Space, samples: Path | None, limit: int) -> Exploration:
    """Quantize if that is to be tried, and make the work of every choice; no measurement yet.

    Without a samples file the .npz beside the model is used, else made-up ones.
    """
    graph, file = normal_form(path, options), samples or find_samples(path)
    found = read_samples(file, graph) if file else random_samples(graph)
    model = static_model(path, options.input_shapes).SerializeToString(deterministic=True)
    models, reference = {"int8": model}, None
    if "float32" in dtypes_of(path, options, ()):
        models, reference = {"float32": model}, model
        if "int8" in space.dtypes:
            models["int8"] = _quantized(path.stem, model, _packed(found))
    data = _packed(found[:limit])
    works = [
        Work(
            choice,
            path.stem,
            models[choice.dtype],
            data,
            reference if choice.dtype == "int8" else None,
            limit,
            options.ram,
            options.flash,
        )
        for choice in space.choices()
    ]
    against = "the float32 model" if reference else "onnxruntime for the same model"
    return Exploration(path.stem, tuple(works), file is None, against)


def _packed(samples: Sequence[Sample]) -> bytes:
    """Inputs as an .npz, which is the same bytes for the same arrays."""
    stacks = {
        f"in{i}": np.stack(arrays) for i, arrays in enumerate(zip(*(s.inputs for s in samples), strict=True))
    }
    data = io.BytesIO()
    np.savez(data, allow_pickle=False, **stacks)
    return data.getvalue()


def _quantized(name: str, model: bytes, samples: bytes) -> bytes:
    with temporary_folder() as folder:
        source, calibration, out = (folder / n for n in (f"{name}.onnx", "in.npz", "out.onnx"))
        source.write_bytes(model)
        calibration.write_bytes(samples)
        quantize(source, out, calibration)
        return out.read_bytes()
