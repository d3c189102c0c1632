"""Measure the shipped models and update reports/baseline.json; commit the change on purpose."""

from pathlib import Path
from typing import Any

from rich.console import Console

from pingponnx.output import write_file
from pingponnx.pipeline import Options
from pingponnx.report.document import to_json
from pingponnx.reporting import Matrix, measure_all

ROOT = Path(__file__).resolve().parents[1]
MODELS = (
    "examples/lenet5/lenet5_f32.onnx",
    "examples/lenet5/lenet5_int8.onnx",
    "examples/paper_cifar/paper_cifar_int8.onnx",
)
TARGETS = ("cortex-m0", "cortex-m4", "cortex-m55")


def measure_shipped() -> dict[str, Any]:
    """The report that baseline.json holds."""
    models = [ROOT / model for model in MODELS]
    console = Console(stderr=True)
    return measure_all(models, Options(), Matrix(TARGETS), None, 10, console)


if __name__ == "__main__":
    write_file(ROOT / "reports" / "baseline.json", to_json(measure_shipped()).encode())
