"""Kernels for what a core can do, beside an operator's plain ones; their modules are found by themselves.

A module says with `@kernels_for(Operator)` for which operators its function offers calls. It offers one only
where its result is provably the reference's, for the layer's real weights, and predicts its cycles.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from pingponnx.calls import Call
from pingponnx.kernels.predict import predicted
from pingponnx.ops import Operator, Site
from pingponnx.targets import Target

Offer = Callable[[Any, Site, Target], Iterable[Call]]

_OFFERS: dict[tuple[type[Operator], bool], list[Offer]] = {}


def kernels_for(*operators: type[Operator], int16: bool = False) -> Callable[[Offer], Offer]:
    """Decorator: the function gives calls for a node of one of these operators, or none.

    With `int16` it is asked for nodes of 16-bit codes, and for no others.
    """

    def register(offer: Offer) -> Offer:
        for operator in operators:
            _OFFERS.setdefault((operator, int16), []).append(offer)
        return offer

    return register


@cache
def _modules() -> tuple[str, ...]:
    names = sorted(info.name for info in pkgutil.iter_modules(__path__))
    for name in names:
        importlib.import_module(f"{__name__}.{name}")
    return tuple(names)


def candidates(op: Operator, site: Site, target: Target) -> list[Call]:
    """All our calls for a node on a target, the plain one first, with predicted cycles."""
    return [predicted(call, site, target) for call in estimated(op, site, target)]


def estimated(op: Operator, site: Site, target: Target) -> list[Call]:
    """The same with the cycles that their modules estimate."""
    _modules()
    offered = (call for offer in _OFFERS.get((type(op), site.wide), ()) for call in offer(op, site, target))
    return [*op.kernels(site), *offered]
