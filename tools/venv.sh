#!/bin/sh
# Make .venv and install pingponnx with everything its tests need. $1: the Python to use.
set -eu

python="$1"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "pingponnx needs Python 3.11 or newer; say which: make PYTHON=python3.12" >&2
    exit 1
}
"$python" -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check --editable '.[dev]'
touch .venv/ready
