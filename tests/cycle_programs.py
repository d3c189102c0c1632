"""Executed machine code as tests write it down, and the frozen programs."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pingponnx.cycles import Image

PROGRAMS = Path(__file__).parent / "data" / "cycles" / "programs.toml"
START = 0x1000


@dataclass(frozen=True)
class Executed:
    """A block with one region."""

    start: int
    instructions: int
    bytes: int
    counts: Mapping[int, tuple[int, int]]


@dataclass(frozen=True)
class Program:
    image: Image
    blocks: tuple[Executed, ...]
    cycles: Mapping[str, float]


def machine_code(listing: str) -> list[bytes]:
    """Instructions of a listing: halfwords in hexadecimal, then text that does not matter."""
    rows = [
        re.match(r"([0-9a-f]{4})(?: ([0-9a-f]{4}))?(?:\s|$)", line) for line in listing.split("\n") if line
    ]
    assert all(rows)
    return [
        b"".join(int(half, 16).to_bytes(2, "little") for half in row.groups() if half) for row in rows if row
    ]


def program(blocks: list[tuple[str, int, int]], expected: Mapping[str, float] | None = None) -> Program:
    """Blocks, as (listing, executed, taken), that follow each other in memory."""
    code, executed = b"", []
    for listing, times, taken in blocks:
        instructions = machine_code(listing)
        size = sum(map(len, instructions))
        executed.append(Executed(START + len(code), len(instructions), size, {1: (times, taken)}))
        code += b"".join(instructions)
    return Program(Image(((START, code),)), tuple(executed), expected or {})


def frozen_programs() -> dict[str, Program]:
    data = tomllib.loads(PROGRAMS.read_text(encoding="utf-8"))
    return {
        item["name"]: program(
            [(block["code"], block["executed"], block["taken"]) for block in item["block"]], item["cycles"]
        )
        for item in data["program"]
    }


FROZEN = frozen_programs()
