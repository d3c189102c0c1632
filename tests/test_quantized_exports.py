"""Real exports, quantized by `quantize`: what runs on integers from end to end."""

from pathlib import Path

import onnx
import pytest

from models import HOST, assert_proven
from pingponnx.calibrate import quantize
from pingponnx.errors import Error
from pingponnx.pipeline import normal_form
from pingponnx.rewrite.unfolded import conversions

EXPORTS = Path(__file__).parent / "exports"
INTEGER = [
    "transformer.dynamo.18",
    "transformer.legacy_dyn.17",
    "unet.dynamo.18",
    "unet.legacy.11",  # quantized per channel, which came with opset 13
]


@pytest.mark.parametrize("name", INTEGER)
def test_no_node_is_left_in_float32(name: str, tmp_path: Path) -> None:
    """Attention, normalization by layer, instance and group, means, resizing and transposed convolution."""
    path, samples = tmp_path / "int8.onnx", EXPORTS / f"{name.split('.')[0]}.npz"
    assert quantize(EXPORTS / f"{name}.onnx", path, samples) > 0
    assert conversions(normal_form(path, HOST)) == ()
    if name == INTEGER[0]:
        assert_proven(path)


def test_an_opset_that_cannot_be_converted_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> onnx.ModelProto:
        raise RuntimeError("no adapter")

    monkeypatch.setattr(onnx.version_converter, "convert_version", fails)
    with pytest.raises(
        Error, match=r"opset 11 is older than 13 and could not be converted: no adapter"
    ) as caught:
        quantize(EXPORTS / "unet.legacy.11.onnx", tmp_path / "out.onnx", EXPORTS / "unet.npz")
    assert "--per-tensor" in caught.value.hint and not list(tmp_path.iterdir())
