"""Pages in a real browser: they draw, sort, say what is under the pointer, and stay within a phone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from browser import Browser, browser
from models import command_line, converted
from pingponnx.report.plan_page import plan_page
from pingponnx.select import Goal

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def plan(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plan") / "plan.html"
    path.write_text(plan_page(converted(examples / "lenet5" / "lenet5_int8.onnx", goal=Goal.RAM)), "utf-8")
    return path


def test_a_plan_says_what_is_under_the_pointer(chromium: Browser, plan: Path) -> None:
    chromium.open(plan)
    blocks = chromium.find(".plan-map .blocks > g")
    assert len(blocks) == 6
    (ring,) = chromium.find(".plan-map .blocks > g.ring")
    chromium.hover(ring)
    chromium.wait("!document.getElementById('tip').hidden")
    text = chromium.run("document.getElementById('tip').textContent")
    assert "(420)" in text and "max_pool2d" in text and "ring of 5 rows of 84 bytes" in text
    chromium.hover(chromium.find("h1")[0])
    chromium.wait("document.getElementById('tip').hidden")
    assert chromium.console() == []


def test_a_plan_is_light_and_dark_and_fits_a_phone(chromium: Browser, plan: Path) -> None:
    looks = []
    for dark in (False, True):
        chromium.open(plan, dark=dark, phone=True)
        looks.append(
            [
                chromium.run(f"getComputedStyle(document.querySelector('{where}')).{what}")
                for where, what in (("body", "backgroundColor"), ("body", "color"), (".paper", "fill"))
            ]
        )
        assert chromium.run("document.documentElement.scrollWidth") == chromium.run("innerWidth") == 390
        assert chromium.console() == []
    assert all(light != dark for light, dark in zip(*looks, strict=True))


def test_the_command_writes_a_page(tmp_path: Path, examples: Path) -> None:
    model = examples / "lenet5" / "lenet5_int8.onnx"
    done = command_line("plan", model, "--html", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "lenet5_int8-plan.html\n"), done.stderr
    done = command_line("plan", model, "--html", "other.html", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "other.html\n"), done.stderr
    pages = [(tmp_path / name).read_bytes() for name in ("lenet5_int8-plan.html", "other.html")]
    assert pages[0] == pages[1] and b"Content-Security-Policy" in pages[0]
    done = command_line("plan", model, "third.html", cwd=tmp_path)
    assert done.returncode == 2 and "add --html" in done.stderr and not (tmp_path / "third.html").exists()
