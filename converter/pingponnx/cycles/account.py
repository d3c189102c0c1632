"""Counts of blocks -> cycles by region, by function, by block."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pingponnx.cycles.decode import Block, decode
from pingponnx.cycles.image import Image
from pingponnx.cycles.model import CycleModel


@dataclass(frozen=True, slots=True)
class BlockCycles:
    """A block in a region: `instructions` and `cycles` are of all its executions."""

    region: int
    function: str
    start: int
    executed: int
    taken: int
    instructions: int
    cycles: float


@dataclass(frozen=True, slots=True)
class FunctionCycles:
    """What a function itself takes in a region, without the functions that it calls."""

    region: int
    function: str
    instructions: int
    cycles: float


def attribute(model: CycleModel, image: Image, blocks: Sequence[Block]) -> tuple[BlockCycles, ...]:
    """Every block in every region, by region and address."""
    rows = []
    for block, instructions in zip(blocks, decode(image, blocks), strict=True):
        cost = model.pipeline.cost(instructions)
        function = image.function_at(block.start)
        for region, (executed, taken) in block.counts.items():
            rows.append(
                BlockCycles(
                    region=region,
                    function=function,
                    start=block.start,
                    executed=executed,
                    taken=taken,
                    instructions=executed * block.instructions,
                    cycles=cost.total(executed, taken),
                )
            )
    return tuple(sorted(rows, key=lambda row: (row.region, row.start, row.instructions)))


def cycles(model: CycleModel, image: Image, blocks: Sequence[Block]) -> dict[int, float]:
    """Cycles by region."""
    return by_region(attribute(model, image, blocks))


def by_region(rows: Iterable[BlockCycles]) -> dict[int, float]:
    """The sum of the rows of each region."""
    totals: defaultdict[int, float] = defaultdict(float)
    for row in rows:
        totals[row.region] += row.cycles
    return dict(totals)


def by_function(rows: Iterable[BlockCycles]) -> tuple[FunctionCycles, ...]:
    """The sum of the rows of each function in each region; in a region, the most expensive first."""
    totals: defaultdict[tuple[int, str], tuple[int, float]] = defaultdict(lambda: (0, 0.0))
    for row in rows:
        instructions, spent = totals[row.region, row.function]
        totals[row.region, row.function] = instructions + row.instructions, spent + row.cycles
    functions = (FunctionCycles(*key, *value) for key, value in totals.items())
    return tuple(sorted(functions, key=lambda f: (f.region, -f.cycles, f.function)))


def hottest(rows: Iterable[BlockCycles], count: int) -> tuple[BlockCycles, ...]:
    """The rows with the most cycles."""
    return tuple(sorted(rows, key=lambda row: (-row.cycles, row.region, row.start))[:count])
