"""Constants in RAM: which, how they get there, and that nothing but memory and waiting changes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import command_line, converted, execute, make_model, make_node, save
from pingponnx.arguments import byte_count
from pingponnx.constants import Constant
from pingponnx.costs import costs
from pingponnx.errors import Error
from pingponnx.hot import HotWeights, hottest
from pingponnx.ledger import Entry
from pingponnx.measure import measure, subject
from pingponnx.pipeline import Options, firmware
from pingponnx.samples import input_bytes, random_samples

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "lenet5" / "lenet5_int8.onnx"
M4 = Options(hot_weights=4096)
ROOM = 4  # tables start at word boundaries


# -- which --------------------------------------------------------------------------------------------


def _tables(sizes: list[tuple[int, int]]) -> list[Constant]:
    """Tables of so many bytes that are read so often."""
    return [Constant(i, "weights", np.zeros(b, np.int8), b * n) for i, (b, n) in enumerate(sizes)]


def _room(tables: list[Constant]) -> int:
    return sum(-(-t.bytes // ROOM) * ROOM for t in tables)


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 9)), max_size=12), st.integers(0, 300))
def test_the_most_read_tables_that_fit(sizes: list[tuple[int, int]], budget: int) -> None:
    tables = _tables(sizes)
    hot = hottest(tables, budget)
    assert hot == hottest(_tables(sizes), budget)
    assert _room(list(hot.tables)) == hot.room <= budget
    ranked = sorted(tables, key=lambda t: (-t.reads, t.node))
    assert list(hot.tables) == [t for t in ranked if t in hot.tables]
    for index, table in enumerate(ranked):
        before = [t for t in ranked[:index] if t in hot.tables]
        assert (table in hot.tables) == (_room([*before, table]) <= budget)


def test_reads_follow_from_the_layers() -> None:
    tables = converted(EXAMPLE).constants.values()
    weights = {table.node: table.reads for table in tables if table.role == "weights"}
    assert weights == {1: 28 * 28, 2: 10 * 10, 4: 1, 5: 1, 6: 1}  # output pixels before the fused pools
    for table in tables:
        assert table.reads in (weights[table.node], {1: 14 * 14, 2: 5 * 5}.get(table.node, 1))


def test_reads_of_an_equal_table_add_up(tmp_path: Path) -> None:
    """Two convolutions with the same weights, the second one of an image half as large."""
    nodes = [
        make_node("Conv", ["x", "w"], "a", pads=[1, 1, 1, 1], strides=[2, 2]),
        make_node("Relu", ["a"], "b"),
        make_node("Conv", ["b", "w"], "y", pads=[1, 1, 1, 1], strides=[2, 2]),
    ]
    weights = np.random.default_rng(0).standard_normal((2, 2, 3, 3)).astype(np.float32)
    model = make_model(nodes, {"x": [1, 2, 16, 16]}, ["y"], {"w": weights})
    conversion = converted(save(model, tmp_path / "twice.onnx"), hot_weights=1000)
    (table,) = [t for t in conversion.constants.values() if t.role == "weights"]
    assert table.reads == 8 * 8 + 4 * 4
    text = conversion.sources["twice_data.c"]
    assert text.count("_weights[") == 1
    assert f"PINGPONNX_HOT(twice_{table.name}) PINGPONNX_ALIGN(4) const float twice_{table.name}[36]" in text


# -- how ----------------------------------------------------------------------------------------------


def test_nothing_is_said_without_a_budget() -> None:
    conversion = converted(EXAMPLE)
    assert conversion.hot == HotWeights(0) and conversion.hot.row(conversion.graph, "p") is None
    assert not any("HOT" in text for text in conversion.sources.values())


@pytest.mark.parametrize("variant", ["optimised", pytest.param("cmsis-nn", marks=pytest.mark.cmsis)])
def test_same_outputs(variant: str) -> None:
    plain, hot = (converted(EXAMPLE, variant=variant, hot_weights=size) for size in (0, 4096))
    samples = random_samples(plain.graph, 3)
    for want, got in zip(execute(plain, samples), execute(hot, samples), strict=True):
        assert all((a == b).all() for a, b in zip(want, got, strict=True))
    assert f"#define LENET5_INT8_HOT_BYTES {hot.hot.room}\n" in hot.sources["lenet5_int8.h"]


@pytest.mark.qemu
def test_the_user_decides_where(tmp_path: Path) -> None:
    conversion = converted(EXAMPLE, target="cortex-m4", hot_weights=4096)
    assert firmware(conversion, tmp_path / "ram").map.data == conversion.hot.bytes
    back = firmware(conversion, tmp_path / "flash", defines=["PINGPONNX_HOT(table)="])
    assert back.map.data == 0
    assert (
        back.map.constants
        == firmware(converted(EXAMPLE, target="cortex-m4"), tmp_path / "plain").map.constants
    )


# -- what it costs and buys -----------------------------------------------------------------------------


@pytest.mark.qemu
def test_memory_moves_and_waits_shrink() -> None:
    what = subject(EXAMPLE, M4, None, 2)
    plain, hot = (
        measure(what, replace(M4, hot_weights=size, flash_model="nucleo-l4r5zi")) for size in (0, 4096)
    )
    moved = hot["hot_weights"]["bytes"]
    assert moved == sum(t["bytes"] for t in hot["hot_weights"]["tables"]) and 0 < moved <= 4096
    assert hot["ram"]["static"] == plain["ram"]["static"] + moved
    assert hot["ram"]["total"] == plain["ram"]["total"] + moved
    assert hot["flash"] == plain["flash"]  # the initial values stay there
    for row in (plain, hot):
        assert [f["name"] for f in row["functions"]].count("(waits for flash)") == 1
        assert abs(sum(f["cycles"] for f in row["functions"]) - row["cycles"]) <= len(row["functions"])
    ledger = [Entry(**entry) for entry in hot["ledger"]]
    for memory in ("flash", "ram"):
        data = [e for e in ledger if (e.memory, e.owner) == (memory, "data")]
        assert sum(e.bytes for e in data) == moved
        assert {e.what for e in data} == {t["node"] for t in hot["hot_weights"]["tables"]}
    assert hot["output_sha256"] == plain["output_sha256"] and hot["equal_to_reference"]
    assert hot["instructions"] == plain["instructions"]
    assert hot["cycles"] < plain["cycles"]


@pytest.mark.qemu
def test_memory_without_wait_states_gains_nothing(tmp_path: Path) -> None:
    found = []
    for size in (0, 4096):
        conversion = converted(EXAMPLE, target="cortex-m4", hot_weights=size)
        (sample,) = input_bytes(conversion.graph, random_samples(conversion.graph, 1))
        found.append(costs(firmware(conversion, tmp_path / str(size)), sample))
    assert found[0].cycles == found[1].cycles


# -- the commands ---------------------------------------------------------------------------------------


def test_sizes() -> None:
    assert [byte_count(text) for text in ("0", "300", "4K", "4k", "1M")] == [0, 300, 4096, 4096, 2**20]
    for text in ("", "-1", "4KB", "1.5K", "many"):
        with pytest.raises(Error, match="size"):
            byte_count(text)


def test_convert(tmp_path: Path) -> None:
    done = command_line("convert", EXAMPLE, "-o", tmp_path / "out", "--hot-weights", "4K", "--json")
    hot = json.loads(done.stdout)["hot_weights"]
    table = hot["tables"][0]
    assert (hot["budget"], hot["bytes"]) == (4096, sum(t["bytes"] for t in hot["tables"]))
    assert (table["symbol"], table["node"]) == ("lenet5_int8_n1_weights", "node_conv2d")
    assert (table["role"], table["reads"]) == ("weights", 28 * 28)
    done = command_line("convert", EXAMPLE, "-o", tmp_path / "out", "--hot-weights", "4K")
    assert f"{hot['bytes']:,} B of them in RAM" in done.stdout
    done = command_line("convert", EXAMPLE, "-o", tmp_path / "out", "--hot-weights", "some")
    assert done.returncode == 2 and "some" in done.stderr


@pytest.mark.qemu
def test_report(tmp_path: Path) -> None:
    arguments = ("--variant", "optimised", "--hot-weights", "1K", "--limit", "1")
    done = command_line("report", EXAMPLE, "-o", tmp_path / "out", *arguments)
    assert done.returncode == 0, done.stderr
    for name in ("report.md", "report.html"):
        assert "hot table of node" in (tmp_path / "out" / name).read_text(encoding="utf-8")
