"""Fuzzing in short, always the same: what docs/hardening.md runs for longer."""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
from fuzzing import bombs
from fuzzing.mutations import MUTATIONS, UNFIT, mutate
from fuzzing.seeds import seeds

ROOT = Path(__file__).resolve().parents[1]


def _fuzz(folder: Path, executions: int, *options: str) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, str(ROOT / "tools" / "fuzz_load.py"), f"--executions={executions}", "--seed=7"]
    command += [f"--findings={folder}", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=folder, check=False)
    assert done.stdout, done.stderr[-4000:]
    return done.returncode, json.loads(done.stdout)


@pytest.mark.atheris
def test_nothing_but_errors_leaves_load_and_rewrite(tmp_path: Path) -> None:
    code, found = _fuzz(tmp_path, 5000)
    assert code == 0, found
    assert found["executions"] >= 5000 and found["crashes"] == found["deaths"] == 0
    assert found["refused"] > 1500 and found["accepted"] > 150  # neither all damaged beyond reading, nor none
    assert found["refused"] + found["accepted"] == found["executions"]
    assert found["kinds"] == []


@pytest.mark.atheris
def test_the_fuzzer_notices(tmp_path: Path) -> None:
    """With a bound on memory that any model breaks, it says so, keeps the model and ends with 1.

    A folder of more seeds may be missing, as in a clone.
    """
    code, found = _fuzz(tmp_path, 60, "--peak-mb=1", "--seeds=nowhere")
    assert code == 1 and found["crashes"] >= 1
    assert found["kinds"]
    for kind in found["kinds"]:
        assert kind.startswith("memory-") and (tmp_path / f"{kind}.onnx").is_file()


def test_every_mutation_changes_models() -> None:
    """And equal seeds give equal models."""
    models = seeds()
    assert len(models) > 5 and bombs.fill in MUTATIONS and len(MUTATIONS) > 30
    idle = []
    for mutation in MUTATIONS:
        changed = 0
        for seed, data in enumerate(models):
            model = onnx.ModelProto.FromString(data)
            before = model.SerializeToString(deterministic=True)
            try:
                mutation(random.Random(seed), model)
            except UNFIT:
                continue
            changed += model.SerializeToString(deterministic=True) != before
        idle += [mutation.__name__] if changed < 2 else []
    assert idle == []
    for seed in range(20):
        assert mutate(models[0], seed, models) == mutate(models[0], seed, models)
    assert mutate(b"no model", 3, models)
