"""The CI recipes run here step by step: on this repository's own networks, against the committed baseline."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ci_recipes import Job, Step, make_python, read_yaml, run_action, run_gitlab
from models import Builder, command_line, save

ROOT = Path(__file__).resolve().parents[1]
ACTION, GITLAB = ROOT / "action.yml", ROOT / "examples" / "ci" / "gitlab.yml"
WORKFLOW = ROOT / ".github" / "workflows" / "regression.yml"
NIGHTLY = WORKFLOW.with_name("nightly.yml")
SCHEMAS = {
    ACTION: "github-actions",
    WORKFLOW: "github-workflows",
    NIGHTLY: "github-workflows",
    GITLAB: "gitlab-ci",
}
LOOSE = "ram=10%\nflash=10%\ncycles=50%\ninstructions=50%"


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_recipes_are_valid(path: Path) -> None:
    schema = f"vendor.{SCHEMAS[path]}"
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout


def test_the_nightly_workflow_runs_what_make_nightly_does() -> None:
    (job,) = read_yaml(NIGHTLY)["jobs"].values()
    targets = job["strategy"]["matrix"]["target"]
    done = subprocess.run(["make", "-n", "nightly"], cwd=ROOT, capture_output=True, text=True, check=True)
    (line,) = [line for line in done.stdout.splitlines() if "tools/nightly.sh" in line]
    assert line.split()[2:] == targets
    subprocess.run(["make", "-n", *targets], cwd=ROOT, capture_output=True, check=True)


def test_inputs_are_never_text_of_a_script() -> None:
    for step in read_yaml(ACTION)["runs"]["steps"]:
        assert "${{" not in step.get("run", "")


def _own_inputs() -> dict[str, str]:
    (job,) = read_yaml(WORKFLOW)["jobs"].values()
    (given,) = [step["with"] for step in job["steps"] if step["uses"] == "./"]
    return dict(given)


def test_the_baseline_is_made_of_what_is_checked() -> None:
    done = subprocess.run(
        ["make", "-n", "baseline"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    (line,) = [line for line in done.stdout.splitlines() if "pingponnx report" in line]
    inputs = _own_inputs()
    assert re.findall(r"\S+\.onnx", line) == inputs["models"].split()
    assert re.findall(r"--target (\S+)", line) == inputs["targets"].split()


@pytest.mark.qemu
@pytest.mark.cmsis
def test_the_action_on_our_own_networks(tmp_path: Path) -> None:
    """This is also the regression check of this repository."""
    base = json.loads((ROOT / "reports" / "baseline.json").read_text(encoding="utf-8"))
    out = tmp_path / "out"
    inputs = _own_inputs() | {"output": str(out)}
    python = make_python(tmp_path / "python")
    job = run_action(ACTION, inputs, ROOT, tmp_path, python=python)
    print("\n".join(f"{step.name}: {step.output}" for step in job.steps))
    assert (python / "pingponnx").is_file()
    assert [step.name for step in job.steps] == [
        "Install",
        "Convert",
        "Report",
        "Check",
        "Summary",
        "Verdict",
    ]
    run = json.loads((out / "report" / "report.json").read_text(encoding="utf-8"))
    if run["tool"]["gcc"] == base["tool"]["gcc"]:
        assert job.outputs["status"] == "0", f"`make baseline` updates it\n{job.step('Check').output}"
        assert all(step.code == 0 for step in job.steps)
    else:  # another compiler makes other code: called out, and what does not depend on it must be equal
        assert job.outputs["status"] in ("1", "2")
        loosely = [a for limit in LOOSE.split() for a in ("--limit", limit)]
        done = command_line(
            "check", out / "report" / "report.json", "--baseline", ROOT / "reports" / "baseline.json",
            "--accept", "tools", *loosely,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
    arenas = [[m["ram"]["arena"] for m in report["measurements"]] for report in (run, base)]
    assert arenas[0] == arenas[1]
    _assert_complete(job, inputs, out)


def _assert_complete(job: Job, inputs: dict[str, str], out: Path) -> None:
    """Everything that the action promises is there, and shown or uploaded."""
    for model in inputs["models"].split():
        assert (out / "c" / Path(model).stem / f"{Path(model).stem}.h").is_file()
    assert {p.name for p in out.iterdir()} == {"c", "report", "check.md", "check.sarif", "junit.xml"}
    assert job.summary.startswith("### pingponnx check:") and "| lenet5_int8" in job.summary
    assert len(job.summary.encode()) < 2**20  # GitHub shows no more
    upload = job.uses["actions/upload-artifact@v4"]
    assert Path(upload["path"], "report", "report.html").is_file()
    assert job.outputs["report"] == f"{inputs['output']}/report"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of a difficult name, and a baseline that its report will not meet."""
    folder = tmp_path_factory.mktemp("repository")
    net = Builder()
    model = save(net.model({"x": (1, 2, 8, 8)}, net.conv("x", 2, 4)), folder / "my $(touch pwned) net.onnx")
    assert command_line("report", model, "-o", folder / "run").returncode == 0
    report: dict[str, Any] = json.loads((folder / "run" / "report.json").read_text(encoding="utf-8"))
    for row in report["measurements"]:
        row["ram"]["total"] -= 4
    (folder / "baseline.json").write_text(json.dumps(report), encoding="utf-8")
    return folder


@pytest.mark.qemu
@pytest.mark.cmsis
def test_a_worse_network_fails_after_everything_is_shown(repository: Path, tmp_path: Path) -> None:
    inputs = {"models": "my $(touch pwned) net.onnx\n", "baseline": "baseline.json"}
    job = run_action(ACTION, inputs, repository, tmp_path)
    assert (job.outputs["status"], job.steps[-1].name, job.steps[-1].code) == ("1", "Verdict", 1)
    assert "something got worse" in job.summary and "WORSE" in job.step("Check").output
    assert not list(repository.rglob("pwned"))


@pytest.mark.qemu
@pytest.mark.cmsis
def test_the_gitlab_template(repository: Path, tmp_path: Path) -> None:
    variables = {"MODELS": "my $(touch pwned) net.onnx", "BASELINE": "baseline.json"}
    worse: Step = run_gitlab(GITLAB, "pingponnx", variables, repository, tmp_path)
    assert worse.code == 1 and "WORSE" in worse.output, worse.output
    job = read_yaml(GITLAB)["pingponnx"]
    for path in (*job["artifacts"]["paths"], job["artifacts"]["reports"]["junit"]):
        assert (repository / path).exists()
    fine = run_gitlab(GITLAB, "pingponnx", variables | {"LIMITS": "ram=5%"}, repository, tmp_path)
    assert fine.code == 0, fine.output
    assert not list(repository.rglob("pwned"))
