"""What is killed: every command that writes, every cache; in the full run also around compilers and QEMU."""

import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sandbox import command, fresh, run
from sweep import Case, Wrong

import pingponnx.backend
import pingponnx.calibrate
import pingponnx.report
import pingponnx.reporting
from cmsis_run import fake_checkout
from models import Builder, save
from pingponnx import cmsis, output, plugin
from pingponnx.explore import Cache
from pingponnx.fixed_point import Rounding
from pingponnx.output import write_file
from pingponnx.targets import get_target

Act = Callable[[], int]
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
LENET = EXAMPLES / "lenet5"


def _nothing() -> int:
    return 0


def _in_order(*acts: Act) -> Act:
    def act() -> int:
        return max(one() for one in acts)

    return act


def _files(**contents: str) -> Act:
    """Write files, named with an underscore for the dot."""

    def act() -> int:
        for name, text in contents.items():
            Path(name.replace("_", ".")).write_text(text)
        return 0

    return act


def _in_steps(act: Act) -> Act:
    """As on a file system that cannot exchange names."""

    def stepping() -> int:
        output.exchange = lambda one, other: False
        return act()

    return stepping


def _measured(act: Act, report: Path) -> Act:
    """A report of measurements that were made before."""

    content = json.loads(report.read_text())
    files = pingponnx.report.render(content)

    def canned() -> int:
        pingponnx.reporting.measure_all = lambda *rest: content
        pingponnx.report.render = lambda content: files
        return act()

    return canned


def _model(path: Path, channels: int) -> Path:
    net = Builder()
    return save(net.model({"x": (1, 2, 6, 6)}, net.conv("x", 2, channels)), path)


def _reports(inputs: Path, model: Path) -> tuple[Path, Path]:
    """A real report, and another one."""
    sandboxed = inputs / "measuring"
    fresh(sandboxed)
    ended = run(command("report", model, "-o", "out", "--variant", "optimised", "--limit", "1"), sandboxed)
    if ended.code != 0:
        raise Wrong(f"measuring: {ended.messages}")
    new, old = sandboxed / "out" / "report.json", inputs / "old.json"
    content = json.loads(new.read_text())
    old.write_text(json.dumps(content | {"command": "another"}))
    return old, new


def cases(inputs: Path) -> list[Case]:
    """All of them; models and reports are made in the folder `inputs`."""
    old, new = _model(inputs / "old.onnx", 3), _model(inputs / "new.onnx", 4)
    with contextlib.redirect_stdout(sys.stderr):
        command("convert", new, "-o", inputs / "warm")()  # imports everything, so that no child has to
    before, after = _reports(inputs, new)
    convert_old, convert_new = (command("convert", model, "-o", "out") for model in (old, new))
    write = command("report", new, "-o", "out")
    return [
        Case("convert, a new folder", _nothing, convert_new, ("out",), stride=3),
        Case("convert, over an old one", convert_old, convert_new, ("out",)),
        Case("convert, in steps", convert_old, _in_steps(convert_new), ("out",), gap=True, stride=4),
        Case(
            "report, over an old one", _measured(write, before), _measured(write, after), ("out",), stride=2
        ),
        *_files_of(new, before, after),
        *_caches(inputs),
        *_with_tools(new),
    ]


def planted() -> Case:
    """What the harness has to catch."""

    def in_place() -> int:
        Path("page.html").write_text("new")
        return 0

    return Case("written in place, a fault of ours", _files(page_html="old"), in_place, ("page.html",))


def _files_of(model: Path, before: Path, after: Path) -> list[Case]:
    checked = ("check.md", "junit.xml", "check.sarif")
    check = ["check", after, "--baseline", after, "--markdown", checked[0], "--junit", checked[1]]
    add = ["trend", "history", "--commit", "abcdef1", "--date", "2026-01-31T12:00:00Z", "--add"]
    past = ["trend", "history", "--commit", "abcdef0", "--date", "2026-01-30T12:00:00Z", "--add"]
    return [
        Case(
            "plan --html",
            _files(page_html="old"),
            command("plan", model, "--html", "page.html"),
            ("page.html",),
        ),
        Case(
            "baseline",
            command("baseline", before, "--baseline", "base.json"),
            command("baseline", after, "--baseline", "base.json"),
            ("base.json",),
        ),
        Case(
            "check",
            _files(check_md="old", junit_xml="old", check_sarif="old"),
            command(*check, "--sarif", checked[2]),
            checked,
            stride=3,
        ),
        Case(
            "trend --add --html",
            _in_order(command(*past, before), _files(trend_html="old")),
            command(*add, after, "--html", "trend.html"),
            ("history", "trend.html"),
            stride=3,
        ),
        Case(
            "quantize",
            _nothing,
            command(
                "quantize",
                LENET / "lenet5_f32.onnx",
                "-o",
                "int8.onnx",
                "--samples",
                LENET / "calibration.npz",
            ),
            ("int8.onnx",),
            stride=None,
            faults=False,
        ),
    ]


def _caches(inputs: Path) -> list[Case]:
    checkout = fake_checkout(inputs / "cmsis")

    def put(value: int) -> Act:
        def act() -> int:
            Cache().put("key", {"value": value})
            return 0 if Cache().get("key") == {"value": value} else 1

        return act

    def library() -> int:
        cmsis.library(cmsis.find(checkout), get_target("host"), Rounding.SINGLE)
        return 0

    def compiled() -> int:
        plugin.plugin()
        return 0

    def damaged() -> int:
        """A plugin of an earlier run, whose second half is missing."""
        compiled()
        (path,) = cmsis.cache_folder().glob("profile-*.so")
        write_file(path, path.read_bytes()[:5000])
        return 0

    kept = ("cache",)
    return [
        Case("cache of explore", put(1), put(2), ("cache/explore/key.result",), faults=False),
        Case("cache of CMSIS-NN", _nothing, library, (), same=kept, stride=3, faults=False),
        Case("cache of the plugin, damaged", damaged, compiled, (), stride=4, faults=False),
    ]


def _with_tools(model: Path) -> list[Case]:
    """Compilers and QEMU are at work at many of these points."""
    report = ["report", model, "-o", "out", "--limit", "1"]
    ways = ["--dtype", "float32", "--goal", "ram", "-O", "O3", "--rounding", "single", "--limit", "1"]
    explore = ["explore", model, *ways, "--jobs", "1", "--html", "page.html"]
    return [
        Case("verify", _nothing, command("verify", model), (), stride=40, faults=False),
        Case(
            "report, measuring", command("convert", model, "-o", "c"), command(*report), ("out",), stride=None
        ),
        Case(
            "convert for CMSIS-NN",
            _nothing,
            command("convert", LENET / "lenet5_int8.onnx", "-o", "out", "--variant", "cmsis-nn"),
            ("out",),
            stride=None,
        ),
        Case("explore", _nothing, command(*explore), ("page.html",), stride=None),
    ]
