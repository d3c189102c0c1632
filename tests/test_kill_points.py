"""Kill -9, a full, a read-only and a broken disk at changes of the disk: old or new, never a mixture."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


def _points(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(Path(__file__).parent / "faults" / "kill_points.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.qemu
def test_old_or_new_at_every_point() -> None:
    """The full sweep is `make kill-points`."""
    done = _points()
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    cases, total = found["cases"], found["total"]
    assert len(cases) >= 11 and total["killed"] > 100
    assert all(total[kind] >= 20 for kind in ("disk full", "read-only", "disk broken"))
    over = cases["convert, over an old one"]["found"]
    assert set(over) == {"old", "new"} and min(over.values()) > 5
    assert cases["convert, in steps"]["found"].keys() <= {"old", "new", "gone"}


def test_the_harness_finds_what_is_not_whole() -> None:
    """A writer that writes in place is caught."""
    done = _points("--only", "written in place, a fault of ours")
    assert done.returncode == 1 and "page.html is neither old nor new" in done.stderr
