"""Gated recurrent units."""

from dataclasses import dataclass

import numpy as np

from pingponnx.ir import Array
from pingponnx.ops import operator
from pingponnx.ops.recurrent import Lane, Recurrent


@operator("GRU")
@dataclass(frozen=True, slots=True)
class GRU(Recurrent):
    """h = (1 - z) h' + z h, gates z (update), r (reset) and h' (candidate), over all steps of a sequence."""

    gates = 3
    work = 5
    defaults = ("sigmoid", "tanh")
    option_name = "linear_before_reset"

    def step(self, lane: Lane, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        (h,) = state
        n = self.units
        given = lane.w @ x + lane.w_bias
        gates = lane.activate(0, given[: 2 * n] + lane.r[: 2 * n] @ h + lane.r_bias[: 2 * n])
        update, reset = gates[:n], gates[n:]
        r, bias = lane.r[2 * n :], lane.r_bias[2 * n :]
        kept = reset * (r @ h + bias) if self.option else r @ (reset * h) + bias
        fresh = lane.activate(1, given[2 * n :] + kept)
        return ((np.float32(1) - update) * fresh + update * h,)
