"""Measurements through time: from a folder of small files, and from a report's own history in git."""

import copy
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from browser import browser
from models import command_line
from pingponnx import history
from pingponnx.errors import Error
from pingponnx.report.trend_page import trend_page, trend_result, trend_rows

ROOT = Path(__file__).resolve().parents[1]
BASELINE: dict[str, Any] = json.loads((ROOT / "reports" / "baseline.json").read_text(encoding="utf-8"))
COMMITS = [(f"{n:x}" * 40, f"2026-0{n}-01T12:00:00+00:00") for n in (1, 2, 3)]


def _reports() -> list[dict[str, Any]]:
    """Two measurements at three commits: RAM grows, then the compiler changes and a model too."""
    reports = []
    for step in range(3):
        report = copy.deepcopy(BASELINE)
        report["measurements"] = report["measurements"][:2]
        report["measurements"][0]["ram"]["total"] = 1000 + 100 * step
        reports.append(report)
    reports[2]["tool"]["gcc"] = "another"
    reports[2]["measurements"][1]["model_sha256"] = "0" * 64
    return reports


@pytest.fixture
def entries() -> list[history.Entry]:
    return [history.entry_of(r, *commit) for r, commit in zip(_reports(), COMMITS, strict=True)]


def test_a_folder_gives_back_what_was_added(entries: list[history.Entry], tmp_path: Path) -> None:
    for entry in reversed(entries):
        path = history.add(tmp_path, entry)
        assert path.stat().st_size < 4000
    assert history.add(tmp_path, entries[0]).exists()
    assert history.read_folder(tmp_path) == entries
    assert len(list(tmp_path.iterdir())) == 3


def test_series_and_what_else_changed(entries: list[history.Entry]) -> None:
    result = trend_result(entries)
    first, second = result["series"]
    assert [c["commit"] for c in result["commits"]] == [commit for commit, _ in COMMITS]
    assert [p["ram"] for p in second["points"]] == [1000, 1100, 1200]  # sorted by variant: optimised is last
    assert [p["note"] for p in first["points"]] == ["", "", "another model file, another gcc"]
    assert [p["note"] for p in second["points"]] == ["", "", "another gcc"]
    assert "1,200 (+20.0 %)" in [row["RAM"] for row in trend_rows(entries)]


def test_bad_histories(tmp_path: Path) -> None:
    with pytest.raises(Error):
        history.read_folder(tmp_path)
    for commit, date in (("$(x)", COMMITS[0][1]), (COMMITS[0][0], "yesterday")):
        with pytest.raises(Error):
            history.entry_of(BASELINE, commit, date)
    for text in ("{", "[]", '{"schema": 2}', '{"schema": 1, "measurements": [{}]}'):
        (tmp_path / "x.json").write_text(text, encoding="utf-8")
        with pytest.raises(Error):
            history.read_folder(tmp_path)


def test_names_from_models_are_text(entries: list[history.Entry]) -> None:
    (old, *rest) = entries
    evil = "</script><script>alert(1)</script>"
    (measured, *others) = old.measurements
    hostile = history.Measured((evil, *measured.key[1:]), measured.model_sha256, measured.metrics)
    page = trend_page([history.Entry(old.commit, old.date, old.tools, (hostile, *others)), *rest])
    assert evil not in page and "alert(1)" in page


def _git(folder: Path, *arguments: str, day: int = 1) -> None:
    date = f"2026-01-{day:02}T12:00:00+00:00"
    environment = {**os.environ, "GIT_COMMITTER_DATE": date, "GIT_AUTHOR_DATE": date}
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(
        ["git", *identity, *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=60,
        env=environment,
    )


def test_commands(tmp_path: Path) -> None:
    committed, folder = tmp_path / "reports" / "baseline.json", tmp_path / "history"
    committed.parent.mkdir()
    _git(tmp_path, "init", "--quiet")
    for number, report in enumerate([{"schema": 0}, *_reports()]):
        committed.write_text(json.dumps(report), encoding="utf-8")
        _git(tmp_path, "add", "-A")
        _git(tmp_path, "commit", "--quiet", "-m", f"step {number}", day=number + 1)
        if number:
            done = command_line("trend", folder, "--add", committed, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            _git(tmp_path, "add", "-A")
            _git(tmp_path, "commit", "--quiet", "-m", "history")
    page = tmp_path / "trend.html"
    from_git = command_line("trend", committed, "--json", "--html", page, cwd=tmp_path)
    found = json.loads(from_git.stdout)["series"]
    assert [p["ram"] for p in found[1]["points"]] == [1000, 1100, 1200]
    kept = json.loads(command_line("trend", folder, "--json").stdout)["series"]
    assert [[p["ram"] for p in s["points"]] for s in kept] == [[p["ram"] for p in s["points"]] for s in found]
    assert page.stat().st_size > 10_000
    assert "3 commits, " in command_line("trend", folder).stdout
    for wrong in (
        [tmp_path / "none"],
        [committed, "--add", committed],
        [folder, "--add", committed, "--commit", "ab"],
    ):
        done = command_line("trend", *wrong, cwd=tmp_path)
        assert done.returncode == 2 and "hint:" in done.stderr and not done.stdout, wrong


@pytest.mark.browser
def test_the_page_draws_in_a_browser(entries: list[history.Entry], tmp_path: Path) -> None:
    page = tmp_path / "trend.html"
    page.write_text(trend_page(entries), encoding="utf-8")
    with browser() as chromium:
        chromium.open(page, phone=True)
        assert chromium.draw_all() >= 3
        assert "lenet5_f32, cortex-m0" in chromium.run("document.body.textContent")
        assert chromium.console() == []
