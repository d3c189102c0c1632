"""Tiny models with numbers that no library version can change, for tests of the emitted text."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from models import make_model, make_node, save
from pingponnx.fixed_point import Rounding
from pingponnx.ir import Array
from pingponnx.pipeline import Conversion, Options, convert, normal_form


def _codes(*shape: int, step: int) -> Array:
    """int8 values that jump about."""
    return ((np.arange(np.prod(shape)) * step) % 256 - 128).astype(np.int8).reshape(shape)


def images() -> onnx.ModelProto:
    """int8: convolution with Relu and max-pool, a depthwise one, Add, a fully connected layer, Softmax."""
    constants: dict[str, Array] = {
        "w": _codes(3, 2, 3, 3, step=37),
        "d": _codes(3, 1, 3, 3, step=91),
        "f": _codes(4, 12, step=53),
        "b": np.array([100, -200, 300], np.int32),
        "sw": np.array([0.0009765625, 0.001953125, 0.0029296875], np.float32),
        "zw": np.zeros(3, np.int8),
        **{f"s{i}": np.float32(s) for i, s in enumerate((0.0625, 0.03125, 0.046875, 0.00390625))},
        "sb": np.float32(0.0625) * np.array([0.0009765625, 0.001953125, 0.0029296875], np.float32),
        "zb": np.zeros(3, np.int32),
        "z": np.int8(-5),
        "z0": np.int8(0),
        "zs": np.int8(-128),
    }
    nodes = []

    def real(name: str, scale: str, zero: str) -> str:
        nodes.append(make_node("DequantizeLinear", [name, scale, zero], f"{name}_real", axis=0))
        return f"{name}_real"

    def code(name: str, scale: str, zero: str) -> str:
        nodes.append(make_node("QuantizeLinear", [name, scale, zero], f"{name}_code"))
        return real(f"{name}_code", scale, zero)

    x = code("x", "s0", "z")
    inputs = [x, real("w", "sw", "zw"), real("b", "sb", "zb")]
    nodes.append(make_node("Conv", inputs, "conv", pads=[1, 1, 1, 1]))
    nodes.append(make_node("Relu", ["conv"], "relu"))
    nodes.append(make_node("MaxPool", ["relu"], "pool", kernel_shape=[2, 2], strides=[2, 2]))
    pool = code("pool", "s1", "z")
    deep = [pool, real("d", "s3", "z0")]
    nodes.append(make_node("Conv", deep, "deep", group=3, pads=[1, 1, 1, 1]))
    nodes.append(make_node("Add", [code("deep", "s2", "z"), pool], "sum"))
    nodes.append(make_node("Flatten", [code("sum", "s2", "z")], "flat"))
    nodes.append(make_node("Gemm", ["flat", real("f", "s3", "z0")], "gemm", transB=1))
    nodes.append(make_node("Softmax", [code("gemm", "s1", "z")], "soft"))
    y = code("soft", "s3", "zs")
    return make_model(nodes, {"x": (1, 2, 4, 4)}, [y], constants)


def signal() -> onnx.ModelProto:
    """float32: 1-D convolution, average pool, Sigmoid and Tanh side by side, Concat."""
    w = (np.arange(12).reshape(2, 2, 3) - 6).astype(np.float32) / 8
    nodes = [
        make_node("Conv", ["x", "w"], "conv", strides=[2], pads=[1, 0]),
        make_node("AveragePool", ["conv"], "mean", kernel_shape=[2]),
        make_node("Sigmoid", ["mean"], "left"),
        make_node("Tanh", ["mean"], "right"),
        make_node("Concat", ["left", "right"], "y", axis=1),
    ]
    return make_model(nodes, {"x": (1, 2, 9)}, ["y"], {"w": w})


def bytes_() -> onnx.ModelProto:
    """uint8 in and out, scales of one half and more, a lookup table."""
    constants = {
        "s": np.float32(0.25),
        "t": np.float32(0.125),
        "z": np.uint8(100),
        "w": _codes(3, 4, step=29),
        "zw": np.int8(2),
    }
    nodes = [
        make_node("DequantizeLinear", ["x", "s", "z"], "real"),
        make_node("DequantizeLinear", ["w", "s", "zw"], "w_real"),
        make_node("Gemm", ["real", "w_real"], "gemm", transB=1),
        make_node("QuantizeLinear", ["gemm", "t", "z"], "gemm_code"),
        make_node("DequantizeLinear", ["gemm_code", "t", "z"], "gemm_real"),
        make_node("Sigmoid", ["gemm_real"], "r"),
        make_node("QuantizeLinear", ["r", "t", "z"], "y"),
    ]
    return make_model(nodes, {"x": (2, 4)}, ["y"], constants, dtype=TensorProto.UINT8)


TINY: dict[str, tuple[Callable[[], onnx.ModelProto], Options]] = {
    "tiny_images": (images, Options()),
    "tiny_signal": (signal, Options(target="cortex-m7")),
    "tiny_bytes": (bytes_, Options(rounding=Rounding.TFLITE, target="cortex-m0")),
}


def tiny(name: str, folder: Path, **changes: str) -> Conversion:
    """A converted tiny model, without the checksum, which depends on onnx's version."""
    make, options = TINY[name]
    options = replace(options, **changes)  # type: ignore[arg-type]
    graph = normal_form(save(make(), folder / f"{name}.onnx"), options)
    return convert(replace(graph, checksum="0" * 64), options)
