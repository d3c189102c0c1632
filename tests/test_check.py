"""A run against a baseline: what is worse, what cannot be told, and what caused it, in every format."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from junitparser import JUnitXml
from sarif_pydantic import Sarif

from models import command_line
from pingponnx.check import Rules, Status, check, parse_budget, parse_limit, rows_of
from pingponnx.check.formats import junit, lines, markdown, sarif
from pingponnx.errors import Error

ROOT = Path(__file__).resolve().parents[1]
BASELINE: dict[str, Any] = json.loads((ROOT / "reports" / "baseline.json").read_text(encoding="utf-8"))
KEY = ("lenet5_int8", "optimised", "cortex-m4", "balanced", "single", "resident")
ACCEPT = Rules(accepted=frozenset({"models", "tools"}))


def _row(report: dict[str, Any]) -> dict[str, Any]:
    (row,) = [m for m in report["measurements"] if (m["model"], m["variant"], m["target"]) == KEY[:3]]
    return dict(row) if report is BASELINE else row


def _changed(**values: Any) -> dict[str, Any]:
    """The baseline with LeNet-5 int8 on the M4 changed; `ram` and `flash` are totals."""
    other = copy.deepcopy(BASELINE)
    row = _row(other)
    for key, value in values.items():
        if key in ("ram", "flash"):
            row[key]["total"] = value
        else:
            row[key] = value
    return other


def _statuses(run: dict[str, Any], rules: Rules | None = None) -> dict[str, Status]:
    return {f.metric: f.status for f in check(run, BASELINE, rules or Rules()).findings}


def test_nothing_changed() -> None:
    verdict = check(BASELINE, BASELINE)
    assert (verdict.findings, verdict.exit_code) == ((), 0)
    assert list(lines(verdict)) == [f"0 worse; {len(BASELINE['measurements'])} measurements compared"]


@given(
    metric=st.sampled_from(["ram", "flash", "cycles", "instructions"]),
    limit=st.integers(0, 50),
    grown=st.integers(-200, 200),
)
def test_worse_is_what_grew_beyond_its_limit(metric: str, limit: int, grown: int) -> None:
    """`grown` is in tenths of a per cent."""
    old = _row(BASELINE)[metric]
    old = old["total"] if isinstance(old, dict) else old
    new = old + old * grown // 1000
    verdict = check(_changed(**{metric: new}), BASELINE, Rules(limits={metric: float(limit)}))
    beyond = 100 * new > old * (100 + limit)
    assert verdict.exit_code == int(beyond)
    want = [] if new == old else [Status.WORSE if beyond else Status.BETTER if new < old else Status.CHANGED]
    assert [f.status for f in verdict.findings] == want


def test_what_cannot_be_told() -> None:
    lost = check(_changed(cycles=None, cycles_missing="no profiler"), BASELINE)
    assert lost.exit_code == 2 and lost.findings[0].note == "no profiler"
    assert check(_changed(equal_to_other_variant=None), BASELINE).exit_code == 2
    assert check(_changed(equal_to_reference=False), BASELINE).exit_code == 1
    model = {"name": "m4", "version": 2, "error": "+-5 %", "flash": None}
    other_model = check(_changed(cycles_model=model, cycles=10**9), BASELINE)
    assert other_model.exit_code == 2
    assert "cycle model m4 v1 -> m4 v2" in other_model.findings[0].sentence


def test_new_and_vanished_are_no_regressions() -> None:
    fewer = {**BASELINE, "measurements": BASELINE["measurements"][1:]}
    new, gone = check(BASELINE, fewer), check(fewer, BASELINE)
    assert [f.status for f in new.findings] == [Status.NEW] and new.exit_code == 0
    assert [f.status for f in gone.findings] == [Status.VANISHED] and gone.exit_code == 2
    assert new.compared == gone.compared == len(BASELINE["measurements"]) - 1


def test_another_model_is_never_silently_compared() -> None:
    run = _changed(model_sha256="0" * 64, ram=10**6)
    assert _statuses(run) == {"model file": Status.UNKNOWN, "ram": Status.UNKNOWN}
    assert check(run, BASELINE).exit_code == 2
    assert _statuses(run, ACCEPT) == {"ram": Status.WORSE, "model file": Status.CHANGED}
    assert check(run, BASELINE, ACCEPT).exit_code == 1
    smaller = _changed(model_sha256="0" * 64, ram=10)
    assert check(smaller, BASELINE).exit_code == 2 and check(smaller, BASELINE, ACCEPT).exit_code == 0


def test_other_tools_are_never_silently_compared() -> None:
    run = _changed(ram=10**6)
    run["tool"]["gcc"] = "arm-none-eabi-gcc 99"
    verdict = check(run, BASELINE)
    assert verdict.exit_code == 2 and "--accept tools" in next(iter(lines(verdict)))
    assert check(run, BASELINE, ACCEPT).exit_code == 1
    library = copy.deepcopy(BASELINE)
    library["tool"]["cmsis_nn"]["version"] = "7.0.0"
    for row in library["measurements"]:
        row["ram"]["total"] += 8
    worse = {f.measurement[1]: f.status for f in check(library, BASELINE).findings if f.measurement}
    assert worse == {"optimised": Status.WORSE, "cmsis-nn": Status.UNKNOWN}
    harmless = copy.deepcopy(BASELINE)
    harmless["tool"]["numpy"] = "0.1"
    assert _statuses(harmless) == {"numpy": Status.CHANGED} and check(harmless, BASELINE).exit_code == 0


def test_causes_name_node_and_kernel() -> None:
    run = _changed()
    row = _row(run)
    node = row["nodes"][1]
    node["cycles"] += 50_000
    row["cycles"] += 50_000
    text = "\n".join(lines(check(run, BASELINE)))
    assert f"Conv node '{node['name']}': +50,000 cycles" in text and f"kernel {node['kernel']}" in text
    was, node["kernel"] = node["kernel"], "conv_plain"
    text = "\n".join(lines(check(run, BASELINE)))
    assert f"kernel {was} -> conv_plain" in text


def test_causes_name_tensors_and_code() -> None:
    run = _changed()
    row = _row(run)
    tensor = next(e for e in row["ledger"] if e["owner"] == "arena" and "max_pool2d_1" in e["what"])
    code = next(e for e in row["ledger"] if e["owner"] == "code")
    tensor["bytes"] += 400
    row["ram"]["arena"] += 400
    row["ram"]["total"] += 400
    code["bytes"] += 4000
    row["flash"]["total"] += 4000
    text = "\n".join(lines(check(run, BASELINE)))
    assert "arena: +400 bytes" in text and "strategy streamed" in text
    assert f"in the arena at its fullest: '{tensor['what']}': +400 bytes" in text
    assert f"code of '{code['what']}': +4,000 bytes" in text


def test_budgets() -> None:
    row = _row(BASELINE)
    only = {**BASELINE, "measurements": [row]}
    ram, cycles = row["ram"]["total"], row["cycles"]
    assert check(only, None, Rules(budgets={"ram": ram, "cycles": cycles})).exit_code == 0
    over = check(only, None, Rules(budgets={"ram": ram - 1, "cycles": cycles - 1}))
    assert over.exit_code == 1 and [f.status for f in over.findings] == [Status.OVER_BUDGET] * 2
    assert "1 too many" in over.findings[0].sentence
    with pytest.raises(Error):
        check(only, None, Rules(budgets={"ram": 1}, budget_variant="cmsis-nn"))
    unknown = {**only, "measurements": [{**row, "cycles": None}]}
    assert check(unknown, None, Rules(budgets={"cycles": 1})).exit_code == 2


def test_parsing() -> None:
    assert parse_limit("flash=1.5%") == ("flash", 1.5)
    assert parse_budget("ram=16K") == ("ram", 16384) and parse_budget("cycles=2M") == ("cycles", 2_000_000)
    for text in ("ram", "ram=x%", "cycles!=1", "speed=1%", "ram=-1%", ""):
        with pytest.raises(Error):
            parse_limit(text)
        with pytest.raises(Error):
            parse_budget(text)
    with pytest.raises(Error):
        Rules(accepted=frozenset({"everything"}))


def test_not_a_report() -> None:
    for broken in ({}, [], {"schema": 2, "measurements": []}, {"schema": 1, "measurements": [{}]}):
        with pytest.raises(Error):
            check(broken, BASELINE)
    with pytest.raises(Error):
        check({**BASELINE, "measurements": []}, BASELINE)


# -- formats --------------------------------------------------------------------------------------------

HOSTILE = "x|`<script>]]>\x1b[0m\n# h &"


@pytest.fixture(scope="module")
def hostile() -> dict[str, Any]:
    """A worse run with a new row whose model and node have hostile names, and a vanished one."""
    run = _changed(ram=10**6)
    first = run["measurements"][0]
    first["model"] = HOSTILE
    row = _row(run)
    row["nodes"][0] |= {"name": HOSTILE, "cycles": 10**6}
    row["cycles"] = 10**7
    return run


def test_junit(hostile: dict[str, Any], tmp_path: Path) -> None:
    verdict = check(hostile, BASELINE)
    path = tmp_path / "junit.xml"
    path.write_bytes(junit(verdict, rows_of(hostile)))
    document = JUnitXml.fromfile(str(path))
    worse, unknown = verdict.of(Status.WORSE), verdict.of(Status.UNKNOWN, Status.VANISHED)
    assert len(worse) == 2 and len(unknown) == 1
    assert (document.failures, document.errors) == (len(worse), len(unknown))
    assert document.tests == 4 * len(hostile["measurements"]) + 2  # and one for the new, the vanished row
    cases = {(c.classname, c.name) for suite in document for c in suite}
    assert len(cases) == document.tests


def test_sarif(hostile: dict[str, Any]) -> None:
    verdict = check(hostile, BASELINE)
    text = sarif(verdict, "reports/base%20line.json").decode()
    log = Sarif.model_validate_json(text)
    (run,) = log.runs
    rules = [rule.id for rule in run.tool.driver.rules or []]
    assert run.results is not None and len(run.results) == 3
    for result in run.results:
        assert result.rule_id == rules[result.rule_index or 0]
    document = json.loads(text)
    assert document["version"] == "2.1.0" and document["$schema"].endswith("sarif-schema-2.1.0.json")
    for result in document["runs"][0]["results"]:  # what code scanning asks for
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] == "reports/base%20line.json"
        assert result["message"]["text"] and result["partialFingerprints"]
        assert result["level"] in ("error", "warning")


def test_markdown(hostile: dict[str, Any]) -> None:
    text = markdown(check(hostile, BASELINE))
    assert "<script" not in text and "`" not in text and "\x1b" not in text and "\n# h" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.count("|") == 5 for line in rows) and len(rows) == 2 + 4


# -- commands -------------------------------------------------------------------------------------------


def test_check_command(tmp_path: Path) -> None:
    base, bad = ROOT / "reports" / "baseline.json", tmp_path / "bad.json"
    bad.write_text(json.dumps(_changed(ram=2 * _row(BASELINE)["ram"]["total"])), encoding="utf-8")
    files = {name: tmp_path / name for name in ("markdown", "junit", "sarif")}
    written = [a for name, path in files.items() for a in (f"--{name}", path)]
    done = command_line("check", bad, "--baseline", base, *written, cwd=ROOT)
    assert done.returncode == 1 and "(+100.00 %)" in done.stdout
    assert done.stdout.splitlines()[0].startswith("WORSE: lenet5_int8, optimised, cortex-m4: ram ")
    assert all(path.stat().st_size > 100 for path in files.values())
    assert command_line("check", bad, "--baseline", base, "--limit", "ram=100%").returncode == 0
    done = command_line("check", bad, "--baseline", base, "--json")
    assert json.loads(done.stdout)["findings"][0]["status"] == "worse" and done.returncode == 1
    document = json.loads(files["sarif"].read_text(encoding="utf-8"))
    place = document["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "reports/baseline.json"  # relative to where it ran
    for arguments in ([bad], [bad, "--baseline", tmp_path / "none.json"]):
        done = command_line("check", *arguments)
        assert done.returncode == 2 and "hint:" in done.stderr and not done.stdout


def test_baseline_command(tmp_path: Path) -> None:
    run, base = tmp_path / "run.json", tmp_path / "base" / "baseline.json"
    run.write_text(json.dumps(BASELINE), encoding="utf-8")
    assert command_line("baseline", run, "--baseline", base).returncode == 0
    assert json.loads(base.read_text(encoding="utf-8")) == BASELINE
    run.write_text(json.dumps(_changed(ram=10**6)), encoding="utf-8")
    done = command_line("baseline", run, "--baseline", base)
    assert done.returncode == 0 and "ram 2,348 -> 1,000,000" in done.stdout
    assert command_line("check", run, "--baseline", base).returncode == 0
    before = base.read_bytes()
    run.write_text(json.dumps(_changed(equal_to_reference=False)), encoding="utf-8")
    done = command_line("baseline", run, "--baseline", base)
    assert done.returncode == 2 and "differs from the reference" in done.stderr
    assert base.read_bytes() == before


def test_budgets_without_a_baseline_compare_nothing() -> None:
    fine = check(BASELINE, None, Rules(budgets={"ram": 10**6}))
    ours = sum(m["variant"] == "optimised" for m in BASELINE["measurements"])
    assert (
        fine.summary
        == f"0 over budget; {ours} measurements held against the budgets, none against a baseline"
    )
    assert "within the budgets" in markdown(fine)
    assert "over budget" in markdown(check(BASELINE, None, Rules(budgets={"ram": 1}))).splitlines()[0]


def test_reports_that_have_nothing_in_common_say_where_they_differ() -> None:
    other = copy.deepcopy(BASELINE)
    for row in other["measurements"]:
        row["goal"] = "ram"
    goals = ", ".join(sorted({m["goal"] for m in BASELINE["measurements"]}))
    with pytest.raises(Error, match=f"in common: goal ram here, goal {goals} there") as raised:
        check(other, BASELINE)
    assert "target" not in raised.value.message
