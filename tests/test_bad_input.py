"""Bad input: one clear error with a hint, exit code 2, nothing on stdout, nothing half-written."""

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from models import HOST, assert_refused, command_line, converted, listing, make_model, make_node, save
from pingponnx.errors import BudgetError, Error, ModelError, UnsupportedError
from pingponnx.pipeline import convert, normal_form
from pingponnx.samples import read_samples

LENET = Path(__file__).resolve().parents[1] / "examples" / "lenet5" / "lenet5_int8.onnx"
Maker = Callable[[Path], Path]


def _relu(dtype: int = TensorProto.FLOAT) -> onnx.ModelProto:
    return make_model([make_node("Relu", ["x"], "y")], {"x": [1, 3, 8, 8]}, ["y"], dtype=dtype)


# -- files ------------------------------------------------------------------------------------------


def _file(content: bytes) -> Maker:
    def make(folder: Path) -> Path:
        (folder / "model.onnx").write_bytes(content)
        return folder / "model.onnx"

    return make


def _cut(position: float) -> Maker:
    data = LENET.read_bytes()
    return _file(data[: int(position * len(data))])


def _external(location: str, *, offset: int = 0, length: int = 16) -> onnx.ModelProto:
    model = make_model(
        [make_node("Add", ["x", "w"], "y")], {"x": [1, 4]}, ["y"], {"w": np.ones(4, np.float32)}
    )
    (tensor,) = model.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(length))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return model


def _beside(location: str, **where: int) -> Maker:
    """A model with external data, 16 good bytes of them in `weights`, and the same outside its folder."""

    def make(folder: Path) -> Path:
        (folder / "inside").mkdir()
        for name in ("secret", "inside/weights"):
            (folder / name).write_bytes(np.ones(4, np.float32).tobytes())
        (folder / "inside" / "link").symlink_to(folder / "secret")
        absolute = location.replace("/ABSOLUTE", str(folder))
        return save(_external(absolute, **where), folder / "inside" / "model.onnx")

    return make


# -- models -----------------------------------------------------------------------------------------


def _saved(model: onnx.ModelProto) -> Maker:
    return lambda folder: save(model, folder / "model.onnx")


def _dynamic() -> onnx.ModelProto:
    return make_model([make_node("Relu", ["image"], "y")], {"image": ["N", 3, "H", "W"]}, ["y"])


def _scaled(scale: float) -> onnx.ModelProto:
    nodes = [
        make_node("QuantizeLinear", ["x", "s", "z"], "q"),
        make_node("DequantizeLinear", ["q", "s", "z"], "y"),
    ]
    constants = {"s": np.float32(scale), "z": np.int8(3)}
    return make_model(nodes, {"x": [1, 4]}, ["y"], constants)


def _many_unsupported() -> onnx.ModelProto:
    """Three operators that do not exist here, one attribute, one foreign domain; Relu is fine."""
    nodes = [
        make_node("NonZero", ["x"], "a"),
        make_node("Relu", ["x"], "b"),
        make_node("Det", ["b"], "c"),
        make_node("Unique", ["c"], "d"),
        make_node("Cast", ["b"], "e", to=TensorProto.FLOAT16),
        make_node("Fancy", ["b"], "f", domain="com.example"),
    ]
    return make_model(nodes, {"x": [1, 3, 4, 4, 4]}, ["a", "d", "e"])


def _mismatching() -> onnx.ModelProto:
    node = make_node("MatMul", ["x", "w"], "y")
    graph = helper.make_graph(
        [node],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(np.ones((5, 3), np.float32), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def _huge() -> onnx.ModelProto:
    return make_model([make_node("Relu", ["x"], "y")], {"x": [1, 5000, 5000]}, ["y"])


def _declared_wrong() -> onnx.ModelProto:
    model = _relu()
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 9, 9]))
    return model


def _of_the_future() -> onnx.ModelProto:
    model = _relu()
    model.opset_import[0].version = 99
    return model


def _weights_too_short() -> onnx.ModelProto:
    """As from PyTorch's newer exporter, which lists its constants among the values."""
    weights = {"w": np.ones((4, 3), np.float32), "b": np.ones(3, np.float32)}
    model = make_model([make_node("Gemm", ["x", "w", "b"], "y")], {"x": [1, 4]}, ["y"], weights)
    model.graph.value_info.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 3]))
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones((5, 3), np.float32), "w"))
    return model


def _out_of_order() -> onnx.ModelProto:
    model = _relu()
    model.graph.node[0].input[0] = "nowhere"
    return model


def _name_is_not_text(folder: Path) -> Path:
    data = _relu().SerializeToString().replace(b"relu_y", b"relu\xff\xfe")
    return _file(data)(folder)


CASES: dict[str, tuple[Maker, type[Error], str]] = {
    "missing file": (lambda folder: folder / "model.onnx", ModelError, "cannot read"),
    "a folder": (lambda folder: folder, ModelError, "cannot read"),
    "empty": (_file(b""), ModelError, "not an ONNX file"),
    "text": (_file(b"hello, I am a model\n" * 20), ModelError, "not an ONNX file"),
    "zeros": (_file(bytes(500)), ModelError, "not an ONNX file"),
    "truncated early": (_cut(0.01), ModelError, "truncated"),
    "truncated in the middle": (_cut(0.5), ModelError, "truncated"),
    "truncated late": (_cut(0.999), ModelError, "truncated"),
    "a name that is not UTF-8": (_name_is_not_text, ModelError, "not UTF-8"),
    "external data missing": (_beside("nowhere"), ModelError, "'w': file 'nowhere' is missing"),
    "external data absolute": (
        _beside("/ABSOLUTE/inside/weights"),
        ModelError,
        "'w' has the unsafe location",
    ),
    "external data above": (_beside("../secret"), ModelError, "'w' has the unsafe location"),
    "external data nameless": (_beside(""), ModelError, "'w' has the unsafe location"),
    "external data by a link": (_beside("link"), ModelError, "'w' points outside"),
    "external data too long": (_beside("weights", offset=4), ModelError, "'w' lies beyond the end"),
    "external data before": (_beside("weights", offset=-4), ModelError, "'w' lies beyond the end"),
    "dynamic shape": (_saved(_dynamic()), ModelError, r"input 'image' has the dynamic shape \[1,3,\?,\?\]"),
    "float16": (_saved(_relu(TensorProto.FLOAT16)), UnsupportedError, "'x': float16 is not supported"),
    "bfloat16": (_saved(_relu(TensorProto.BFLOAT16)), UnsupportedError, "'x': bfloat16 is not supported"),
    "unsupported operators": (_saved(_many_unsupported()), UnsupportedError, "5 unsupported"),
    "scale NaN": (
        _saved(_scaled(float("nan"))),
        UnsupportedError,
        "scale is zero, negative, infinite or NaN",
    ),
    "scale zero": (_saved(_scaled(0.0)), UnsupportedError, "scale is zero, negative, infinite or NaN"),
    "scale negative": (_saved(_scaled(-1.0)), UnsupportedError, "scale is zero, negative, infinite or NaN"),
    "scale infinite": (
        _saved(_scaled(float("inf"))),
        UnsupportedError,
        "scale is zero, negative, infinite or NaN",
    ),
    "too large": (_saved(_huge()), BudgetError, "arena of 100,000,000 bytes"),
    "mismatching operands": (_saved(_mismatching()), ModelError, "shapes do not fit"),
    "weights of another size": (_saved(_weights_too_short()), ModelError, "node name: gemm_y"),
    "an opset of the future": (_saved(_of_the_future()), ModelError, "the model has opset 99, onnx .* knows"),
    "nodes out of order": (_saved(_out_of_order()), ModelError, "input 'nowhere' of node: name: relu_y"),
    "mismatching declaration": (_saved(_declared_wrong()), ModelError, "shapes do not fit"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_bad_model_is_refused(name: str, tmp_path: Path) -> None:
    make, kind, message = CASES[name]
    path = make(tmp_path)
    with pytest.raises(kind, match=message) as raised:
        convert(normal_form(path, HOST), HOST)
    assert type(raised.value) is kind
    assert raised.value.hint


@pytest.mark.parametrize("name", CASES)
def test_a_bad_model_on_the_command_line(name: str, tmp_path: Path) -> None:
    make, *_ = CASES[name]
    path, before = make(tmp_path), listing(tmp_path)
    done = command_line("convert", path, "-o", tmp_path / "out")
    assert_refused(done.returncode, done.stdout, done.stderr)
    assert listing(tmp_path) == before


def test_everything_unsupported_is_listed_at_once(tmp_path: Path) -> None:
    path = save(_many_unsupported(), tmp_path / "model.onnx")
    with pytest.raises(UnsupportedError) as raised:
        normal_form(path, HOST)
    found = {(item.node, item.op) for item in raised.value.items}
    assert found == {
        ("nonzero_a", "NonZero"),
        ("det_c", "Det"),
        ("unique_d", "Unique"),
        ("cast_e", "Cast"),
        ("fancy_f", "com.example.Fancy"),
    }
    assert all(node in str(raised.value) for node, _ in found)


def test_unsupported_attributes_name_the_node_and_the_way_out(tmp_path: Path) -> None:
    node = helper.make_node("MaxPool", ["x"], ["y"], name="pool", kernel_shape=[2, 2], pads=[2, 2, 2, 2])
    model = make_model([node], {"x": [1, 1, 4, 4]}, ["y"])
    with pytest.raises(
        UnsupportedError, match=r"MaxPool node 'pool': .* nothing but padding .* pads smaller"
    ):
        normal_form(save(model, tmp_path / "model.onnx"), HOST)


def test_input_shape_fixes_a_dynamic_model(tmp_path: Path) -> None:
    path = save(_dynamic(), tmp_path / "model.onnx")
    refused = command_line("convert", path, "-o", tmp_path / "out")
    assert "hint: fix it: --input-shape image=1,..." in refused.stderr
    done = command_line("convert", path, "-o", tmp_path / "out", "--input-shape", "image=1,3,8,6")
    assert (done.returncode, done.stderr) == (0, "")
    assert "MODEL_INPUT_0_SIZE 144" in (tmp_path / "out" / "model.h").read_text()


@pytest.mark.parametrize(
    "shape",
    ["image=1,3", "other=1,3,8,8", "image", "image=1,3,0,8", "image=a,b", "=1,3,8,8", "image=1,3,?,8"],
)
def test_a_wrong_input_shape(shape: str, tmp_path: Path) -> None:
    path = save(_dynamic(), tmp_path / "model.onnx")
    done = command_line("convert", path, "-o", tmp_path / "out", "--input-shape", shape)
    assert done.returncode == 2 and done.stderr.startswith("error: ")
    assert not (tmp_path / "out").exists()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), min_size=1, max_size=6), st.booleans())
def test_damaged_files_raise_nothing_but_errors(changes: list[tuple[int, int]], drop: bool) -> None:
    model = _many_unsupported() if drop else _scaled(0.5)
    data = bytearray(model.SerializeToString())
    for position, value in changes:
        at = position % len(data)
        data[at : at + 1] = b"" if value < 20 else bytes([value])
    with tempfile.TemporaryDirectory() as folder:
        path = _file(bytes(data))(Path(folder))
        try:
            convert(normal_form(path, HOST), HOST)
        except Error as error:
            assert error.message


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"in1": np.zeros((1, 1, 3))}, r"has an array 'in1', but the model has 1 input\n"),
        ({"out2": np.zeros((1, 1, 3))}, r"has an array 'out2', but the model has 1 output\n"),
        ({"output0": np.zeros((1, 1, 3))}, "has an array 'output0', which would not be read"),
        ({"out": np.zeros((1, 1, 3))}, "has an array 'out', which would not be read"),
        ({"in0": np.full((1, 1, 3), np.inf)}, "array 'in0' of .* holds NaN or infinity"),
        ({"out0": np.full((1, 1, 3), 0.5)}, "array 'out0' of .* does not fit the output's type int64"),
        ({"in0": np.full((1, 1, 3), 0.5)}, "array 'in0' of .* does not fit the input's type int64"),
    ],
)
def test_samples_of_another_model(arrays: dict[str, np.ndarray], message: str, tmp_path: Path) -> None:
    model = make_model([make_node("Neg", ["x"], "y")], {"x": [1, 3]}, ["y"], dtype=TensorProto.INT64)
    graph = normal_form(save(model, tmp_path / "m.onnx"), HOST)
    fine = {
        "in0": np.zeros((1, 1, 3)),
        "info": np.zeros(7),
        "labels": np.zeros(1),
        "input_names": np.zeros(1),
    }
    np.savez(tmp_path / "s.npz", **fine)
    assert len(read_samples(tmp_path / "s.npz", graph)) == 1
    np.savez(tmp_path / "s.npz", **fine | arrays)
    with pytest.raises(Error) as caught:
        read_samples(tmp_path / "s.npz", graph)
    assert re.search(message, str(caught.value))


def test_a_model_whose_name_begins_with_a_dash(tmp_path: Path) -> None:
    save(_relu(), tmp_path / "-dash.onnx")
    done = command_line("plan", "-dash.onnx", cwd=tmp_path)
    assert done.returncode == 2 and "hint: write ./-dash.onnx" in done.stderr
    assert command_line("plan", "./-dash.onnx", cwd=tmp_path).returncode == 0


def test_samples_that_are_no_archive(tmp_path: Path) -> None:
    model = make_model([make_node("Relu", ["x"], "y")], {"x": (1, 4)}, ["y"])
    graph = normal_form(save(model, tmp_path / "model.onnx"), HOST)
    text = tmp_path / "rows.txt"
    text.write_text("1,2,3,4", encoding="utf-8")
    with pytest.raises(Error, match=r"rows\.txt is not an \.npz file"):
        read_samples(text, graph)


def test_the_version_needs_no_command() -> None:
    done = command_line("--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, "pingponnx")


@pytest.mark.parametrize(
    ("dtype", "message"),
    [
        (TensorProto.FLOAT16, "tensor 'x': float16 is not supported (export the model in float32"),
        (TensorProto.DOUBLE, "no kernel for float64 (it takes float32 and quantized int8: export"),
    ],
)
def test_other_floats_are_refused_with_what_to_do(dtype: int, message: str, tmp_path: Path) -> None:
    node = make_node("MatMul", ["x", "w"], "y")
    weights = np.ones((4, 3), helper.tensor_dtype_to_np_dtype(dtype))
    path = save(make_model([node], {"x": [1, 4]}, ["y"], {"w": weights}, dtype=dtype), tmp_path / "m.onnx")
    with pytest.raises(UnsupportedError) as caught:
        converted(path)
    assert message in str(caught.value) and "model.float()" in str(caught.value)
