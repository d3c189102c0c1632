"""float32 layers in blocks: the plain kernels' bytes, whole and by rows, on the host and on an M4."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from host import Run, run_c
from support import row_runs

from kernels.support import run_board
from pingponnx.calls import Call
from pingponnx.fixed_point import Rounding
from pingponnx.ir import Array, DType, Shape, Tensor
from pingponnx.kernels import candidates
from pingponnx.ops import Operator, Site
from pingponnx.ops.conv import Conv
from pingponnx.ops.gemm import Gemm
from pingponnx.ops.window import Window
from pingponnx.targets import get_target

SAME = (1, 1, 1, 1)
SHARED = ["-DPINGPONNX_SHARED_KERNELS"]  # sanitized copies for every layer would take long to compile


def _site(op: Operator, shape: Shape, weights: Shape) -> tuple[Operator, Site, Array]:
    """Values of very different magnitude: their sums depend on the order of additions."""
    rng = np.random.default_rng([*shape, *weights])

    def values(of: Shape) -> Array:
        return (rng.normal(size=of) * 10.0 ** rng.integers(-4, 5, of)).astype(np.float32)

    constants = (
        Tensor("w", weights, DType.F32, data=values(weights)),
        Tensor("b", weights[:1], DType.F32, data=values(weights[:1])),
    )
    x = Tensor("x", shape, DType.F32)
    (y,) = op.infer(x, *constants)
    return op, Site("node", (x, *constants), (Tensor("y", y, DType.F32),)), values(shape)


def _sites() -> list[tuple[Operator, Site, Array]]:
    two = Window((2, 2), (2, 2))
    return [
        _site(Conv(Window((1, 1))), (1, 3, 5, 8), (8, 8, 1, 1)),
        _site(Conv(Window((3, 3), pads=SAME), low=0.0), (1, 4, 5, 4), (6, 4, 3, 3)),
        _site(Conv(Window((3, 2), (1, 2), (2, 3), pads=(2, 1, 1, 2))), (2, 7, 8, 5), (3, 5, 3, 2)),
        _site(Conv(Window((5, 1), pads=(2, 0, 2, 0))), (1, 11, 4), (5, 4, 5)),
        _site(Conv(Window((3, 3), pads=SAME), pool=two, low=-2.0, high=3.0), (1, 6, 6, 4), (6, 4, 3, 3)),
        _site(Conv(Window((2, 2)), pool=Window((3, 3), (3, 4))), (1, 8, 9, 3), (4, 3, 2, 2)),
        _site(Conv(Window((3, 3), (2, 1), (1, 2), pads=(0, 3, 2, 1)), 8), (1, 6, 7, 8), (8, 1, 3, 3)),
        _site(Conv(Window((3, 3), pads=SAME), 4, pool=two), (1, 4, 6, 4), (4, 1, 3, 3)),
        _site(Gemm(), (1, 37), (6, 37)),
        _site(Gemm(low=0.0), (3, 5), (4, 5)),
    ]


def _offered(op: Operator, site: Site, core: str = "cortex-m4") -> list[Call]:
    return [c for c in candidates(op, site, get_target(core)) if "blocked" in c.header]


def _runs() -> tuple[list[Run], list[int]]:
    """Of every layer the plain kernel, and all forms of the others; for each run the plain one's number."""
    runs: list[Run] = []
    plain: list[int] = []
    for op, site, x in _sites():
        first = len(runs)
        whole = Run(op.kernels(site)[0], (x,), site.y.shape, np.dtype(np.float32))
        runs.append(whole)
        offers = _offered(op, site)
        assert offers
        for call in offers:
            other = replace(whole, call=call)
            runs += [other, *(replace(other, shared=i) for i in call.overlap)] if call.function else []
            runs += row_runs(other)
        plain += [first] * (len(runs) - first)
    return runs, plain


def _same_bytes(runs: Sequence[Run], plain: Sequence[int], outputs: Sequence[Array]) -> None:
    for run, got, first in zip(runs, outputs, plain, strict=True):
        label = f"{run.call.function or run.call.header} {run.shape} shared={run.shared} {run.order}"
        np.testing.assert_array_equal(got.view(np.int32), outputs[first].view(np.int32), label)


def test_the_plain_kernels_bytes(tmp_path: Path) -> None:
    runs, plain = _runs()
    outputs = run_c(runs, tmp_path, SHARED)
    _same_bytes(runs, plain, outputs)
    for (op, site, x), first in zip(_sites(), sorted(set(plain)), strict=True):
        scale = np.abs(outputs[first]).max()
        np.testing.assert_allclose(op.reference(site, x), outputs[first], rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.qemu
def test_the_same_bytes_on_a_board(tmp_path: Path) -> None:
    runs, plain = _runs()
    outputs = run_board(runs, tmp_path, "cortex-m4", Rounding.SINGLE)
    _same_bytes(runs, plain, outputs)
    (tmp_path / "host").mkdir()
    for board, host in zip(outputs, run_c(runs, tmp_path / "host", SHARED), strict=True):
        np.testing.assert_array_equal(board.view(np.int32), host.view(np.int32))


def test_where_it_is_not_offered() -> None:
    op, site, _ = _sites()[0]
    assert _offered(op, site, "cortex-m7") and not _offered(op, site, "cortex-m3")
    odd = Conv(Window((3, 3)), 6)
    assert not _offered(*_site(odd, (1, 4, 4, 6), (6, 1, 3, 3))[:2])
