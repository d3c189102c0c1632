"""Random networks, with how they are quantized and converted; hypothesis draws both."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import onnx
from hypothesis import assume
from hypothesis import strategies as st

from pingponnx.calibrate import Scheme
from pingponnx.plan import InputMode
from varied_networks import Unfit, Varied

DTYPES = FLOAT, INTEGER, ODD = "float32", "int8", "int8 with odd scales"
CORES = ("host", "cortex-m0", "cortex-m4", "cortex-m55")  # whose kernels run; the host has C for all


@dataclass(frozen=True)
class Drawn:
    """A float32 network, and how it is quantized and converted."""

    model: onnx.ModelProto
    dtype: str
    scheme: Scheme
    float_io: bool
    nchw_io: bool
    core: str
    mode: InputMode

    @property
    def key(self) -> bytes:
        """Equal for equal networks that are converted alike."""
        rest = (self.dtype, self.scheme, self.float_io, self.nchw_io, self.core, self.mode)
        return self.model.SerializeToString(deterministic=True) + repr(rest).encode()


Step = Callable[[str], None]


@st.composite
def drawn(draw: st.DrawFn) -> Drawn:
    made = Varied(draw)
    made.more_inputs()
    inputs = dict(made.values)
    for name in list(inputs)[1:]:
        with suppress(Unfit):
            made.conv(name)
    steps: list[Step] = [
        *[made.conv] * 5,
        *[made.pool] * 3,
        *[made.activation] * 3,
        *[made.binary] * 3,
        *[made.residual, made.concat, made.recurrent, made.dense] * 2,
        *(made.conv_transpose, made.whole_pool, made.reduce, made.pad, made.resize, made.transpose),
        *(made.reshape, made.split, made.slice, made.normalise, made.choice, made.product),
    ]
    count = draw(st.integers(1, 7))
    for _ in range(3 * count):  # about a third does not fit
        step = draw(st.sampled_from(steps))
        with suppress(Unfit):
            step(made.latest())
            count -= 1
        if not count:
            break
    if not set(made.values) - set(inputs):
        made.grow("Relu", "x")
    model = made.finished(inputs)
    # onnx's inference of older opsets, also onnxruntime's, gets lost behind some pools with ceil_mode
    assume(all(value.type.HasField("tensor_type") for value in model.graph.output))
    scheme = Scheme(draw(st.booleans()), draw(st.booleans()), draw(st.booleans()))
    mode = draw(st.sampled_from([InputMode.RESIDENT, InputMode.RESIDENT, InputMode.EXTERNAL, InputMode.ROWS]))
    dtype = draw(st.sampled_from([FLOAT, FLOAT, INTEGER, INTEGER, ODD]))
    return Drawn(
        model, dtype, scheme, draw(st.booleans()), draw(st.booleans()), draw(st.sampled_from(CORES)), mode
    )
