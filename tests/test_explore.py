"""Exploring: the choices, what is worth having, where it fits; results survive killed workers."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import Builder, command_line, save
from pingponnx.errors import Error
from pingponnx.explore import Cache, Choice, Outcome, Space, front, load_parts
from pingponnx.fixed_point import Rounding
from pingponnx.measure import measure, subject
from pingponnx.pipeline import Options
from pingponnx.select import Goal
from pingponnx.targets import load_targets

_PATIENCE = 300.0  # seconds
CHOICE = Choice("int8", Goal.RAM, "cortex-m4", "O3", Rounding.SINGLE)


def _outcome(ram: int, flash: int, cycles: int, target: str = "cortex-m4") -> Outcome:
    choice = Choice("int8", Goal.RAM, target, "O3", Rounding.SINGLE)
    result = {"ram": {"total": ram}, "flash": {"total": flash}, "cycles": cycles}
    return Outcome(choice, result | {"agreement": {"top1_agreement": 1.0}})


def test_space() -> None:
    choices = list(Space().choices())
    assert len(set(choices)) == len(choices) == 3 * 3 * (1 + 2)
    assert str(CHOICE) == "int8 ram cortex-m4 O3 single"
    for wrong in ({"dtypes": ("int4",)}, {"levels": ("Ofast",)}):
        with pytest.raises(Error):
            Space(**wrong)  # type: ignore[arg-type]


@given(st.lists(st.tuples(*[st.integers(1, 4)] * 3), min_size=1, max_size=12))
def test_front(costs: list[tuple[int, int, int]]) -> None:
    """What is left is not beaten; what is gone is beaten or has an equal that is left."""
    outcomes = [_outcome(*c) for c in costs]
    kept = {o.costs for o in front(outcomes)}

    def beats(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
        return a != b and all(x <= y for x, y in zip(a, b, strict=True))

    for outcome in outcomes:
        assert (outcome.costs in kept) == (not any(beats(o.costs, outcome.costs) for o in outcomes))
    assert len(front(outcomes)) == len(kept)


def test_targets_are_not_compared_with_each_other() -> None:
    assert len(front([_outcome(1, 1, 1), _outcome(2, 2, 2, "cortex-m7")])) == 2


def test_parts() -> None:
    parts = load_parts()
    assert len(parts) >= 40 and len({p.name for p in parts}) == len(parts)
    assert {p.core for p in parts} <= load_targets().keys()
    for part in parts:
        assert 4 * 1024 <= part.ram <= 4 * 2**20 and 16 * 1024 <= part.flash <= 8 * 2**20
        assert part.source and part.maker
    small, slow = _outcome(8 * 1024, 60 * 1024, 10), _outcome(4 * 1024, 60 * 1024, 20)
    (f350,) = [p for p in parts if p.name == "GD32F350RB"]
    assert f350.best([small, slow]) is small
    assert f350.best([_outcome(f350.ram + 1, 1, 1)]) is None
    assert f350.best([_outcome(1, 1, 1, "cortex-m7")]) is None


def test_a_broken_cache_file_is_no_result(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.put("k", {"a": 1})
    assert cache.get("k") == {"a": 1} and cache.get("other") is None
    for text in ("{", "[]", ""):
        (tmp_path / "k.result").write_text(text, encoding="utf-8")
        assert cache.get("k") is None


# -- measured -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    net = Builder()
    y = net.add("Relu", net.conv("x", 2, 4))
    folder = tmp_path_factory.mktemp("explored")
    return save(net.model({"x": (1, 2, 8, 8)}, net.conv(y, 4, 3)), folder / "tiny.onnx")


@pytest.mark.qemu
def test_explore_measures_what_report_does(model: Path, tmp_path: Path) -> None:
    environment = {"PINGPONNX_CACHE": str(tmp_path / "cache")}
    ways = ["-O", "O3", "--goal", "ram", "--rounding", "single", "--limit", "2", "--ram", "4K"]
    page = tmp_path / "page.html"
    done = command_line("explore", model, *ways, "--json", "--html", page, env=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    outcomes = {row["dtype"]: row for row in found["outcomes"]}
    assert outcomes.keys() == {"float32", "int8"} and all(r["equal_to_reference"] for r in outcomes.values())
    assert all(row["fits"] and row["peak"][0]["bytes"] for row in outcomes.values())
    options = Options(goal=Goal.RAM)
    row = measure(subject(model, options, None), options)
    for key in ("ram", "flash", "cycles", "instructions"):
        assert outcomes["float32"][key] == row[key]
    assert "Ways to build tiny" in page.read_text(encoding="utf-8")
    again = command_line("explore", model, *ways, env=environment)
    assert "2 ways measured (2 of them before)" in again.stdout and "STM32F401RE" in again.stdout
    assert "of 2:" not in again.stderr  # nothing was done
    assert "samples are made up" in again.stdout
    tight = [*ways[:-1], "100"]
    assert command_line("explore", model, *tight, env=environment).returncode == 1


@pytest.mark.qemu
def test_budgets_are_of_everything_that_a_run_needs(examples: Path, tmp_path: Path) -> None:
    """Alone the arena would fit, but not with the stack: a smaller one is planned."""
    lenet = examples / "lenet5" / "lenet5_int8.onnx"
    free = measure(subject(lenet, Options(), None, 1), Options())
    ram = free["ram"]["total"] - 1
    assert free["ram"]["arena"] < ram
    ways = ["-O", "O3", "--goal", "balanced", "--rounding", "single", "--limit", "1", "--ram", str(ram)]
    done = command_line("explore", lenet, *ways, "--json", env={"PINGPONNX_CACHE": str(tmp_path)})
    (row,) = json.loads(done.stdout)["outcomes"]
    assert done.returncode == 0 and row["ram"]["total"] <= ram and row["fits"]


def test_bad_input(model: Path, tmp_path: Path) -> None:
    for wrong in (["--goal", "x"], ["--dtype", "float32", "--dask", "tcp://127.0.0.1:1"]):
        done = command_line("explore", model, *wrong, env={"PINGPONNX_CACHE": str(tmp_path)})
        assert done.returncode == 2 and "hint:" in done.stderr and not done.stdout, wrong


# -- killed workers -------------------------------------------------------------------------------------

WAYS = [a for level in ("O2", "O3", "Os") for a in ("-O", level)]
MANY = ["--dtype", "float32", "--goal", "ram", "--goal", "cycles", *WAYS, "--limit", "1", "--json"]


@contextmanager
def _started(*command: str | Path, env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A process of ours, which is ended at the latest when the test is."""
    process = subprocess.Popen(
        list(map(str, command)),
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _wait_for(what: Any, process: subprocess.Popen[str]) -> Any:
    """What happens while a process runs."""
    limit = time.monotonic() + _PATIENCE
    while not (found := what()):
        assert time.monotonic() < limit, "nothing happened"
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    return found


def _finished(cache: Path) -> dict[str, int]:
    """Results and when they were written."""
    return {path.name: path.stat().st_mtime_ns for path in (cache / "explore").glob("[!.]*.result")}


def _workers(parent: int) -> list[int]:
    """joblib's processes under a process."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    names = {int(c): Path(f"/proc/{c}/cmdline").read_bytes() for c in children}
    return [pid for pid, name in names.items() if b"loky" in name and b"resource_tracker" not in name]


def _assert_all(process: subprocess.Popen[str], cache: Path, before: dict[str, int]) -> None:
    """Everything was measured, and what had been finished was not touched again."""
    output, messages = process.communicate(timeout=_PATIENCE)
    assert process.returncode == 0, messages
    rows = json.loads(output)["outcomes"]
    assert len(rows) == 6 and not any("failed" in row for row in rows)
    after = _finished(cache)
    assert len(after) == 6 and 0 < len(before) < 6
    assert {name: after[name] for name in before} == before


@pytest.mark.qemu
def test_a_killed_process_loses_nothing(model: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pingponnx", "explore", model, *MANY, "--jobs", "2"]
    with _started(*command, env={"PINGPONNX_CACHE": str(tmp_path)}) as process:
        _wait_for(lambda: len(_finished(tmp_path)) >= 2, process)
        before = _finished(tmp_path)
        os.kill(_workers(process.pid)[0], signal.SIGKILL)
        _assert_all(process, tmp_path, before)


@pytest.mark.qemu
def test_a_dask_cluster_and_a_killed_worker(model: Path, tmp_path: Path) -> None:
    """A scheduler and two workers on the loopback interface; workers have caches of their own."""
    home, address_file = tmp_path / "here", tmp_path / "scheduler.json"
    scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    scheduler += ["--no-dashboard", "--scheduler-file", str(address_file)]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(address_file)]
    worker += ["--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    far = {"PINGPONNX_CACHE": str(tmp_path / "there")}
    with (
        _started(*scheduler, env={}) as boss,
        _started(*worker, "--local-directory", tmp_path / "w1", env=far) as first,
        _started(*worker, "--local-directory", tmp_path / "w2", env=far),
    ):
        _wait_for(address_file.exists, boss)
        address = json.loads(_wait_for(lambda: address_file.read_text(encoding="utf-8"), boss))["address"]
        command = [sys.executable, "-m", "pingponnx", "explore", model, *MANY, "--dask", address]
        with _started(*command, env={"PINGPONNX_CACHE": str(home)}) as process:
            _wait_for(lambda: len(_finished(home)) >= 2, process)
            before = _finished(home)
            first.kill()
            _assert_all(process, home, before)


def test_workers_are_out_of_the_terminals_reach() -> None:
    """Ctrl-C goes to every process of a terminal: a worker that is just starting would print a traceback."""
    code = (
        "from signal import SIG_BLOCK, pthread_sigmask\n"
        "from pingponnx.explore import runner\n"
        "def blocked(work=None, key='own'):\n"
        "    return key, sorted(map(int, pthread_sigmask(SIG_BLOCK, [])))\n"
        "runner.perform = blocked\n"
        "print(sorted(runner._parallel({'a': 0, 'b': 0}, 2)), blocked())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "[('a', [2]), ('b', [2])] ('own', [])\n", done.stderr
