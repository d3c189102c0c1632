"""ONNX files and the external data beside them, which a stranger may have written."""

import stat
from collections.abc import Iterator
from math import prod
from pathlib import Path, PurePosixPath, PureWindowsPath

import onnx
from google.protobuf.message import DecodeError, Message

from pingponnx.errors import ModelError
from pingponnx.onnx_limits import MAX_BYTES, check_limits, check_size

_BESIDE = "keep it beside the model"


def read_file(path: Path) -> onnx.ModelProto:
    """The model of a file, with external data read in.

    Raises ModelError when it is not ONNX, has a name that is no text, asks for too much, or has external data
    that is missing, damaged, or outside the model's folder.
    """
    model = _parse(path)
    if not model.HasField("graph") or not (model.graph.node or model.graph.output):
        raise ModelError(f"{path.name} is not an ONNX file: it holds no graph", "export the model again")
    messages = list(_messages(model, path.name))
    check_limits(model, messages)
    _load_external_data([m for m in messages if isinstance(m, onnx.TensorProto)], path)
    return model


def _parse(path: Path) -> onnx.ModelProto:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # a device or a pipe may never end
            raise ModelError(f"cannot read {path}: it is no file", "check the path of the model")
        if found.st_size > MAX_BYTES:
            raise ModelError(f"{path.name} has {found.st_size:,} bytes", "keep tensors in external data")
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}", "check the path of the model") from error
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise ModelError(
            f"{path.name} is not an ONNX file, or it is truncated", "export the model again"
        ) from error
    return model


def _messages(message: Message, file: str) -> Iterator[Message]:
    """A message and all within it; raises ModelError for strings that are not UTF-8, which come as bytes."""
    yield message
    for field, value in message.ListFields():
        if field.type not in (field.TYPE_STRING, field.TYPE_MESSAGE):
            continue
        for item in [value] if isinstance(value, str | bytes | Message) else value:
            if isinstance(item, bytes):
                raise ModelError(f"{file} is damaged: a name in it is not UTF-8", "export the model again")
            if isinstance(item, Message):
                yield from _messages(item, file)


def _load_external_data(tensors: list[onnx.TensorProto], path: Path) -> None:
    """Read tensors stored beside the model; refuses locations outside its folder."""
    total = 0
    for tensor in tensors:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        where = f"external data of tensor {tensor.name!r}"
        info = {entry.key: entry.value for entry in tensor.external_data}
        file = _inside(path.resolve().parent, info.get("location", ""), where)
        offset, length = _range(info, file, tensor, where)
        total += length
        if total > MAX_BYTES:
            raise ModelError(f"{where}: all of it is more than 2 GiB", "no microcontroller holds that")
        try:
            with file.open("rb") as stream:
                stream.seek(offset)
                tensor.raw_data = stream.read(length)
        except OSError as error:
            raise ModelError(f"{where} cannot be read: {error.strerror}", "check the file") from error
        del tensor.external_data[:]
        tensor.data_location = onnx.TensorProto.DEFAULT


def _inside(folder: Path, location: str, where: str) -> Path:
    """The file of a location, which must lie in the folder of the model, links followed."""
    parts = {*PurePosixPath(location).parts, *PureWindowsPath(location).parts}
    absolute = PurePosixPath(location).is_absolute() or PureWindowsPath(location).anchor
    if not location or absolute or ".." in parts:
        raise ModelError(f"{where} has the unsafe location {_short(location)}", _BESIDE)
    try:
        file = (folder / location).resolve()
        if not file.is_relative_to(folder):
            raise ModelError(f"{where} points outside the model's folder", _BESIDE)
        if not file.is_file():
            raise ModelError(f"{where}: file {_short(location)} is missing", "copy it beside the model")
    except (OSError, ValueError, RuntimeError) as error:  # too long, with a NUL, links in a circle
        raise ModelError(f"{where} has the unsafe location {_short(location)}", _BESIDE) from error
    return file


def _short(location: str) -> str:
    return repr(location if len(location) < 200 else f"{location[:200]}...")


def _range(info: dict[str, str], file: Path, tensor: onnx.TensorProto, where: str) -> tuple[int, int]:
    """Offset and length, within the file, the latter what shape and type say."""
    size = file.stat().st_size
    try:
        offset = int(info.get("offset", 0))
        length = int(info.get("length", size - offset))
    except ValueError as error:
        raise ModelError(f"{where} has a malformed offset or length", "export the model again") from error
    if offset < 0 or length < 0 or offset + length > size:
        raise ModelError(f"{where} lies beyond the end of {file.name!r}", "copy the whole file again")
    check_size(f"constant {tensor.name!r}", tensor.dims)
    width = _width(tensor.data_type)
    if width and length != (needed := prod(tensor.dims) * width):
        raise ModelError(f"{where} has {length} bytes, its shape and type need {needed}", "export it again")
    return offset, length


def _width(data_type: int) -> int:
    """Bytes of an element; 0 where several share a byte, or nothing is known."""
    try:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(data_type)
    except (KeyError, ValueError, TypeError):
        return 0
    name = onnx.TensorProto.DataType.Name(data_type)
    return 0 if name == "STRING" or name.endswith(("INT4", "INT2", "E2M1")) else int(dtype.itemsize)
