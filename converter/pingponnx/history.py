"""What measurements were at earlier commits: small files in a folder, or a report's own history in git."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from pingponnx.check import rows_of
from pingponnx.check.rows import METRICS, value
from pingponnx.errors import Error, ToolchainError
from pingponnx.output import write_file
from pingponnx.process import execute

SCHEMA = 1
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)")
_TOOLS = ("pingponnx", "gcc", "optimisation", "cmsis_nn")  # those that decide the measured code

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """The metrics of one measurement (see check.rows); None where one is not known."""

    key: Key
    model_sha256: str
    metrics: Mapping[str, int | None]


@dataclass(frozen=True, slots=True)
class Entry:
    """All measurements at one commit; `date` is the committer's, ISO 8601."""

    commit: str
    date: str
    tools: Mapping[str, str]
    measurements: Sequence[Measured] = field(default_factory=tuple)

    @property
    def label(self) -> str:
        return f"{self.date[:10]} {self.commit[:7]}"


def entry_of(report: Any, commit: str, date: str) -> Entry:
    """What is kept of a report. Raises Error for what is no report, commit or date."""
    if not _COMMIT.fullmatch(commit) or not _DATE.fullmatch(date):
        raise Error(
            f"{commit!r} at {date!r} is no commit",
            "give a hexadecimal hash and a date like 2026-01-31T12:00:00Z",
        )
    rows = rows_of(report)
    tools = {name: json.dumps(report["tool"].get(name), sort_keys=True) for name in _TOOLS}
    measured = [
        Measured(key, str(row["model_sha256"]), {metric: value(row, metric) for metric in METRICS})
        for key, row in sorted(rows.items())
    ]
    return Entry(commit, date, tools, tuple(measured))


def add(folder: Path, entry: Entry) -> Path:
    """Write an entry's file, named so that names sort by date; one of the same commit is replaced."""
    path = folder / f"{re.sub(r'[^0-9]', '', entry.date[:19])}-{entry.commit[:12]}.json"
    data = {"schema": SCHEMA, **asdict(entry)}
    write_file(path, (json.dumps(data, indent=1, sort_keys=True) + "\n").encode())
    return path


def read_folder(folder: Path) -> list[Entry]:
    """The entries of a folder, oldest first. Raises Error when there is none, or a file is no entry."""
    entries = [_read(path) for path in sorted(folder.glob("*.json"))]
    if not entries:
        raise Error(f"{folder} holds no history", "add the first entry with --add RUN.json")
    return sorted(entries, key=lambda e: (e.date, e.commit))


def _read(path: Path) -> Entry:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["schema"] != SCHEMA:
            raise ValueError(f"schema {data['schema']!r}")
        measured = tuple(
            Measured(tuple(map(str, m["key"])), str(m["model_sha256"]), _metrics(m["metrics"]))
            for m in data["measurements"]
        )
        return Entry(str(data["commit"]), str(data["date"]), dict(data["tools"]), measured)
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise Error(
            f"{path} is no entry of a history: {error}", "remove it, or add it again with --add"
        ) from error


def _metrics(found: Mapping[str, Any]) -> dict[str, int | None]:
    return {metric: None if found[metric] is None else int(found[metric]) for metric in METRICS}


def read_git(path: Path) -> list[Entry]:
    """A report at every commit that changed it, oldest first; commits with another schema are left out."""
    log = _git(path.parent, "log", "--reverse", "--format=%H %cI", "--", path.name)
    entries = []
    for line in log.splitlines():
        commit, _, date = line.partition(" ")
        try:
            entries.append(
                entry_of(json.loads(_git(path.parent, "show", f"{commit}:./{path.name}")), commit, date)
            )
        except (Error, ValueError):  # deleted there, or of a time with another schema
            continue
    if not entries:
        raise Error(f"git knows no report {path}", "commit a report.json, or give a folder of entries")
    return entries


def current_commit(folder: Path) -> tuple[str, str]:
    """Hash and date of what is checked out in a folder."""
    commit, _, date = _git(folder, "show", "--no-patch", "--format=%H %cI", "HEAD").strip().partition(" ")
    return commit, date


def _git(folder: Path, *arguments: str) -> str:
    if not folder.is_dir():
        raise Error(f"there is no folder {folder}", "check the path")
    try:
        return execute(["git", *arguments], cwd=folder, hint="run it in a git checkout").output
    except ToolchainError as error:
        raise Error(
            f"git cannot tell: {error.output or error.message}", "run it in a git checkout"
        ) from error


def series(entries: Iterable[Entry]) -> dict[Key, list[tuple[Entry, Measured]]]:
    """Each measurement through time, by key."""
    found: dict[Key, list[tuple[Entry, Measured]]] = {}
    for entry in entries:
        for measured in entry.measurements:
            found.setdefault(measured.key, []).append((entry, measured))
    return dict(sorted(found.items()))


def breaks(history: Sequence[tuple[Entry, Measured]]) -> list[str]:
    """For each point what else than the converter changed since the one before: model file or tools."""
    notes = [""]
    for (old, before), (new, after) in pairwise(history):
        changed = [name for name in _TOOLS if old.tools.get(name) != new.tools.get(name)]
        model = ["another model file"] if before.model_sha256 != after.model_sha256 else []
        notes.append(", ".join([*model, *(f"another {name}" for name in changed)]))
    return notes
