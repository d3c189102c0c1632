"""A case of the kill points: how it is prepared and done, and what is checked at each point."""

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sandbox
from sandbox import BROKEN, FOREIGN, FULL, KILL, READ_ONLY, Fault


@dataclass(frozen=True, slots=True)
class Case:
    """Something that is done, and the outputs by whose bytes it is judged, each on its own.

    `gap`: at some points there may be no output, which the next run brings back. `same` is what has to be
    equal in the end. `stride` thins the points out in the quick run; None leaves the case to the full one.
    """

    name: str
    prepare: Callable[[], int]
    act: Callable[[], int]
    units: tuple[str, ...]
    gap: bool = False
    same: tuple[str, ...] = ()
    stride: int | None = 1
    faults: bool = True


class Wrong(AssertionError):
    """A point at which something was lost, mixed or left."""


class Sweep:
    """All points of one case."""

    def __init__(self, case: Case, root: Path) -> None:
        self.case, self.root = case, root
        self.base, self.folder = root / "base", root / "run"
        sandbox.fresh(self.base)
        self._expect(sandbox.run(case.prepare, self.base), 0, "preparing")
        self.old = self._units(self.base)
        sandbox.fresh(self.folder, self.base)
        done = sandbox.run(case.act, self.folder)
        self._expect(done, 0, "the run without faults")
        self.calls, self.new = done.calls, self._units(self.folder)
        self.end = {name: sandbox.unit(self.folder, name) for name in case.same}
        self._clean("the run without faults")
        self.known = {FOREIGN[0], "tmp", "cache", *case.units, *(p.name for p in self.base.iterdir())}

    def _units(self, folder: Path) -> dict[str, Any]:
        return {name: sandbox.unit(folder, name) for name in self.case.units}

    def _expect(self, ended: sandbox.Ended, code: int, what: str) -> None:
        if ended.code != code:
            raise Wrong(f"{self.case.name}, {what}: ended with {ended.code}\n{ended.messages}")

    def _clean(self, what: str) -> None:
        if left := sandbox.leftovers(self.folder):
            raise Wrong(f"{self.case.name}, {what}: left {left}")

    def points(self, stride: int) -> Iterator[int]:
        """The first, and every stride-th."""
        return (k for k in range(1, self.calls + 1) if k % stride == 0 or k == 1)

    def point(self, k: int, fault: Fault) -> str:
        """Try one; what was found."""
        what = f"{fault.name} at {k} of {self.calls}"
        sandbox.fresh(self.folder, self.base)
        ended = sandbox.run(self.case.act, self.folder, k, fault)
        found = self._state(what)
        if fault is KILL:
            if ended.code not in (-signal.SIGKILL, 0):  # 0: threads made fewer changes this time
                raise Wrong(f"{self.case.name}, {what}: ended with {ended.code}\n{ended.messages}")
        elif ended.code == 0:
            if found != "new":
                raise Wrong(f"{self.case.name}, {what}: ended with 0, but the output is {found}")
        elif not sandbox.ends_with_one_error(ended):
            raise Wrong(f"{self.case.name}, {what}: no clear error\n{ended.code} {ended.messages}")
        if fault is FULL:
            self._clean(what)
        self._expect(sandbox.run(self.case.act, self.folder), 0, f"the run after {what}")
        if self._state(f"the run after {what}") != "new":
            raise Wrong(f"{self.case.name}, the run after {what}: the output is not the new one")
        if {name: sandbox.unit(self.folder, name) for name in self.case.same} != self.end:
            raise Wrong(f"{self.case.name}, the run after {what}: {self.case.same} are not the same")
        self._clean(f"the run after {what}")
        return found

    def _state(self, what: str) -> str:
        """old, new, gone, or some of both where there are several outputs."""
        now, states = self._units(self.folder), set()
        for name, data in now.items():
            state = "new" if data == self.new[name] else "old" if data == self.old[name] else "gone"
            if state == "gone" and not (self.case.gap and data is None):
                raise Wrong(f"{self.case.name}, {what}: {name} is neither old nor new")
            states.add(state)
        if strange := sandbox.strangers(self.folder, self.known):
            raise Wrong(f"{self.case.name}, {what}: {strange} appeared")
        if (self.folder / FOREIGN[0]).read_text() != FOREIGN[1]:
            raise Wrong(f"{self.case.name}, {what}: {FOREIGN[0]} was touched")
        return states.pop() if len(states) == 1 else "each old or new" if states else "new"


def sweep(case: Case, root: Path, stride: int | None) -> dict[str, Any]:
    """Kill points of a case, and points at which the disk is full, read-only or broken.

    Each stride-th of them; None: those of the quick run. Errors are tried at fewer where tools run.
    """
    began = time.monotonic()
    points = Sweep(case, root)
    quick, tools = stride is None, case.stride is None
    stride = (case.stride or 1) if stride is None else stride
    found = Counter(points.point(k, KILL) for k in points.points(stride))
    result: dict[str, Any] = {"changes": points.calls, "killed": sum(found.values()), "found": dict(found)}
    for fault in (FULL, READ_ONLY, BROKEN) if case.faults else ():
        some = points.points(7 * stride if quick or tools else stride)
        result[fault.name] = sum(1 for k in some if points.point(k, fault))
    return result | {"seconds": round(time.monotonic() - began, 1)}
