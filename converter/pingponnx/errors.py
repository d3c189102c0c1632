"""The exceptions that leave pingponnx: each says what is wrong and, as a hint, what to do about it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

IN_FLOAT32 = "export the model in float32, in PyTorch: model.float() before the export"
_OUTPUT_LINES = 20
_LONGEST_QUOTE = 300

# What numpy, protobuf, onnx and Python raise over values that they cannot work with
_DAMAGE: tuple[type[Exception], ...] = (ValueError, LookupError, TypeError, AssertionError, ArithmeticError)
_DAMAGE += (AttributeError, RuntimeError, StopIteration)


class Error(Exception):
    """Base class of everything pingponnx raises on purpose.

    `message` says what is wrong and names the node, file or option; `hint` says what to do.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


class ModelError(Error):
    """The ONNX file is broken, ambiguous, or does not describe a static network."""

    def __init__(
        self, message: str, hint: str = "check the model with onnx.checker, or export it again"
    ) -> None:
        super().__init__(message, hint)


@dataclass(frozen=True, slots=True)
class Unsupported:
    """One thing in a model that pingponnx cannot convert."""

    node: str
    op: str
    reason: str
    hint: str = ""
    needs: str = ""  # the value that would have to be a constant

    def __str__(self) -> str:
        advice = f" ({self.hint})" if self.hint else ""
        return f"{_kind(self.op)} {self.node!r}: {self.reason}{advice}"


def _kind(op: str) -> str:
    """What a name is of: a node, or, spelled small, a tensor, an input or the whole graph."""
    return op if op.islower() else f"{op} node"


class UnsupportedError(Error):
    """The model is valid ONNX, but uses what pingponnx does not support; lists every such node."""

    def __init__(
        self,
        items: Sequence[Unsupported],
        hint: str = "`pingponnx operators` lists what is supported",
        model: str = "",
    ) -> None:
        self.items = tuple(items)
        groups: dict[tuple[str, str, str], list[str]] = {}
        for item in self.items:
            groups.setdefault((item.op, item.reason, item.hint), []).append(repr(item.node))
        lines = [
            f"  - {_kind(op)}{'s' * (len(nodes) > 1)} {', '.join(nodes)}: {reason}"
            + (f" ({advice})" if advice else "")
            for (op, reason, advice), nodes in groups.items()
        ]
        where = f"{model}: " if model else ""
        super().__init__(f"{where}{len(self.items)} unsupported node(s):\n" + "\n".join(lines), hint)


class MemoryPlanError(Error):
    """A memory plan is wrong: two live tensors share a byte, or a block leaves the arena."""


class BudgetError(Error):
    """The network does not fit the given RAM or flash."""


class MismatchError(Error):
    """Two computations that must agree do not."""


class ToolchainError(Error):
    """A compiler, linker or emulator is missing or failed; keeps the command and its last lines."""

    def __init__(
        self, message: str, hint: str = "", *, command: Sequence[str] = (), output: str = ""
    ) -> None:
        self.command = tuple(command)
        self.output = "\n".join(output.splitlines()[-_OUTPUT_LINES:])
        text = message
        if self.command:
            text += "\ncommand: " + " ".join(self.command)
        if self.output:
            text += "\n" + self.output
        super().__init__(text, hint)


@contextmanager
def damage(what: str, *libraries: type[Exception]) -> Iterator[None]:
    """Say that `what`, a part of a model, is malformed when working with its values fails.

    `libraries` are exceptions of a library that is called, where these are not Python's own.
    """
    try:
        yield
    except (*_DAMAGE, *libraries) as error:
        raise ModelError(f"{what} is malformed: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """What an exception of a library says, in short: its first line, and those that it announces."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    while len(lines) > 1 and lines[0].endswith(":"):
        lines[:2] = [f"{lines[0]} {lines[1]}"]
    return lines[0][:_LONGEST_QUOTE] if lines else type(error).__name__
