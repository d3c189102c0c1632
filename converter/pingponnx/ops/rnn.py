"""The simple recurrent network."""

from dataclasses import dataclass

from pingponnx.ir import Array
from pingponnx.ops import operator
from pingponnx.ops.recurrent import Lane, Recurrent


@operator("RNN")
@dataclass(frozen=True, slots=True)
class RNN(Recurrent):
    """h = f(W x + R h + b), over all steps of a sequence."""

    gates = 1
    work = 2
    defaults = ("tanh",)

    def step(self, lane: Lane, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        (h,) = state
        return (lane.activate(0, lane.w @ x + lane.w_bias + lane.r @ h + lane.r_bias),)
