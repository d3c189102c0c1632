"""One measurement as a value that can be sent to another process or machine, and how it is done there."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pingponnx.errors import BudgetError, Error
from pingponnx.explore.cache import Cache, digest, tools
from pingponnx.explore.choices import Choice
from pingponnx.measure import Subject, measure, subject
from pingponnx.oracle import Oracle
from pingponnx.pipeline import Options
from pingponnx.targets import get_target
from pingponnx.workspace import temporary_folder

Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Work:
    """A choice for a model of static shape; model, reference and samples (an .npz) are files by content.

    The reference, if any, is the float32 model that a quantized one is compared with. `ram` and `flash`
    are budgets in bytes.
    """

    choice: Choice
    name: str
    model: bytes
    samples: bytes
    reference: bytes | None
    limit: int
    ram: int | None
    flash: int | None

    @property
    def options(self) -> Options:
        c = self.choice
        return Options(
            target=c.target,
            goal=c.goal,
            rounding=c.rounding,
            optimisation=f"-{c.level}",
            ram=self.ram,
            flash=self.flash,
        )

    @property
    def key(self) -> str:
        """Equal for equal models, samples, options and tools."""
        settings = [self.choice.settings, self.limit, self.ram, self.flash]
        return digest(
            tools(get_target(self.choice.target)).encode(),
            json.dumps(settings, sort_keys=True).encode(),
            self.model,
            self.samples,
            self.reference or b"",
        )


def perform(work: Work, key: str) -> tuple[str, Result]:
    """Measure, or take the result that this machine has; a finished one is kept before it is handed over.

    A model that does not convert, or does not fit the board, gives a result with `failed`, which is not
    kept. Raises Error when this machine's tools are not those that `key` was made with.
    """
    if work.key != key:
        raise Error(
            "a worker has other tools than this machine",
            "install the same pingponnx, gcc and QEMU everywhere",
        )
    cache = Cache()
    found = cache.get(key)
    if found is not None:
        return key, found
    try:
        result = _measure(work)
    except Error as error:
        return key, {"failed": error.message}
    cache.put(key, result)
    return key, result


def _measure(work: Work) -> Result:
    with temporary_folder() as folder:
        model, samples = folder / f"{work.name}.onnx", folder / "samples.npz"
        model.write_bytes(work.model)
        samples.write_bytes(work.samples)
        what = subject(model, work.options, samples, work.limit)
        if work.reference is not None:
            what = _against(what, work.reference, folder / "reference.onnx")
        return _result(_within(what, work.options))


def _within(what: Subject, options: Options) -> Mapping[str, Any]:
    """A row that keeps the budgets in total, if there is one.

    The converter's budgets are for the arena and the constants. What else the image takes is known once
    it is measured; then they are set again so that all of it fits.
    """
    try:
        row = measure(what, options)
    except BudgetError:  # how far off is worth knowing
        return measure(what, replace(options, ram=None, flash=None))
    ram = _left(options.ram, row["ram"]["total"], row["ram"]["arena"])
    flash = _left(options.flash, row["flash"]["total"], row["flash"]["constants"])
    if (ram, flash) == (options.ram, options.flash):
        return row
    try:
        return measure(what, replace(options, ram=ram, flash=flash))
    except BudgetError:
        return row


def _left(budget: int | None, total: int, part: int) -> int | None:
    """What a part of the total may take so that the total keeps the budget; the budget where it does."""
    if budget is None or total <= budget:
        return budget
    return max(budget - (total - part), 0)


def _against(what: Subject, reference: bytes, path: Path) -> Subject:
    """The same measurement, judged by the float32 model's outputs."""
    path.write_bytes(reference)
    oracle = Oracle(path)
    return replace(what, golden=tuple(oracle.outputs(s) for s in what.samples))


def _result(row: Mapping[str, Any]) -> Result:
    """What is worth keeping of a row of a report."""
    kept = ("ram", "flash", "cycles", "instructions", "equal_to_reference", "cycles_model")
    arena = [e for e in row["ledger"] if e["memory"] == "ram" and e["owner"] == "arena"]
    peak = sorted(arena, key=lambda e: (-e["bytes"], e["what"]))
    return {
        **{name: row[name] for name in kept},
        "agreement": row["onnxruntime"],
        "peak": [{"what": e["what"], "bytes": e["bytes"]} for e in peak],
        "strategy": row["plan"]["strategy"],
        "strategies": row["plan"]["strategies"],
        "kernels": sorted({n["kernel"] for n in row["nodes"]}),
    }
