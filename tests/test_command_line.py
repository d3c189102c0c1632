"""What the command line says: names, counts, flash models, packages."""

import json
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from models import Builder, converted, save
from pingponnx import cli, doctor
from pingponnx.arguments import _SHARED
from pingponnx.fixed_point import Rounding
from pingponnx.names import counted, short
from pingponnx.report.memory_plan import plan_lines, plan_result
from pingponnx.reporting import _node_line
from pingponnx.targets import BUILT_IN
from pingponnx.terminal import guarded
from pingponnx.verification import Difference, NodeDistance

ROOT = Path(__file__).resolve().parents[1]
LONG = "x" * 10_000


def test_names_are_cut() -> None:
    assert short("x" * 60) == "x" * 60 and short(LONG) == "x" * 57 + "..."
    assert len(str(Difference(LONG, "Abs", 0, 0, 1.0, 2.0))) < 200
    assert len(_node_line(NodeDistance(LONG, "Abs", integer=True))) < 200


def test_counts() -> None:
    assert [counted(n, "sample") for n in (0, 1, 1000)] == ["0 samples", "1 sample", "1,000 samples"]


def test_flash_models_are_named(tmp_path: Path) -> None:
    names = tomllib.loads(BUILT_IN.read_text(encoding="utf-8"))["flash"]
    annotation, _ = _SHARED["flash_model"]
    assert names and all(name in annotation.__metadata__[0].help for name in names)
    net = Builder()
    path = save(net.model({"x": (1, 4)}, net.add("Abs", "x")), tmp_path / "m.onnx")
    conversion = converted(path, target="cortex-m4", flash_model="nucleo-l4r5zi")
    assert plan_result(conversion)["flash_model"] == "nucleo-l4r5zi"
    assert json.loads(conversion.sources["m.json"])["flash_model"] == "nucleo-l4r5zi"
    assert "flash nucleo-l4r5zi: loops fit its 1,024 bytes of code buffer" in plan_lines(conversion)
    assert plan_result(converted(path))["flash_model"] is None
    assert "flash_model" not in json.loads(converted(path).sources["m.json"])


def test_doctor_knows_every_package_of_users(monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [
        text for name, texts in project["optional-dependencies"].items() if name != "dev" for text in texts
    ]
    wanted = {text.partition(">")[0].partition("=")[0]: True for text in project["dependencies"]}
    wanted |= {text.partition(">")[0].partition("=")[0]: False for text in extras}
    found = {f.name: f.needed for f in doctor.examine()}
    assert len(wanted) > 15 and wanted.items() <= found.items()


@pytest.mark.parametrize(("missing", "state", "code"), [("joblib", "MISSING", 2), ("ortools", "absent ", 0)])
def test_doctor_says_what_is_missing(
    missing: str, state: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    version = metadata.version

    def without(name: str) -> str:
        if name == missing:
            raise metadata.PackageNotFoundError
        return version(name)

    monkeypatch.setattr(metadata, "version", without)
    assert guarded(lambda: cli.app(["doctor"])) == code
    assert f"{state} {missing}: pip install '" in capsys.readouterr().out


def test_one_16_bit_value_more_or_less_is_no_failure() -> None:
    """Of a small tensor one value is more than the part that may be off."""
    for wide, off, steps, holds in ((1, 1, 1, True), (1, 2, 1, False), (1, 1, 2, False), (0, 1, 1, False)):
        node = NodeDistance("n", "Conv", True, bool(wide), values=64, equal=64 - off, max_lsb=steps)
        assert node.holds(Rounding.SINGLE) is holds
    assert NodeDistance("n", "Conv", integer=True, values=5000, equal=4995, max_lsb=1).holds(Rounding.SINGLE)
