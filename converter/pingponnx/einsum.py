"""Einsum equations: their indices, and products of two operands as batched matrix products."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_letters


@dataclass(frozen=True, slots=True)
class Product:
    """Two terms as `batch rows inner` times `batch inner columns`; only the indices in `later` are needed."""

    left: str
    right: str
    later: str

    def _pick(self, term: str, *, other: str, shared: bool, needed: bool) -> str:
        return "".join(i for i in term if (i in other) == shared and (i in self.later) == needed)

    @property
    def batch(self) -> str:
        return self._pick(self.left, other=self.right, shared=True, needed=True)

    @property
    def inner(self) -> str:
        return self._pick(self.left, other=self.right, shared=True, needed=False)

    @property
    def rows(self) -> str:
        return self._pick(self.left, other=self.right, shared=False, needed=True)

    @property
    def columns(self) -> str:
        return self._pick(self.right, other=self.left, shared=False, needed=True)

    @property
    def output(self) -> str:
        return self.batch + self.rows + self.columns


def read_equation(equation: str, ranks: Sequence[int]) -> tuple[list[str], str] | None:
    """Terms and output with a letter for every axis; None for what is no sum of products (diagonals)."""
    text = equation.replace(" ", "")
    sides = text.split("->")
    terms = sides[0].split(",")
    if len(terms) != len(ranks) or len(sides) > 2 or not re.fullmatch(r"[A-Za-z.,]*(->[A-Za-z.]*)?", text):
        return None
    spare = [letter for letter in ascii_letters if letter not in text]
    hidden = [rank - len(term.replace("...", "")) for term, rank in zip(terms, ranks, strict=True)]
    longest = max((n for n, t in zip(hidden, terms, strict=True) if "..." in t), default=0)
    letters = "".join(spare[:longest])
    expanded = [t.replace("...", letters[longest - n :]) for n, t in zip(hidden, terms, strict=True)]
    if any(len(t) != rank or len(set(t)) != rank for t, rank in zip(expanded, ranks, strict=True)):
        return None
    if len(sides) == 2:
        return expanded, sides[1].replace("...", letters)
    every = "".join(expanded)
    once = sorted(i for i in set(every) if every.count(i) == 1 and i not in letters)
    return expanded, letters + "".join(once)
