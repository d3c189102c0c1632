"""C sources -> firmware: compiles a generated model with the harness, for a Cortex-M board or the host."""

import functools
import shutil
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pingponnx._paths import runtime_c
from pingponnx.entry import Entry, harness_model
from pingponnx.errors import Error, ToolchainError
from pingponnx.memory_map import MemoryMap, parse_map
from pingponnx.output import write_file
from pingponnx.process import execute
from pingponnx.targets import ICOUNT_SHIFT, Board, Memory, Target
from pingponnx.workspace import temporary_folder

OPTIMISATION = "-O3"
"""How models and CMSIS-NN are compiled, both alike."""

_WORKERS = 2
_INSTALL_HINT = "apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi"
_HOST_HINT = "apt-get install gcc"

_SECTIONS = ("-ffunction-sections", "-fdata-sections")
_MODEL_FLAGS = ("-std=c11", "-Wall", "-Wextra", "-Wconversion", *_SECTIONS)
_LIBRARY_FLAGS = ("-std=gnu11", *_SECTIONS)
# Neither changes a byte of code: debug information tells which kernel code came from, the call graph
# bounds the stack.
_EVIDENCE = ("-g", "-fcallgraph-info=su")
# The harness must not call the C library, not even through a loop that GCC recognises as memset. Its
# strings stay apart from the model's, so that the map file can tell them apart.
_HARNESS_FLAGS = (
    "-std=c11",
    "-O2",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-ffreestanding",
    "-fno-builtin",
    "-fno-tree-loop-distribute-patterns",
    "-fno-tree-vectorize",
    "-fno-merge-constants",
    *_SECTIONS,
)
# Its parts that no model changes, and what they were compiled to: report and explore build many firmwares.
_PORTS = ("port/port_host.o", "port/port_semihosting.o", "port/startup.o")
_compiled: dict[tuple[str, ...], bytes] = {}
_SANITIZE = ("-g1", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@dataclass(frozen=True, slots=True)
class Firmware:
    """A program that runs the model under `run`."""

    path: Path
    target: Target
    entry: Entry
    trace: bool
    map: MemoryMap
    compiler: str
    call_graph: str = ""  # gcc's .ci files of the model and its libraries; empty for the host


def build(
    sources: Mapping[str, str],
    entry: Entry,
    target: Target,
    folder: Path,
    *,
    trace: bool = False,
    optimisation: str = OPTIMISATION,
    defines: Sequence[str] = (),
    include_dirs: Sequence[Path] = (),
    libraries: Sequence[Path] = (),
    sanitize: bool = False,
) -> Firmware:
    """Write the sources into the folder, compile and link them with the harness.

    `defines` are "NAME" or "NAME=value", for the model's sources. `trace` compiles the markers around the
    nodes in, which costs time and stack: measure these on a firmware without. `sanitize` is for the host.
    """
    if sanitize and not target.is_host:
        raise Error(f"sanitizers do not exist on {target.name}", "use the target host")
    folder = folder.resolve()
    compiler = compiler_version(target)
    _write_files(folder, sources, entry, target)
    jobs = _model_jobs(
        [name for name in sorted(sources) if name.endswith(".c")],
        [*(["PINGPONNX_TRACE"] if trace else []), *defines],
        [*include_dirs, *([_port()] if trace else [])],
        [optimisation, *(_SANITIZE if sanitize else ("-Werror",)), *(() if target.is_host else _EVIDENCE)],
    )
    jobs |= _harness_jobs(target, trace, sanitize)
    _compile_all(target, folder, jobs)
    path = _link(target, folder, list(jobs), libraries, sanitize)
    if target.is_host:
        return Firmware(path, target, entry, trace, MemoryMap(), compiler)
    text = (folder / "firmware.map").read_text(encoding="utf-8")
    graphs = [*sorted((folder / "model").glob("*.ci")), *(call_graph_of(library) for library in libraries)]
    return Firmware(path, target, entry, trace, parse_map(text), compiler, _join(graphs))


def compile_library(
    sources: Sequence[Path],
    target: Target,
    out: Path,
    *,
    include_dirs: Sequence[Path] = (),
    defines: Sequence[str] = (),
    optimisation: str = OPTIMISATION,
) -> Path:
    """Compile C files of others, whose warnings are not ours, into the static archive `out`.

    The archive appears under its name only when it is complete, also when two processes make it at once.
    """
    options = [
        *_LIBRARY_FLAGS,
        *(() if target.is_host else _EVIDENCE),
        "-w",
        optimisation,
        *_includes(include_dirs),
        *_defines(defines),
    ]
    jobs: dict[str, list[str]] = {}
    for source in sources:
        name = source.stem
        while f"{name}.o" in jobs:
            name += "_"
        jobs[f"{name}.o"] = [*options, str(source.resolve())]
    out.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(out.parent) as folder:
        _compile_all(target, folder, jobs)
        write_file(call_graph_of(out), _join(sorted(folder.glob("*.ci"))).encode())
        archiver = "ar" if target.is_host else "arm-none-eabi-gcc-ar"
        execute([archiver, "rcsD", "library.a", *jobs], cwd=folder, hint=_hint(target))
        (folder / "library.a").replace(out)
    return out


def shared_library(sources: Mapping[str, str], folder: Path, *, optimisation: str = "-O0") -> Path:
    """Compile a generated model for the host, in one compiler call, as a library to load (ctypes)."""
    folder = folder.resolve()
    for name, text in sources.items():
        (folder / name).write_text(text, encoding="utf-8")
    files = [name for name in sorted(sources) if name.endswith(".c")]
    (folder / "all.c").write_text("".join(f'#include "{name}"\n' for name in files), encoding="utf-8")
    options = [*_MODEL_FLAGS, "-Werror", optimisation, "-shared", "-fPIC", "-I."]
    execute(["cc", *options, "all.c", "-lm", "-o", "library.so"], cwd=folder, hint=_HOST_HINT)
    return folder / "library.so"


def call_graph_of(library: Path) -> Path:
    """Where `compile_library` leaves the call graph of an archive."""
    return library.with_suffix(".ci")


def disassembly(firmware: Firmware, symbol: str) -> str:
    """objdump's text of one linked function; no instruction lines when there is none of that name."""
    command = ["arm-none-eabi-objdump", "-d", f"--disassemble={symbol}", firmware.path.name]
    return execute(command, cwd=firmware.path.parent, hint=_INSTALL_HINT).output


def _join(files: Iterable[Path]) -> str:
    return "".join(file.read_text(encoding="utf-8") for file in files if file.is_file())


def compiler_version(target: Target) -> str:
    """The first line that the compiler says about itself, which names no path."""
    name = _compiler(target)
    path = shutil.which(name)
    if path is None:
        raise ToolchainError(f"{name} is not installed", _hint(target))
    return _first_line(name, path)


@functools.cache
def _first_line(name: str, path: str) -> str:
    """Cached by path, for another PATH may find another compiler."""
    del path
    lines = execute([name, "--version"], cwd=Path.cwd()).output.splitlines()
    if not lines:
        raise ToolchainError(f"{name} does not say its version", "install it again")
    return lines[0]


def _compiler(target: Target) -> str:
    return "cc" if target.is_host else "arm-none-eabi-gcc"


def _hint(target: Target) -> str:
    return _HOST_HINT if target.is_host else _INSTALL_HINT


def _port() -> Path:
    return runtime_c() / "port"


def _includes(folders: Iterable[Path]) -> list[str]:
    return [f"-I{folder.resolve()}" for folder in folders]


def _defines(defines: Iterable[str]) -> list[str]:
    return [f"-D{define}" for define in defines]


def _model_jobs(
    files: Sequence[str], defines: Sequence[str], include_dirs: Sequence[Path], options: Sequence[str]
) -> dict[str, list[str]]:
    """Object -> compiler arguments. Sanitizers cause false warnings, hence -Werror is an option."""
    common = [*_MODEL_FLAGS, *options, *_defines(defines), "-I.", *_includes(include_dirs)]
    return {f"model/{Path(name).stem}.o": [*common, name] for name in files}


def _harness_jobs(target: Target, trace: bool, sanitize: bool) -> dict[str, list[str]]:
    """Paths that start with port/ are what the memory map recognises the harness by."""
    if target.board is None:
        files, defines = ["harness", "port_host"], ["PINGPONNX_HOST"]
    else:
        files, defines = ["harness", "port_semihosting", "startup"], _counter_defines(target.board)
    if trace:
        defines.append("PINGPONNX_TRACE")
    dialect = [] if target.is_host else ["-masm-syntax-unified"]
    options = [*_HARNESS_FLAGS, *dialect, *(_SANITIZE if sanitize else ()), *_defines(defines)]
    include = ["-I.", "-Iport", *_includes([_port()])]
    return {f"port/{name}.o": [*options, *include, str(_port() / f"{name}.c")] for name in files}


def _counter_defines(board: Board) -> list[str]:
    counter = board.counter
    return [
        f"PINGPONNX_COUNTER={counter.ticks:#x}u",
        f"PINGPONNX_COUNTER_100HZ={counter.centiseconds:#x}u",
        f"PINGPONNX_COUNTER_HZ={counter.hz}u",
        f"PINGPONNX_ICOUNT_SHIFT={ICOUNT_SHIFT}",
    ]


def _write_files(folder: Path, sources: Mapping[str, str], entry: Entry, target: Target) -> None:
    for name in sources:
        if Path(name).name != name:
            raise Error(f"the source {name!r} is not a plain file name")
    for child in ("model", "port"):
        (folder / child).mkdir(parents=True, exist_ok=True)
    files = {**sources, "port/harness_model.h": harness_model(entry)}
    if target.board is not None:
        template = (_port() / "target.ld.in").read_text(encoding="utf-8")
        files["target.ld"] = template.replace("@MEMORY@", _memory_regions(target.board))
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def _memory_regions(board: Board) -> str:
    def region(name: str, access: str, memory: Memory) -> str:
        return f"    {name} ({access}) : ORIGIN = {memory.origin:#010x}, LENGTH = {memory.length:#x}"

    lines = [region("FLASH", "rx", board.flash), region("RAM", "rwx", board.ram)]
    if board.vectors is not None:
        lines.append(region("VECTORS", "rx", board.vectors))
    alias = ['REGION_ALIAS("VECTORS", FLASH)'] if board.vectors is None else []
    return "\n".join(["MEMORY", "{", *lines, "}", *alias])


def _compile_all(target: Target, folder: Path, jobs: Mapping[str, Sequence[str]]) -> None:
    """Commands run in the folder with relative names, so that no path of this machine gets into them."""

    def compile_one(job: tuple[str, Sequence[str]]) -> None:
        output, arguments = job
        here = f"-ffile-prefix-map={folder}=."  # debug information would name the folder
        command = [_compiler(target), *target.flags, *arguments, here, "-c", "-o", output]
        compiler = shutil.which(command[0])
        key = (compiler or "", *target.flags, *arguments)
        if output in _PORTS and key in _compiled:
            (folder / output).write_bytes(_compiled[key])
            return
        hint = "" if compiler else _hint(target)
        execute(command, cwd=folder, hint=hint, environment=_own_files(folder))
        if output in _PORTS:
            _compiled[key] = (folder / output).read_bytes()

    with ThreadPoolExecutor(_WORKERS) as pool:
        for _ in pool.map(compile_one, jobs.items()):
            pass


def _link(
    target: Target, folder: Path, objects: Sequence[str], libraries: Sequence[Path], sanitize: bool
) -> Path:
    archives = [str(library.resolve()) for library in libraries]
    if target.is_host:
        options, output = list(_SANITIZE if sanitize else ()), "firmware"
    else:
        options = ["-nostartfiles", "--specs=nano.specs", "-T", "target.ld"]
        options += ["-Wl,--gc-sections", "-Wl,-Map=firmware.map"]
        output = "firmware.elf"
    command = [_compiler(target), *target.flags, *options, *objects, *archives, "-lm", "-o", output]
    execute(command, cwd=folder, environment=_own_files(folder))
    return folder / output


def _own_files(folder: Path) -> dict[str, str]:
    """A compiler that is killed leaves its own temporary files in ours."""
    return {"TMPDIR": str(folder)}
