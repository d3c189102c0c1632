"""Kill -9, a full, a read-only and a broken disk at changes of the disk: old or new, never a mixture."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FAULTS = Path(__file__).parent / "faults"


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shim") / "shim.so"
    flags = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared"]
    subprocess.run(["cc", *flags, str(FAULTS / "shim.c"), "-o", str(out), "-ldl"], check=True)
    return out


def _points(shim: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(FAULTS / "kill_points.py"), *arguments],
        env={**os.environ, "LD_PRELOAD": str(shim)},
        capture_output=True,
        text=True,
    )


@pytest.mark.qemu
def test_old_or_new_at_every_point(shim: Path) -> None:
    """The full sweep is `make kill-points`."""
    done = _points(shim)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    cases, total = found["cases"], found["total"]
    assert len(cases) >= 11 and total["killed"] > 100
    assert all(total[kind] >= 20 for kind in ("disk full", "read-only", "disk broken"))
    over = cases["convert, over an old one"]["found"]
    assert set(over) == {"old", "new"} and min(over.values()) > 5
    assert cases["convert, in steps"]["found"].keys() <= {"old", "new", "gone"}


def test_the_harness_finds_what_is_not_whole(shim: Path) -> None:
    """A writer that writes in place is caught."""
    done = _points(shim, "--only", "written in place, a fault of ours")
    assert done.returncode == 1 and "page.html is neither old nor new" in done.stderr
