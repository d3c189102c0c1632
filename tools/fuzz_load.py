"""Fuzz `load` and `rewrite` with damaged and hostile models: `make fuzz`, docs/hardening.md.

Prints counts as JSON; 1 when a model raised anything but an Error, took too long or too much memory, or
killed the process. Such models are kept in the folder of findings, one of each kind.
"""

import argparse
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TOOLS = Path(__file__).resolve().parent
MAX_LENGTH = 16_000


def surroundings(folder: Path) -> None:
    """What external data may point to, good and bad; see mutations.PLACES."""
    for name in ("model", "model/folder", "corpus", "findings", "elsewhere"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name in ("weights.bin", "model/weights.bin", "elsewhere/weights.bin"):
        (folder / name).write_bytes(bytes(range(256)) * 4)
    (folder / "model" / "link").symlink_to(folder / "weights.bin")
    os.mkfifo(folder / "model" / "fifo")
    (folder / "counts").write_bytes(bytes(48))


def read_counts(folder: Path) -> dict[str, Any]:
    names = ("executions", "refused", "accepted", "crashes", "slowest_s", "peak_bytes")
    return dict(zip(names, struct.unpack("qqqqdq", (folder / "counts").read_bytes()), strict=True))


def rounds(folder: Path, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Worker after worker until all executions are done; a dead one leaves what killed it."""
    deaths = 0
    while (done := read_counts(folder)["executions"]) < options.executions and deaths < options.deaths:
        command = [sys.executable, "-m", "fuzzing.worker", str(folder), str(folder / "corpus")]
        command += [f"-runs={options.executions - done}", f"-seed={options.seed + deaths}"]
        command += [
            f"-max_len={MAX_LENGTH}",
            f"-timeout={options.timeout}",
            "-rss_limit_mb=0",
            "-mutate_depth=1",
        ]
        command += [f"--peak-mb={options.peak_mb}"]
        command += [f"--seeds={options.seeds}"] if options.seeds else []
        path = [str(TOOLS), str(TOOLS.parent / "converter"), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "PYTHONHASHSEED": "0"}
        with (folder / "log.txt").open("wb") as log:
            worker = subprocess.run(command, stdout=log, stderr=log, env=environment, check=False)
        if worker.returncode:
            deaths += 1
            kept = folder / "findings" / f"death-{deaths}.onnx"
            shutil.copy(folder / "model" / "current.onnx", kept)
            shutil.copy(folder / "log.txt", kept.with_suffix(".txt"))
        yield {"deaths": deaths}


def fuzz(options: argparse.Namespace) -> dict[str, Any]:
    """The counts of a whole campaign."""
    from fuzzing.seeds import seeds

    with tempfile.TemporaryDirectory(prefix="pingponnx-fuzz-") as name:
        folder = Path(name)
        surroundings(folder)
        for number, data in enumerate(seeds(options.seeds)):
            (folder / "corpus" / f"{number:04}.onnx").write_bytes(data)
        deaths = 0
        for state in rounds(folder, options):
            deaths = state["deaths"]
        result = {**read_counts(folder), "deaths": deaths, "seed": options.seed}
        result["corpus"] = len(list((folder / "corpus").iterdir()))
        result["kinds"] = sorted(p.stem for p in (folder / "findings").glob("*.onnx"))
        if result["kinds"]:
            shutil.copytree(folder / "findings", options.findings, dirs_exist_ok=True)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--executions", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=Path, help="folder of more models to start from")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"))
    parser.add_argument(
        "--timeout", type=int, default=600, help="seconds a model may take, then it is killed"
    )
    parser.add_argument("--peak-mb", type=int, default=1024, help="memory a model may take")
    parser.add_argument("--deaths", type=int, default=20, help="give up after so many")
    options = parser.parse_args()
    options.seeds = options.seeds.resolve() if options.seeds and options.seeds.is_dir() else None
    result = fuzz(options)
    print(json.dumps(result, indent=1))
    return int(bool(result["crashes"] or result["deaths"]))


if __name__ == "__main__":
    sys.exit(main())
