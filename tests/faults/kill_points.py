"""Kill and fail commands at every change they make on the disk; `make kill-points` runs it, with --full.

Prints JSON: per case the number of changes, the points tried, and what was found there. Every point is
checked: outputs are byte for byte the old or the new ones, nothing of others is touched, what is left is
recognisably ours, and the next run works and sweeps it.
"""

import argparse
import ctypes
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import cases
from sandbox import BROKEN, FULL, READ_ONLY
from sweep import Case, Wrong, sweep

SHIM = Path(__file__).with_name("shim.c")
MEMORY = next(
    (name for name in ("/dev/shm",) if os.access(name, os.W_OK)), None
)  # syncing costs nothing there


def with_shim() -> int | None:
    """Run this program with the shim; None when that is the case already."""
    if hasattr(ctypes.CDLL(None), "faults_arm"):
        return None
    with tempfile.TemporaryDirectory(prefix="shim-") as folder:
        out = Path(folder) / "shim.so"
        flags = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared"]
        subprocess.run(["cc", *flags, str(SHIM), "-o", str(out), "-ldl"], check=True)
        return subprocess.run(
            [sys.executable, *sys.argv], env={**os.environ, "LD_PRELOAD": str(out)}
        ).returncode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--full", action="store_true", help="every point of every case, tools running included"
    )
    parser.add_argument("--stride", type=int, default=1, help="with --full: only every so many points")
    parser.add_argument("--only", nargs="*", help="names of cases")
    chosen = parser.parse_args()
    if (code := with_shim()) is not None:
        sys.exit(code)
    if chosen.only == [cases.planted().name]:
        _tried(chosen, [cases.planted()])
        return
    with tempfile.TemporaryDirectory(prefix="kill-points-", dir=MEMORY) as inputs:
        _tried(chosen, [case for case in cases.cases(Path(inputs)) if chosen.full or case.stride is not None])


def _tried(chosen: argparse.Namespace, every: list[Case]) -> None:
    stride = chosen.stride if chosen.full else None
    results: dict[str, Any] = {}
    for case in every:
        if chosen.only and case.name not in chosen.only:
            continue
        with tempfile.TemporaryDirectory(prefix="kill-points-", dir=MEMORY) as folder:
            try:
                results[case.name] = sweep(case, Path(folder).resolve(), stride)
            except Wrong as wrong:
                print(wrong, file=sys.stderr)
                sys.exit(1)
        print(f"{case.name}: {json.dumps(results[case.name])}", file=sys.stderr)
    print(json.dumps({"cases": results, "total": _total(results)}, indent=1))


def _total(results: dict[str, Any]) -> dict[str, int]:
    kinds = ("killed", FULL.name, READ_ONLY.name, BROKEN.name)
    return {kind: sum(r.get(kind, 0) for r in results.values()) for kind in kinds}


if __name__ == "__main__":
    main()
