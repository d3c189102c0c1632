"""A verdict as text, Markdown, JUnit and SARIF 2.1.0; strings from models are made harmless in each."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pingponnx import __version__
from pingponnx.check.rows import KEY, METRICS
from pingponnx.check.verdict import Finding, Status, Verdict
from pingponnx.markdown import cell

_SHOWN = 5  # causes of one change
_MARKS = {Status.WORSE: "WORSE", Status.OVER_BUDGET: "OVER BUDGET", Status.UNKNOWN: "CANNOT TELL"}
_LEVELS = {
    Status.WORSE: "error",
    Status.OVER_BUDGET: "error",
    Status.UNKNOWN: "warning",
    Status.VANISHED: "warning",
}
_RULES = {
    Status.WORSE: ("worse-than-baseline", "A metric grew beyond its limit, or correctness was lost."),
    Status.OVER_BUDGET: ("over-budget", "A metric exceeds its budget."),
    Status.UNKNOWN: ("not-comparable", "Run and baseline cannot be compared in this respect."),
    Status.VANISHED: ("vanished", "A measurement of the baseline was not made."),
}


def lines(verdict: Verdict) -> Iterator[str]:
    """For people: what changed and why, then the summary."""
    for finding in verdict.findings:
        mark = _MARKS.get(finding.status, str(finding.status))
        yield f"{mark}: {finding.subject}: {finding.sentence}"
        yield from (f"    {text}" for text in _causes(finding))
    yield verdict.summary


def _causes(finding: Finding) -> list[str]:
    shown = [str(cause) for cause in finding.causes[:_SHOWN]]
    rest = finding.causes[_SHOWN:]
    return [*shown, f"and {len(rest)} smaller change{'s' * (len(rest) > 1)}"] if rest else shown


def markdown(verdict: Verdict) -> str:
    """A table of what changed, the causes below it; fit for a job summary or a comment."""
    parts = [f"### pingponnx check: {_headline(verdict)}", "", cell(verdict.summary), ""]
    if verdict.findings:
        parts += ["| | measurement | metric | change |", "|---|---|---|---|"]
        parts += [
            f"| {_MARKS.get(f.status, f.status)} | {cell(f.subject)} | {cell(f.metric)} | {cell(f.change)} |"
            for f in verdict.findings
        ]
        parts += [""]
    for finding in (f for f in verdict.findings if f.causes):
        parts += [f"- {cell(finding.subject)}: {cell(finding.metric)}"]
        parts += [f"  - {cell(text)}" for text in _causes(finding)]
    return "\n".join(parts).rstrip() + "\n"


def _headline(verdict: Verdict) -> str:
    if verdict.compared is None:
        return ("within the budgets", "over budget", "could not be told")[verdict.exit_code]
    return ("nothing got worse", "something got worse", "could not be told")[verdict.exit_code]


def junit(verdict: Verdict, measurements: Iterable[tuple[str, ...]]) -> bytes:
    """One test case for every metric of every measurement; worse is a failure, unknown an error."""
    from junitparser import Error as Problem
    from junitparser import Failure, JUnitXml, TestCase, TestSuite

    kinds = {
        Status.WORSE: Failure,
        Status.OVER_BUDGET: Failure,
        Status.UNKNOWN: Problem,
        Status.VANISHED: Problem,
    }
    found: dict[tuple[tuple[str, ...], str], list[Finding]] = {
        (key, metric): [] for key in sorted(measurements) for metric in METRICS
    }
    for finding in verdict.findings:
        found.setdefault((finding.measurement, finding.metric), []).append(finding)
    suite = TestSuite("pingponnx check")
    for (key, metric), findings in found.items():
        case = TestCase(metric, ".".join(_printable(part) for part in key) or "tools")
        case.result = [_outcome(kinds[f.status], f) for f in findings if f.status in kinds]
        suite.add_testcase(case)
    document = JUnitXml("pingponnx check")
    document.add_testsuite(suite)
    return bytes(document.tostring())  # type: ignore[no-untyped-call]


def _outcome(kind: Any, finding: Finding) -> Any:
    result = kind(_printable(finding.sentence), str(finding.status))
    result.text = _printable("\n".join([f"{finding.subject}: {finding.sentence}", *_causes(finding)]))
    return result


def _printable(text: str) -> str:
    """XML 1.0 has no control characters; neither has what we show."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


def sarif(verdict: Verdict, artifact: str) -> bytes:
    """SARIF 2.1.0: problems as results at `artifact`, the URI of a file, relative in a repository."""
    problems = verdict.of(*_RULES)
    rules = [
        {"id": name, "shortDescription": {"text": text}, "defaultConfiguration": {"level": _LEVELS[status]}}
        for status, (name, text) in _RULES.items()
    ]
    driver = {"name": "pingponnx", "version": __version__, "rules": rules}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding, artifact) for finding in problems],
    }
    document = {
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [run],
    }
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def _result(finding: Finding, artifact: str) -> dict[str, Any]:
    text = "\n".join([f"{finding.subject}: {finding.sentence}", *_causes(finding)])
    logical: list[Mapping[str, str]] = [
        {"fullyQualifiedName": "/".join(finding.measurement) or "tools", "kind": "module"},
        *({"name": cause.what, "kind": "member"} for cause in finding.causes[:_SHOWN]),
    ]
    order = list(_RULES)
    return {
        "ruleId": _RULES[finding.status][0],
        "ruleIndex": order.index(finding.status),
        "level": _LEVELS[finding.status],
        "message": {"text": text},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": artifact},
                    "region": {"startLine": 1},
                },
                "logicalLocations": logical,
            }
        ],
        "partialFingerprints": {"measurement/v1": "/".join((*_keyed(finding.measurement), finding.metric))},
    }


def _keyed(measurement: Sequence[str]) -> list[str]:
    return [f"{name}={part}" for name, part in zip(KEY, measurement, strict=False)]
