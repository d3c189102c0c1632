"""Layers made up for the kernels of pingponnx.kernels: in plain C on the host, on a board in QEMU.

Every kernel that is offered under a header runs as a whole, laid over its input as far as it says that it
may be, and by rows in both directions; all of it must be the reference's values.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from host import Run, functions, includes, run_c, split_outputs
from support import row_runs

from pingponnx._paths import runtime_c
from pingponnx.build import build
from pingponnx.calls import Call
from pingponnx.entry import Entry
from pingponnx.fixed_point import Rounding
from pingponnx.ir import Array, DType, Quantization, Shape, Tensor
from pingponnx.kernels import candidates
from pingponnx.ops import Operator, Site
from pingponnx.run import run
from pingponnx.targets import get_target

_HEAP = 1 << 20


@dataclass(frozen=True, eq=False)
class Layer:
    """An operator with constant weights at a site, and what it is run on: `x` has the site's input shape."""

    op: Operator
    site: Site
    x: Array

    @property
    def reference(self) -> Array:
        return self.op.reference(self.site, self.x)

    def offers(self, header: str, core: str = "cortex-m4") -> list[Call]:
        """The kernels of a header that are offered on a core."""
        calls = candidates(self.op, self.site, get_target(core))
        return [c for c in calls if (c.header if c.function or not c.rows else c.rows.header) == header]

    def fed(self, x: Array | int) -> "Layer":
        """The same with another input."""
        return replace(self, x=np.broadcast_to(np.asarray(x, np.int8), self.x.shape).copy())

    def rounded(self, rounding: Rounding) -> "Layer":
        return replace(self, site=replace(self.site, rounding=rounding))


@dataclass(frozen=True)
class Numbers:
    """What a layer calculates with: the accumulators' scale(s) to the output, zero points, weights, bias."""

    scale: float | Sequence[float] | None = None  # None: outputs fill most of int8
    zeros: tuple[int, int] = (-7, 11)
    weights: Array | None = None  # `oc ic [kh] [kw]`, random ones by default
    bias: Array | None = None
    per_channel: bool = True
    seed: int = 0
    limits: tuple[int, int] = field(default=(-127, 127))  # of random weights


def layer(op: Operator, shape: Shape, weights: Shape, numbers: Numbers = Numbers()) -> Layer:
    """An int8 layer over `n h w c`, `n w c` or `n c`; `weights` is the ONNX shape `oc ic [kh] [kw]`."""
    rng = np.random.default_rng([numbers.seed, *shape, *weights])
    low, high = numbers.limits
    data = rng.integers(low, high + 1, weights) if numbers.weights is None else numbers.weights
    count = weights[0]
    factors = _factors(rng, weights, numbers)
    axis = 0 if numbers.per_channel else None
    bound = max(1, int(40 / float(factors.max())))
    bias = rng.integers(-bound, bound + 1, count) if numbers.bias is None else numbers.bias
    # input and output scale are 1, so that the weights' scales are the factors
    scales = factors if numbers.per_channel else factors[:1]
    constants = (
        Tensor("w", weights, DType.S8, _quantization(scales, 0, axis), np.asarray(data, np.int8)),
        Tensor("b", (count,), DType.S32, _quantization(scales, 0, axis), np.asarray(bias, np.int32)),
    )
    (zx, zy), one = numbers.zeros, np.ones(1)
    x = Tensor("x", tuple(shape), DType.S8, _quantization(one, zx, None))
    (y_shape,) = op.infer(x, *constants)
    y = Tensor("y", y_shape, DType.S8, _quantization(one, zy, None))
    return Layer(op, Site("node", (x, *constants), (y,)), rng.integers(-128, 128, shape).astype(np.int8))


def _factors(rng: np.random.Generator, weights: Shape, numbers: Numbers) -> Array:
    if numbers.scale is not None:
        return np.broadcast_to(np.asarray(numbers.scale, float), weights[0])
    spread = rng.uniform(0.3, 1.0, weights[0]) if numbers.per_channel else np.full(weights[0], 0.6)
    factors: Array = spread * 60 / (74 * 73 * np.sqrt(np.prod(weights[1:])))
    return factors


def _quantization(scale: Array, zero: int, axis: int | None) -> Quantization:
    scales = np.asarray(scale, np.float32)
    return Quantization(scales, np.full(len(scales), zero, np.int32), axis)


def fed_extremes(layers: Iterable[Layer]) -> list[Layer]:
    """Each layer with its own input, with both ends of int8, and with what drives its sums to their ends.

    The last are made for output channel 1: its accumulators are the largest, then the smallest.
    """
    result: list[Layer] = []
    for one in layers:
        result += [one, one.fed(-128), one.fed(127), *_driven(one)]
    return result


def _driven(one: Layer) -> Iterator[Layer]:
    """Inputs of one window's size repeated over the map; of other sizes nothing."""
    weights = one.site.inputs[1]
    assert weights is not None and weights.data is not None
    signs = np.moveaxis(weights.data[min(1, len(weights.data) - 1)], 0, -1)
    shape = one.x.shape[1:]
    if signs.ndim != len(shape) or signs.shape[-1] != shape[-1]:
        return
    counts = [-(-n // k) for n, k in zip(shape, signs.shape, strict=True)]
    tiled = np.tile(signs, counts)[tuple(slice(n) for n in shape)]
    yield one.fed(np.where(tiled > 0, 127, -128))
    yield one.fed(np.where(tiled > 0, -128, 127))


# -- running ----------------------------------------------------------------------------------------

SHARED = ("-DPINGPONNX_SHARED_KERNELS", "-O0")
"""Kernels as functions: one copy for all layers, without optimisation, compiles in a fraction of the time
under sanitizers. What is specialised and optimised, boards run."""


def check_host(
    layers: Sequence[Layer],
    header: str,
    tmp_path: Path,
    core: str = "cortex-m4",
    flags: Sequence[str] = SHARED,
) -> None:
    """What is offered on `core`, as plain C under sanitizers on this computer."""
    runs, expected = _runs(layers, header, core)
    _compare(runs, run_c([r for _, r in runs], tmp_path, [*_flags(layers), *flags]), expected)


def check_board(layers: Sequence[Layer], header: str, tmp_path: Path, core: str = "cortex-m4") -> None:
    """What is offered on `core`, in one firmware on that core's board."""
    runs, expected = _runs(layers, header, core)
    _compare(runs, run_board([r for _, r in runs], tmp_path, core, layers[0].site.rounding), expected)


def _flags(layers: Sequence[Layer]) -> list[str]:
    (rounding,) = {one.site.rounding for one in layers}
    return ["-DPINGPONNX_ROUNDING_TFLITE"] if rounding is Rounding.TFLITE else []


def _runs(layers: Sequence[Layer], header: str, core: str) -> tuple[list[tuple[str, Run]], list[Array]]:
    runs: list[tuple[str, Run]] = []
    expected: list[Array] = []
    for one in layers:
        offers = one.offers(header, core)
        assert offers, f"{one.op} {one.x.shape}: {header} is not offered"
        y = one.site.y
        wanted = one.reference
        for call in offers:
            whole = Run(call, (one.x,), y.shape, y.dtype.numpy)
            some = [whole, *(replace(whole, shared=i) for i in call.overlap)] if call.function else []
            for each in [*some, *row_runs(whole)]:
                label = f"{one.op} {one.x.shape} {call.function or 'rows'} shared={each.shared} {each.order}"
                runs.append((label, each))
                expected.append(wanted)
    return runs, expected


def _compare(runs: Sequence[tuple[str, Run]], got: Sequence[Array], expected: Sequence[Array]) -> None:
    for (label, _), values, wanted in zip(runs, got, expected, strict=True):
        np.testing.assert_array_equal(values, wanted, label)


def run_board(runs: Sequence[Run], folder: Path, core: str, rounding: Rounding) -> list[Array]:
    """The host's functions as one model: their outputs follow each other in its arena."""
    sizes = [int(np.prod(r.shape)) * r.dtype.itemsize for r in runs]
    total = sum(sizes)
    header = [
        "#ifndef SITES_H",
        "#define SITES_H",
        *(["#define PINGPONNX_ROUNDING_TFLITE"] if rounding is Rounding.TFLITE else []),
        "#include <stdint.h>",
        f"typedef union {{ uint64_t alignment; uint8_t bytes[{total}]; }} sites_arena;",
        "int sites_run(sites_arena *arena);",
        "#endif",
    ]
    source = [
        '#include "sites.h"',
        *includes(runs),
        *_LIBRARY,
        *functions(runs),
        "int sites_run(sites_arena *arena) {",
        "    written = arena->bytes;",
        *(f"    taken = 0;\n    case_{i}();" for i in range(len(runs))),
        "    return 0;",
        "}",
    ]
    firmware = build(
        {"sites.h": "\n".join(header) + "\n", "sites.c": "\n".join(source) + "\n"},
        Entry("sites", (), ((0, total),), 1),
        get_target(core),
        folder,
        optimisation="-O2",
        include_dirs=[runtime_c()],
    )
    ((data,),) = run(firmware, [[]]).outputs
    return split_outputs(runs, data)


# What the host's functions want of the C library, which a board's model does not have.
_LIBRARY = (
    "static uint8_t *written;",
    f"static _Alignas(8) uint8_t heap[{_HEAP}];",
    "static size_t taken;",
    "static __attribute__((unused)) void *take(size_t bytes) {",
    "    void *const place = heap + taken;",
    "    taken += (bytes + 7u) & ~(size_t)7u;",
    "    return place;",
    "}",
    "static void write_out(const void *from, size_t bytes) {",
    "    memcpy(written, from, bytes);",
    "    written += bytes;",
    "}",
    "#define malloc(bytes) take(bytes)",
    "#define free(memory) ((void)(memory))",
    "#define fwrite(from, size, count, file) write_out(from, (size) * (count))",
)


__all__ = ["Layer", "Numbers", "check_board", "check_host", "fed_extremes", "layer", "run_board"]
