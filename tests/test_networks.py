"""The networks that tests build: the same bytes every time, of published geometry, and proven."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest

from models import HOST, assert_proven
from networks import MOBILENETS, NETWORKS, SMALL, write_f32, write_int8
from pingponnx.ir import DType
from pingponnx.pipeline import normal_form

# Multiply-accumulates of convolutions and fully connected layers.
MACS = {
    "mobilenet_v1_025_96": 7_489_664,
    "mobilenet_v2_035_144": 26_660_752,
    "ds_cnn": 2_656_768,
    "resnet8": 12_501_632,
}

# Channels and side of every layer's output, as the definitions have them; + is an addition.
SHAPES = {
    "mobilenet_v1_025_96": """
        8@48  8@48 16@48  16@24 32@24  32@24 32@24  32@12 64@12  64@12 64@12  64@6 128@6
        128@6 128@6  128@6 128@6  128@6 128@6  128@6 128@6  128@6 128@6  128@3 256@3  256@3 256@3
        256@1  2""",
    "mobilenet_v2_035_144": """
        16@72  16@72 8@72
        48@72 48@36 8@36  48@36 48@36 8@36 +8@36
        48@36 48@18 16@18  96@18 96@18 16@18 +16@18  96@18 96@18 16@18 +16@18
        96@18 96@9 24@9  144@9 144@9 24@9 +24@9  144@9 144@9 24@9 +24@9  144@9 144@9 24@9 +24@9
        144@9 144@9 32@9  192@9 192@9 32@9 +32@9  192@9 192@9 32@9 +32@9
        192@9 192@5 56@5  336@5 336@5 56@5 +56@5  336@5 336@5 56@5 +56@5
        336@5 336@5 112@5
        1280@5  1280@1  1000""",
}
Write = Callable[[str, Path], Path]
FORMS: tuple[Write, ...] = (write_f32, write_int8)


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Shapes of constants and of what shape inference finds."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    return {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim) for v in inferred.value_info} | {
        w.name: tuple(w.dims) for w in inferred.initializer
    }


@pytest.mark.parametrize("name", MACS)
def test_networks_have_the_published_number_of_products(name: str) -> None:
    model = NETWORKS[name]()
    shapes = _shapes(model)
    products = 0
    for node in model.graph.node:
        if node.op_type in ("Conv", "Gemm"):
            weights = shapes[node.input[1]]
            # the network's output has its type elsewhere
            products += int(np.prod(shapes.get(node.output[0], weights[:1])) * np.prod(weights[1:]))
    assert products == MACS[name]


@pytest.mark.parametrize("name", MOBILENETS)
def test_mobilenets_have_the_published_shapes(name: str) -> None:
    model = NETWORKS[name]()
    shapes = _shapes(model)
    classes = int(SHAPES[name].split()[-1])
    layers = []
    for node in model.graph.node:
        shape = shapes.get(node.output[0], (1, classes))  # the network's output has its type elsewhere
        if node.op_type in ("Conv", "Add", "GlobalAveragePool"):
            _, channels, height, width = shape
            assert height == width
            layers.append(f"{'+' * (node.op_type == 'Add')}{channels}@{height}")
    assert [*layers, str(classes)] == SHAPES[name].split()
    assert shapes[model.graph.node[-1].input[1]] == (classes, int(layers[-1].split("@")[0]))


@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_accepts_them(name: str, tmp_path: Path) -> None:
    for write in FORMS:
        onnx.checker.check_model(write(name, tmp_path), full_check=True)


@pytest.mark.parametrize("name", SMALL)
def test_a_network_is_the_same_every_time(name: str, tmp_path: Path) -> None:
    for write in FORMS:
        first, second = (write(name, tmp_path).read_bytes() for _ in range(2))
        assert first == second


def test_a_mobilenet_is_the_same_every_time(mobilenets: Mapping[str, Path], tmp_path: Path) -> None:
    for name, path in mobilenets.items():
        assert write_int8(name, tmp_path).read_bytes() == path.read_bytes()


def test_mobilenets_become_integer_layers(mobilenets: Mapping[str, Path]) -> None:
    """Clip and every QuantizeLinear have gone into the layers; no axes are moved."""
    found = {}
    for name, path in mobilenets.items():
        graph = normal_form(path, HOST)
        nodes = [node for node in graph.nodes if not node.op.alias]
        assert {graph.tensors[node.outputs[0]].dtype for node in nodes} == {DType.S8}
        found[name] = Counter(type(node.op).__name__ for node in nodes)
    assert found == {
        "mobilenet_v1_025_96": {"Conv": 27, "AveragePool": 1, "Gemm": 1},
        "mobilenet_v2_035_144": {"Conv": 52, "Add": 10, "AveragePool": 1, "Gemm": 1},
    }


@pytest.mark.parametrize("write", FORMS)
@pytest.mark.parametrize("name", SMALL)
def test_the_small_ones_are_proven(name: str, write: Write, tmp_path: Path) -> None:
    path = write(name, tmp_path)
    assert len(normal_form(path, HOST).nodes) < 20
    assert_proven(path)
