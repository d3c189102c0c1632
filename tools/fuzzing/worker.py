"""One fuzzing process: atheris mutates models, `load` and `rewrite` take them, what happens is counted.

Runs under limits of memory and of time per model; the parent (fuzz_load.py) notices when it dies.
"""

import argparse
import hashlib
import os
import resource
import struct
import sys
import time
import traceback
from mmap import mmap
from pathlib import Path

import atheris
import onnx  # noqa: F401  not instrumented
import onnxruntime  # noqa: F401  not instrumented

with atheris.instrument_imports(include=["pingponnx"]):
    from pingponnx.errors import Error
    from pingponnx.ir import check
    from pingponnx.load import load
    from pingponnx.rewrite import rewrite

import fuzzing.bombs  # noqa: F401  registers its mutations
from fuzzing.mutations import mutate
from fuzzing.seeds import seeds

COUNTS = struct.Struct("qqqqdq")  # executions, refused, accepted, crashes, slowest s, peak B
RAW_SHARE = 8  # one mutation in so many is of bytes


def _peak() -> int:
    """The most bytes that the process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Worker:
    """Counts in a file that outlives the process."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.folder, self.options = folder, options
        self.model = folder / "model" / "current.onnx"
        self.donors = seeds(options.seeds)
        with (folder / "counts").open("r+b") as stream:
            self.counts = mmap(stream.fileno(), COUNTS.size)
        self.memory_limit = options.peak_mb * 2**20

    def one(self, data: bytes) -> None:
        """Load one model."""
        self.model.write_bytes(data)
        start, before = time.process_time(), _peak()
        executions, refused, accepted, crashes, slowest, peak = COUNTS.unpack(self.counts[:])
        try:
            check(rewrite(load(self.model)))
            accepted += 1
        except Error as error:
            assert error.message
            refused += 1
        except Exception as error:
            crashes += 1
            self._keep(error, data)
        spent = time.process_time() - start
        used = _peak()
        if spent > self.options.slow:
            crashes += 1
            self._save(f"slow-{spent:.1f}s", data, "")
        if used > self.memory_limit and used > before:  # otherwise it was the mutations
            crashes += 1
            self.memory_limit = int(used * 1.3)
            self._save(f"memory-{used >> 20}MB", data, "")
        row = executions + 1, refused, accepted, crashes, max(slowest, spent), max(peak, used)
        self.counts[:] = COUNTS.pack(*row)

    def _keep(self, error: Exception, data: bytes) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [f for f in frames if "pingponnx" in f.filename] or list(frames)
        place = f"{Path(ours[-1].filename).stem}-{ours[-1].name}-{ours[-1].lineno}"
        self._save(f"{type(error).__name__}-{place}", data, traceback.format_exc())

    def _save(self, title: str, data: bytes, text: str) -> None:
        path = self.folder / "findings" / f"{title}.onnx"
        if not path.exists():
            path.write_bytes(data)
            path.with_suffix(".txt").write_text(f"{hashlib.sha256(data).hexdigest()}\n{text}", "utf-8")

    def mutated(self, data: bytes, max_size: int, seed: int) -> bytes:
        """libFuzzer's custom mutator: mostly of the structure, at times of bytes."""
        if seed % RAW_SHARE == 0:
            return bytes(atheris.Mutate(data, max_size))
        found = mutate(data, seed, self.donors)
        return found if len(found) <= max_size else data


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=Path)
    parser.add_argument("--memory-mb", type=int, default=4096)
    parser.add_argument("--peak-mb", type=int, default=1024)
    parser.add_argument("--slow", type=float, default=10.0)
    options, rest = parser.parse_known_args()
    limit = options.memory_mb * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    worker = Worker(options.folder, options)
    os.chdir(options.folder / "elsewhere")
    atheris.Setup([sys.argv[0], *rest], worker.one, custom_mutator=worker.mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
