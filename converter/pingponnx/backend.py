"""ONNX's backend interface: models converted to C, compiled for the host and run.

Sizes are fixed when a model is converted, so what decides them (the target of a Reshape, the axes of a
reduction) cannot be an input of the C library. A model that has such inputs is converted when it is first
run, for their values at that time; all others are converted by `prepare`.
"""

import contextlib
import ctypes
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx.backend.base import Backend as OnnxBackend
from onnx.backend.base import BackendRep, Device, DeviceType

from pingponnx.build import shared_library
from pingponnx.errors import Error, ModelError, UnsupportedError
from pingponnx.ir import Array
from pingponnx.load import load_model
from pingponnx.onnx_model import runtime_inputs
from pingponnx.pipeline import Conversion, Options, convert
from pingponnx.plan import Effort
from pingponnx.rewrite import rewrite
from pingponnx.select import Goal
from pingponnx.workspace import temporary_folder

# layer by layer: nobody asked for a small arena, and streams take long to prove
_OPTIONS = Options(target="host", goal=Goal.CYCLES, effort=Effort.FAST, float_io=True, nchw_io=True)
_WORD = 8  # bytes that the arena is aligned to


class Program:
    """A converted model as a function of arrays, in the order of the graph's inputs and outputs."""

    def __init__(self, conversion: Conversion, folder: Path) -> None:
        self.graph, self.entry = conversion.graph, conversion.entry
        library = ctypes.CDLL(str(shared_library(conversion.sources, folder)))
        self._run = library[f"{self.entry.prefix}_run"]
        self._arena = np.zeros(conversion.plan.arena // _WORD + 1, np.int64).view(np.uint8)

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by ONNX name; `feeds` are inputs by ONNX name, of their exact type and shape."""
        arena, tensors, ports = self._arena, self.graph.tensors, self.graph.ports
        for name, (offset, size) in zip(self.graph.inputs, self.entry.inputs, strict=True):
            tensor, array = tensors[name], np.ascontiguousarray(feeds[ports[name].name])
            if array.size == tensor.size == 1:
                array = array.reshape(tensor.shape)
            if (array.shape, array.dtype) != (tensor.shape, tensor.dtype.numpy):
                given = f"{array.dtype} {list(array.shape)}"
                wanted = f"{tensor.dtype.value} {list(tensor.shape)}"
                raise Error(f"input {ports[name].name!r} is {given}, the model takes {wanted}")
            arena[offset : (offset or 0) + size] = array.reshape(-1).view(np.uint8)
        status = self._run(arena.ctypes.data_as(ctypes.c_void_p))
        if status:
            raise Error(f"the model returned the error {status}")
        results = {}
        for name, (offset, size) in zip(self.graph.outputs, self.entry.outputs, strict=True):
            data = arena[offset : offset + size].copy()
            results[ports[name].name] = data.view(tensors[name].dtype.numpy).reshape(tensors[name].shape)
        return results


class Model(BackendRep):  # type: ignore[misc]  # onnx has no types
    """What `prepare` returns."""

    def __init__(self, model: onnx.ModelProto, options: Options = _OPTIONS) -> None:
        self._model, self._options = model, options
        self._inputs = [value.name for value in runtime_inputs(model.graph)]
        self._outputs = [value.name for value in model.graph.output]
        files = contextlib.ExitStack()
        self._folder = files.enter_context(temporary_folder())
        weakref.finalize(self, files.close)
        self._programs: dict[tuple[bytes, ...], Program] = {}  # by the values of the fixed inputs
        self.fixed: tuple[str, ...] = ()  # inputs that have to be known for the conversion
        try:
            self._program({})
        except UnsupportedError as error:
            self.fixed = self._needed(error)

    def _needed(self, error: UnsupportedError) -> tuple[str, ...]:
        """The inputs without whose values the model cannot be converted; raises what they do not explain."""
        others = [item for item in error.items if item.needs not in self._inputs]
        needed = tuple(dict.fromkeys(item.needs for item in error.items if item.needs in self._inputs))
        if others or set(needed) <= set(self.fixed):
            raise UnsupportedError(others or error.items) from error
        return (*self.fixed, *(name for name in needed if name not in self.fixed))

    def _program(self, constants: Mapping[str, Array]) -> Program:
        key = tuple(array.tobytes() for array in constants.values())
        if key not in self._programs:
            graph = load_model(self._model, "model", constants)
            normal = rewrite(graph, float_io=self._options.float_io, nchw_io=self._options.nchw_io)
            folder = self._folder / str(len(self._programs))
            conversion = convert(normal, self._options)
            folder.mkdir()
            self._programs[key] = Program(conversion, folder)
        return self._programs[key]

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Array, ...]:
        """Outputs in the model's order; `inputs` in its order too, or by name."""
        arrays = list(inputs.values()) if isinstance(inputs, Mapping) else list(inputs)
        names = list(inputs) if isinstance(inputs, Mapping) else self._inputs
        feeds = {name: np.asarray(array) for name, array in zip(names, arrays, strict=False)}
        missing = [name for name in self._inputs if name not in feeds]
        if missing:
            raise Error(f"input {missing[0]!r} is not given")
        while True:
            try:
                program = self._program({name: feeds[name] for name in self.fixed})
                break
            except UnsupportedError as error:
                self.fixed = self._needed(error)
        found = program(feeds)
        return tuple(found[name] for name in self._outputs)


class Backend(OnnxBackend):  # type: ignore[misc]  # onnx has no types
    """Runs models on the host as the C that they are converted to."""

    @classmethod
    def is_compatible(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> bool:
        try:
            Model(model)
        except (UnsupportedError, ModelError):
            return False
        return cls.supports_device(device)

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> Model:
        """Convert and compile; raises UnsupportedError for what cannot be converted, Error for a device."""
        if not cls.supports_device(device):
            raise Error(f"there is no device {device!r}", "the C runs on the host: device 'CPU'")
        return Model(model)

    @classmethod
    def run_node(
        cls,
        node: onnx.NodeProto,
        inputs: Sequence[Any],
        device: str = "CPU",
        outputs_info: Sequence[tuple[np.dtype[Any], tuple[int, ...]]] | None = None,
        **kwargs: Any,
    ) -> tuple[Array, ...]:
        """Run a single node on arrays; `opset_version` says which operator set it is of."""
        names = list(dict.fromkeys(name for name in node.input if name))
        arrays = [np.asarray(array) for array in inputs]
        values = [
            onnx.helper.make_tensor_value_info(
                name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
            )
            for name, array in zip(names, arrays, strict=True)
        ]
        results = [onnx.helper.make_empty_tensor_value_info(name) for name in node.output if name]
        version = int(kwargs.get("opset_version", onnx.defs.onnx_opset_version()))
        graph = onnx.helper.make_graph([node], "node", values, results)
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", version)])
        return cls.prepare(model, device).run(arrays)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        try:
            return bool(Device(device).type == DeviceType.CPU)
        except (AttributeError, ValueError):  # what onnx makes of a name that it does not know
            return False


is_compatible = Backend.is_compatible
prepare = Backend.prepare
run_model = Backend.run_model
run_node = Backend.run_node
supports_device = Backend.supports_device

__all__ = ["Backend", "Model", "is_compatible", "prepare", "run_model", "run_node", "supports_device"]
