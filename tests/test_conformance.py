"""The onnx package's backend tests, all of them: each passes, or is refused for the reason on record.

The record is tests/data/conformance.txt, written by `make conformance`.
"""

from pathlib import Path

import pytest
from conformance import CORE, PASSED, cases, expected, outcome

from pingponnx.operators import describe

SHARDS = 24  # the tests' order spreads over two processes


@pytest.mark.parametrize("shard", range(SHARDS))
def test_every_backend_test_passes_or_is_refused(shard: int) -> None:
    record = expected()
    problems: list[str] = []
    for case in cases()[shard::SHARDS]:
        try:
            found = outcome(case)
        except Exception as error:  # whatever is wrong with one test, all others are run
            found = f"{type(error).__name__}: {error}"
        if found != record[case.key]:
            problems.append(f"{case.key}: {found}, not {record[case.key]}")
    assert not problems, "\n".join(problems)


def test_the_record_is_of_all_tests_and_holds_what_was_promised() -> None:
    record = expected()
    assert set(record) == {case.key for case in cases()}
    passed = {key for key, text in record.items() if text == PASSED}
    assert not [text for text in record.values() if text.startswith("FAILED")]
    assert len(passed) >= 1000
    assert sum(key.startswith("pytorch-") for key in passed) >= 100
    core = {f"node {name}" for name in CORE.read_text(encoding="utf-8").split()}
    assert core <= passed


def test_the_table_of_operators_has_what_passes_and_nothing_that_does_not() -> None:
    """docs/conformance.md counts the tests of single operators, docs/operators.md lists the operators."""
    text = Path(__file__).parents[1].joinpath("docs", "conformance.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    counted = {row[0]: int(row[1]) for row in rows if len(row) == 3 and row[0].isalnum() and row[1].isdigit()}
    listed = {row["operator"] for row in describe()}
    single = {name: passed for name, passed in counted.items() if name[0].isupper()}
    assert len(single) > 150
    assert {name for name, passed in single.items() if passed} == listed & set(single)
