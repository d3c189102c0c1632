#!/bin/sh
# What takes too long for every commit: these make targets, all of them, whatever fails on the way.
# Prints which failed at the end; logs are kept in nightly/.
set -u
mkdir -p nightly
failed=""
for target in "$@"; do
    echo "== $target"
    if make "$target" >"nightly/$target.log" 2>&1; then
        tail -n 5 "nightly/$target.log"
    else
        failed="$failed $target"
        tail -n 30 "nightly/$target.log"
    fi
done
[ -z "$failed" ] || {
    echo "failed:$failed" >&2
    exit 1
}
