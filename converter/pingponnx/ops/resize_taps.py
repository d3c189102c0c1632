"""Which inputs, with which weights, make every output of ONNX's Resize along an axis.

Formulas are those of ONNX's specification of Resize; coordinates are float32, as onnxruntime computes them.
"""

from dataclasses import dataclass
from math import floor

import numpy as np

from pingponnx.ir import Array, Shape
from pingponnx.ops import OnnxNode

LONGEST = 2**15 - 1  # indices are int16
_F = np.float32
_NEARLY = 1e-3  # values that two lengths which are meant to be equal may differ by


@dataclass(frozen=True, slots=True)
class Taps:
    """Input indices and weights of each of `size` outputs along `axis`; a negative first index: outside."""

    axis: int
    size: int
    indices: tuple[tuple[int, ...], ...]
    weights: tuple[tuple[float, ...], ...]

    @property
    def nearest(self) -> bool:
        """True when every output is an input."""
        return all(len(i) == 1 and i[0] >= 0 for i in self.indices) and all(w == (1.0,) for w in self.weights)

    @property
    def columns(self) -> Array:
        """Indices, `output tap`."""
        return np.array(self.indices, np.int16)

    @property
    def factors(self) -> Array:
        """Weights, `output tap`."""
        return np.array(self.weights, np.float32)

    def fixed(self, places: int) -> Array:
        """Weights with binary places, `output tap`, int64."""
        found: Array = np.rint(np.array(self.weights) * 2.0**places).astype(np.int64)
        return found


@dataclass(frozen=True, slots=True)
class _Axis:
    """An axis to resize: lengths before and after, the scale, and the region of interest."""

    length: int
    size: int
    scale: float
    start: float
    end: float

    @property
    def whole(self) -> bool:
        return (self.start, self.end) == (0, 1)


def read_taps(node: OnnxNode) -> tuple[Taps, ...]:
    """The axes that a Resize or Upsample node changes, ascending."""
    old = node.op_type == "Upsample" or node.opset < 11
    mode = str(node.attributes.get("mode", "nearest"))
    transform = "asymmetric" if old else node.attributes.get("coordinate_transformation_mode", "half_pixel")
    found = []
    for axis, a in sorted(_axes(node, old).items()):
        if a.size == a.length and a.scale == 1 and (a.whole or transform != "tf_crop_and_resize"):
            continue
        x = _coordinates(node, str(transform), a)
        outside = (
            (x < 0) | (x > a.length - 1) if transform == "tf_crop_and_resize" else np.zeros(a.size, bool)
        )
        indices: list[tuple[int, ...]]
        weights: list[tuple[float, ...]]
        if mode == "nearest":
            rounding = "floor" if old else node.attributes.get("nearest_mode", "round_prefer_floor")
            indices = [(i,) for i in _nearest(node, str(rounding), x, a.length)]
            weights = [(1.0,)] * a.size
        else:
            indices, weights = _interpolated(node, mode, x, a)
        indices = [(-1, *i[1:]) if out else i for i, out in zip(indices, outside, strict=True)]
        found.append(Taps(axis, a.size, tuple(indices), tuple(weights)))
    return tuple(found)


def _axes(node: OnnxNode, old: bool) -> dict[int, _Axis]:
    """Lengths and scales by axis, from scales or sizes."""
    shape = node.shape()
    rank = len(shape)
    axes = [axis % rank for axis in node.integers("axes") or range(rank)]
    roi, scales, sizes = (None, node.constant(1), None) if old else (node.constant(i) for i in (1, 2, 3))
    if "scales" in node.attributes:
        scales = np.array(node.attributes["scales"], np.float32)
    if roi is None or not roi.size:
        roi = np.array([0.0] * len(axes) + [1.0] * len(axes))
    if sizes is not None and sizes.size:
        wanted, factors = _from_sizes(node, shape, axes, [int(s) for s in sizes])
    elif scales is not None and scales.size:
        factors = [float(s) for s in scales]
        wanted = [floor(shape[axis] * _F(s)) for axis, s in zip(axes, factors, strict=True)]
    else:
        node.unsupported("neither scales nor sizes")
    if min(wanted, default=1) < 1:
        node.unsupported("the output is empty")
    starts, ends = roi[: len(axes)], roi[len(axes) :]
    return {
        axis: _Axis(shape[axis], w, s, float(low), float(high))
        for axis, w, s, low, high in zip(axes, wanted, factors, starts, ends, strict=True)
    }


def _from_sizes(
    node: OnnxNode, shape: Shape, axes: list[int], sizes: list[int]
) -> tuple[list[int], list[float]]:
    factors = [float(_F(s) / _F(shape[axis])) for axis, s in zip(axes, sizes, strict=True)]
    policy = node.attributes.get("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch":
        return sizes, factors
    if policy not in ("not_larger", "not_smaller"):
        node.unsupported(f"keep_aspect_ratio_policy {policy!r}")
    scale = min(factors) if policy == "not_larger" else max(factors)
    return [floor(scale * shape[axis] + 0.5) for axis in axes], [scale] * len(axes)


def _coordinates(node: OnnxNode, transform: str, a: _Axis) -> Array:
    """Where in the input each output lies."""
    i, scale = np.arange(a.size, dtype=np.float32), _F(a.scale)
    match transform:
        case "half_pixel":
            x = (i + _F(0.5)) / scale - _F(0.5)
        case "half_pixel_symmetric":
            adjusted = _F(a.size) / (scale * _F(a.length))
            x = _F(a.length) / 2 * (1 - adjusted) + (i + _F(0.5)) / scale - _F(0.5)
        case "pytorch_half_pixel":
            x = (i + _F(0.5)) / scale - _F(0.5) if a.size > 1 else i * 0
        case "align_corners":
            # ONNX's own tests take the length before it is rounded down; onnxruntime takes the one after
            length = _F(a.scale * a.length)
            last = _F(a.size if abs(length - a.size) < _NEARLY else length) - 1
            x = i * _F(a.length - 1) / last if a.size > 1 else i * 0
        case "asymmetric":
            x = i / scale
        case "tf_half_pixel_for_nn":
            x = (i + _F(0.5)) / scale
        case "tf_crop_and_resize" if a.size > 1:
            span = _F(a.end - a.start) * _F(a.length - 1) / _F(a.size - 1)
            x = _F(a.start) * _F(a.length - 1) + i * span
        case "tf_crop_and_resize":
            x = i * 0 + _F(0.5 * (a.start + a.end) * (a.length - 1))
        case _:
            node.unsupported(f"coordinate_transformation_mode {transform!r}")
    return np.asarray(x, np.float32)


def _nearest(node: OnnxNode, rounding: str, x: Array, length: int) -> list[int]:
    modes = {
        "round_prefer_floor": lambda: np.ceil(x - _F(0.5)),
        "round_prefer_ceil": lambda: np.floor(x + _F(0.5)),
        "floor": lambda: np.floor(x),
        "ceil": lambda: np.ceil(x),
    }
    if rounding not in modes:
        node.unsupported(f"nearest_mode {rounding!r}")
    return [int(v) for v in np.clip(modes[rounding](), 0, length - 1)]


def _interpolated(
    node: OnnxNode, mode: str, x: Array, a: _Axis
) -> tuple[list[tuple[int, ...]], list[tuple[float, ...]]]:
    """Taps of linear and cubic interpolation; the edge is repeated, or left out."""
    if mode not in ("linear", "cubic"):
        node.unsupported(f"mode {mode!r}")
    antialias = bool(node.attributes.get("antialias", 0))
    exclude = bool(node.attributes.get("exclude_outside", 0))
    scale = min(a.scale, 1.0) if antialias else 1.0
    reach = (1 if mode == "linear" else 2) / scale
    cubic = float(node.attributes.get("cubic_coeff_a", -0.75))
    first = floor(-reach) + 1
    offsets = np.arange(first, 2 - first)
    indices, weights = [], []
    for value in x.astype(np.float64):
        base = floor(value)
        at = base + offsets
        distance = np.abs((at - value) * scale)
        weight = np.clip(1 - distance, 0, None) if mode == "linear" else _cubic(distance, cubic)
        if exclude:
            weight = np.where((at >= 0) & (at < a.length), weight, 0.0)
        if exclude or antialias:
            weight = weight / weight.sum()
        indices.append(tuple(int(v) for v in np.clip(at, 0, a.length - 1)))
        weights.append(tuple(float(_F(v)) for v in weight))
    return indices, weights


def _cubic(distance: Array, a: float) -> Array:
    """Keys' kernel (IEEE Trans. ASSP 29(6), 1981)."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = a * (((distance - 5) * distance + 8) * distance - 4)
    found: Array = np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
    return found
