"""The cycle models: what is decoded, what it costs, frozen results, and one network against silicon."""

import copy
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cycle_programs import FROZEN, START
from fc32 import ENTRY, SILICON, sample, sources
from pingponnx import cmsis
from pingponnx.build import build
from pingponnx.cycles import (
    attribute,
    by_function,
    by_region,
    cycle_model,
    cycles,
    flash_cycles,
    get_flash_model,
    hottest,
    import_board,
    load_models,
    read_image,
)
from pingponnx.cycles.decode import decode
from pingponnx.cycles.model import build_model, model_tables
from pingponnx.errors import Error
from pingponnx.fixed_point import Rounding
from pingponnx.profile import OUTSIDE, profile
from pingponnx.targets import get_target

# An M3 has no FPU, so that the frozen programs cannot hold the numbers it inherits for one.
NO_FPU = ("m3", "m3-trm")


# -- frozen results ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "model"), [(n, m) for n, p in FROZEN.items() for m in p.cycles])
def test_frozen_programs(name: str, model: str) -> None:
    """Every number is exact: a change that is meant also raises the model's version."""
    frozen = FROZEN[name]
    assert cycles(load_models()[model], frozen.image, frozen.blocks) == {1: frozen.cycles[model]}


def test_versions() -> None:
    assert {name: model.version for name, model in load_models().items()} == dict.fromkeys(
        ("m0", "m0p", "m4-trm", "m4", "m3-trm", "m3", "m33", "m7", "m55"), 1
    )


@pytest.mark.parametrize("name", load_models())
def test_the_frozen_programs_notice_every_number(name: str) -> None:
    instructions = {n: decode(p.image, p.blocks) for n, p in FROZEN.items()}

    def totals(tables: Mapping[str, Any]) -> dict[str, float]:
        pipeline = build_model(name, tables).pipeline
        return {
            n: sum(
                pipeline.cost(code).total(*block.counts[1])
                for code, block in zip(instructions[n], p.blocks, strict=True)
            )
            for n, p in FROZEN.items()
            if name in p.cycles
        }

    unnoticed = []
    tables, before = model_tables(name), totals(model_tables(name))
    for table in ("instruction", "register", "taken", "latency", "rules"):
        for key in tables.get(table, {}):
            changed = copy.deepcopy(tables)
            changed[table][key] += 1
            if totals(changed) == before and not (name in NO_FPU and key.startswith("fp_")):
                unnoticed.append(f"{table}.{key}")
    assert not unnoticed


# -- silicon ----------------------------------------------------------------------------------------


@pytest.mark.qemu
@pytest.mark.cmsis
def test_a_network_measured_on_silicon(tmp_path: Path) -> None:
    """bakenn's 32-16-4 network on an nRF52840, flash wait states and another compiler included."""
    target, library = get_target("cortex-m4"), cmsis.find()
    firmware = build(
        sources(),
        ENTRY,
        target,
        tmp_path,
        include_dirs=library.include_dirs,
        libraries=[cmsis.library(library, target, Rounding.TFLITE)],
    )
    found = profile(firmware, [sample()])
    spent = cycles(cycle_model(target), read_image(firmware.path), found.blocks)
    nodes = sum(spent[found.region(node)] for node in range(ENTRY.nodes))
    assert nodes == pytest.approx(SILICON, rel=0.12)
    assert nodes == pytest.approx(3358, rel=0.02)  # gcc 12.2, design/measurement.md
    assert set(spent) == {OUTSIDE, 1, 2, found.run}


# -- models -----------------------------------------------------------------------------------------


def test_models_of_the_built_in_targets() -> None:
    names = {
        core: cycle_model(get_target(f"cortex-{core}")) for core in ("m0", "m3", "m4", "m7", "m33", "m55")
    }
    assert {core: model.name for core, model in names.items()} == {core: core for core in names}
    assert {core: model.error for core, model in names.items()} == {
        "m0": "not compared with silicon",
        "m3": "+-5 %",
        "m4": "+-5 %",
        "m7": "+-15 %",
        "m33": "+-15 %",
        "m55": "indicative",
    }
    assert all(model.source for model in names.values())
    assert names["m3"].calibrated == names["m4"].calibrated != ()


def test_other_models() -> None:
    target = get_target("cortex-m4")
    assert cycle_model(target, "m4-trm").calibrated == ()
    assert cycle_model(replace(target, flags=("-mcpu=cortex-m0plus",))).name == "m0p"
    assert cycle_model(replace(target, flags=("-mcpu=cortex-m33+nodsp",))).name == "m33"
    with pytest.raises(Error, match="no cycle model 'm5'") as raised:
        cycle_model(target, "m5")
    assert "m4-trm" in raised.value.hint
    with pytest.raises(Error, match="no cycle model for the target cortex-m4: its core 'cortex-m85'"):
        cycle_model(replace(target, flags=("-mcpu=cortex-m85",)))
    with pytest.raises(Error, match="no cycle model for the target host: it names no core"):
        cycle_model(get_target("host"))


def test_sums() -> None:
    """By region, function and block: the same cycles."""
    p = FROZEN["v6m"]
    counts = {0: (1, 0), 2: (4, 1)}
    blocks = [replace(block, counts={**block.counts, **counts}) for block in p.blocks]
    first, second = blocks[0].bytes, blocks[1].bytes
    image = replace(p.image, functions=((START, first, "f"), (START + first, second, "g")))
    rows = attribute(load_models()["m4"], image, blocks)
    totals = by_region(rows)
    assert totals == cycles(load_models()["m4"], image, blocks)
    assert totals[1] == p.cycles["m4"]
    functions = by_function(rows)
    assert {f.function for f in functions} == {"f", "g", "(no symbol)"}
    assert functions[-1].region == 2
    for region, total in totals.items():
        assert sum(f.cycles for f in functions if f.region == region) == total
    (hot,) = hottest(rows, 1)
    assert (hot.region, hot.function, hot.start, hot.executed, hot.taken) == (1, "g", START + first, 70, 63)
    assert hot.instructions == 70 * blocks[1].instructions
    assert hot.cycles == max(row.cycles for row in rows)


# -- flash and boards -------------------------------------------------------------------------------


def test_flash_models(tmp_path: Path) -> None:
    built_in = get_flash_model("nucleo-l4r5zi")
    assert (built_in.code_lines, built_in.data_lines, built_in.line_bytes) == (128, 32, 8)
    assert flash_cycles(1000, built_in.cycles_per_miss) == 5000
    mine = tmp_path / "targets.toml"
    fields = "code_lines = 4\ndata_lines = 0\nline_bytes = 16\ncycles_per_miss = 2.5\n"
    mine.write_text(f"[flash.mine]\n{fields}", encoding="utf-8")
    assert get_flash_model("mine", mine).cycles_per_miss == 2.5
    assert get_flash_model("nucleo-l4r5zi", mine) == built_in
    with pytest.raises(Error, match="no flash model 'his'") as raised:
        get_flash_model("his", mine)
    assert "mine, nucleo-l4r5zi" in raised.value.hint
    for wrong in (fields.replace("16", "12"), fields + "more = 1\n", "code_lines = 4\n"):
        mine.write_text(f"[flash.mine]\n{wrong}", encoding="utf-8")
        with pytest.raises(Error, match="malformed"):
            get_flash_model("mine", mine)
    with pytest.raises(Error, match="cannot read"):
        get_flash_model("mine", tmp_path / "none.toml")


def test_import_board(tmp_path: Path) -> None:
    board = tmp_path / "board.csv"
    modelled = {"/conv/Conv": 900.0, "gemm, last": 50.5}
    board.write_text('\ufeffnode,cycles,note\n"gemm, last", 101 ,\n/conv/Conv,1000,x\n', encoding="utf-8")
    first, second = import_board(board, modelled)
    assert (first.node, first.model, first.silicon, first.ratio) == ("gemm, last", 50.5, 101, 0.5)
    assert (second.node, second.ratio) == ("/conv/Conv", 0.9)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            "node,cycles\n/conv/Conf,3\n",
            "line 2: the model has no node '/conv/Conf'",
            "did you mean '/conv/Conv'?",
        ),
        ("node,cycles\nx,3\n", "no node 'x'", "nodes: /conv/Conv"),
        ("node,cycles\n/conv/Conv,3\n/conv/Conv,4\n", "line 3: the node '/conv/Conv' is there twice", ""),
        ("node,cycles\n/conv/Conv,3.5\n", "line 2: '3.5' is not a number of cycles", "columns node,cycles"),
        ("node,cycles\n/conv/Conv\n", "'' is not a number of cycles", ""),
        ("node,cycles\n/conv/Conv,0\n", "'0' is not a number of cycles", ""),
        ("name,cycles\nx,3\n", "does not have the columns node and cycles", ""),
        ("node,cycles\n", "has no rows", ""),
        ("", "does not have the columns", ""),
    ],
)
def test_import_board_errors(tmp_path: Path, text: str, message: str, hint: str) -> None:
    board = tmp_path / "board.csv"
    board.write_text(text, encoding="utf-8")
    with pytest.raises(Error, match=re.escape(message)) as raised:
        import_board(board, {"/conv/Conv": 1.0})
    assert hint in raised.value.hint


def test_import_board_without_a_readable_file(tmp_path: Path) -> None:
    with pytest.raises(Error, match="cannot read"):
        import_board(tmp_path / "none.csv", {})
    (tmp_path / "binary.csv").write_bytes(b"node,cycles\n\xff\xfe,3\n")
    with pytest.raises(Error, match="not a CSV file"):
        import_board(tmp_path / "binary.csv", {})
