"""Long short-term memory."""

from dataclasses import dataclass

import numpy as np

from pingponnx.ir import Array
from pingponnx.ops import operator
from pingponnx.ops.recurrent import Lane, Recurrent


@operator("LSTM")
@dataclass(frozen=True, slots=True)
class LSTM(Recurrent):
    """c = f c + i c', h = o tanh(c), gates i, o, f and c', with peepholes, over all steps of a sequence."""

    gates = 4
    work = 6
    states = 2
    defaults = ("sigmoid", "tanh", "tanh")
    option_name = "input_forget"

    def step(self, lane: Lane, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        h, c = state
        in_, out, forget, fresh = np.split(lane.w @ x + lane.w_bias + lane.r @ h + lane.r_bias, 4)
        peep_in, peep_out, peep_forget = np.split(lane.peepholes, 3)
        taken = lane.activate(0, in_ + peep_in * c)
        kept = np.float32(1) - taken if self.option else lane.activate(0, forget + peep_forget * c)
        cell = kept * c + taken * lane.activate(1, fresh)
        opened = lane.activate(0, out + peep_out * cell)
        return opened * lane.functions[2](cell), cell  # the cell is no sum: not clipped
