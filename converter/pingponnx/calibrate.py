"""float32 ONNX + samples -> standard QDQ ONNX, through onnxruntime's static quantizer."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnxruntime import quantization as ort

from pingponnx.errors import Error, ModelError, first_line
from pingponnx.ir import Shape
from pingponnx.load import load, static_model
from pingponnx.onnx_model import CONVERTED_OPSET, modern
from pingponnx.output import write_file
from pingponnx.samples import Sample, read_samples
from pingponnx.workspace import temporary_folder


@dataclass(frozen=True, slots=True)
class Scheme:
    """How tensors are quantized; the defaults suit Cortex-M kernels."""

    per_channel: bool = True
    symmetric_activations: bool = False
    unsigned_activations: bool = False
    reduce_range: bool = False
    wide_activations: bool = False  # int16, always symmetric


class _Reader(ort.CalibrationDataReader):  # type: ignore[misc]
    """Feeds the samples to onnxruntime's calibration, one by one."""

    def __init__(self, names: list[str], samples: list[Sample]) -> None:
        self._feeds: Iterator[dict[str, Any]] = (
            dict(zip(names, sample.inputs, strict=True)) for sample in samples
        )

    def get_next(self) -> dict[str, Any] | None:
        return next(self._feeds, None)


def quantize(
    model: Path,
    out: Path,
    samples: Path,
    scheme: Scheme = Scheme(),
    input_shapes: Mapping[str, Shape] | None = None,
) -> int:
    """Write a QDQ model that any ONNX tool can read; returns the number of calibration samples.

    int8 weights per channel and asymmetric int8 activations by default, MinMax calibration. Raises Error
    when the model is already quantized, the samples do not fit, or the quantizer fails.
    """
    if scheme.wide_activations and scheme.unsigned_activations:
        raise Error("activations cannot be int16 and uint8", "give one of --int16 and --uint8")
    if out.resolve() == model.resolve():
        raise Error("the quantized model would replace the float32 one", "give -o another name")
    graph = load(model, input_shapes)  # the same checks and messages as for every other command
    if any(t.quantized for t in graph.tensors.values()):
        raise ModelError(f"{model.name} is quantized already", "give the float32 model")
    found = read_samples(samples, graph)
    names = [graph.ports[n].name for n in graph.inputs]
    proto = static_model(model, input_shapes)
    if scheme.per_channel:
        proto = modern(proto, CONVERTED_OPSET, "give --per-tensor, or export the model with a later opset")
    with temporary_folder() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)  # the quantizer's advice addresses its own command line
        try:
            fixed = folder / "static.onnx"
            fixed.write_bytes(proto.SerializeToString())
            result = _quantize(fixed, folder, _Reader(names, found), scheme)
        except OSError:
            raise
        except Exception as error:  # the quantizer raises whatever its libraries raise
            raise Error(
                f"onnxruntime could not quantize {model.name}: {first_line(error)}",
                "check the samples, try --per-tensor, or quantize it by other means",
            ) from error
        finally:
            logging.disable(logging.NOTSET)
    write_file(out, result, inputs=(samples,), suffix=".onnx")
    return len(found)


def _quantize(model: Path, folder: Path, reader: _Reader, scheme: Scheme) -> bytes:
    prepared, quantized = folder / "prepared.onnx", folder / "quantized.onnx"
    ort.shape_inference.quant_pre_process(str(model), str(prepared), skip_symbolic_shape=True)
    activations = ort.QuantType.QUInt8 if scheme.unsigned_activations else ort.QuantType.QInt8
    activations = ort.QuantType.QInt16 if scheme.wide_activations else activations
    symmetric = scheme.symmetric_activations or scheme.wide_activations
    ort.quantize_static(
        str(prepared),
        str(quantized),
        reader,
        quant_format=ort.QuantFormat.QDQ,
        per_channel=scheme.per_channel,
        reduce_range=scheme.reduce_range,
        activation_type=activations,
        weight_type=ort.QuantType.QInt8,
        calibrate_method=ort.CalibrationMethod.MinMax,
        extra_options={"ActivationSymmetric": symmetric},
    )
    proto = onnx.load(quantized)
    return bytes(proto.SerializeToString(deterministic=True))
