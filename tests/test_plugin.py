"""The profiler's plugin: compiled for every QEMU interface, cached, and refused where it cannot work."""

import ctypes
import random
import stat
import subprocess
from collections import OrderedDict
from pathlib import Path

import pytest

from pingponnx import plugin
from pingponnx._paths import runtime_c
from pingponnx.errors import ToolchainError
from pingponnx.profile import available

SOURCES = runtime_c() / "plugin"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, which is looked at: plugins found before are forgotten."""
    folder = tmp_path / "cache, with a comma"
    monkeypatch.setenv("PINGPONNX_CACHE", str(folder))
    plugin._plugin.cache_clear()
    return folder


@pytest.mark.parametrize("interface", plugin.INTERFACES)
def test_it_compiles_for_every_interface_without_a_warning(interface: int, tmp_path: Path) -> None:
    """Only the one of the installed QEMU can be run here."""
    warnings = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
    options = [f for f in plugin._FLAGS if f != "-shared"] + [f"-DPINGPONNX_QEMU_PLUGIN_API={interface}"]
    command = ["cc", *warnings, *options, "-c", str(SOURCES / "profile.c"), "-o", "profile.o"]
    subprocess.run(command, cwd=tmp_path, check=True)
    plugin.compile_plugin(interface, tmp_path / "plugin.so")
    names = subprocess.run(["nm", "-D", "--defined-only", "plugin.so"], cwd=tmp_path, capture_output=True)
    exported = {line.split()[-1] for line in names.stdout.decode().splitlines()}
    assert exported == {"qemu_plugin_install", "qemu_plugin_version"}


@pytest.mark.parametrize(
    ("release", "interfaces"),
    [
        ("4.2.1", ()),
        ("7.2.22 (Debian 1:7.2+dfsg-7)", (1,)),
        ("8.2.2", (1,)),
        ("9.0.4", (2,)),
        ("9.1.0", (3, 7)),
        ("10.0.2", (3, 7)),
        ("11.1.0", (3, 7)),
    ],
)
def test_interfaces_by_release(release: str, interfaces: tuple[int, ...]) -> None:
    assert plugin.interfaces(f"QEMU emulator version {release}") == interfaces
    assert plugin.interfaces("something else") == ()


@pytest.mark.qemu
def test_it_is_compiled_once_and_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert available() == ""
    first = plugin.plugin()
    assert [path.name for path in cache.iterdir()] == [first.name]
    before = first.stat().st_mtime_ns
    plugin._plugin.cache_clear()
    monkeypatch.setattr(plugin, "compile_plugin", lambda *_: pytest.fail("compiled again"))
    assert plugin.plugin() == first
    assert first.stat().st_mtime_ns == before


@pytest.mark.qemu
@pytest.mark.parametrize("damage", [b"", b"not a plugin", None])
def test_a_damaged_plugin_is_compiled_again(damage: bytes | None, cache: Path) -> None:
    first = plugin.plugin()
    whole = first.read_bytes()
    first.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    plugin._plugin.cache_clear()
    assert plugin.plugin() == first
    assert first.read_bytes() == whole
    assert [path.name for path in cache.iterdir()] == [first.name]


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize(
    ("qemu", "reason"),
    [
        ('echo "QEMU emulator version 4.2.1"', "version 4.2.1: its plugin interface is not known"),
        (
            'case "$*" in --version) echo "QEMU emulator version 9.9.0" ;;\n'
            '*) echo "qemu-system-arm: -plugin: invalid option"; exit 1 ;; esac',
            "cannot load plugins: -plugin: invalid option",
        ),
        (
            'case "$*" in --version) echo "QEMU emulator version 30.0.0" ;;\n'
            '*) echo "pingponnx profile: QEMU\'s plugin interface 99" ;; esac',
            "its plugin interface 99 is not known",
        ),
    ],
)
def test_an_unknown_qemu_is_not_used(
    qemu: str, reason: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "qemu-system-arm", qemu)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert reason in available()
    with pytest.raises(ToolchainError, match="QEMU emulator version"):
        plugin.plugin()
    assert list(cache.iterdir()) == []


def test_missing_tools_are_the_reason(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert available() == "qemu-system-arm is not installed"
    program(tmp_path, "qemu-system-arm", 'echo "QEMU emulator version 7.2.22"')
    assert available() == "cc is not installed"
    assert not cache.exists()


def test_an_unwritable_cache_is_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "qemu-system-arm", 'echo "QEMU emulator version 7.2.22"')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PINGPONNX_CACHE", str(tmp_path / "file" / "cache"))
    assert "cannot make the cache folder" in available()


# -- line_buffer.h ----------------------------------------------------------------------------------

DRIVER = """
#include "line_buffer.h"
uint32_t misses(uint32_t capacity, const uint32_t *lines, uint32_t count) {
    static uint16_t slot_of[64];
    static struct line_slot slots[65];
    for (int i = 0; i < 64; i++) { slot_of[i] = 0; slots[i] = (struct line_slot){0, 0, 0}; }
    struct line_buffer buffer = {capacity, 0, slot_of, slots};
    uint32_t total = 0;
    for (uint32_t i = 0; i < count; i++) { total += use_line(&buffer, lines[i]); }
    return total;
}
"""


def naive_misses(capacity: int, lines: list[int]) -> int:
    held: OrderedDict[int, None] = OrderedDict()
    total = 0
    for line in lines:
        total += line not in held
        held.pop(line, None)
        held[line] = None
        if len(held) > capacity:
            held.popitem(last=False)
    return total


def test_line_buffers_replace_the_least_recently_used(tmp_path: Path) -> None:
    (tmp_path / "driver.c").write_text(DRIVER)
    command = ["cc", "-O2", "-fPIC", "-shared", f"-I{SOURCES}", "driver.c", "-o", "driver.so"]
    subprocess.run(command, cwd=tmp_path, check=True)
    misses = ctypes.CDLL(str(tmp_path / "driver.so")).misses
    for seed in range(200):
        chosen = random.Random(seed)
        capacity, variety = chosen.randint(1, 40), chosen.randint(1, 64)
        lines = [chosen.randrange(variety) for _ in range(500)]
        array = (ctypes.c_uint32 * len(lines))(*lines)
        assert misses(capacity, array, len(lines)) == naive_misses(capacity, lines)
