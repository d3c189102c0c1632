"""Options that several commands share: declared once, read once, given to a command as one value."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any

import typer

from pingponnx.errors import Error

_SHARED: dict[str, tuple[Any, Any]] = {
    "variant": (Annotated[str, typer.Option("--variant", help="optimised or cmsis-nn")], "optimised"),
    "target": (Annotated[str, typer.Option("--target", help="core, see `pingponnx targets`")], "cortex-m4"),
    "goal": (Annotated[str, typer.Option("--goal", help="balanced, ram or cycles")], "balanced"),
    "rounding": (
        Annotated[str, typer.Option("--rounding", help="single (closest to onnxruntime) or tflite")],
        "single",
    ),
    "float_io": (Annotated[bool, typer.Option("--float-io", help="keep float32 inputs and outputs")], False),
    "nchw_io": (Annotated[bool, typer.Option("--nchw-io", help="keep ONNX's order of image axes")], False),
    "input_shapes": (
        Annotated[
            list[str] | None,
            typer.Option("--input-shape", help="NAME=1,3,32,32 for a dynamic input; repeatable"),
        ],
        None,
    ),
    "input_mode": (
        Annotated[
            str,
            typer.Option(
                "--input", help="resident in the arena, external in the caller's memory, or fed as rows"
            ),
        ],
        "resident",
    ),
    "states": (
        Annotated[
            list[str] | None,
            typer.Option("--state", help="IN=OUT, an input that is an output of the run before; repeatable"),
        ],
        None,
    ),
    "effort": (
        Annotated[str, typer.Option("--effort", help="search for a small arena: fast, normal or exact")],
        "normal",
    ),
    "banks": (
        Annotated[
            list[str] | None,
            typer.Option("--bank", help="NAME=64K, a memory for the arena, best one first; repeatable"),
        ],
        None,
    ),
    "pins": (
        Annotated[
            list[str] | None, typer.Option("--pin", help="TENSOR=BANK, where a tensor must lie; repeatable")
        ],
        None,
    ),
    "ram": (
        Annotated[str | None, typer.Option("--ram", help="the arena may take no more, like 16K")],
        None,
    ),
    "flash": (
        Annotated[str | None, typer.Option("--flash", help="the constants may take no more, like 128K")],
        None,
    ),
    "flash_model": (
        Annotated[
            str | None,
            typer.Option(
                "--flash-model",
                help="flash with wait states, nucleo-l4r5zi or your --targets-file's: short loops, waits",
            ),
        ],
        None,
    ),
    "hot_weights": (
        Annotated[str, typer.Option("--hot-weights", help="RAM for the most read constants, like 4K")],
        "0",
    ),
    "cmsis_nn": (Annotated[Path | None, typer.Option("--cmsis-nn", help="checkout of CMSIS-NN")], None),
    "targets_file": (
        Annotated[Path | None, typer.Option("--targets-file", help="TOML file with targets of your own")],
        None,
    ),
}
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]
CONVERSION = tuple(_SHARED)
"""Everything that decides what C comes out."""


def with_options(*names: str, **defaults: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorator for a typer command that has a parameter `options`: adds the named shared options to its
    command line and passes them as one `pipeline.Options`. `defaults` replaces some of their defaults."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        own = [p for p in signature(function).parameters.values() if p.name != "options"]
        shared = [_parameter(name, *_SHARED[name]) for name in names]
        shared = [p.replace(default=defaults.get(p.name, p.default)) for p in shared]

        @wraps(function)
        def command(**given: Any) -> None:
            chosen = {name: given.pop(name) for name in names}
            function(options=_options_of(**chosen), **given)

        keyword = [p.replace(kind=Parameter.KEYWORD_ONLY) for p in own]
        command.__signature__ = Signature([*keyword, *shared])  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in (*own, *shared)}
        return command

    return decorate


def _parameter(name: str, annotation: Any, default: Any) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _options_of(**given: Any) -> Any:
    """Options from the command line's strings; raises Error for unknown names."""
    from pingponnx.fixed_point import Rounding
    from pingponnx.pipeline import Options
    from pingponnx.plan import Effort, InputMode
    from pingponnx.select import Goal

    kinds = {"goal": Goal, "rounding": Rounding, "input_mode": InputMode, "effort": Effort}
    for name in given.keys() & kinds.keys():
        given[name] = choice(kinds[name], given[name], name.replace("_", " "))
    for name in ("ram", "flash", "hot_weights"):
        if given.get(name) is not None:
            given[name] = byte_count(given[name])
    given["input_shapes"] = dict(_shape(text) for text in given.pop("input_shapes", None) or [])
    given["banks"] = tuple(_bank(text) for text in given.pop("banks", None) or [])
    given["pins"] = dict(_pin(text) for text in given.pop("pins", None) or [])
    given["states"] = tuple(_state(text) for text in given.pop("states", None) or [])
    return Options(**given)


def spelled(options: Any) -> list[str]:
    """The words on a command line that give these options, as far as they are not the usual ones.

    Of paths only the last part: reports name no places.
    """
    usual = type(options)()
    words: list[str] = []
    for name, (annotation, _) in _SHARED.items():
        value = getattr(options, name)
        if value == getattr(usual, name):
            continue
        flag = annotation.__metadata__[0].default  # of an annotation typer keeps its first word there
        if value is True:
            words.append(flag)
        for text in [] if value is True else _spellings(value):
            words += [flag, text]
    return words


def _spellings(value: Any) -> list[str]:
    """One for each time that the option is given."""
    if isinstance(value, Path):
        return [value.name]
    if not isinstance(value, Mapping | tuple):
        return [str(value)]
    pairs: Iterable[tuple[str, Any]] = value.items() if isinstance(value, Mapping) else value
    return [f"{name}={','.join(map(str, v)) if isinstance(v, tuple) else v}" for name, v in pairs]


def choice(kind: Any, text: str, what: str) -> Any:
    """The member of an enumeration that is called `text`; raises Error that lists all."""
    try:
        return kind(text)
    except ValueError:
        raise Error(f"unknown {what} {text!r}", f"choose one of: {', '.join(kind)}") from None


def byte_count(text: str) -> int:
    """`4096`, `4K` or `1M` -> bytes."""
    match = re.fullmatch(r"(\d+)([KM]?)", text.upper())
    if match is None:
        raise Error(f"cannot read the size {text!r}", "write bytes like 4096, 4K or 1M")
    return int(match[1]) * {"": 1, "K": 2**10, "M": 2**20}[match[2]]


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, dims = text.rpartition("=")
    try:
        shape = tuple(int(d) for d in dims.replace("x", ",").split(","))
    except ValueError:
        shape = ()
    if not name or not shape or min(shape) < 1:
        raise Error(f"cannot read the input shape {text!r}", "write NAME=1,3,32,32")
    return name, shape


def _bank(text: str) -> tuple[str, int]:
    name, _, size = text.partition("=")
    capacity = byte_count(size) if name and size else 0
    if not capacity:
        raise Error(f"cannot read the bank {text!r}", "write NAME=SIZE, with bytes like 4096, 64K or 1M")
    return name, capacity


def _state(text: str) -> tuple[str, str]:
    source, _, target = text.rpartition("=")
    if not source or not target:
        raise Error(f"cannot read the state {text!r}", "write INPUT=OUTPUT, by their names in the model")
    return source, target


def _pin(text: str) -> tuple[str, str]:
    tensor, _, bank = text.rpartition("=")
    if not tensor or not bank:
        raise Error(f"cannot read the pin {text!r}", "write TENSOR=BANK")
    return tensor, bank
