"""Cycles that a real board counted, next to the modelled ones."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from pingponnx.errors import Error

_COLUMNS = ("node", "cycles")
_FORMAT = f"a CSV file with the columns {','.join(_COLUMNS)}, a row per node"


@dataclass(frozen=True, slots=True)
class BoardRow:
    """A node's cycles in the model and on silicon."""

    node: str
    model: float
    silicon: int

    @property
    def ratio(self) -> float:
        """Model to silicon: below 1 the model promises too much."""
        return self.model / self.silicon


def import_board(path: Path, modelled: Mapping[str, float]) -> tuple[BoardRow, ...]:
    """The rows of a CSV file (columns node, cycles) next to `modelled` (cycles by node), in its order."""
    rows: list[BoardRow] = []
    for line, (node, silicon) in _read(path):
        if node not in modelled:
            near = get_close_matches(node, modelled, n=1)
            known = f"did you mean {near[0]!r}?" if near else f"nodes: {', '.join(modelled)}"
            raise Error(f"{path.name} line {line}: the model has no node {node!r}", known)
        if any(row.node == node for row in rows):
            raise Error(f"{path.name} line {line}: the node {node!r} is there twice")
        rows.append(BoardRow(node, modelled[node], silicon))
    if not rows:
        raise Error(f"{path.name} has no rows", _FORMAT)
    return tuple(rows)


def _read(path: Path) -> list[tuple[int, tuple[str, int]]]:
    """(line number, row) for each row; spreadsheets write a byte order mark."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, skipinitialspace=True)
            if not set(_COLUMNS) <= set(reader.fieldnames or ()):
                raise Error(f"{path.name} does not have the columns {' and '.join(_COLUMNS)}", _FORMAT)
            return [(reader.line_num, _row(row, path, reader.line_num)) for row in reader]
    except OSError as error:
        raise Error(f"cannot read {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise Error(f"{path.name} is not a CSV file: {error}", _FORMAT) from error


def _row(row: Mapping[str, str | None], path: Path, line: int) -> tuple[str, int]:
    text = (row["cycles"] or "").strip()
    if not text.isdecimal() or not int(text):
        raise Error(f"{path.name} line {line}: {text!r} is not a number of cycles", _FORMAT)
    return (row["node"] or "").strip(), int(text)
