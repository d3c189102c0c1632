"""Pages in a real browser: they draw, sort, say what is under the pointer, and stay within a phone."""

import copy
import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import vl_convert

from browser import Browser, browser
from models import command_line, converted
from pingponnx.report.charts import Field, points, quantity
from pingponnx.report.plan_page import plan_page
from pingponnx.report.report_page import report_page
from pingponnx.select import Goal

pytestmark = pytest.mark.browser
ROOT = Path(__file__).resolve().parents[1]
TOOLTIP = "document.querySelector('#vg-tooltip-element.visible')"  # of a chart


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
    chromium.hover(ring, "!document.getElementById('tip').hidden")
    text = chromium.run("document.getElementById('tip').textContent")
    assert "(420)" in text and "max_pool2d" in text and "ring of 5 rows of 84 bytes" in text
    chromium.hover(chromium.find("h1")[0], "document.getElementById('tip').hidden")
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
    viewer = {"BROWSER": "echo shown %s"}
    done = command_line("plan", model, "--html", "other.html", "--open", cwd=tmp_path, env=viewer)
    shown = f"shown {(tmp_path / 'other.html').as_uri()}"
    assert (done.returncode, sorted(done.stdout.split("\n"))) == (0, ["", "other.html", shown]), done.stderr
    pages = [(tmp_path / name).read_bytes() for name in ("lenet5_int8-plan.html", "other.html")]
    assert pages[0] == pages[1] and b"Content-Security-Policy" in pages[0]
    done = command_line("plan", model, "third.html", cwd=tmp_path)
    assert done.returncode == 2 and "add --html" in done.stderr and not (tmp_path / "third.html").exists()


def test_a_front_is_a_page_too(chromium: Browser, tmp_path: Path, examples: Path) -> None:
    done = command_line(
        "plan", examples / "lenet5" / "lenet5_int8.onnx", "--pareto", "--html", "--json", cwd=tmp_path
    )
    found = json.loads(done.stdout)
    assert found["html"] == "lenet5_int8-pareto.html"
    chromium.open(tmp_path / found["html"])
    assert chromium.draw_all() == 2
    dots = chromium.find("#front-arena svg path[aria-roledescription=point]")
    assert len(dots) == len(found["points"]) > 2
    chromium.hover(dots[0], TOOLTIP)
    text = chromium.run("document.querySelector('#vg-tooltip-element').textContent")
    assert any(point["arguments"] in text and f"{point['cycles']:,}" in text for point in found["points"])
    assert chromium.console() == []


# -- the report -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    """What the committed baseline measured on one core: three models, both variants."""
    found: dict[str, Any] = json.loads((ROOT / "reports" / "baseline.json").read_text(encoding="utf-8"))
    rows = [row for row in found["measurements"] if row["target"] == "cortex-m4"]
    return {**found, "measurements": rows}


@pytest.fixture(scope="module")
def report(content: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(report_page(content), "utf-8")
    return path


def test_a_report_is_one_file_of_sane_size(content: dict[str, Any], report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    assert text == report_page(copy.deepcopy(content)) and len(text) < 1_300_000
    assert "default-src 'none'" in text and content["command"] in html.unescape(text)


@pytest.mark.parametrize("dark", [False, True])
def test_a_report_draws_everything(chromium: Browser, report: Path, dark: bool) -> None:
    chromium.open(report, dark=dark)
    charts = [f"setting-{k}-{what}" for k in range(3) for what in ("strategies", "nodes", "flash")]
    assert chromium.draw_all() == len(charts) + 3  # and a Pareto front a model
    for name in charts:
        assert chromium.run(f"document.querySelectorAll('#{name} svg path[aria-roledescription=bar]').length")
    assert (
        chromium.find("[src], link") == []
        and chromium.run("performance.getEntriesByType('resource').length") == 0
    )
    assert len(chromium.find(".card")) == 3 and len(chromium.find("svg.plan-map")) == 6
    ink = chromium.run("getComputedStyle(document.querySelector('figure svg text')).fill")
    assert ink == chromium.run("getComputedStyle(document.body).color")
    assert chromium.console() == []


def test_a_chart_says_what_is_under_the_pointer(
    chromium: Browser, report: Path, content: dict[str, Any]
) -> None:
    chromium.open(report)
    chromium.draw_all()
    node = content["measurements"][0]["nodes"][0]
    chromium.hover(chromium.find("#setting-0-nodes svg path[aria-roledescription=bar]")[0], TOOLTIP)
    text = chromium.run("document.querySelector('#vg-tooltip-element').textContent")
    assert node["name"] in text and node["kernel"] in text and f"{node['cycles']:,}" in text


def test_tables_sort(chromium: Browser, report: Path) -> None:
    chromium.open(report)
    table = "document.querySelector('#summary + .scroll table')"
    titles = chromium.run(f"[...{table}.tHead.rows[0].cells].map((c) => c.textContent)")

    def column(title: str) -> list[str]:
        cells = f"[...{table}.tBodies[0].rows].map((r) => r.cells[{titles.index(title)}].textContent)"
        return list(chromium.run(cells))

    for title in ("RAM", "cycles", "speed vs CMSIS-NN"):
        before = column(title)
        button = chromium.find("#summary + .scroll th button")[titles.index(title)]
        known = [text for text in before if text]
        rising = sorted(known, key=lambda text: float(text.replace(",", "").rstrip("x")))
        for order, state in ((rising, "ascending"), (rising[::-1], "descending")):
            chromium.run("arguments[0].click()", button)
            assert column(title) == order + [""] * before.count("")  # unknown ones last, either way
            assert [
                th.get_attribute("aria-sort") for th in chromium.find("#summary + .scroll th[aria-sort]")
            ] == [state]
    assert len(set(column("model"))) == 3  # whole rows have moved


def test_a_report_fits_a_phone(chromium: Browser, content: dict[str, Any], tmp_path: Path) -> None:
    """Also legends of two kinds, and names that are longer than a screen is wide."""
    rows = [copy.deepcopy(row) for row in content["measurements"][:2] for _ in Goal]
    for row, goal in zip(rows, (*Goal, *Goal), strict=True):
        row["goal"] = str(goal)
        row["nodes"][0]["name"] = "a_block_of_layers/with_a_name/" * 3
    path = tmp_path / "report.html"
    path.write_text(report_page({**content, "measurements": rows}), "utf-8")
    chromium.open(path, phone=True)
    assert chromium.draw_all() == 3 * 3 + 1
    assert chromium.run("document.documentElement.scrollWidth") == chromium.run("innerWidth") == 390
    drawn = "[...document.querySelectorAll('figure.chart svg')]"
    right = "getBoundingClientRect().right"
    assert chromium.run(f"Math.max(...{drawn}.map((s) => s.{right}))") <= 390
    legends = "[...s.querySelectorAll('.role-legend-label text')]"
    beyond = (
        f"{drawn}.flatMap((s) => {legends}.filter((t) => t.{right} > s.{right}).map((t) => t.textContent))"
    )
    assert chromium.run(beyond) == []
    assert chromium.run("document.querySelectorAll('#pareto-0 .role-legend-label text').length") == 2 + 3
    wide = "[...document.querySelectorAll('td.text:first-child')].map((cell) => cell.offsetWidth)"
    assert chromium.run(f"Math.max(...{wide})") <= 390 / 2


EVIL = "'\"></title></script></svg><img src=x onerror=alert(1)><script>alert(2)</script>&amp;é☃{{7*7}}"


def test_names_of_strangers_stay_text(chromium: Browser, content: dict[str, Any], tmp_path: Path) -> None:
    hostile = {**content, "command": EVIL, "measurements": copy.deepcopy(content["measurements"][:2])}
    for row in hostile["measurements"]:
        row["model"] = row["plan"]["picture"]["model"] = row["input_obstacle"] = EVIL
        for part in (*row["nodes"], *row["plan"]["picture"]["blocks"], *row["plan"]["picture"]["columns"]):
            part["name"] = EVIL
        for node in row["nodes"]:
            node["fallback"] = node["kernel"] = EVIL
        for entry in row["ledger"]:
            entry["what"] = EVIL + "\x00\u202e"
    path = tmp_path / "evil.html"
    path.write_text(report_page(hostile), "utf-8")
    chromium.open(path)
    assert chromium.draw_all() == 4
    assert chromium.find("img") == [] and len(chromium.find("script")) == 2 + 4
    assert chromium.run("document.querySelector('.card h3').textContent") == EVIL
    for bar in chromium.find("#setting-0-nodes svg path[aria-roledescription=bar]")[:2]:
        chromium.hover(bar, TOOLTIP)
        assert EVIL in chromium.run("document.querySelector('#vg-tooltip-element').textContent").replace(
            "…", ""
        )
    assert chromium.find("img") == [] and chromium.console() == []
    assert not {"\x00", "\u202e"} & set(path.read_text(encoding="utf-8"))


# -- charts ------------------------------------------------------------------------------------------


def test_what_is_worth_having_is_not_hidden_by_its_equals() -> None:
    """Two ways of the same RAM and cycles, the second with more flash: the first lies on top."""
    rows = [
        {"ram": 2, "cycles": 5, "dtype": "int8", "worth": worth, "front": above, "above": above}
        for worth, above in (("worth having", 1), ("beaten", 0))
    ]
    across, up = quantity("cycles", "cycles"), quantity("ram", "RAM")
    spec = points(rows, across, up, Field("dtype", "dtype"), Field("worth", "worth"), ())
    fixed = {**spec, "width": 300, "config": {}}
    labels = re.findall(
        r'aria-label="([^"]*)"[^>]*aria-roledescription="point"', vl_convert.vegalite_to_svg(fixed)
    )
    assert ["beaten" in labels[0], "worth having" in labels[1], len(labels)] == [True, True, 2]
