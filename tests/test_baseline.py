"""This repository's own regression check: the shipped models against reports/baseline.json."""

import json
from pathlib import Path
from typing import Any

import pytest
from baseline import measure_shipped

from pingponnx.report.compare import DEFAULT_LIMITS, compare

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.qemu
@pytest.mark.cmsis
def test_nothing_got_worse_than_the_committed_baseline() -> None:
    baseline: dict[str, Any] = json.loads((ROOT / "reports" / "baseline.json").read_text(encoding="utf-8"))
    run = measure_shipped()
    same_compiler = run["tool"]["gcc"] == baseline["tool"]["gcc"]
    # another compiler makes other code; what does not depend on it must still be equal
    limits = DEFAULT_LIMITS if same_compiler else {"ram": 10.0, "flash": 10.0, "instructions": 50.0}
    worse = [str(change) for change in compare(run, baseline, limits) if change.worse]
    assert not worse, "\n".join(["`make baseline` updates it on purpose", *worse])
    arenas = [[m["ram"]["arena"] for m in report["measurements"]] for report in (run, baseline)]
    assert arenas[0] == arenas[1]
