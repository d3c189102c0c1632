"""A network of two fully connected layers, 32-16-4, that calls CMSIS-NN directly.

bakenn published its cycles on an nRF52840: 3,786. Weights and input are random: what they are decides
little, for all the code does with them is multiply and clamp.
"""

import math
import random
from collections.abc import Sequence
from itertools import pairwise

from pingponnx.entry import Entry

SILICON = 3786
LAYERS = (32, 16, 4)
ENTRY = Entry("fc32", inputs=((0, 32),), outputs=((48, 4),), nodes=2)

_HEADER = """#include <stdint.h>
typedef union { uint64_t alignment; int8_t bytes[56]; } fc32_arena;
int fc32_run(fc32_arena *arena);
"""
_RUN = """#include "fc32.h"
#include "arm_nnfunctions.h"
#define PINGPONNX_NODE_BEGIN(node)
#define PINGPONNX_NODE_END(node, data, bytes) (void)(data)
@TABLES@
int fc32_run(fc32_arena *arena) {
    int8_t *const b = arena->bytes;
    const cmsis_nn_context none = {0, 0};
    int status = 0;
    PINGPONNX_NODE_BEGIN(0);
    status |= arm_fully_connected_s8(&none, &fc0, &quant0, &in0, b, &filter0, w0, &bias0, b0, &out0, b + 32);
    PINGPONNX_NODE_END(0, b + 32, 16);
    PINGPONNX_NODE_BEGIN(1);
    status |= arm_fully_connected_s8(&none, &fc1, &quant1, &in1, b + 32, &filter1, w1, &bias1, b1, &out1,
                                     b + 48);
    PINGPONNX_NODE_END(1, b + 48, 4);
    return status;
}
"""


def sample() -> list[bytes]:
    """The input."""
    return [bytes(value & 0xFF for value in _random(random.Random(7), 128, 32))]


def sources() -> dict[str, str]:
    """The C library, as `build` takes it."""
    rng = random.Random(8)
    tables = [_tables(rng, layer, k, n) for layer, (k, n) in enumerate(pairwise(LAYERS))]
    return {"fc32.h": _HEADER, "fc32.c": _RUN.replace("@TABLES@", "\n".join(tables))}


def _tables(rng: random.Random, layer: int, k: int, n: int) -> str:
    """Constants of a layer from k to n values."""
    fraction, shift = math.frexp(40 / (math.sqrt(k) * 5400))
    multiplier = round(fraction * (1 << 31))
    weights, biases = _random(rng, 127, k * n), _random(rng, 2000, n)
    return f"""static const int8_t w{layer}[] = {{{_list(weights)}}};
static const int32_t b{layer}[] = {{{_list(biases)}}};
static const cmsis_nn_dims in{layer} = {{1, 1, 1, {k}}}, filter{layer} = {{{k}, 1, 1, {n}}};
static const cmsis_nn_dims bias{layer} = {{{n}, 0, 0, 0}}, out{layer} = {{1, 1, 1, {n}}};
static const cmsis_nn_fc_params fc{layer} = {{128, 0, -128, {{-128, 127}}}};
static const cmsis_nn_per_tensor_quant_params quant{layer} = {{{multiplier}, {shift}}};"""


def _random(rng: random.Random, limit: int, count: int) -> list[int]:
    return [rng.randint(-limit, limit - 1) for _ in range(count)]


def _list(values: Sequence[int]) -> str:
    return ", ".join(map(str, values))
