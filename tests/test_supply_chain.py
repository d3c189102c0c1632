"""What is installed and shipped: lower bounds, the lock file, distributions that are reproducible."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def _locked() -> dict[str, set[str]]:
    """The versions of each package; systems and Pythons may have different ones."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([a-z0-9-]+)==(\S+)", LOCK, re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


def test_the_lock_has_what_the_project_needs_and_no_address() -> None:
    locked = _locked()
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]
    for requirement in map(Requirement, wanted):
        versions = locked.get(canonicalize_name(requirement.name), set())
        fits = versions and all(requirement.specifier.contains(v, prereleases=True) for v in versions)
        assert fits, f"{requirement} but {versions}: run `make lock`"
    assert "://" not in LOCK and "--index" not in LOCK and "--find-links" not in LOCK


def test_a_python_without_wheels_is_told_another(tmp_path: Path) -> None:
    """pip fails; a Python that is too old is told before."""
    fake = tmp_path / "python"
    pip = "printf '#!/bin/sh\\nexit 1\\n' >.venv/bin/pip; chmod +x .venv/bin/pip"
    script = f"-m) mkdir -p .venv/bin; {pip};; --version) echo Python 3.99;; -c) exit $OLD;;"
    fake.write_text(f'#!/bin/sh\ncase "$1" in {script} esac\n')
    fake.chmod(0o755)
    for old, message in (
        ("0", "tested with Python 3.11 and has wheels up to 3.14; this is Python 3.99."),
        ("1", "needs"),
    ):
        command = ["sh", str(ROOT / "tools" / "venv.sh"), str(fake)]
        environment = {**os.environ, "OLD": old}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 1 and message in done.stderr and "PYTHON=python3.1" in done.stderr


def test_everything_locked_has_a_digest() -> None:
    entries = re.split(r"\n(?=\S)", LOCK.strip())
    assert len(entries) > 60
    assert [e.split()[0] for e in entries if "--hash=sha256:" not in e] == []


def test_every_dependency_of_users_has_a_lower_bound() -> None:
    """`make lowest` installs exactly these, and runs tests on them."""
    extras = [r for name in ("cmsis", "exact", "dask") for r in PROJECT["optional-dependencies"][name]]
    found = [*map(Requirement, (*PROJECT["dependencies"], *extras))]
    assert len(found) >= 16
    bounded = [r for r in found if {s.operator for s in r.specifier} & {">=", "=="}]
    assert bounded == found


def test_distributions_are_reproducible_and_need_no_checkout() -> None:
    """From checkouts of other umasks, times and zones, and from the sdist; more does `make dist-check`."""
    command = [sys.executable, str(ROOT / "tools" / "dist_check.py"), "--offline"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert len(result["sha256"]) == 2 and {"convert optimised", "verify"} <= set(result["ran"])
