#!/bin/sh
# Install the lowest versions that pyproject.toml allows into .venv-lowest, and run tests of every stage on
# them. Arguments go to pytest, instead of the usual tests.
set -eu
[ "$#" -gt 0 ] || set -- tests/test_load.py tests/test_bad_input.py tests/test_rewrite.py tests/test_qdq.py \
    tests/test_placement.py tests/test_examples.py tests/test_report.py tests/test_check.py \
    tests/test_explore.py::test_explore_measures_what_report_does
.venv/bin/python -m venv --clear .venv-lowest
pip=".venv-lowest/bin/pip install --quiet --disable-pip-version-check"
.venv/bin/uv pip compile pyproject.toml --extra cmsis --extra exact --extra dask --resolution lowest-direct \
    --no-header --no-annotate --no-emit-index-url --no-emit-find-links --quiet --output-file .venv-lowest/lowest.txt
$pip --requirement .venv-lowest/lowest.txt pytest hypothesis sarif-pydantic check-jsonschema ruamel.yaml selenium
$pip --no-deps --editable .
.venv-lowest/bin/pip list --disable-pip-version-check --format freeze
.venv-lowest/bin/python -m pytest -p no:cacheprovider -m "not browser" "$@"
