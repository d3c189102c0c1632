#!/bin/sh
# Install the lowest versions that pyproject.toml allows into .venv-lowest, and run tests of every stage on
# them. $1: the Python to use; further arguments go to pytest, instead of the usual tests.
set -eu
python="${1:-python3}"
[ "$#" -eq 0 ] || shift
[ "$#" -gt 0 ] || set -- tests/test_load.py tests/test_bad_input.py tests/test_rewrite.py tests/test_qdq.py \
    tests/test_placement.py tests/test_examples.py tests/test_report.py tests/test_check.py tests/test_trend.py \
    tests/test_explore.py::test_explore_measures_what_report_does
"$python" -m venv --clear .venv-lowest
pip=".venv-lowest/bin/pip install --quiet --disable-pip-version-check"
"$python" tools/lowest.py >.venv-lowest/lowest.txt
# shellcheck disable=SC2086 # a command with its options
$pip --constraint .venv-lowest/lowest.txt --editable '.[cmsis,exact,dask]' \
    pytest hypothesis sarif-pydantic check-jsonschema ruamel.yaml
.venv-lowest/bin/python tools/lowest.py --installed
.venv-lowest/bin/python -m pytest -p no:cacheprovider -m "not browser" "$@"
