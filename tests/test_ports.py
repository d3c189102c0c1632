"""The harness's ports, which no model changes, are compiled once a process."""

from pathlib import Path

import pytest

from models import converted
from pingponnx.errors import ToolchainError
from pingponnx.pipeline import firmware


@pytest.mark.qemu
@pytest.mark.parametrize(("target", "ports"), [("host", 1), ("cortex-m4", 2)])
def test_what_was_compiled_before_makes_the_same_image(
    target: str, ports: int, examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[tuple[str, ...], bytes] = {}
    monkeypatch.setattr("pingponnx.build._compiled", kept)
    float32, int8 = (
        converted(examples / "lenet5" / f"lenet5_{dtype}.onnx", target=target) for dtype in ("f32", "int8")
    )
    images = []
    for number, conversion in enumerate((float32, int8, int8)):
        if number == 2:
            kept.clear()
        (tmp_path / str(number)).mkdir()
        images.append(firmware(conversion, tmp_path / str(number)).path.read_bytes())
        assert len(kept) == ports
    assert images[1] == images[2]
    for key in kept:
        kept[key] = b"no object"  # what is kept is what is linked
    with pytest.raises(ToolchainError):
        firmware(int8, tmp_path / "2")
