#!/bin/sh
# Write requirements.lock: the newest versions that pyproject.toml allows, for every system, with digests.
# No address of a registry gets in: pip is told those where it runs.
set -eu
.venv/bin/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --upgrade \
    --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate --quiet \
    --output-file requirements.lock
