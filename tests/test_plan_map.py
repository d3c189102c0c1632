"""What `pingponnx plan` shows: its numbers, and the picture of a plan."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from models import command_line, converted
from pingponnx.ir import Graph, Node
from pingponnx.pipeline import Conversion
from pingponnx.plan import InputMode, Plan
from pingponnx.report.memory_plan import held, plan_lines, plan_result
from pingponnx.report.picture import Picture, picture
from pingponnx.report.plan_map import plan_map
from pingponnx.select import Goal

ROOT = Path(__file__).resolve().parents[1]
SVG = "{http://www.w3.org/2000/svg}"
NAMES = ["lenet5/lenet5_f32", "lenet5/lenet5_int8", "paper_cifar/paper_cifar_int8"]


@pytest.fixture(scope="module")
def lenet(examples: Path) -> Conversion:
    return _smallest(examples / "lenet5" / "lenet5_int8.onnx")


def _smallest(path: Path, **changes: Any) -> Conversion:
    return converted(path, goal=Goal.RAM, **changes)


def _drawn(conversion: Conversion) -> str:
    return plan_map(picture(conversion.graph, conversion.plan))


def _blocks(svg: str) -> list[ElementTree.Element]:
    """What stands for a block, in the order of the plan."""
    (group,) = (g for g in ElementTree.fromstring(svg).iter(f"{SVG}g") if g.get("class") == "blocks")
    return list(group)


def _title(element: ElementTree.Element) -> str:
    return element.findtext(f"{SVG}title") or ""


# -- the picture ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mode", [InputMode.RESIDENT, InputMode.ROWS])
def test_every_block_is_drawn_once(name: str, mode: InputMode, examples: Path) -> None:
    conversion = _smallest(examples / f"{name}.onnx", input_mode=mode)
    drawn = _blocks(_drawn(conversion))
    assert [b.get("class") for b in drawn] == [b.kind for b in conversion.plan.blocks]
    for element, block in zip(drawn, conversion.plan.blocks, strict=True):
        assert f"bytes {block.offset:,} to {block.offset + block.bytes - 1:,}" in _title(element)
        assert block.kind == "scratch" or block.name in _title(element)


def _extent(element: ElementTree.Element) -> tuple[float, ...]:
    """Left, top, right and bottom of a drawn block."""
    path = element.findall(f"{SVG}path")[0].get("d", "")
    return tuple(float(n) for n in re.findall(r"[\d.]+", path)[:4])


def test_addresses_and_lives_are_to_scale(lenet: Conversion) -> None:
    """Blocks without a common byte or a common node have no common point; the highest ends at the arena."""
    drawn = [_extent(e) for e in _blocks(_drawn(lenet))]
    scale = max(bottom for _, _, _, bottom in drawn) - min(top for _, top, _, _ in drawn)
    for (_, top, _, bottom), block in zip(drawn, lenet.plan.blocks, strict=True):
        assert abs((bottom - top) / scale - block.bytes / lenet.plan.arena) < 0.003
    for a, block_a in zip(drawn, lenet.plan.blocks, strict=True):
        for b, block_b in zip(drawn, lenet.plan.blocks, strict=True):
            if block_a.last < block_b.first:
                assert a[2] <= b[0] + 0.1
            if block_a.offset + block_a.bytes <= block_b.offset:
                assert b[3] <= a[1] + 0.1 + 1  # a block of few bytes is drawn a point high


def test_a_ring_shows_its_rows(lenet: Conversion) -> None:
    rings = [b for b in _blocks(_drawn(lenet)) if b.get("class") == "ring"]
    rows = [ring.rows for ring in lenet.plan.rings.values()]
    drawn = [
        e.get("d", "").count("M") for r in rings for e in r.iter(f"{SVG}path") if e.get("class") == "row"
    ]
    assert drawn == [count - 1 for count in rows] and max(rows) > 2


def test_the_peak_is_marked(lenet: Conversion) -> None:
    svg = ElementTree.fromstring(_drawn(lenet))
    marked = [g for g in svg.iter(f"{SVG}g") if g.get("class") == "segment peak"]
    peak = max(held(lenet.plan, segment) for segment in lenet.plan.segments)
    assert len(marked) == 1 and f"{peak:,} bytes held" in _title(marked[0])
    assert peak <= lenet.plan.arena


def test_a_picture_survives_json(lenet: Conversion) -> None:
    found = picture(lenet.graph, lenet.plan)
    assert Picture.from_row(json.loads(json.dumps(found.row()))) == found


def test_same_plan_same_bytes(lenet: Conversion, examples: Path) -> None:
    again = _smallest(examples / "lenet5" / "lenet5_int8.onnx")
    assert _drawn(lenet) == _drawn(again)


def test_the_picture_needs_nothing_else(lenet: Conversion) -> None:
    svg = _drawn(lenet)
    assert "prefers-color-scheme: dark" in svg
    assert "<script" not in svg and "href" not in svg and "url(" not in svg and "@import" not in svg
    assert re.findall(r"https?://[^\"]+", svg) == ["http://www.w3.org/2000/svg"]


EVIL = '"><script>alert(1)</script>&<!--]]>\x1b[31m\x00\n#'


def _hostile(graph: Graph, memory: Plan) -> tuple[Graph, Plan]:
    """The same plan of a graph whose tensors, nodes and name are all called something evil."""

    def evil(name: str) -> str:
        return f"{EVIL}{name}" if name else name

    def node(n: Node) -> Node:
        return Node(evil(n.name), n.op, tuple(map(evil, n.inputs)), tuple(map(evil, n.outputs)))

    tensors = {evil(k): replace(t, name=evil(k)) for k, t in graph.tensors.items()}
    ports = {evil(k): port for k, port in graph.ports.items()}
    inputs, outputs = tuple(map(evil, graph.inputs)), tuple(map(evil, graph.outputs))
    nodes = tuple(map(node, graph.nodes))
    blocks = tuple(replace(b, name=evil(b.name) if b.kind != "scratch" else b.name) for b in memory.blocks)
    rings = {evil(name): ring for name, ring in memory.rings.items()}
    return Graph(EVIL, nodes, tensors, inputs, outputs, ports), replace(memory, blocks=blocks, rings=rings)


def test_names_of_strangers_are_harmless(lenet: Conversion) -> None:
    graph, memory = _hostile(lenet.graph, lenet.plan)
    svg = plan_map(picture(graph, memory))
    assert "<script" not in svg and "<!--" not in svg and "\x1b" not in svg and "\x00" not in svg
    tags = {element.tag for element in ElementTree.fromstring(svg).iter()}
    assert tags == {f"{SVG}{tag}" for tag in ("svg", "title", "style", "rect", "g", "path", "text")}
    assert all("<script>alert(1)" in _title(block) for block in _blocks(svg))


# -- the command ------------------------------------------------------------------------------------


def test_the_document_has_everything(lenet: Conversion) -> None:
    found: dict[str, Any] = json.loads(json.dumps(plan_result(lenet)))
    assert found.keys() >= {"model", "strategies", "strategy", "arena", "lower_bound", "gap", "proven"}
    assert found.keys() >= {"effort", "input_mode", "segments", "rings", "blocks", "banks"}
    assert found["gap"] == found["arena"] - found["lower_bound"] and found["proven"] == (found["gap"] == 0)
    assert found["arena"] == found["strategies"][found["strategy"]]
    ran = [name for segment in found["segments"] for name in segment["nodes"]]
    assert ran == [n.name for n, c in zip(lenet.graph.nodes, lenet.calls, strict=True) if c is not None]
    assert all(s.keys() == {"nodes", "backward", "streamed", "steps", "bytes"} for s in found["segments"])
    assert max(segment["bytes"] for segment in found["segments"]) <= found["arena"]
    assert all(r.keys() == {"offset", "rows", "row_bytes", "spare"} for r in found["rings"].values())
    assert {"tensor", "ring"} <= {block["kind"] for block in found["blocks"]}


def test_what_people_read(lenet: Conversion) -> None:
    text = "\n".join(plan_lines(lenet))
    assert re.search(r"^  ping_pong +2,200 +100\.0 %$", text, re.MULTILINE)
    assert re.search(r"^  streamed .* %  <- used$", text, re.MULTILINE)
    assert "proven: no schedule of this kind needs less; effort normal" in text
    assert re.search(r"^ +1\.\.2 +backward +1,204  streamed in \d+ steps$", text, re.MULTILINE)
    assert "ring of 5 rows of 84 bytes: " in text


def test_what_cannot_be_fed_has_a_dash(shared_models: Path) -> None:
    conversion = _smallest(shared_models / "mlperf_ad_int8.onnx")
    assert plan_result(conversion)["strategies"]["row_fed"] is None
    assert "\n  row_fed                -         -\n" in "\n".join(plan_lines(conversion))


def test_a_gap_is_said(examples: Path) -> None:
    conversion = _smallest(examples / "paper_cifar" / "paper_cifar_int8.onnx")
    gap = conversion.plan.arena - conversion.plan.lower_bound
    assert gap and re.search(
        rf"lower bound [\d,]+, gap {gap:,} \(\d\.\d %\); effort", "\n".join(plan_lines(conversion))
    )


def test_the_command_draws(tmp_path: Path, examples: Path) -> None:
    path = tmp_path / "new" / "plan.svg"
    done = command_line("plan", examples / "lenet5" / "lenet5_int8.onnx", "--map", path, "--json")
    assert done.returncode == 0, done.stderr
    assert len(_blocks(path.read_text(encoding="utf-8"))) == len(json.loads(done.stdout)["blocks"])
    done = command_line("plan", examples / "lenet5" / "lenet5_int8.onnx", "--map", path / "below")
    assert done.returncode == 2 and done.stdout == "" and "\nhint: " in done.stderr


# -- docs/memory-planning.md ------------------------------------------------------------------------


def test_the_documented_numbers(examples: Path) -> None:
    """The rows of the models that this repository ships."""
    text = (ROOT / "docs" / "memory-planning.md").read_text(encoding="utf-8")
    titles = ("ping_pong", "exact", "overlap", "streamed", "row_fed")
    for name, title in zip(NAMES, ("LeNet-5 float32", "LeNet-5 int8", "CIFAR int8"), strict=True):
        sizes = _smallest(examples / f"{name}.onnx").plan.strategies
        line = re.findall(rf"^\| {title} \|(.+)\|$", text, re.MULTILINE)[0]  # of the first table
        assert [cell.strip() for cell in line.split("|")][: len(titles)] == [f"{sizes[t]:,}" for t in titles]


def test_the_picture_of_the_document_is_of_this_size(shared_models: Path) -> None:
    made = _smallest(shared_models / "mlperf_ic_int8.onnx", target="cortex-m4")
    kept = (ROOT / "docs" / "pictures" / "resnet8-plan.svg").read_text(encoding="utf-8")
    titles = [_headline(svg) for svg in (kept, _drawn(made))]
    assert titles[0] == titles[1], "draw it again: `pingponnx plan --goal ram --map`"


def _headline(svg: str) -> str:
    texts = ElementTree.fromstring(svg).iter(f"{SVG}text")
    return next(t.text or "" for t in texts if t.get("class") == "title")
