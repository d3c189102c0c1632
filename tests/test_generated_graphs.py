"""A hundred random networks through the whole pipeline, some on three cores; `make graphs` has more."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from generated_graphs import networks_of

from drawn_networks import Drawn
from graph_proof import Named, Outcome, Ways, libraries, prove_all, prove_on
from models import Builder, converted, execute, save
from pingponnx.errors import UnsupportedError
from pingponnx.fixed_point import Rounding
from pingponnx.oracle import Oracle
from pingponnx.plan import Effort, InputMode
from pingponnx.samples import Sample
from pingponnx.select import Goal

GRAPHS, BATCHES = 100, 2

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
    """Both variants, for one goal or another."""
    count = GRAPHS // BATCHES
    ways = Ways(in_turn=True, effort=Effort.FAST)
    networks = _drawn(1000 * batch, count)
    _assert_proven(prove_all(_named(networks), ways, tmp_path, archives), count)


@pytest.mark.qemu
@pytest.mark.parametrize("core", ["cortex-m0", "cortex-m4", "cortex-m55"])
def test_networks_on_boards(core: str, tmp_path: Path) -> None:
    networks = [replace(drawn, core=core) for drawn in _drawn(9000, 8)[2:]]
    ways = Ways(goals=[Goal.BALANCED], effort=Effort.FAST)
    _assert_proven(prove_on(core, _named(networks), ways, tmp_path), len(networks))


# -- what was wrong once, as small as it gets ---------------------------------------------------------


def _chosen() -> onnx.ModelProto:
    """Where stored float32 values as integers, so that gcc -O3 read them before they were written."""
    b = Builder()
    x = b.add("Min", b.add("Softsign", "x"), np.float32(-1.4))
    y = b.add("Where", b.add("Greater", x, np.float32(0.9)), x, b.normal(3, 1, 1))
    y = b.add("AveragePool", y, kernel_shape=[2, 1], strides=[3, 3])
    return b.model({"x": [1, 3, 3, 7]}, y)


def test_optimised_c_reads_what_it_wrote(tmp_path: Path) -> None:
    sample = Sample((np.random.default_rng(2).normal(size=(1, 3, 3, 7)).astype(np.float32),))
    path = save(_chosen(), tmp_path / "model.onnx")
    ((got,),) = execute(converted(path, nchw_io=True), [sample])
    (want,) = Oracle(path).outputs(sample)
    np.testing.assert_allclose(got.ravel(), want.ravel(), atol=1e-6)


def test_smallest_arena_of_two_inputs_that_cannot_be_fed(tmp_path: Path) -> None:
    """The search for kernels asked for the arena of a network that does not exist."""
    b = Builder()
    path = save(b.model({"x": [1, 2, 4], "z": [1, 2, 4]}, b.add("Add", "x", "z")), tmp_path / "model.onnx")
    with pytest.raises(UnsupportedError, match="2 inputs"):
        converted(path, goal=Goal.RAM, input_mode=InputMode.ROWS)
