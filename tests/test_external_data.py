"""External data that is said to lie where it must not be read, in every place where a tensor may stand."""

import os
from pathlib import Path

import numpy as np
import onnx
import pytest

from models import make_model, make_node, save
from pingponnx.errors import ModelError
from pingponnx.load import load

OUTSIDE: dict[str, tuple[dict[str, str], str]] = {
    "absolute": ({"location": "/FOLDER/inside/weights"}, "unsafe location"),
    "above": ({"location": "../secret"}, "unsafe location"),
    "above and back": ({"location": "../inside/weights"}, "unsafe location"),
    "above in the middle": ({"location": "folder/../../secret"}, "unsafe location"),
    "a drive": ({"location": "C:\\secret"}, "unsafe location"),
    "backslashes": ({"location": "..\\secret"}, "unsafe location"),
    "a share": ({"location": "\\\\host\\secret"}, "unsafe location"),
    "nameless": ({"location": ""}, "unsafe location"),
    "without a location": ({}, "unsafe location"),
    "this folder": ({"location": "."}, "is missing"),
    "a link outside": ({"location": "link"}, "points outside"),
    "a linked folder": ({"location": "linked/secret"}, "points outside"),
    "links in a circle": ({"location": "circle"}, "unsafe location|is missing"),
    "a folder": ({"location": "folder"}, "is missing"),
    "a pipe": ({"location": "fifo"}, "is missing"),
    "a device": ({"location": "zero"}, "points outside"),
    "a NUL": ({"location": "weights\x00.txt"}, "unsafe location"),
    "a long name": ({"location": "w" * 5_000}, "unsafe location"),
    "a URL": ({"location": "http://evil.example/w"}, "is missing"),
    "home": ({"location": "~/secret"}, "is missing"),
    "a variable": ({"location": "$HOME/secret"}, "is missing"),
    "a huge offset": ({"location": "weights", "offset": str(2**63)}, "beyond the end"),
    "a negative offset": ({"location": "weights", "offset": "-16"}, "beyond the end"),
    "a huge length": ({"location": "weights", "length": str(2**64)}, "beyond the end"),
    "a negative length": ({"location": "weights", "length": "-1"}, "beyond the end"),
    "a short length": ({"location": "weights", "length": "8"}, "has 8 bytes, its shape and type need 16"),
    "no number": ({"location": "weights", "offset": "0x10"}, "malformed"),
    "10,000 digits": ({"location": "weights", "offset": "9" * 10_000}, "malformed"),
    "a fraction": ({"location": "weights", "length": "16.0"}, "malformed"),
}


def _beside(folder: Path, entries: dict[str, str], where: str) -> Path:
    """A model whose constant, or what `where` says, is said to be stored there."""
    (folder / "inside" / "folder").mkdir(parents=True)
    for file in ("secret", "inside/weights"):
        (folder / file).write_bytes(np.ones(4, np.float32).tobytes())
    os.mkfifo(folder / "inside" / "fifo")
    for link, target in {
        "link": "../secret",
        "linked": "..",
        "circle": "circle",
        "zero": "/dev/zero",
    }.items():
        (folder / "inside" / link).symlink_to(target)
    model = make_model(
        [make_node("Add", ["x", "w"], "y")], {"x": [1, 4]}, ["y"], {"w": np.ones(4, np.float32)}
    )
    (tensor,) = model.graph.initializer
    if where == "attribute":
        node = make_node("Constant", [], "w", value=tensor)
        model.graph.node.insert(0, node)
        del model.graph.initializer[:]
        tensor = model.graph.node[0].attribute[0].t
    elif where == "sparse":
        tensor = model.graph.sparse_initializer.add().values
        tensor.CopyFrom(onnx.numpy_helper.from_array(np.ones(4, np.float32), "s"))
    elif where == "function":
        imports = [onnx.helper.make_opsetid("", 18)]
        node = make_node("Constant", [], "o", value=tensor)
        model.functions.append(onnx.helper.make_function("F", "f", [], ["o"], [node], imports))
        tensor = model.functions[0].node[0].attribute[0].t
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value.replace("/FOLDER", str(folder)))
    return save(model, folder / "inside" / "model.onnx")


@pytest.mark.parametrize("label", OUTSIDE)
def test_external_data_stays_inside(label: str, tmp_path: Path) -> None:
    entries, message = OUTSIDE[label]
    for number, where in enumerate(("initializer", "attribute", "sparse", "function")):
        with pytest.raises(ModelError, match=message) as raised:
            load(_beside(tmp_path / str(number), entries, where))
        assert raised.value.hint and len(str(raised.value)) < 1000


def test_external_data_inside_is_read(tmp_path: Path) -> None:
    graph = load(_beside(tmp_path, {"location": "folder/../weights"[10:], "offset": "0"}, "initializer"))
    assert any(t.constant and t.shape == (4,) for t in graph.tensors.values())
