"""`cores.toml` -> the cycle model of a target."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pingponnx.cycles.instruction import Kind
from pingponnx.cycles.m7 import DualIssue
from pingponnx.cycles.m33 import LimitedDualIssue
from pingponnx.cycles.m55 import Helium
from pingponnx.cycles.pipeline import Pipeline, Table
from pingponnx.cycles.single_issue import SingleIssue
from pingponnx.errors import Error
from pingponnx.targets import Target

_FILE = Path(__file__).with_name("cores.toml")
_PIPELINES = {
    "single-issue": SingleIssue,
    "limited-dual-issue": LimitedDualIssue,
    "dual-issue": DualIssue,
    "helium": Helium,
}
_TABLES = ("instruction", "register", "taken")
_CPU = "-mcpu="


@dataclass(frozen=True, slots=True)
class CycleModel:
    """How many cycles a core takes; `name`, `version` and `error` belong next to every number it makes.

    `calibrated` names the constants that were fitted to silicon.
    """

    name: str
    core: str
    version: int
    error: str
    source: str
    calibrated: tuple[str, ...]
    pipeline: Pipeline


def cycle_model(target: Target, name: str | None = None) -> CycleModel:
    """The model of a target's core, or the one with that name, such as m4-trm."""
    models = load_models()
    if name is None:
        cpu = next((f.removeprefix(_CPU) for f in target.flags if f.startswith(_CPU)), "").split("+")[0]
        name = _data()["cores"].get(cpu)
        if name is None:
            what = f"its core {cpu!r}" if cpu else "it names no core"
            raise Error(f"there is no cycle model for the target {target.name}: {what}", _known(models))
    if name not in models:
        raise Error(f"there is no cycle model {name!r}", _known(models))
    return models[name]


@cache
def load_models() -> Mapping[str, CycleModel]:
    """Every model by name."""
    return MappingProxyType({name: build_model(name, model_tables(name)) for name in _data()["models"]})


@cache
def _data() -> dict[str, Any]:
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))


def _known(models: Mapping[str, CycleModel]) -> str:
    return f"models: {', '.join(models)}"


def model_tables(name: str) -> dict[str, Any]:
    """What `cores.toml` says of a model, with its base: tables are merged, anything else is replaced."""
    own = dict(_data()["models"][name])
    if "base" not in own:
        return own
    merged = model_tables(own.pop("base"))
    for key, value in own.items():
        merged[key] = {**merged.get(key, {}), **value} if isinstance(value, dict) else value
    return merged


def build_model(name: str, tables: Mapping[str, Any]) -> CycleModel:
    """The model that such tables describe."""
    columns = {column: _by_kind(tables.get(column, {})) for column in _TABLES}
    rules = dict(tables.get("rules", {}))
    if "latency" in tables:
        rules["latency"] = _by_kind(tables["latency"])
    return CycleModel(
        name=name,
        core=tables["core"],
        version=tables["version"],
        error=tables["error"],
        source=tables["source"],
        calibrated=tuple(tables.get("calibrated", ())),
        pipeline=_PIPELINES[tables["pipeline"]](Table(**columns), **rules),
    )


def _by_kind(table: Mapping[str, Any]) -> Mapping[Kind, Any]:
    return MappingProxyType({Kind(kind): value for kind, value in table.items()})
