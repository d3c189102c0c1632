"""Build sdist and wheel in several ways, to the same bytes, and use the wheel where no checkout is.

`--offline` installs the wheel beside the packages of the Python that runs this (what CI does); without it pip
gets everything in a new environment, as a user has it. Prints JSON: digests, and what was run.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LENET = ROOT / "examples" / "lenet5" / "lenet5_int8.onnx"
_UMASKS = (0o022, 0o077)
_ZONES = ("UTC", "Pacific/Auckland")


def _run(*command: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """What a command printed; it is shown when the command fails."""
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\nended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def _copy(to: Path, umask: int) -> Path:
    """What is under version control, as another checkout would have it: other times, another umask."""
    before = os.umask(umask)
    names = _run("git", "ls-files", "-z", cwd=ROOT).split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, to / name)
            (to / name).chmod((0o777 if os.access(ROOT / name, os.X_OK) else 0o666) & ~umask)
            os.utime(to / name, (umask * 10**6, umask * 10**6))
    os.umask(before)
    return to


def _build(source: Path, out: Path, kind: str, zone: str = "UTC") -> Path:
    """One distribution, with what is installed here: nothing is downloaded."""
    options = ["--no-isolation", "--skip-dependency-check", f"--{kind}", "--outdir", str(out)]
    _run(sys.executable, "-m", "build", *options, cwd=source, env={"TZ": zone})
    (built,) = out.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return built


def build_all(folder: Path) -> tuple[Path, dict[str, str]]:
    """The wheel, and digests. Ends the program where the same files give other bytes."""
    wheels, sdists = [], []
    for number, (umask, zone) in enumerate(zip(_UMASKS, _ZONES, strict=True)):
        source = _copy(folder / f"checkout {number}", umask)
        wheels.append(_build(source, folder / f"w{number}", "wheel", zone))
        sdists.append(_build(source, folder / f"s{number}", "sdist", zone))
    with tarfile.open(sdists[0]) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    wheels.append(_build(unpacked, folder / "w-sdist", "wheel"))
    for built in (wheels, sdists):
        if len({path.read_bytes() for path in built}) != 1:
            sys.exit(f"not the same bytes: {', '.join(str(path.relative_to(folder)) for path in built)}")
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (wheels[0], sdists[0])}
    return wheels[0], digests


def _environment(folder: Path, wheel: Path, offline: bool) -> Path:
    """A virtual environment with the wheel; its Python."""
    _run(sys.executable, "-m", "venv", *(["--without-pip"] if offline else []), folder, cwd=folder.parent)
    python = folder / "bin" / "python"
    if not offline:
        _run(python, "-m", "pip", "install", "--quiet", f"{wheel}[cmsis]", cwd=folder.parent)
        return python
    packages = Path(
        _run(
            python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder.parent
        ).strip()
    )
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def use(python: Path, folder: Path, runs_qemu: bool) -> list[str]:
    """Commands in a folder with nothing but a model; ends the program when one fails."""
    (folder / "here").mkdir()
    model = shutil.copy(LENET, folder / "here")
    read_only = [path for path in (python.parents[1] / "lib").rglob("pingponnx*") if path.is_dir()]
    here, env = folder / "here", {"PINGPONNX_CACHE": str(folder / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    env |= {"PYTHONPATH": "", "CMSIS_NN_ROOT": ""}
    before = {p: p.read_bytes() for top in read_only for p in sorted(top.rglob("*")) if p.is_file()}
    where = "import pingponnx._paths as p; print(p.runtime_c(), p.cmsis_baseline())"
    for place in _run(python, "-c", where, cwd=here, env=env).split():
        if not Path(place).is_relative_to(python.parents[1]):
            sys.exit(f"the wheel takes its C from {place}")
    variants = ("optimised", "cmsis-nn")
    commands: list[list[str]] = [
        ["--version"],
        ["doctor"],
        ["operators"],
        *(
            ["convert", model, "-o", f"c-{v}", "--variant", v]
            for v in variants
            if runs_qemu or v != "cmsis-nn"
        ),
        ["verify", model, "--limit", "2"],
        ["plan", model, "--html"],
        *([["report", model, "-o", "report", "--limit", "1"]] if runs_qemu else []),
    ]
    for command in commands:
        _run(python, "-m", "pingponnx", *command, cwd=here, env=env)
    if {p: p.read_bytes() for top in read_only for p in sorted(top.rglob("*")) if p.is_file()} != before:
        sys.exit("the installed package was written to")
    if runs_qemu and not list((folder / "cache").glob("profile-*.so")):
        sys.exit("the plugin was not built from the wheel's sources")
    return [" ".join(command[:1] + [w for w in command[1:] if w in variants]) for command in commands]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--offline", action="store_true", help="download nothing; no QEMU")
    offline: bool = parser.parse_args().offline
    with tempfile.TemporaryDirectory(prefix="dist-check-") as name:
        folder = Path(name).resolve()
        wheel, digests = build_all(folder)
        python = _environment(folder / "environment", wheel, offline)
        result: dict[str, Any] = {"sha256": digests, "ran": use(python, folder, not offline)}
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
