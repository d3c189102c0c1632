"""Every conversion to or from float32 that stays is listed: which, why, and what it costs."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from models import Builder, converted, normal, prove, save
from pingponnx.report.conversions import conversion_lines
from pingponnx.reporting import Proof, verification_lines, verification_result
from pingponnx.rewrite.unfolded import conversions
from pingponnx.samples import sample_row

IMAGE = {"x": [1, 3, 8, 8]}


def _island() -> onnx.ModelProto:
    """LRN between two quantized convolutions: it has no integer kernel."""
    net = Builder()
    a = net.qdq(net.qconv(net.qdq("x", 0.02, 3), 3, 4), 0.05, -20)
    b = net.qdq(net.add("LRN", a, size=3), 0.05, 1)
    return net.model(IMAGE, net.qdq(net.qconv(b, 4, 2), 0.1, 0))


def test_an_island_is_listed_on_both_sides(tmp_path: Path) -> None:
    model = _island()
    down, up = conversions(normal(model, tmp_path))
    assert (down.op, up.op) == ("DequantizeLinear", "QuantizeLinear")
    assert down.beside == up.beside == next(n.name for n in model.graph.node if n.op_type == "LRN")
    assert down.reason == up.reason == "LRN: no integer kernel"
    assert down.values == up.values == 6 * 6 * 4 and down.bytes == 3 * down.values
    assert down.estimated_cycles > 0


def test_verify_and_the_manifest_list_them(tmp_path: Path) -> None:
    path = save(_island(), tmp_path / "model.onnx")
    conversion = converted(path)
    manifest = json.loads(conversion.sources["model.json"])
    proof = Proof(conversion.graph, prove(path), sample_row(None, 4))
    result = verification_result(proof)
    assert manifest["conversions"] == result["conversions"] and len(result["conversions"]) == 2
    assert result["worst_node"] in result["nodes"]
    lines = verification_lines(proof)
    assert any("did not fold: 288 values, 864 bytes of RAM more" in line for line in lines)
    assert sum("LRN: no integer kernel" in line for line in lines) == 2


@pytest.mark.parametrize("what", ["output", "input", "two"])
def test_reasons(what: str, tmp_path: Path) -> None:
    net = Builder()
    if what == "output":
        y = net.add("BatchNormalization", net.qdq("x", 0.02, 3), *(np.abs(net.normal(3)) for _ in range(4)))
        reason = "its result is not quantized everywhere"
    elif what == "input":
        y = net.qdq(net.add("Add", net.qdq("x", 0.02, 3), "x"), 0.05, 0)
        reason = "an input is not quantized"
    else:
        c = net.qconv(net.qdq("x", 0.02, 3), 3, 4)
        y = net.add("Concat", net.qdq(c, 0.05, -20), net.qdq(c, 0.1, 7), axis=1)
        reason = "its result is quantized in several ways"
    graph = normal(net.model(IMAGE, y), tmp_path)
    assert any(reason in c.reason for c in conversions(graph))
    assert len(conversion_lines(graph)) == 1 + len(conversions(graph))


def test_a_network_of_integers_has_none(tmp_path: Path) -> None:
    net = Builder()
    y = net.qdq(net.qconv(net.qdq("x", 0.02, 3), 3, 4), 0.05, -20)
    graph = normal(net.model(IMAGE, y), tmp_path)
    assert conversions(graph) == () and conversion_lines(graph) == []
