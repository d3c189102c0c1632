"""Loading: exporters and opsets, folded constants, fixed batches, and the interface that comes out."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from models import assert_proven, make_model, make_node, normal, ops, save
from pingponnx.errors import ModelError, UnsupportedError
from pingponnx.ir import DType, Graph
from pingponnx.load import load
from pingponnx.rewrite.unfolded import conversions

RNG = np.random.default_rng(5)
WEIGHTS = {
    "w": RNG.normal(size=(4, 3, 3, 3)).astype(np.float32),
    "b": RNG.normal(size=4).astype(np.float32),
}
IMAGE = {"x": [1, 3, 8, 8]}


def _ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


# -- operators that changed from opset to opset -----------------------------------------------------

# name -> per opset: the nodes between x (1 3 8 8) and y, and their constants
Spelling = tuple[list[onnx.NodeProto], dict[str, object]]
VARIANTS: dict[str, dict[int, Spelling]] = {
    "Clip": {
        11: (
            [make_node("Clip", ["x", "low", "high"], "y")],
            {"low": np.float32(-0.5), "high": np.float32(1)},
        ),
        22: ([make_node("Clip", ["x", "", "high"], "y")], {"high": np.float32(0.25)}),
    },
    "Squeeze and Unsqueeze": {
        11: (
            [make_node("Unsqueeze", ["x"], "u", axes=[0, 4]), make_node("Squeeze", ["u"], "y", axes=[4])],
            {},
        ),
        13: (
            [make_node("Unsqueeze", ["x", "a"], "u"), make_node("Squeeze", ["u", "c"], "y")],
            {"a": _ints(0, -1), "c": _ints(-1)},
        ),
        21: ([make_node("Squeeze", ["x"], "y")], {}),
    },
    "Pad": {
        11: (
            [make_node("Pad", ["x", "p", "v"], "y")],
            {"p": _ints(0, 0, 1, 2, 0, 0, 0, 1), "v": np.float32(2)},
        ),
        13: ([make_node("Pad", ["x", "p"], "y", mode="edge")], {"p": _ints(0, 0, 1, 2, 0, 0, 0, 1)}),
        19: (
            [make_node("Pad", ["x", "p", "", "a"], "y", mode="reflect")],
            {"p": _ints(1, 2, 0, 1), "a": _ints(2, 3)},
        ),
    },
    "Dropout": {
        11: ([make_node("Dropout", ["x"], "d", ratio=0.5), make_node("Relu", ["d"], "y")], {}),
        13: (
            [make_node("Dropout", ["x", "r", "t"], "d"), make_node("Relu", ["d"], "y")],
            {"r": np.float32(0.5), "t": np.bool_(False)},
        ),
        22: ([make_node("Dropout", ["x"], "d"), make_node("Relu", ["d"], "y")], {}),
    },
    "Softmax": {
        11: ([make_node("Softmax", ["x"], "y", axis=2)], {}),
        13: ([make_node("Softmax", ["x"], "y", axis=1)], {}),
        20: ([make_node("Softmax", ["x"], "y")], {}),
    },
    "BatchNormalization": {
        opset: (
            [make_node("BatchNormalization", ["x", "s", "t", "m", "v"], "y")],
            dict.fromkeys("stmv", np.arange(1, 4, dtype=np.float32)),
        )
        for opset in (11, 14, 15)
    },
    "Flatten": {
        11: ([make_node("Flatten", ["x"], "y", axis=-1)], {}),
        13: ([make_node("Flatten", ["x"], "y", axis=2)], {}),
    },
    "AveragePool": {
        11: ([make_node("AveragePool", ["x"], "y", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)], {}),
        19: (
            [
                make_node(
                    "AveragePool",
                    ["x"],
                    "y",
                    kernel_shape=[2, 2],
                    dilations=[2, 2],
                    count_include_pad=1,
                    pads=[1] * 4,
                )
            ],
            {},
        ),
    },
}


@pytest.mark.parametrize(
    ("name", "opset"), [(name, opset) for name, table in VARIANTS.items() for opset in table]
)
def test_opset(name: str, opset: int, tmp_path: Path) -> None:
    nodes, constants = VARIANTS[name][opset]
    model = make_model(nodes, IMAGE, ["y"], constants, opset=opset)
    assert_proven(save(model, tmp_path / "model.onnx"))


def test_an_older_opset_is_converted(tmp_path: Path) -> None:
    """Opset 8, as the Model Zoo's older networks: weights are listed as inputs as well."""
    nodes = [
        make_node("Conv", ["x", "w", "b"], "c", auto_pad="SAME_UPPER", kernel_shape=[3, 3]),
        make_node("BatchNormalization", ["c", "b", "b", "b", "v"], "n"),
        make_node("Dropout", ["n"], "d"),
        make_node("Softmax", ["d"], "y"),
    ]
    model = make_model(
        nodes, {**IMAGE, "w": [4, 3, 3, 3]}, ["y"], WEIGHTS | {"v": np.ones(4, np.float32)}, opset=8
    )
    path = save(model, tmp_path / "model.onnx")
    assert load(path).inputs == ("x",)
    assert_proven(path)


def test_a_model_without_an_opset_is_refused(tmp_path: Path) -> None:
    model = make_model([make_node("Relu", ["x"], "y")], IMAGE, ["y"])
    del model.opset_import[:]
    with pytest.raises(ModelError):
        load(save(model, tmp_path / "model.onnx"))


def test_functions_are_inlined(tmp_path: Path) -> None:
    body = [helper.make_node("Relu", ["a"], ["t"]), helper.make_node("Add", ["t", "a"], ["b"])]
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("mine", 1)]
    function = helper.make_function("mine", "ReluPlus", ["a"], ["b"], body, imports[:1])
    graph = helper.make_graph(
        [helper.make_node("ReluPlus", ["x"], ["y"], domain="mine")],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 6])],
    )
    model = helper.make_model(graph, opset_imports=imports, functions=[function], ir_version=8)
    path = save(model, tmp_path / "model.onnx")
    assert ops(normal(model, tmp_path)) == ["Clip", "Add"]
    assert_proven(path)


# -- constants --------------------------------------------------------------------------------------


def test_shape_arithmetic_of_exporters_is_folded(tmp_path: Path) -> None:
    """x.view(x.size(0), -1) as TorchScript writes it: Shape, Gather, Unsqueeze, Concat, Reshape."""
    nodes = [
        make_node("Shape", ["x"], "s"),
        make_node("Gather", ["s", "zero"], "n", axis=0),
        make_node("Unsqueeze", ["n", "axes"], "u"),
        make_node("Concat", ["u", "rest"], "shape", axis=0),
        make_node("Reshape", ["x", "shape"], "flat"),
        make_node("Gemm", ["flat", "w", "b"], "y", transB=1),
    ]
    constants = {
        "zero": np.int64(0),
        "axes": _ints(0),
        "rest": _ints(-1),
        "w": RNG.normal(size=(5, 192)).astype(np.float32),
        "b": RNG.normal(size=5).astype(np.float32),
    }
    model = make_model(nodes, {"x": ["batch", 3, 8, 8]}, ["y"], constants)
    graph = normal(model, tmp_path)
    assert ops(graph) == ["Gemm"]
    assert graph.tensors[graph.outputs[0]].shape == (1, 5)
    assert_proven(save(model, tmp_path / "model.onnx"))


def test_constant_expressions_are_computed_once(tmp_path: Path) -> None:
    nodes = [
        make_node("Mul", ["b", "b"], "b2"),
        make_node("Sqrt", ["b2"], "abs"),
        make_node("Conv", ["x", "w", "abs"], "y"),
    ]
    model = make_model(nodes, IMAGE, ["y"], WEIGHTS)
    graph = load(save(model, tmp_path / "model.onnx"))
    bias = graph.tensors[next(n for n in graph.nodes if n.name == "conv_y").inputs[2]]
    np.testing.assert_allclose(bias.real(), np.abs(WEIGHTS["b"]), rtol=1e-6)


def test_a_constant_that_would_explode_is_refused(tmp_path: Path) -> None:
    nodes = [make_node("Expand", ["one", "shape"], "huge"), make_node("ReduceSum", ["huge"], "s", keepdims=0)]
    nodes.append(make_node("Add", ["x", "s"], "y"))
    constants = {"one": np.ones(1, np.float32), "shape": _ints(100_000, 100_000)}
    with pytest.raises(ModelError, match=r"'huge' has the shape .* 10,000,000,000 values"):
        load(save(make_model(nodes, {"x": [1, 4]}, ["y"], constants), tmp_path / "model.onnx"))


def test_external_data_beside_the_model(tmp_path: Path) -> None:
    model = make_model([make_node("Conv", ["x", "w", "b"], "y")], IMAGE, ["y"], WEIGHTS)
    path = tmp_path / "model.onnx"
    onnx.save_model(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (tmp_path / "weights.bin").stat().st_size >= 432 + 16
    assert_proven(path)


# -- inputs and outputs -----------------------------------------------------------------------------


def _shapes(graph: Graph) -> list[tuple[int, ...]]:
    return [graph.tensors[name].shape for name in graph.inputs]


def test_a_dynamic_batch_becomes_one(tmp_path: Path) -> None:
    for batch in ("N", None, 0):
        model = make_model([make_node("Relu", ["x"], "y")], {"x": [batch, 5]}, ["y"])
        assert _shapes(load(save(model, tmp_path / "model.onnx"))) == [(1, 5)]


def test_the_batch_may_be_another_axis(tmp_path: Path) -> None:
    """Recurrent models: `step batch value`, and the states of every layer."""
    nodes = [make_node("Add", ["x", "h"], "y")]
    for inputs in ({"x": [7, "batch_size", 5], "h": [1, "batch_size", 5]}, {"x": [7, "N", 5], "h": ["N", 5]}):
        model = make_model(nodes, inputs, ["y"])
        first, second = _shapes(load(save(model, tmp_path / "model.onnx")))
        assert first == (7, 1, 5) and second in ((1, 1, 5), (1, 5))


def test_given_shapes_fix_inputs(tmp_path: Path) -> None:
    nodes = [make_node("Conv", ["x", "w", "b"], "c"), make_node("Add", ["c", "z"], "y")]
    model = make_model(nodes, {"x": ["N", 3, "H", "W"], "z": ["N", 4, 1, 1]}, ["y"], WEIGHTS)
    path = save(model, tmp_path / "model.onnx")
    graph = load(path, {"x": (1, 3, 6, 9)})
    assert _shapes(graph) == [(1, 3, 6, 9), (1, 4, 1, 1)]
    with pytest.raises(ModelError, match="input 'x' has the dynamic shape"):
        load(path)


def test_a_fixed_batch_is_kept(tmp_path: Path) -> None:
    model = make_model([make_node("Conv", ["x", "w", "b"], "y")], {"x": [2, 3, 8, 8]}, ["y"], WEIGHTS)
    assert _shapes(load(save(model, tmp_path / "model.onnx"))) == [(2, 3, 8, 8)]
    assert_proven(tmp_path / "model.onnx")


def test_integer_inputs_get_the_quantization_they_are_read_with(tmp_path: Path) -> None:
    nodes = [
        make_node("Reshape", ["x", "shape"], "r"),
        make_node("DequantizeLinear", ["r", "s", "z"], "d"),
        make_node("Relu", ["d"], "e"),
        make_node("QuantizeLinear", ["e", "s", "z"], "y"),
    ]
    constants = {"shape": _ints(1, 6), "s": np.float32(0.25), "z": np.int8(-3)}
    model = make_model(nodes, {"x": [1, 2, 3]}, ["y"], constants, dtype=TensorProto.INT8)
    graph = load(save(model, tmp_path / "model.onnx"))
    q = graph.tensors["x"].quantization
    assert graph.tensors["x"].dtype is DType.S8 and q is not None and (float(q.s), q.z) == (0.25, -3)
    assert_proven(tmp_path / "model.onnx")


def test_dequantized_weights_stay_integers(tmp_path: Path) -> None:
    scales = RNG.uniform(0.01, 0.02, 4).astype(np.float32)
    weights = RNG.integers(-127, 128, (4, 3, 3, 3), np.int8)
    nodes = [
        make_node("DequantizeLinear", ["wq", "ws", "wz"], "w", axis=0),
        make_node("Conv", ["x", "w"], "y"),
    ]
    constants = {"wq": weights, "ws": scales, "wz": np.zeros(4, np.int8)}
    graph = load(save(make_model(nodes, IMAGE, ["y"], constants), tmp_path / "model.onnx"))
    conv = next(n for n in graph.nodes if n.name == "conv_y")
    tensor = graph.tensors[conv.inputs[1]]
    assert tensor.dtype is DType.S8 and tensor.quantization is not None
    np.testing.assert_array_equal(tensor.data, weights)
    np.testing.assert_array_equal(tensor.quantization.scale, scales)


@pytest.mark.parametrize(
    ("zero", "reason"),
    [(np.uint16(0), "uint16"), (np.zeros(3, np.int8), "many scales")],
)
def test_other_activations_than_8_bits_per_tensor_stay_conversions(
    zero: np.ndarray, reason: str, tmp_path: Path
) -> None:
    scale = np.full(np.shape(zero), 0.5, np.float32)
    nodes = [
        make_node("QuantizeLinear", ["x", "s", "z"], "q"),
        make_node("DequantizeLinear", ["q", "s", "z"], "y"),
    ]
    model = make_model(nodes, IMAGE, ["y"], {"s": scale, "z": zero}, opset=21)
    found = conversions(load(save(model, tmp_path / "model.onnx")))
    assert [c.op for c in found] == ["QuantizeValues", "DequantizeValues"]
    assert all(reason in c.reason for c in found)


def test_the_model_is_identified_by_its_bytes(tmp_path: Path) -> None:
    model = make_model([make_node("Relu", ["x"], "y")], IMAGE, ["y"])
    first = load(save(model, tmp_path / "one.onnx"))
    again = load(save(model, tmp_path / "two.onnx"))
    model.doc_string = "another"
    other = load(save(model, tmp_path / "one.onnx"))
    assert first.checksum == again.checksum != other.checksum
    assert (first.name, again.name) == ("one", "two")


def test_random_and_control_flow_are_not_folded(tmp_path: Path) -> None:
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["k"], value=numpy_helper.from_array(np.ones(4, np.float32)))],
        "branch",
        [],
        [helper.make_tensor_value_info("k", TensorProto.FLOAT, [4])],
    )
    nodes = [
        make_node("ReduceMax", ["x"], "m", keepdims=0),
        make_node("Cast", ["m"], "c", to=TensorProto.BOOL),
        make_node("If", ["c"], "i", then_branch=branch, else_branch=branch),
        make_node("RandomNormal", [], "r", shape=[4]),
        make_node("Add", ["i", "r"], "s"),
        make_node("Add", ["x", "s"], "y"),
    ]
    model = make_model(nodes, {"x": [1, 4]}, ["y"])
    with pytest.raises(UnsupportedError) as raised:
        load(save(model, tmp_path / "model.onnx"))
    assert {item.op for item in raised.value.items} == {"If", "RandomNormal"}
    assert raised.value.items[0].reason == "its condition must be a constant"


def test_names_of_the_model_do_not_meet_names_that_loading_makes(tmp_path: Path) -> None:
    """Loading calls the channels-last copy of x `x@nhwc`; here the model has tensors of that name."""
    nodes = [
        make_node("Relu", ["x"], "x@nhwc"),
        make_node("Conv", ["x", "w", "b"], "c"),
        make_node("Conv", ["x@nhwc", "w", "b"], "c@nhwc"),
        make_node("Add", ["c", "c@nhwc"], "y"),
    ]
    assert_proven(save(make_model(nodes, IMAGE, ["y"], WEIGHTS), tmp_path / "model.onnx"))


def test_an_output_without_a_shape(tmp_path: Path) -> None:
    """The checker of onnx refuses it, onnxruntime infers it."""
    model = make_model([make_node("Conv", ["x", "w", "b"], "y")], IMAGE, ["y"], WEIGHTS)
    expected = load(save(model, tmp_path / "given.onnx"))
    model.graph.output[0].type.tensor_type.ClearField("shape")
    found = load(save(model, tmp_path / "none.onnx"))
    assert found.nodes == expected.nodes and found.tensors.keys() == expected.tensors.keys()
    assert found.tensors["y"].shape == expected.tensors["y"].shape


def test_old_ir_versions_with_constants_that_are_no_inputs(tmp_path: Path) -> None:
    """onnxruntime's quantizer adds constants so, and onnxruntime takes them."""
    model = make_model([make_node("Conv", ["x", "w", "b"], "y")], IMAGE, ["y"], WEIGHTS)
    model.ir_version = 3
    assert [type(node.op).__name__ for node in load(save(model, tmp_path / "model.onnx")).nodes][1] == "Conv"
