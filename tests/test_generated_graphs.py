"""A hundred random networks through the whole pipeline, a few of them on three cores; `make graphs` has more."""

from dataclasses import replace
from pathlib import Path

import pytest

from generated_graphs import networks_of
from graph_proof import Named, Outcome, Ways, libraries, prove_all, prove_on
from pingponnx.fixed_point import Rounding
from pingponnx.plan import Effort
from pingponnx.select import Goal
from varied_networks import Drawn

GRAPHS, BATCHES = 100, 4

pytestmark = pytest.mark.cmsis


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return libraries(Rounding.SINGLE, tmp_path_factory.mktemp("cmsis"))


def _drawn(first: int, number: int) -> list[Drawn]:
    """Different networks of as many seeds as it takes."""
    found: dict[bytes, Drawn] = {}
    for seed in range(first, first + 100):
        found |= {made.key: made for made in networks_of(seed)}
        if len(found) >= number:
            break
    return list(found.values())[:number]


def _named(networks: list[Drawn]) -> list[Named]:
    return [Named(f"g{i}", drawn) for i, drawn in enumerate(networks)]


def _assert_proven(outcome: Outcome, networks: int) -> None:
    assert outcome.failures == []
    assert outcome.counts["networks"] == networks
    assert outcome.counts["unsupported"] <= networks // 10


@pytest.mark.parametrize("batch", range(BATCHES))
def test_networks(batch: int, archives: list[Path], tmp_path: Path) -> None:
    """Both variants, in every batch for another goal."""
    count = GRAPHS // BATCHES
    ways = Ways(goals=[list(Goal)[batch % len(Goal)]], effort=Effort.FAST)
    networks = _drawn(1000 * batch, count)
    _assert_proven(prove_all(_named(networks), ways, tmp_path, archives), count)


@pytest.mark.qemu
@pytest.mark.parametrize("core", ["cortex-m0", "cortex-m4", "cortex-m55"])
def test_networks_on_boards(core: str, tmp_path: Path) -> None:
    networks = [replace(drawn, core=core) for drawn in _drawn(9000, 8)[2:]]
    ways = Ways(goals=[Goal.BALANCED], effort=Effort.FAST)
    _assert_proven(prove_on(core, _named(networks), ways, tmp_path), len(networks))
