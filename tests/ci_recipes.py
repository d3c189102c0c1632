"""Runs the shell steps of a composite GitHub action and of a GitLab job as their runners do."""

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

_EXPRESSION = re.compile(r"\$\{\{\s*([\w.-]+)\s*\}\}")
_BASH = ("bash", "--noprofile", "--norc", "-eo", "pipefail")


def read_yaml(path: Path) -> Any:
    return YAML(typ="safe").load(path)


@dataclass
class Step:
    """How a step of an action ended."""

    name: str
    code: int
    output: str


@dataclass
class Job:
    """What is left of a run: its steps, what they told the runner, and what others were to do."""

    steps: list[Step] = field(default_factory=list)
    summary: str = ""
    outputs: dict[str, str] = field(default_factory=dict)
    uses: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def step(self, name: str) -> Step:
        return next(step for step in self.steps if step.name == name)


def make_python(folder: Path) -> Path:
    """What actions/setup-python gives: a Python of its own; it finds here what pip would download."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=300)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "downloaded.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder / "bin"


def run_action(
    action: Path,
    inputs: Mapping[str, str],
    repository: Path,
    temporary: Path,
    *,
    python: Path | None = None,
) -> Job:
    """Every `run` step with bash, expressions substituted in `env` and `with` only; stops at a failure.

    With `python`, a folder of executables, the action installs itself there; else what is here is used.
    """
    document = read_yaml(action)
    context = {f"inputs.{name}": given.get("default", "") for name, given in document["inputs"].items()}
    unknown = inputs.keys() - document["inputs"].keys()
    assert not unknown, unknown
    context |= {f"inputs.{name}": value for name, value in inputs.items()}
    job = Job()
    for number, step in enumerate(document["runs"]["steps"]):
        if "uses" in step:
            job.uses[step["uses"]] = _substituted(step.get("with", {}), context)
            continue
        if step["name"] == "Install" and python is None:
            continue
        output, summary = temporary / f"output{number}", temporary / f"summary{number}"
        output.touch()
        environment = _environment(python, GITHUB_ACTION_PATH=str(action.parent))
        environment |= {"GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary)}
        environment |= _substituted(step.get("env", {}), context)
        done = _bash(step["run"], repository, environment, temporary / f"step{number}.sh")
        job.steps.append(Step(step["name"], done.returncode, done.stdout))
        job.summary += summary.read_text(encoding="utf-8") if summary.exists() else ""
        for line in output.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition("=")
            context[f"steps.{step['id']}.outputs.{name}"] = value
        if done.returncode:
            break
    job.outputs = {n: _text(o["value"], context) for n, o in document["outputs"].items()}
    return job


def run_gitlab(
    template: Path, name: str, variables: Mapping[str, str], repository: Path, folder: Path
) -> Step:
    """The job's `script`, in one shell as GitLab's runner does; `before_script` installs."""
    job = read_yaml(template)[name]
    environment = _environment(None, **{**job["variables"], **variables})
    done = _bash("\n".join(job["script"]), repository, environment, folder / "job.sh")
    return Step(name, done.returncode, done.stdout)


def _substituted(values: Mapping[str, Any], context: Mapping[str, str]) -> dict[str, str]:
    return {name: _text(str(value), context) for name, value in values.items()}


def _text(value: str, context: Mapping[str, str]) -> str:
    return _EXPRESSION.sub(lambda match: context.get(match[1], ""), value)


def _environment(python: Path | None, **extra: str) -> dict[str, str]:
    """The command `pingponnx` and its Python come first, as after an installation."""
    folder = str(python or Path(sys.executable).parent)
    return {**os.environ, "PATH": os.pathsep.join([folder, os.environ["PATH"]]), "CI": "true", **extra}


def _bash(
    script: str, folder: Path, environment: Mapping[str, str], path: Path
) -> subprocess.CompletedProcess[str]:
    path.write_text(script, encoding="utf-8")
    return subprocess.run(
        [*_BASH, str(path)],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        check=False,
    )
