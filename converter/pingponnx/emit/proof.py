"""What a self-test embeds: a sample, and by what its outputs and the constants are known to be right."""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pingponnx.constants import Constant
from pingponnx.emit.literals import C_TYPES, number, rows_of
from pingponnx.ir import Array
from pingponnx.names import comment

_POLYNOMIAL = 0xEDB88320  # of CRC-32, IEEE 802.3, bits reversed


@dataclass(frozen=True, slots=True)
class Proof:
    """A sample and the reference's outputs, in the layout of the C library; where the sample is from.

    Floating-point outputs may differ by `tolerances`, one for each output; integers are exact.
    """

    source: str
    inputs: Sequence[Array]
    outputs: Sequence[Array]
    tolerances: Sequence[float]

    def context(self, prefix: str, tables: Iterable[Constant]) -> dict[str, Any]:
        """What the templates write down."""
        known = [(f"{prefix}_{t.name}", np.ascontiguousarray(t.data)) for t in tables if t.data.size]
        crc = 0
        for _, data in known:
            crc = zlib.crc32(data.tobytes(), crc)
        return {
            "source": comment(self.source),
            "tables": [(symbol, data.nbytes) for symbol, data in known],
            "constants": _hex(crc),
            "inputs": [_values(i, a) for i, a in enumerate(self.inputs)],
            "outputs": [
                _output(i, a, t) for i, (a, t) in enumerate(zip(self.outputs, self.tolerances, strict=True))
            ],
            "crc_table": [_hex(_remainder(i)) for i in range(16)],
        }


def _values(index: int, data: Array) -> dict[str, Any]:
    return {"index": index, "ctype": C_TYPES[str(data.dtype)], "rows": rows_of(data)}


def _output(index: int, data: Array, tolerance: float) -> dict[str, Any]:
    found = {"index": index, "ctype": C_TYPES[str(data.dtype)], "size": data.size, "bytes": data.nbytes}
    if data.dtype.kind == "f":
        kind = np.float64 if data.dtype == np.float64 else float
        return found | {"rows": rows_of(data), "tolerance": number(kind(tolerance))}
    return found | {"rows": [], "crc": _hex(zlib.crc32(np.ascontiguousarray(data).tobytes()))}


def _hex(value: int) -> str:
    return f"0x{value:08X}u"


def _remainder(bits: int) -> int:
    for _ in range(4):
        bits = bits >> 1 ^ (_POLYNOMIAL if bits & 1 else 0)
    return bits
