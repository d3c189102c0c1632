"""Compiles generated C with every compiler, language and optimisation level, and compares what it computes.

The arena lies at an address that is aligned to what the header asks for and to nothing more. On the host
every build must give the bytes of the reference (float32: those of the first build, which must be close to
the reference). For Arm, gcc and clang must compile it for every core without a warning. `make c-matrix`
runs it over the examples and the models of ../shared/models; the tests take one level a compiler.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pingponnx.evaluate import evaluate
from pingponnx.ir import DType
from pingponnx.pipeline import Conversion, Options, convert, normal_form
from pingponnx.samples import Sample, feeds, input_bytes, random_samples
from pingponnx.select import Goal
from pingponnx.verification import decode, far

ROOT = Path(__file__).resolve().parents[1]
LEVELS = ("-O0", "-O1", "-O2", "-O3", "-Os")
HOST = {
    "gcc": ("gcc", "-std=c11"),
    "g++": ("g++", "-x", "c++", "-std=c++17"),
    "clang": ("clang", "-std=c11"),
    "clang++": ("clang++", "-x", "c++", "-std=c++17"),
}
CORES = ("cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55")
ARM = {
    "gcc": ("arm-none-eabi-gcc",),
    "clang": ("clang", "--target=arm-none-eabi", "-isystem", "/usr/lib/arm-none-eabi/include"),
}
WARN = ("-Wall", "-Wextra", "-Wconversion", "-Wvla", "-Werror")


@dataclass(frozen=True, slots=True)
class Case:
    """A library, what it is fed and, for every sample, the bytes of its outputs."""

    name: str
    conversion: Conversion
    samples: Sequence[Sample]

    @property
    def sources(self) -> list[str]:
        return [name for name in sorted(self.conversion.sources) if name.endswith(".c")]

    def write(self, folder: Path) -> None:
        for name, text in {**self.conversion.sources, "main.c": program(self.conversion)}.items():
            (folder / name).write_text(text, encoding="utf-8")


def case(path: Path, samples: int = 2, **options: object) -> Case:
    """A model as these options convert it."""
    chosen = Options(**{"target": "cortex-m4", **options})  # type: ignore[arg-type]
    conversion = convert(normal_form(path, chosen), chosen)
    name = f"{path.stem} {chosen.variant} {chosen.goal} {chosen.target}"
    return Case(name, conversion, random_samples(conversion.graph)[:samples])


def program(conversion: Conversion) -> str:
    """Reads samples from standard input, writes outputs to standard output."""
    prefix, graph = conversion.entry.prefix, conversion.graph
    reads = [
        f"        if (fread({prefix}_input_{i}(arena), 1, {size}, stdin) != {size}) return i > 0 ? 0 : 3;"
        for i, (_, size) in enumerate(conversion.entry.inputs)
    ]
    writes = [
        f"        fwrite({prefix}_output_{i}(arena), 1, {graph.tensors[name].bytes}, stdout);"
        for i, name in enumerate(graph.outputs)
    ]
    body = "\n".join([*reads, f"        if ({prefix}_run(arena) != 0) return 2;", *writes])
    return f"""#include "{prefix}.h"
#include <stdio.h>
enum {{ STEP = {prefix.upper()}_ARENA_ALIGNMENT }};
static unsigned char pool[sizeof({prefix}_arena) + STEP] __attribute__((aligned(16)));
int main(void) {{
    {prefix}_arena *const arena = {prefix}_place_arena(pool + STEP, sizeof pool - STEP);
    if (arena == NULL) return 1;
    for (int i = 0;; ++i) {{
{body}
    }}
}}
"""


def run_host(found: Case, compiler: str, level: str, options: Sequence[str] = ()) -> bytes:
    """The outputs of all samples, of a build for this machine."""
    with tempfile.TemporaryDirectory(prefix="pingponnx-matrix-") as temporary:
        folder = Path(temporary)
        found.write(folder)
        command = [*HOST[compiler], *WARN, level, *options, "-I.", "main.c", *found.sources]
        _execute([*command, "-lm", "-o", "program"], folder, found.name)
        data = b"".join(
            piece for sample in input_bytes(found.conversion.graph, found.samples) for piece in sample
        )
        return _execute(["./program"], folder, f"{found.name} {compiler} {level}", data)


def compile_arm(found: Case, compiler: str, core: str, level: str) -> None:
    """Raises AssertionError when it does not compile, or with a warning."""
    with tempfile.TemporaryDirectory(prefix="pingponnx-matrix-") as temporary:
        folder = Path(temporary)
        found.write(folder)
        command = [*ARM[compiler], f"-mcpu={core}", "-mthumb", "-std=c11", *WARN, level, "-I.", "-c"]
        for source in found.sources:
            _execute([*command, source], folder, f"{found.name} {compiler} {core} {level}")


def _execute(command: Sequence[str], folder: Path, what: str, data: bytes = b"") -> bytes:
    done = subprocess.run(command, cwd=folder, input=data, capture_output=True, timeout=600)
    assert done.returncode == 0, (
        f"{what}: {' '.join(command)}: {done.returncode}\n{done.stderr.decode()[-3000:]}"
    )
    return done.stdout


def wrong(found: Case, output: bytes) -> list[str]:
    """The outputs that are not the reference's (float32: not close)."""
    graph, at, names = found.conversion.graph, 0, []
    for sample in found.samples:
        values = evaluate(graph, feeds(graph, sample), found.conversion.options.rounding)
        pieces = []
        for name in graph.outputs:
            size = graph.tensors[name].bytes
            pieces.append(output[at : at + size])
            at += size
        for name, got in zip(graph.outputs, decode(graph, pieces), strict=True):
            real = graph.tensors[name].dtype is DType.F32
            if (far(got, values[name]) if real else got != values[name]).any():
                names.append(name)
    return names if at == len(output) else [*names, "length"]


def compare(found: Case, builds: Sequence[tuple[str, str]]) -> str:
    """What is wrong with any of the builds (compiler, level) for this machine; "" when nothing is."""
    first = b""
    for compiler, level in builds:
        output = run_host(found, compiler, level)
        names = wrong(found, output)
        if names:
            return f"{found.name} {compiler} {level}: {', '.join(names)} differ from the reference"
        first = first or output
        if output != first:
            return f"{found.name} {compiler} {level}: other bytes than {' '.join(builds[0])}"
    return ""


def _nightly(paths: Sequence[Path]) -> Iterator[Case]:
    for path in paths:
        for options in (
            {"goal": Goal.CYCLES, "target": "cortex-m4"},
            {"goal": Goal.RAM, "target": "cortex-m0"},
            {"goal": Goal.BALANCED, "target": "cortex-m55"},
        ):
            yield case(path, **options)


def _check(found: Case) -> tuple[str, int, int]:
    """Name, builds made for this machine and for Arm; raises AssertionError when one is wrong."""
    builds = [(compiler, level) for compiler in HOST for level in LEVELS]
    message = compare(found, builds)
    assert not message, message
    levels = ("-O0", "-Os", "-O3")
    for compiler in ARM:
        for core in CORES:
            for level in levels:
                compile_arm(found, compiler, core, level)
    return found.name, len(builds), len(ARM) * len(CORES) * len(levels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", type=Path, help="ONNX files; the examples without")
    chosen = parser.parse_args().models or sorted((ROOT / "examples").glob("*/*_*.onnx"))
    host = arm = cases = 0
    with ThreadPoolExecutor(2) as pool:
        for name, some, others in pool.map(_check, _nightly(chosen)):
            host, arm, cases = host + some, arm + others, cases + 1
            print(f"{name}: {some} builds for this machine, {others} for Arm", file=sys.stderr, flush=True)
    print(f"{cases} libraries: {host} builds for this machine gave the same bytes, {arm} for Arm compiled")


if __name__ == "__main__":
    main()
