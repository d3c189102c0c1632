"""What the number of a unit means: its output row, its part of it, and the rows that it reads."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pingponnx.calls import ALL_ROWS, Rows, RowWindow
from pingponnx.emit.places import product
from pingponnx.plan.stages import Extent


@dataclass(frozen=True)
class Numbers:
    """C expressions of what a unit's number means; the counter is the unit's in the order of execution."""

    rows: Rows
    units: int
    output_rows: int  # of a sample
    samples: int
    backward: bool

    @classmethod
    def of(cls, rows: Rows, output: Extent, sources: Sequence[Extent], backward: bool) -> "Numbers":
        if rows.units != ALL_ROWS:
            return cls(rows, rows.units, output.rows // output.samples, output.samples, backward)
        samples = sources[0].samples if output.rows == sources[0].samples else 1
        return cls(rows, sources[0].rows // samples, 1, samples, backward)

    @property
    def total(self) -> int:
        return self.units * self.output_rows * self.samples

    @property
    def row(self) -> str:
        """The output row over all samples."""
        return "0" if self.output_rows * self.samples == 1 else "y" if self.samples == 1 else "row"

    @property
    def output_row(self) -> str:
        return "0" if self.output_rows == 1 else "y"

    @property
    def part(self) -> str:
        return "0" if self.units == 1 else "part"

    @property
    def sample(self) -> str:
        return "row" if self.output_rows == 1 else "n"

    @property
    def first(self) -> str:
        return self._edge(first=not self.backward)

    @property
    def last(self) -> str:
        return self._edge(first=self.backward)

    def _edge(self, *, first: bool) -> str:
        if self.units == 1:
            return "1"
        return "part == 0" if first else f"part == {self.units - 1}"

    def window(self, window: RowWindow, height: int) -> tuple[str, bool]:
        """The first row of a window, and whether some of its rows may be padding."""
        if self.rows.units == ALL_ROWS:
            return self.part, False
        scale = self.rows.step * window.stride
        terms = [product("y", scale)] if self.output_rows > 1 else []
        terms += [product("part", window.stride)] if self.units > 1 else []
        text = " + ".join(terms) or "0"
        if window.pad:
            text = f"{text} - {window.pad}" if window.pad > 0 else f"{text} + {-window.pad}"
        last = ((self.output_rows - 1) * self.rows.step + self.units - 1) * window.stride - window.pad
        return text, window.pad > 0 or last + window.extent > height

    def declarations(self, text: str, counter: str) -> list[str]:
        """The variables that the text uses, made of the counter."""
        number = f"{self.total - 1} - {counter}" if self.backward else counter
        steps = [] if self.units == 1 else [("unit", number), ("part", f"unit % {self.units}")]
        row = number if self.units == 1 else f"unit / {self.units}"
        if self.samples == 1:
            steps.append(("y", row))
        else:
            steps += [("row", row), ("n", f"row / {self.output_rows}"), ("y", f"row % {self.output_rows}")]
        needed: list[str] = []
        for name, value in reversed(steps):
            if re.search(rf"\b{name}\b", text):
                needed.insert(0, f"const int32_t {name} = {value};")
                text += value
        return needed or [f"++{counter.removesuffix('++')};"]
