"""How long the tool itself takes on this machine: import, convert, report. Printed, never asserted."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "examples" / "lenet5" / "lenet5_int8.onnx"


def seconds(command: list[str]) -> float:
    """Wall time of a command."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def best(command: list[str], repeat: int = 3) -> float:
    return min(seconds(command) for _ in range(repeat))


def main() -> None:
    """Print the issue's three figures."""
    python, tool = [sys.executable, "-c"], str(Path(sys.executable).parent / "pingponnx")
    empty = best([*python, "pass"])
    start = best([*python, "import pingponnx.cli, pingponnx.pipeline"])
    with tempfile.TemporaryDirectory() as folder:
        convert = best([tool, "convert", str(MODEL), "-o", f"{folder}/c"])
        report = best([tool, "report", str(MODEL), "-o", f"{folder}/r"])
    print(f"import pingponnx                 {best([*python, 'import pingponnx']) - empty:6.2f} s")
    print(f"import of every stage            {start - empty:6.2f} s")
    print(f"convert LeNet-5, after start-up  {convert - start:6.2f} s   whole command {convert:.2f} s")
    print(f"report LeNet-5, both variants    {report:6.2f} s")


if __name__ == "__main__":
    main()
