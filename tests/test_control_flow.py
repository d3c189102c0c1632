"""Branches as the assembler makes them, loops, and the nodes that code is attributed to."""

import re
import struct
import subprocess
from pathlib import Path

import pytest

from pingponnx.attribution import Piece
from pingponnx.control_flow import loops, reachable, successors
from pingponnx.regions import Span, nodes_by_line, regions

NEXT, LABEL = "next", "label"

BRANCHES = {
    "adds r0, r0, r1": {NEXT},
    "bne label": {NEXT, LABEL},
    "b label": {LABEL},
    "bne.w label": {NEXT, LABEL},
    "bmi.w label": {NEXT, LABEL},
    "b.w label": {LABEL},
    "bl label": {NEXT},
    "blx r3": {NEXT},
    "bx lr": set(),
    "pop {r4, pc}": set(),
    "pop {r4, lr}": {NEXT},
    "mov pc, r3": set(),
    "mov r8, r3": {NEXT},
    "ldr pc, [r0]": set(),
    "ldr pc, [r0], #4": set(),
    "ldr.w r3, [r0, #400]": {NEXT},
    "ldrh.w r8, [r0, #4]": {NEXT},
    "ldmia.w r0, {r8, pc}": set(),
    "ldmia.w r0, {r8, r9}": {NEXT},
    "tbb [r0, r1]": set(),
    "tbh [r0, r1, lsl #1]": set(),
    "dsb": {NEXT},
    "msr msp, r0": {NEXT},
    "le lr, label": {NEXT, LABEL},
    "letp lr, label": {NEXT, LABEL},
    "dls lr, r0": {NEXT},
    "dlstp.16 lr, r0": {NEXT},
    "lctp": {NEXT},
}
FORWARDS = {
    "cbz r0, label": {NEXT, LABEL},
    "cbnz r7, label": {NEXT, LABEL},
    "bge label": {NEXT, LABEL},
    "b.w label": {LABEL},
    "wls lr, r0, label": {NEXT, LABEL},
    "wlstp.8 lr, r0, label": {NEXT, LABEL},
}


def assemble(text: str, folder: Path) -> bytes:
    (folder / "code.s").write_text(f".syntax unified\n.thumb\n{text}\n")
    for command in (
        ["arm-none-eabi-gcc", "-mcpu=cortex-m55", "-mthumb", "-c", "code.s"],
        ["arm-none-eabi-objcopy", "-O", "binary", "-j", ".text", "code.o", "code.bin"],
    ):
        subprocess.run(command, cwd=folder, check=True)
    return (folder / "code.bin").read_bytes()


@pytest.mark.qemu
@pytest.mark.parametrize("distance", [0, 30])
@pytest.mark.parametrize(
    ("instruction", "where", "expected"),
    [(i, "back", e) for i, e in BRANCHES.items()] + [(i, "on", e) for i, e in FORWARDS.items()],
)
def test_successors(instruction: str, where: str, expected: set[str], distance: int, tmp_path: Path) -> None:
    space = f".rept {distance}\nnop\n.endr"
    if where == "back":
        code = assemble(f"label:\n{space}\n{instruction}", tmp_path)
        address, label = 2 * distance, 0
    else:
        code = assemble(f"{instruction}\n{space}\nnop\nnop\nlabel: nop", tmp_path)
        address, label = 0, len(code) - 2
    first, second = struct.unpack_from("<2H", code + b"\0\0", address)
    size = 2 if first < 0xE800 else 4
    names = {address + size: NEXT, label: LABEL}
    assert {names[a] for a in successors(address, first, second, 0xBF00)} == expected


def test_a_return_that_depends_on_an_it_may_not_happen() -> None:
    assert successors(2, 0x4770, 0, 0xBF08) == (4,)  # it eq; bxeq lr
    assert successors(2, 0x4770, 0, 0xBF00) == ()  # nop; bx lr


def test_a_call_into_the_function_itself_is_a_jump() -> None:
    halfwords = {0: 0xF000, 2: 0xF802, 4: 0x4770, 6: 0x4770, 8: 0xE7FA}  # 0: bl 8; 8: b 0
    assert reachable(0, halfwords) == {0: (8,), 8: (0,)}


def test_loops() -> None:
    graph = {0: (2,), 2: (4,), 4: (6, 2), 6: (8,), 8: (8, 10), 10: (12,), 12: (14,), 14: (10, 16), 16: ()}
    assert sorted(sorted(loop) for loop in loops(graph)) == [[2, 4], [8], [10, 12, 14]]
    assert loops({0: (2,), 2: ()}) == []


SOURCE = """int net_run(net_arena *arena) {
    {
        const int8_t *const inputs[] = {0};
        PINGPONNX_NODE_BEGIN(0);
        first(arena);
        PINGPONNX_NODE_END(0, base, 4);
    }
    {
        PINGPONNX_NODE_BEGIN(2);
        second(arena);
        PINGPONNX_NODE_END(2, base, 4);
    }
    return 0;
}
"""


def test_lines_of_nodes() -> None:
    assert nodes_by_line(SOURCE) == {4: 0, 5: 0, 6: 0, 9: 2, 10: 2, 11: 2}


def piece(start: int, line: int, *halfwords: int) -> Piece:
    return Piece(start, struct.pack(f"<{len(halfwords)}H", *halfwords), line)


NOP, RETURN = 0xBF00, 0x4770


def test_straight_code_is_of_the_node_of_its_line() -> None:
    pieces = [
        piece(0, 1, NOP),
        piece(2, 5, NOP, NOP),
        piece(6, 0, NOP),
        piece(8, 10, NOP),
        piece(10, 13, RETURN),
    ]
    assert regions(pieces, 0, SOURCE) == (
        Span(0, 2, None),
        Span(2, 6, 0),
        Span(8, 10, 2),
        Span(10, 12, None),
    )


def test_a_loop_is_of_one_node() -> None:
    """One instruction in it has a line of another node, one has none."""
    pieces = [piece(0, 5, NOP, NOP), piece(4, 10, NOP), piece(6, 0, NOP), piece(8, 5, NOP, 0xE7F9)]
    assert regions(pieces, 0, SOURCE) == (Span(0, 12, 0),)


def test_a_loop_that_seems_to_be_of_two_nodes_is_left_as_it_is() -> None:
    pieces = [piece(0, 5, NOP, NOP, NOP), piece(6, 10, NOP, NOP, 0xE7F9)]
    assert regions(pieces, 0, SOURCE) == (Span(0, 6, 0), Span(6, 12, 2))


def test_markers_are_found_in_what_the_template_writes() -> None:
    template = Path(__file__).parents[1] / "converter/pingponnx/templates/model.c.j2"
    text = re.sub(r"\{\{ b\.index \}\}", "7", template.read_text(encoding="utf-8"))
    assert set(nodes_by_line(text).values()) == {7}
