#!/bin/sh
# Make .venv with the very versions that were tested (requirements.lock, with digests), and pingponnx in place.
# $1: the Python to use.
set -eu

python="$1"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "pingponnx needs Python 3.11 or newer; say which: make PYTHON=python3.12" >&2
    exit 1
}
"$python" -m venv .venv
pip=".venv/bin/pip install --quiet --disable-pip-version-check"
$pip --require-hashes --requirement requirements.lock || {
    echo "requirements.lock was tested with Python 3.11 and has wheels up to 3.14; this is $("$python" --version)." \
        "Another one: make setup PYTHON=python3.11" >&2
    exit 1
}
$pip --no-deps --no-build-isolation --editable .
touch .venv/ready
