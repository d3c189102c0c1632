"""Nodes that are written as others: Einsum, a Gemm that is no layer, a Gather that is a slice."""

from pathlib import Path

import numpy as np
import pytest

from models import Builder, assert_proven, normal, ops, save
from pingponnx.einsum import Product, read_equation
from pingponnx.errors import UnsupportedError
from pingponnx.load import load

GEMMS = [
    # shapes of A, B and C, which of them are constants, and attributes
    ((3, 4), (4, 5), (5,), "", {}),
    ((3, 4), (5, 4), (3, 5), "", {"transB": 1, "alpha": 0.5, "beta": 2.0}),
    ((4, 3), (4, 5), None, "", {"transA": 1}),
    ((4, 3), (5, 4), (3, 1), "B", {"transA": 1, "transB": 1, "beta": 0.25}),
    ((3, 4), (4, 5), (1,), "AC", {"alpha": 1.5}),
    ((4, 3), (4, 5), (1, 5), "BC", {"transA": 1, "alpha": 2.0}),
]
EQUATIONS = {
    "ij,jk->ik": ((3, 4), (4, 5)),
    "bij, bjk -> bik": ((2, 3, 4), (2, 4, 5)),
    "bhqd,bhkd->bhqk": ((2, 2, 3, 4), (2, 2, 5, 4)),
    "...ij,...kj->...ki": ((2, 3, 4), (2, 5, 4)),
    "i,j->ij": ((3,), (4,)),
    "i,i": ((4,), (4,)),
    "ba,cb": ((3, 2), (4, 3)),
    "ijk->kij": ((2, 3, 4),),
    "ij,ij->ji": ((2, 3), (2, 3)),
}


def test_gemms_are_proven(tmp_path: Path) -> None:
    b = Builder()
    inputs: dict[str, tuple[int, ...]] = {}
    outputs = []
    for i, (*shapes, constant, attributes) in enumerate(GEMMS):
        names = []
        for letter, shape in zip("ABC", shapes, strict=True):
            if shape is not None and letter in constant:
                names.append(b.constant(b.normal(*shape)))
            elif shape is not None:
                inputs[f"{letter}{i}"] = shape
                names.append(f"{letter}{i}")
        outputs.append(b.add("Gemm", *names, **attributes))
    found = assert_proven(save(b.model(inputs, *outputs), tmp_path / "model.onnx"))
    assert found.outputs.close


def test_a_layer_stays_one_node(tmp_path: Path) -> None:
    b = Builder()
    y = b.add("Gemm", "x", b.normal(5, 4), b.normal(5), transB=1, alpha=0.5, beta=3.0)
    assert ops(normal(b.model({"x": (2, 4)}, y), tmp_path)) == ["Gemm"]


def test_sums_of_products_are_proven(tmp_path: Path) -> None:
    b = Builder()
    inputs: dict[str, tuple[int, ...]] = {}
    outputs = []
    for i, (equation, shapes) in enumerate(EQUATIONS.items()):
        names = [f"x{i}_{k}" for k in range(len(shapes))]
        inputs |= dict(zip(names, shapes, strict=True))
        outputs.append(b.add("Einsum", *names, equation=equation))
    found = assert_proven(save(b.model(inputs, *outputs), tmp_path / "model.onnx"))
    assert found.outputs.close


@pytest.mark.parametrize(
    ("axis", "indices", "found"),
    [
        (1, -1, ["Slice"]),
        (0, [0], ["Slice"]),
        (2, [1, 2, 3], ["Slice"]),
        (2, [[1, 2], [3, 4]], ["Slice"]),
    ],
)
def test_neighbours_are_cut_out(axis: int, indices: object, found: list[str], tmp_path: Path) -> None:
    b = Builder()
    model = b.model({"x": (2, 3, 5)}, b.add("Gather", "x", np.array(indices), axis=axis))
    assert ops(normal(model, tmp_path)) == found
    assert_proven(tmp_path / "model.onnx")


def test_equations() -> None:
    assert read_equation("...ij,jk", [4, 2]) == (["abij", "jk"], "abik")
    assert read_equation("ii->i", [2]) is None
    assert read_equation("ij,jk->ik", [2]) is None
    assert read_equation("ij->?", [2]) is None
    p = Product("bij", "bjk", "bik")
    assert (p.batch, p.rows, p.inner, p.columns, p.output) == ("b", "i", "j", "k", "bik")


def test_a_diagonal_is_refused(tmp_path: Path) -> None:
    b = Builder()
    path = save(b.model({"x": (3, 3)}, b.add("Einsum", "x", equation="ii->i")), tmp_path / "model.onnx")
    with pytest.raises(UnsupportedError, match="Einsum"):
        load(path)


def test_outputs_that_nobody_reads_are_left_out(tmp_path: Path) -> None:
    b = Builder()
    w, r = (b.constant(b.normal(1, 16, n)) for n in (3, 4))
    node = b.add("LSTM", "x", w, r, hidden_size=4, name="y")
    b.nodes[-1].output.extend(["h", "c"])
    model = b.model({"x": (5, 1, 3)}, b.add("Tanh", "c"))
    graph = load(save(model, tmp_path / "model.onnx"))
    assert node == "y"
    assert [n.outputs for n in graph.nodes] == [("c",), (model.graph.output[0].name,)]
    assert np.prod(graph.tensors["c"].shape) == 4
