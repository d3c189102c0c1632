"""Firmware + samples -> outputs and counts: on the host, or in QEMU's emulation of a board."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pingponnx.build import Firmware
from pingponnx.entry import Entry
from pingponnx.errors import Error, MemoryPlanError, ToolchainError
from pingponnx.process import execute
from pingponnx.targets import ICOUNT_SHIFT, Board
from pingponnx.workspace import temporary_folder

QEMU = "qemu-system-arm"
_QEMU_HINT = "apt-get install qemu-system-arm"

# Virtual time, and with it the board's counter, becomes an exact count of instructions.
_ICOUNT = ("-icount", f"shift={ICOUNT_SHIFT},sleep=off")

# The formats are harness.c's.
_MAGIC = 0x504E4F50
_FLAG_DUMP = 1
_NEW_SAMPLE = 0xFFFFFFFF
_RESULT = struct.Struct("<8IQ")
_OK, _BAD_INPUT, _MODEL_FAILED, _ARENA_OVERRUN, _STACK_OVERFLOW, _FAULT, _FILE_FAILED = range(7)


@dataclass(frozen=True, slots=True)
class Execution:
    """What a firmware did.

    `outputs` has one tuple per sample, in it one item per output. The counts are the first sample's: the
    instructions of the call, the bytes of stack it wrote, and with a traced firmware the instructions of
    each node; None on the host. The stack of a traced firmware is None, for the markers use it too, and its
    `instructions` may be off by a few per node, for the markers' arguments are not always the same code.
    `traces` has per sample what each node wrote, as (node, bytes) in the order of execution.
    """

    outputs: tuple[tuple[bytes, ...], ...]
    instructions: int | None
    node_instructions: tuple[int, ...] | None
    stack: int | None
    traces: tuple[tuple[tuple[int, bytes], ...], ...]


@dataclass(frozen=True, slots=True)
class _Result:
    status: int
    sample: int
    detail: tuple[int, int, int]
    stack: int
    instructions: int
    nodes: tuple[int, ...]


def run(
    firmware: Firmware, samples: Sequence[Sequence[bytes]], *, dump: bool = False, timeout: float = 120
) -> Execution:
    """Run the samples, each a sequence of the inputs' bytes; with `dump` also keep what every node wrote."""
    if dump and not firmware.trace:
        raise Error("only a firmware built with trace=True can dump the nodes' outputs")
    _check_samples(firmware.entry, samples)
    with temporary_folder() as folder:
        _write_input(folder, samples, dump)
        result = _execute(firmware, folder, _ICOUNT, timeout)
        outputs = (folder / "output.bin").read_bytes()
        trace = (folder / "trace.bin").read_bytes() if dump else b""
    counted = bool(samples) and not firmware.target.is_host
    return Execution(
        outputs=tuple(_split_outputs(firmware.entry, outputs, len(samples))),
        instructions=result.instructions if counted else None,
        node_instructions=result.nodes[: firmware.entry.nodes] if counted and firmware.trace else None,
        stack=result.stack if counted and not firmware.trace else None,
        traces=tuple(_split_trace(trace)),
    )


def observe(
    firmware: Firmware,
    sample: Sequence[bytes],
    plugin: str,
    files: Mapping[str, str],
    *,
    timeout: float = 120,
) -> tuple[tuple[bytes, ...], str]:
    """Run a sample under a plugin of QEMU: its outputs, and the text that the plugin wrote into "report".

    `plugin` is -plugin's argument, `files` it may read. -icount makes QEMU repeat parts of blocks: it is off.
    """
    _check_samples(firmware.entry, [sample])
    with temporary_folder() as folder:
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
        _write_input(folder, [sample], dump=False)
        _execute(firmware, folder, ("-plugin", plugin), timeout)
        outputs = (folder / "output.bin").read_bytes()
        try:
            report = (folder / "report").read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise ToolchainError("QEMU's plugin wrote no report") from error
    return next(_split_outputs(firmware.entry, outputs, 1)), report


def qemu_version() -> str | None:
    """The first line that QEMU says about itself; None when it is not installed."""
    try:
        return execute([QEMU, "--version"], cwd=Path.cwd()).output.splitlines()[0]
    except (ToolchainError, IndexError):
        return None


def _check_samples(entry: Entry, samples: Sequence[Sequence[bytes]]) -> None:
    expected = [size for _, size in entry.inputs]
    for index, sample in enumerate(samples):
        sizes = [len(data) for data in sample]
        if sizes != expected:
            raise Error(f"sample {index} has inputs of {sizes} bytes, the model takes {expected}")


def _write_input(folder: Path, samples: Sequence[Sequence[bytes]], dump: bool) -> None:
    header = struct.pack("<3I", _MAGIC, _FLAG_DUMP if dump else 0, len(samples))
    (folder / "input.bin").write_bytes(header + b"".join(data for sample in samples for data in sample))


def _execute(firmware: Firmware, folder: Path, options: Sequence[str], timeout: float) -> _Result:
    board = firmware.target.board
    command = [str(firmware.path)] if board is None else _qemu_command(firmware.path, board, options)
    # Leak detection does not work where tracing a process is forbidden, and nothing here allocates.
    environment = {"ASAN_OPTIONS": "detect_leaks=0:print_legend=0", "UBSAN_OPTIONS": "print_stacktrace=1"}
    done = execute(
        command, cwd=folder, hint=_QEMU_HINT, timeout=timeout, check=False, environment=environment
    )
    result_file = folder / "result.bin"
    if not result_file.exists():
        what = f"the firmware ended with {done.ending} and no result"
        raise ToolchainError(what, command=command, output=done.output)
    result = _read_result(result_file.read_bytes())
    if result.status != _OK:
        raise _failure(result, firmware)
    if done.code:
        what = f"the firmware ended with {done.ending}"
        raise ToolchainError(what, command=command, output=done.output)
    return result


def _qemu_command(path: Path, board: Board, options: Sequence[str]) -> list[str]:
    return [
        QEMU,
        *("-machine", board.machine),
        *("-display", "none", "-monitor", "none", "-serial", "none"),
        *("-semihosting-config", "enable=on,target=native"),
        *options,
        *("-kernel", str(path)),
    ]


def _read_result(data: bytes) -> _Result:
    if len(data) < _RESULT.size:
        raise ToolchainError("the firmware's result is incomplete")
    magic, status, sample, detail0, detail1, detail2, stack, nodes, instructions = _RESULT.unpack_from(data)
    if magic != _MAGIC or len(data) != _RESULT.size + 8 * nodes:
        raise ToolchainError("the firmware's result is damaged")
    counts = struct.unpack_from(f"<{nodes}Q", data, _RESULT.size)
    return _Result(status, sample, (detail0, detail1, detail2), stack, instructions, counts)


def _failure(result: _Result, firmware: Firmware) -> Error:
    where = f"{firmware.entry.prefix} on {firmware.target.name}, sample {result.sample}"
    first, exception, cause = result.detail
    if result.status == _ARENA_OVERRUN:
        memory = firmware.entry.memories[exception]
        return MemoryPlanError(f"{where}: the model wrote behind the end of its {memory} (byte {first})")
    messages = {
        _BAD_INPUT: "the harness could not read its input",
        _MODEL_FAILED: f"the model returned the error {first - (first >> 31 << 32)}",
        _STACK_OVERFLOW: "the stack grew into the static data",
        _FAULT: f"fault at address {first:#010x} (exception {exception}, CFSR {cause:#010x})",
        _FILE_FAILED: "the harness could not write its output",
    }
    return ToolchainError(f"{where}: {messages.get(result.status, f'unknown status {result.status}')}")


def _split_outputs(entry: Entry, data: bytes, samples: int) -> Iterator[tuple[bytes, ...]]:
    position = 0
    for _ in range(samples):
        row = []
        for _, size in entry.outputs:
            row.append(data[position : position + size])
            position += size
        yield tuple(row)


def _split_trace(data: bytes) -> Iterator[tuple[tuple[int, bytes], ...]]:
    rows: list[tuple[int, bytes]] | None = None
    position = 0
    while position < len(data):
        node, size = struct.unpack_from("<2I", data, position)
        position += 8
        if node == _NEW_SAMPLE:
            if rows is not None:
                yield tuple(rows)
            rows = []
            continue
        assert rows is not None, "the trace starts with a sample"
        rows.append((node, data[position : position + size]))
        position += size
    if rows is not None:
        yield tuple(rows)
