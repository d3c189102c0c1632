"""Gather and scatter, at indices that are computed; those outside their axis are moved to its ends."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from pingponnx.calls import Call, Input, Output, Struct
from pingponnx.ir import Array, DType, Quantization, Shape, Tensor
from pingponnx.ops import Kept, OnnxNode, Operator, Site, keep, operator
from pingponnx.ops.take import Take

_INDICES = (DType.S32, DType.S64)
_RANK = 6


def _axis(node: OnnxNode) -> int:
    rank, axis = len(node.shape()), int(node.attributes.get("axis", 0))
    if not -rank <= axis < rank:
        node.unsupported(f"axis {axis} of a tensor of rank {rank}")
    return axis % rank


def _indices(node: OnnxNode) -> Tensor:
    tensor = node.inputs[1]
    assert tensor is not None
    if tensor.dtype not in _INDICES:
        node.unsupported(f"indices of type {tensor.dtype.value}")
    return tensor


def _check_inside(node: OnnxNode, indices: Tensor, *lengths: int) -> None:
    """Raises ModelError for constant indices outside the axes that they go into."""
    if (
        indices.data is not None
        and ((indices.data < [-n for n in lengths]) | (indices.data >= lengths)).any()
    ):
        node.broken(f"input 1 has indices outside of an axis of length {', '.join(map(str, lengths))}")


def _elements_axis(node: OnnxNode) -> int:
    """The axis that the indices go into; raises ModelError when they are more than the data along others."""
    data, indices, axis = node.shape(), _indices(node), _axis(node)
    if len(data) > _RANK:
        node.unsupported(f"more than {_RANK} axes")
    others = [k for k in range(len(data)) if k != axis]
    if len(data) != len(indices.shape) or any(indices.shape[k] > data[k] for k in others):
        node.broken(f"indices of shape {indices.shape} for data of shape {data} along axis {axis}")
    _check_inside(node, indices, data[axis])
    return axis


def _inside(indices: Array, length: int) -> Array:
    wrapped = np.where(indices < 0, indices + length, indices)
    return np.clip(wrapped, 0, max(length - 1, 0)).astype(np.int64)


def _name(kind: str, site: Site) -> str:
    indices = site.inputs[1]
    assert indices is not None
    return f"{kind}_{indices.dtype.suffix}"


class _Indexed(Operator):
    """Shape and type follow the data, whichever of the inputs is constant."""

    __slots__ = ()

    moves_data = True
    int16 = True

    def dtype(self, *inputs: Tensor | None) -> DType:
        assert inputs[0] is not None
        return inputs[0].dtype

    def quantization(self, *inputs: Tensor | None) -> Quantization | None:
        assert inputs[0] is not None
        return inputs[0].quantization

    @abstractmethod
    def indexed(self, site: Site) -> Shape:
        """Lengths of the axes that the indices count along."""

    def index_range(self, site: Site, index: int) -> range | None:
        return range(min(self.indexed(site), default=0)) if index == 1 else None


@operator("Gather")
@dataclass(frozen=True, slots=True)
class Gather(_Indexed):
    """Slices of the data at indices along an axis."""

    axis: int

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        data, indices, axis = node.inputs[0], _indices(node), _axis(node)
        _check_inside(node, indices, node.shape()[axis])
        if data is None or data.constant or indices.data is None or not indices.size:
            return cls(axis), keep(2)
        fixed = _inside(indices.data, data.shape[axis])
        return Take(axis, tuple(fixed.ravel().tolist()), indices.shape), keep(1)

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        data, indices = inputs
        assert data is not None and indices is not None
        return ((*data.shape[: self.axis], *indices.shape, *data.shape[self.axis + 1 :]),)

    def indexed(self, site: Site) -> Shape:
        return (site.x.shape[self.axis],)

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        data, indices = arrays
        assert data is not None and indices is not None
        return np.take(data, _inside(indices, data.shape[self.axis]), self.axis)

    def kernels(self, site: Site) -> Sequence[Call]:
        indices, shape = site.inputs[1], site.x.shape
        assert indices is not None
        fields = {
            "outer": prod(shape[: self.axis]),
            "length": shape[self.axis],
            "count": indices.size,
            "bytes": prod(shape[self.axis + 1 :]) * site.x.dtype.bytes,
        }
        arguments = (Struct("gather_params", fields), Input(0), Input(1), Output())
        return [Call(_name("gather", site), "gather.h", arguments, cycles=6 * site.y.size)]


def _steps(shape: Shape) -> list[int]:
    return [prod(shape[axis + 1 :]) for axis in range(len(shape))]


@operator("GatherElements")
@dataclass(frozen=True, slots=True)
class GatherElements(_Indexed):
    """For every index its value of the data, at the same place along all axes but one."""

    axis: int

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        return cls(_elements_axis(node)), keep(2)

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        assert inputs[1] is not None
        return (inputs[1].shape,)

    def indexed(self, site: Site) -> Shape:
        return (site.x.shape[self.axis],)

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        data, indices = arrays
        assert data is not None and indices is not None
        places: list[Array] = list(np.indices(indices.shape))
        places[self.axis] = _inside(indices, data.shape[self.axis])
        found: Array = data[tuple(places)]
        return found

    def kernels(self, site: Site) -> Sequence[Call]:
        arguments = (_elements(self.axis, site.x, site.y.shape), Input(0), Input(1), Output())
        return [Call(_name("gather_elements", site), "gather.h", arguments, cycles=20 * site.y.size)]


def _elements(axis: int, data: Tensor, shape: Shape) -> Struct:
    missing = _RANK - len(shape)
    fields: dict[str, Any] = {
        "shape": (1,) * missing + shape,
        "step": (0,) * missing + tuple(0 if a == axis else s for a, s in enumerate(_steps(data.shape))),
        "length": data.shape[axis],
        "along": _steps(data.shape)[axis],
        "bytes": data.dtype.bytes,
    }
    return Struct("elements_params", fields)


@operator("GatherND")
@dataclass(frozen=True, slots=True)
class GatherND(_Indexed):
    """Slices of the data at tuples of indices."""

    batch: int

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        indices, batch = _indices(node), int(node.attributes.get("batch_dims", 0))
        if not indices.shape or batch + indices.shape[-1] > len(node.shape()) or indices.shape[-1] > _RANK:
            node.unsupported(f"indices of shape {indices.shape}")
        node.expect(1, (*node.shape()[:batch], *indices.shape[batch:]))
        _check_inside(node, indices, *node.shape()[batch:][: indices.shape[-1]])
        return cls(batch), keep(2)

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        data, indices = inputs
        assert data is not None and indices is not None
        return ((*indices.shape[:-1], *data.shape[self.batch + indices.shape[-1] :]),)

    def indexed(self, site: Site) -> Shape:
        return _picked(site, self.batch)

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        data, indices = arrays
        assert data is not None and indices is not None
        depth, batch = indices.shape[-1], prod(data.shape[: self.batch])
        data = data.reshape(batch, *data.shape[self.batch :])
        indices = indices.reshape(batch, -1, depth)
        places = [_inside(indices[..., k], data.shape[1 + k]) for k in range(depth)]
        found: Array = data[(np.arange(batch)[:, None], *places)]
        return found.reshape(site.y.shape)

    def kernels(self, site: Site) -> Sequence[Call]:
        arguments = (_tuples(self.batch, site.x, site.inputs[1]), Input(0), Input(1), Output())
        return [Call(_name("gather_nd", site), "gather.h", arguments, cycles=6 * site.y.size)]


def _picked(site: Site, batch: int) -> Shape:
    """The lengths of the axes that tuples of indices go into."""
    indices = site.inputs[1]
    assert indices is not None
    return site.x.shape[batch : batch + indices.shape[-1]]


def _tuples(batch: int, data: Tensor, indices: Tensor | None) -> Struct:
    assert indices is not None
    depth, shape = indices.shape[-1], data.shape
    inner = shape[batch + depth :]
    steps = [prod(shape[batch + k + 1 :]) * data.dtype.bytes for k in range(depth)]
    missing = (0,) * (_RANK - depth)
    fields: dict[str, Any] = {
        "batches": prod(shape[:batch]),
        "count": prod(indices.shape[batch:-1]),
        "depth": depth,
        "length": tuple(shape[batch : batch + depth]) + missing,
        "step": tuple(steps) + missing,
        "batch_bytes": prod(shape[batch:]) * data.dtype.bytes,
        "bytes": prod(inner) * data.dtype.bytes,
    }
    return Struct("tuples_params", fields)


@operator("ScatterElements", Scatter="The old name of ScatterElements.")
@dataclass(frozen=True, slots=True)
class ScatterElements(_Indexed):
    """The data, with values put at indices along an axis."""

    axis: int

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        _plain(node)
        node.expect(2, node.shape(1))
        return cls(_elements_axis(node)), keep(3)

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        return (inputs[0].shape,)

    def indexed(self, site: Site) -> Shape:
        return (site.x.shape[self.axis],)

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        data, indices, updates = arrays
        assert data is not None and indices is not None and updates is not None
        result, at = data.copy(), _inside(indices, data.shape[self.axis])
        for place in np.ndindex(*indices.shape):
            target = list(place)
            target[self.axis] = int(at[place])
            result[tuple(target)] = updates[place]
        return result

    def kernels(self, site: Site) -> Sequence[Call]:
        indices = site.inputs[1]
        assert indices is not None
        params = _elements(self.axis, site.x, indices.shape)
        arguments = (params, site.x.bytes, Input(0), Input(1), Input(2), Output())
        return [Call(_name("scatter_elements", site), "gather.h", arguments, cycles=20 * site.y.size)]


@operator("ScatterND")
@dataclass(frozen=True, slots=True)
class ScatterND(_Indexed):
    """The data, with slices put at tuples of indices."""

    @classmethod
    def from_onnx(cls, node: OnnxNode) -> tuple[Operator, Kept]:
        _plain(node)
        indices = _indices(node)
        if not indices.shape or indices.shape[-1] > min(len(node.shape()), _RANK):
            node.unsupported(f"indices of shape {indices.shape}")
        depth = indices.shape[-1]
        _check_inside(node, indices, *node.shape()[:depth])
        node.expect(2, (*indices.shape[:-1], *node.shape()[depth:]))
        return cls(), keep(3)

    def infer(self, *inputs: Tensor | None) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        return (inputs[0].shape,)

    def indexed(self, site: Site) -> Shape:
        return _picked(site, 0)

    def reference(self, site: Site, *arrays: Array | None) -> Array:
        data, indices, updates = arrays
        assert data is not None and indices is not None and updates is not None
        result, depth = data.copy(), indices.shape[-1]
        slices = updates.reshape(-1, *data.shape[depth:])
        for place, value in zip(indices.reshape(-1, depth), slices, strict=True):
            result[tuple(int(_inside(i, n)) for i, n in zip(place, data.shape, strict=False))] = value
        return result

    def kernels(self, site: Site) -> Sequence[Call]:
        params = _tuples(0, site.x, site.inputs[1])
        arguments = (params, site.x.bytes, Input(0), Input(1), Input(2), Output())
        return [Call(_name("scatter_nd", site), "gather.h", arguments, cycles=6 * site.y.size)]


def _plain(node: OnnxNode) -> None:
    if node.attributes.get("reduction", "none") != "none":
        node.unsupported(f"reduction {node.attributes['reduction']!r}")
