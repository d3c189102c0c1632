"""The onnx package's backend tests, all of them: each passes, or is refused for the reason on record.

The record is tests/data/conformance.txt, written by `make conformance`.
"""

import pytest
from conformance import CORE, PASSED, cases, expected, outcome

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
