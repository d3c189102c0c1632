"""Words at odd addresses: trapped (UNALIGN_TRP), none may be accessed. Cortex-M0 always traps them."""

from dataclasses import replace
from pathlib import Path

import pytest

from models import converted
from pingponnx.build import build
from pingponnx.entry import Entry
from pingponnx.errors import ToolchainError
from pingponnx.evaluate import evaluate
from pingponnx.run import run
from pingponnx.samples import feeds, input_bytes, random_samples
from pingponnx.select import Goal
from pingponnx.targets import get_target

CORES = ("cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55")
CCR = "(*(volatile uint32_t *)0xE000ED14u)"
TRAP, LET = f"{CCR} |= 8u;", f"{CCR} &= ~8u;"

# Stands in for a model.
ODD = """
#include <stdint.h>
typedef struct {{ uint32_t words[2]; }} proof_arena;
static inline int proof_run(proof_arena *arena) {{
    {before}
    const uint32_t word = *(volatile uint32_t *)((uintptr_t)arena + 1u);
    {after}
    return word == 0x5A5A5A5Au ? 0 : 1;
}}
"""
MODEL = """
#include "lenet5_int8.h"
typedef lenet5_int8_arena proof_arena;
static inline int proof_run(proof_arena *arena) {{
    {before}
    const int status = lenet5_int8_run(arena);
    {after}
    return status;
}}
"""


@pytest.mark.qemu
@pytest.mark.parametrize("core", CORES)
def test_the_trap_works(core: str, tmp_path: Path) -> None:
    """In QEMU, on every core; and without it there is none, but on Cortex-M0."""
    for name, before, after, faults in (("trap", TRAP, LET, True), ("none", "", "", core == "cortex-m0")):
        if name == "trap" and core == "cortex-m0":
            continue
        shim = ODD.format(before=before, after=after)
        program = build({"proof.h": shim}, Entry("proof", (), (), 0), get_target(core), tmp_path / name)
        if faults:
            with pytest.raises(ToolchainError, match=r"fault at .* CFSR 0x01000000"):
                run(program, [()])
        else:
            run(program, [()])


@pytest.mark.qemu
@pytest.mark.parametrize(
    ("core", "goal"),
    [
        ("cortex-m3", Goal.CYCLES),
        ("cortex-m4", Goal.CYCLES),
        ("cortex-m4", Goal.RAM),
        ("cortex-m55", Goal.CYCLES),
    ],
)
def test_our_engine_keeps_words_aligned(core: str, goal: Goal, examples: Path, tmp_path: Path) -> None:
    """With gcc's -mno-unaligned-access, without which it joins bytes to words that may lie anywhere."""
    conversion = converted(examples / "lenet5" / "lenet5_int8.onnx", target=core, goal=goal)
    target = replace(conversion.target, flags=(*conversion.target.flags, "-mno-unaligned-access"))
    sources = {**conversion.sources, "proof.h": MODEL.format(before=TRAP, after=LET)}
    program = build(sources, replace(conversion.entry, prefix="proof"), target, tmp_path)
    graph, samples = conversion.graph, random_samples(conversion.graph)[:1]
    (outputs,) = run(program, input_bytes(graph, samples)).outputs
    values = evaluate(graph, feeds(graph, samples[0]), conversion.options.rounding)
    assert list(outputs) == [values[name].tobytes() for name in graph.outputs]
