"""What all tests share: marker rules, folders of models, a clean command line."""

import os
import shutil
import signal
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

from networks import MOBILENETS, write_int8
from pingponnx import cmsis
from pingponnx.errors import Error

ROOT = Path(__file__).resolve().parents[1]

# Started in the background of a script it would be ignored, here and in the processes that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run; time limits would make a slow machine fail.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite tests/golden/ on purpose")


def _missing_qemu() -> str:
    tools = [name for name in ("arm-none-eabi-gcc", "qemu-system-arm") if shutil.which(name) is None]
    return f"{' and '.join(tools)} not installed, see `pingponnx doctor`" if tools else ""


def _missing_cmsis() -> str:
    try:
        cmsis.find()
    except Error as error:
        return str(error)
    return ""


def _missing_browser() -> str:
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"{' and '.join(missing)} not installed, `make browser` does it" if missing else ""


def _missing_atheris() -> str:
    return "" if find_spec("atheris") else "atheris not installed: it has wheels for x86-64 Linux"


def _missing_compilers() -> str:
    missing = [name for name in ("g++", "clang") if shutil.which(name) is None]
    return f"{' and '.join(missing)} not installed, `make compilers` does it" if missing else ""


_NEEDS = {
    "qemu": _missing_qemu,
    "cmsis": _missing_cmsis,
    "browser": _missing_browser,
    "atheris": _missing_atheris,
    "compilers": _missing_compilers,
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A missing tool skips locally and fails in CI, where nothing may be skipped by accident."""
    for marker, missing in _NEEDS.items():
        reason = missing() if item.get_closest_marker(marker) else ""
        if reason and os.environ.get("CI"):
            pytest.fail(f"CI must have everything: {reason}", pytrace=False)
        if reason:
            pytest.skip(reason)


@pytest.fixture(scope="session")
def examples() -> Path:
    """The models that this repository ships."""
    return ROOT / "examples"


@pytest.fixture(scope="session")
def mobilenets(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """int8 MobileNets with made-up weights, by name; see networks.py."""
    folder = tmp_path_factory.mktemp("mobilenets")
    return {name: write_int8(name, folder) for name in MOBILENETS}


@pytest.fixture(scope="session")
def shared_models() -> Path:
    """Third-party models, which are never committed: ../shared/models beside the repository."""
    folder = ROOT.parent / "shared" / "models"
    if not folder.is_dir():
        pytest.skip("shared models absent")
    return folder
