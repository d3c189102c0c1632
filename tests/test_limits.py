"""Models that ask for more than they should are refused before any of it is computed; found by fuzzing."""

import resource
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from models import make_model, make_node, save
from pingponnx.errors import Error, ModelError, UnsupportedError
from pingponnx.load import load

LOWEST = -(2**31)
HUGE = 100_000  # squared, 40 GB of float32


def _ints(*values: int) -> Any:
    return np.array(values, np.int64)


def _constant(*nodes: onnx.NodeProto, **constants: Any) -> onnx.ModelProto:
    """A network that adds the sum of what constant expressions make, the last of them called `big`."""
    tail = [
        make_node("Cast", ["big"], "real", to=TensorProto.FLOAT),
        make_node("ReduceSum", ["real"], "s", keepdims=0),
        make_node("Add", ["x", "s"], "y"),
    ]
    return make_model([*nodes, *tail], {"x": [1, 4]}, ["y"], constants)


def _grown(op_type: str, x: Any, *parameters: Any, **attributes: Any) -> onnx.ModelProto:
    names = [f"p{i}" if p is not None else "" for i, p in enumerate(parameters)]
    constants = {n: p for n, p in zip(names, parameters, strict=True) if n}
    return _constant(make_node(op_type, ["a", *names], "big", **attributes), a=x, **constants)


def _unknown_until_computed() -> onnx.ModelProto:
    """The size is a product of numbers that only NonZero finds."""
    nodes = [
        make_node("NonZero", ["n"], "i"),
        make_node("Mul", ["i", "n"], "p"),
        make_node("Add", ["p", "n"], "q"),
        make_node("Reshape", ["q", "all"], "r"),
        make_node("ConstantOfShape", ["r"], "big"),
    ]
    return _constant(*nodes, n=_ints(HUGE, HUGE), all=_ints(-1))


def _believed(dims: list[int]) -> onnx.ModelProto:
    """The same, and the model says that the result is small."""
    model = _unknown_until_computed()
    del model.graph.value_info[:]
    model.graph.value_info.append(helper.make_tensor_value_info("big", TensorProto.FLOAT, dims))
    return model


def _doubled(turns: int) -> onnx.ModelProto:
    nodes = [make_node("Concat", [f"a{i}", f"a{i}"], f"a{i + 1}", axis=0) for i in range(turns)]
    return _constant(*nodes, make_node("Identity", [f"a{turns}"], "big"), a0=_ints(1, 2, 3, 4))


def _chained(op_type: str, turns: int) -> onnx.ModelProto:
    """Each result, of a size that only its values tell, is twice as large."""
    nodes = [make_node(op_type, [f"a{i}"], f"a{i + 1}") for i in range(turns)]
    return _constant(*nodes, make_node("Identity", [f"a{turns}"], "big"), a0=_ints(1, 2, 3, 4))


def _divided(op_type: str, x: int, y: int) -> onnx.ModelProto:
    """Only shape inference knows the operands before they are computed."""
    nodes = [
        make_node("Neg", ["a"], "n"),
        make_node("Neg", ["n"], "m"),
        make_node(op_type, ["m", "b"], "big"),
    ]
    return _constant(*nodes, a=np.array([x, 1], np.int32), b=np.array([y, 1], np.int32))


def _functions(*bodies: Sequence[str]) -> onnx.ModelProto:
    """Function i passes its input through the named ones; the model calls the last."""
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("F", 1)]
    made = []
    for number, body in enumerate(bodies):
        nodes = [
            helper.make_node(op, [f"v{k}"], [f"v{k + 1}"], domain="" if op == "Relu" else "F")
            for k, op in enumerate(body)
        ]
        made.append(helper.make_function("F", f"f{number}", ["v0"], [f"v{len(body) or 1}"], nodes, imports))
    model = make_model([make_node(made[-1].name, ["x"], "y", domain="F")], {"x": [1, 4]}, ["y"])
    model.functions.extend(made)
    return _typed(model)


def _twice() -> onnx.ModelProto:
    model = _functions(["Relu"])
    model.functions.append(model.functions[0])
    return model


def _typed(model: onnx.ModelProto) -> onnx.ModelProto:
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4]))
    return model


def _loop(turns: int) -> onnx.ModelProto:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Relu", ["s"], ["t"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("s", TensorProto.FLOAT, [1, 4]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("t", TensorProto.FLOAT, [1, 4]),
        ],
    )
    loop = make_node("Loop", ["n", "", "x"], "y", body=body)
    return _typed(make_model([loop], {"x": [1, 4]}, ["y"], {"n": np.int64(turns)}))


def _dims(*dims: int) -> onnx.ModelProto:
    model = make_model(
        [make_node("Add", ["x", "w"], "y")], {"x": [1, 4]}, ["y"], {"w": np.ones(4, np.float32)}
    )
    model.graph.initializer[0].dims[:] = dims
    return model


def _nodes(count: int) -> onnx.ModelProto:
    model = make_model([make_node("Relu", ["x"], "v0"), make_node("Relu", ["v0"], "y")], {"x": [4]}, ["y"])
    model.graph.node.extend(make_node("Relu", ["v0"], f"v{i}") for i in range(1, count))
    return model


ONE = np.ones((1, 1), np.float32)
SQUARE = _ints(HUGE, HUGE)
TOO_LARGE, TOO_MANY = "10,000,000,000 values", r"nodes with its functions written out"
REFUSED: dict[str, tuple[onnx.ModelProto, type[Error], str]] = {
    "ConstantOfShape": (_grown("ConstantOfShape", SQUARE), ModelError, TOO_LARGE),
    "Expand": (_grown("Expand", ONE, SQUARE), ModelError, TOO_LARGE),
    "Tile": (_grown("Tile", ONE, SQUARE), ModelError, TOO_LARGE),
    "Pad": (_grown("Pad", ONE, _ints(0, 0, HUGE - 1, HUGE - 1)), ModelError, TOO_LARGE),
    "Resize": (_grown("Resize", ONE, None, None, SQUARE), ModelError, TOO_LARGE),
    "Range": (_grown("Range", np.int64(0), np.int64(10**10), np.int64(1)), ModelError, TOO_LARGE),
    "Range of fractions": (
        _grown("Range", np.float32(0), np.float32(1), np.float32(1e-10)),
        ModelError,
        "9,999,999,867 values",
    ),
    "Range that overflows": (
        _grown("Range", np.int64(-2), np.int64(2**63 - 1), np.int64(2**40)),
        ModelError,
        "'range_big' has no length",
    ),
    "Range without steps": (
        _grown("Range", np.float32(0), np.float32(1), np.float32(0)),
        ModelError,
        "'range_big' has no length",
    ),
    "OneHot": (_grown("OneHot", _ints(1), np.int64(10**10), _ints(0, 1)), ModelError, TOO_LARGE),
    "Einsum": (
        _grown("Einsum", *[np.ones(2200, np.float32)] * 3, equation="a,b,c->abc"),
        ModelError,
        "10,648,000,000 values",
    ),
    "a size found by NonZero": (_unknown_until_computed(), ModelError, "20,000,000,000 values"),
    "a size declared small": (_believed([1, 1]), ModelError, "20,000,000,000 values|shapes do not fit"),
    "doubled": (_doubled(40), ModelError, "134,217,728 values"),
    "a convolution": (
        _grown("Conv", np.ones((1, 1, 20_000), np.float32), np.ones((1, 1, 10_000), np.float32)),
        ModelError,
        "takes 1?.* multiplications",
    ),
    "by zero": (_divided("Div", 5, 0), ModelError, "'div_big' divides constants without a result"),
    "the rest by zero": (_divided("Mod", 5, 0), ModelError, "'mod_big' divides constants"),
    "the lowest by -1": (_divided("Div", LOWEST, -1), ModelError, "'div_big' divides constants"),
    "an index far outside": (
        _grown("GatherElements", np.ones(4, np.float32), _ints(-(2**40))),
        UnsupportedError,
        "cannot be computed",
    ),
    "a function calls itself": (_functions(["f0"]), ModelError, "'F.f0' calls itself"),
    "functions in a circle": (_functions(["f1"], ["f2"], ["f0"]), ModelError, "calls itself"),
    "functions that double": (
        _functions(["Relu"], *([f"f{i}"] * 2 for i in range(40))),
        ModelError,
        f"1,099,511,627,776 {TOO_MANY}",
    ),
    "functions of nothing that double": (
        _functions([], *([f"f{i}"] * 2 for i in range(40))),
        ModelError,
        f"1,099,511,627,776 {TOO_MANY}",
    ),
    "functions in a long row": (
        _functions(["Relu"], *([f"f{i}"] for i in range(3000))),
        ModelError,
        "is called through 64 others",
    ),
    "a function twice": (_twice(), ModelError, "multiple local functions"),
    "a function of nothing": (_functions([]), ModelError, "computed by no node"),
    "an endless loop": (_loop(10**9), UnsupportedError, "1,000,000,000 turns would be 2,000,000,000 nodes"),
    "very many axes": (_grown("ConstantOfShape", np.full(5000, 2**40)), ModelError, "has 5000 dimensions"),
    "indices of indices": (_chained("NonZero", 300), ModelError, "values"),
    "no scale at all": (
        make_model(
            [make_node("DequantizeLinear", ["q", "s"], "w"), make_node("Add", ["x", "w"], "y")],
            {"x": [1, 4]},
            ["y"],
            {"q": np.ones(1, np.int8), "s": np.ones(0, np.float32)},
        ),
        UnsupportedError,
        "a scale is zero",
    ),
    "many nodes": (_nodes(30_000), ModelError, f"30,001 {TOO_MANY}"),
    "a constant of 400 GB": (_dims(HUGE, HUGE * 10), ModelError, "100,000,000,000 values"),
    "a negative size": (_dims(-4), ModelError, "no dimension can be negative"),
    "an empty constant of huge sides": (_dims(2**62, 0), ModelError, "'w' has the shape"),
    "an input of 400 GB": (
        make_model([make_node("Relu", ["x"], "y")], {"x": [1, HUGE, HUGE]}, ["y"]),
        ModelError,
        TOO_LARGE,
    ),
    "a window as large": (
        make_model(
            [make_node("ConvTranspose", ["x", "w"], "y", strides=[HUGE, HUGE])],
            {"x": [1, 1, 4, 4]},
            ["y"],
            {"w": np.ones((1, 1, 1, 1), np.float32)},
        ),
        ModelError,
        "values",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_asks_for_too_much_is_refused(name: str, tmp_path: Path) -> None:
    model, kind, message = REFUSED[name]
    path = save(model, tmp_path / "model.onnx")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(kind, match=message) as raised:
        load(path)
    assert raised.value.hint
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB: nothing was allocated


def test_sizes_that_take_several_rounds_are_still_folded(tmp_path: Path) -> None:
    """What is refused above, in a size that is fine."""
    for model in (_doubled(4), _loop(3), _divided("Div", 7, 2), _functions(["Relu"], ["f0"] * 3)):
        assert load(save(model, tmp_path / "model.onnx")).outputs
    small = _unknown_until_computed()
    small.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(_ints(3, 5), "n"))
    graph = load(save(small, tmp_path / "model.onnx"))
    assert [type(node.op).__name__ for node in graph.nodes] == ["Add"]


def test_integers_are_followed_while_that_is_cheap(tmp_path: Path) -> None:
    """Shape inference would keep 300 vectors of 65,536 objects each: 1.5 GB."""
    nodes = [make_node("ConstantOfShape", ["n"], "v0")]
    nodes += [make_node("Add", [f"v{i}", "one"], f"v{i + 1}") for i in range(300)]
    model = make_model([*nodes, make_node("Relu", ["x"], "y")], {"x": [1, 4]}, ["y"], {"n": _ints(2**16)})
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(1, np.float32), "one"))
    path, before = save(model, tmp_path / "model.onnx"), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert load(path).outputs == ("y",)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB


def test_nodes_for_nothing_are_left_out(tmp_path: Path) -> None:
    idle = helper.make_node("GRU", ["x3", "w", "r"], [], name="idle", hidden_size=2)
    model = make_model([make_node("Relu", ["x3"], "y")], {"x3": [1, 1, 4]}, ["y"])
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.ones((1, 6, n), np.float32), name) for name, n in (("w", 4), ("r", 2))
    )
    model.graph.node.append(idle)
    assert len(load(save(model, tmp_path / "model.onnx")).nodes) == 1


def test_external_data_as_a_bomb(tmp_path: Path) -> None:
    """One file that many tensors claim as a whole; each must be as long as its shape says."""
    (tmp_path / "weights").write_bytes(bytes(2**20))
    model = make_model(
        [make_node("Add", ["x", "w"], "y")], {"x": [1, 4]}, ["y"], {"w": np.ones(4, np.float32)}
    )
    (tensor,) = model.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights")
    with pytest.raises(ModelError, match="'w' has 1048576 bytes, its shape and type need 16"):
        load(save(model, tmp_path / "model.onnx"))
    tensor.external_data.add(key="offset", value=str(2**20 - 16))
    assert load(save(model, tmp_path / "model.onnx")).outputs  # without a length: what follows the offset
