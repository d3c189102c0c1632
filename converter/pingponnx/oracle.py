"""The golden: onnxruntime with every graph optimization off, for outputs and for values in between."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
import onnxruntime

from pingponnx.errors import Error, first_line
from pingponnx.ir import Array, Graph, Shape
from pingponnx.load import static_model
from pingponnx.onnx_folding import session
from pingponnx.samples import Sample
from pingponnx.samples import feeds as our_feeds

_HINT = "give inputs that the model can take: --samples FILE.npz with in0, in1, ... stacked"


class Oracle:
    """Runs the original model; values come in ONNX's layout.

    Raises ModelError when onnxruntime refuses the model, Error when it refuses a sample.
    """

    def __init__(self, path: Path, input_shapes: Mapping[str, Shape] | None = None) -> None:
        self._model = static_model(path, input_shapes)
        self._inputs = [value.name for value in self._model.graph.input]
        constant = {t.name for t in self._model.graph.initializer}
        self._inputs = [name for name in self._inputs if name not in constant]
        self._outputs = [value.name for value in self._model.graph.output]
        self._plain = session(self._model)

    def outputs(self, sample: Sample) -> tuple[Array, ...]:
        """The model's outputs."""
        return tuple(_run(self._plain, self._outputs, self._feeds(sample)))

    def values(self, graph: Graph, samples: Sequence[Sample]) -> list[dict[str, Array]]:
        """For every sample: our tensors that stand for an ONNX value, in our layout and dtype."""
        known = {name for node in self._model.graph.node for name in node.output if name}
        wanted = {
            t.origin.name: t
            for t in graph.tensors.values()
            if t.origin is not None and t.origin.name in known
        }
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        present = {value.name for value in model.graph.output}
        model.graph.output.extend(
            onnx.helper.make_empty_tensor_value_info(name) for name in sorted(wanted) if name not in present
        )
        names = sorted(wanted)
        traced = session(model)
        result = []
        for sample in samples:
            feeds = self._feeds(sample)
            found = dict(zip(names, _run(traced, names, feeds) if names else [], strict=True)) | feeds
            result.append(_ours(graph, found) | our_feeds(graph, sample))
        return result

    def _feeds(self, sample: Sample) -> dict[str, Array]:
        return dict(zip(self._inputs, sample.inputs, strict=True))


def _run(
    model: onnxruntime.InferenceSession, names: Sequence[str], feeds: Mapping[str, Array]
) -> list[Array]:
    try:
        return list(model.run(names, feeds))
    except Exception as error:  # onnxruntime's exceptions share no useful base class
        raise Error(f"onnxruntime cannot run the model on a sample: {first_line(error)}", _HINT) from error


def _ours(graph: Graph, found: Mapping[str, Array]) -> dict[str, Array]:
    values = {}
    for name, tensor in graph.tensors.items():
        if tensor.constant or tensor.origin is None or tensor.origin.name not in found:
            continue
        value = tensor.origin.apply(found[tensor.origin.name], tensor.dtype)
        if value.dtype == tensor.dtype.numpy and value.size == tensor.size:
            values[name] = value.reshape(tensor.shape)
    for node in reversed(graph.nodes):  # the same bytes under another shape are as well known
        x, y = node.inputs[0], node.outputs[0]
        if node.op.alias and y in values and x not in values:
            values[x] = values[y].reshape(graph.tensors[x].shape)
    return values
