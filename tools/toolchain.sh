#!/bin/sh
# Make sure that the cross compiler, the emulator and a host compiler are there; installs them with apt.
# With the word "browser" also Chromium and what drives it, for the tests of HTML pages, with "compilers" also
# clang and a C++ compiler, for the tests of the generated C.
set -eu

missing=""
need() {
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
need arm-none-eabi-gcc gcc-arm-none-eabi
need qemu-system-arm qemu-system-arm
need gcc "gcc libc6-dev"
if command -v arm-none-eabi-gcc >/dev/null 2>&1; then
    # newlib comes in a package of its own
    arm-none-eabi-gcc -print-file-name=nano.specs | grep -q / || missing="$missing libnewlib-arm-none-eabi"
else
    missing="$missing libnewlib-arm-none-eabi"
fi
# Debian's python3 cannot make virtual environments without this package
python3 -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
if [ "${1:-}" = browser ]; then
    need chromium chromium
    need chromedriver chromium-driver
    fc-list 2>/dev/null | grep -q . || missing="$missing fontconfig fonts-dejavu-core"
fi
if [ "${1:-}" = compilers ]; then
    need g++ g++
    need clang clang
fi
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "These are missing; install them with your system's package manager:" >&2
    for package in $missing; do
        echo "  $package" >&2
    done
    echo "(Debian's names: an Arm bare-metal gcc with newlib, QEMU for Arm systems, a host C compiler; chromium for tests)" >&2
    exit 1
fi
as_root=""
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 || {
        echo "Run as root: apt-get install$missing" >&2
        exit 1
    }
    as_root="sudo"
fi
echo "installing$missing" >&2
$as_root apt-get update -qq
# shellcheck disable=SC2086 # a list of words
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >&2
