"""The byte ledger, the attribution of inlined code, and the bound of the stack."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pingponnx.accounts import account, predicted_tables
from pingponnx.attribution import code_by_kernel
from pingponnx.build import Firmware
from pingponnx.errors import MismatchError
from pingponnx.ledger import ledger
from pingponnx.pipeline import Conversion, Options, convert, firmware, normal_form
from pingponnx.run import run
from pingponnx.samples import input_bytes, random_samples
from pingponnx.stack import Function, parse_call_graph, read_function, stack_bound

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "lenet5" / "lenet5_int8.onnx"
TARGETS = ("cortex-m0", "cortex-m4", "cortex-m55")

Built = tuple[Conversion, Firmware]


@pytest.fixture(scope="module", params=[(v, t) for v in ("optimised", "cmsis-nn") for t in TARGETS])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    variant, target = request.param
    options = Options(variant=variant, target=target)
    conversion = convert(normal_form(EXAMPLE, options), options)
    yield conversion, firmware(conversion, tmp_path_factory.mktemp("firmware"))


@pytest.mark.qemu
@pytest.mark.cmsis
def test_every_byte_is_attributed_and_the_stack_is_bounded(built: Built) -> None:
    conversion, image = built
    execution = run(image, input_bytes(conversion.graph, random_samples(conversion.graph, 1)))
    accounts = account(conversion, image, execution.stack)
    for memory, rows in (("flash", image.map.flash), ("ram", image.map.ram)):
        listed = sum(e.bytes for e in accounts.entries if e.memory == memory)
        assert listed == sum(row.bytes for row in rows)
    owners = {e.owner for e in accounts.entries}
    assert ("CMSIS-NN" in owners) == (conversion.options.variant == "cmsis-nn")
    assert execution.stack is not None and accounts.stack.bytes is not None
    assert execution.stack <= accounts.stack.bytes <= 1.4 * execution.stack
    assert not any("/" in name for name in accounts.stack.path)


@pytest.mark.qemu
@pytest.mark.cmsis
def test_constants_are_listed_by_node(built: Built) -> None:
    conversion, image = built
    entries = account(conversion, image, None).entries
    by_node = {e.what: e.bytes for e in entries if e.owner == "constants"}
    names = {
        n.name for n, c in zip(conversion.graph.nodes, conversion.calls, strict=True) if c and c.constants
    }
    assert names <= set(by_node)
    assert sum(by_node.values()) >= predicted_tables(conversion)


@pytest.mark.qemu
@pytest.mark.cmsis
def test_code_is_listed_by_kernel(built: Built) -> None:
    conversion, image = built
    kernels = code_by_kernel(image.path, f"{conversion.entry.prefix}.c")
    calls = enumerate(conversion.calls)
    used = {call.form(by_rows=i in conversion.plan.streamed).function for i, call in calls if call}
    assert used <= set(kernels)
    assert min(kernels.values()) > 0


@pytest.mark.qemu
@pytest.mark.cmsis
def test_disagreement_is_an_error(built: Built) -> None:
    conversion, image = built
    with pytest.raises(MismatchError, match="arena"):
        ledger(conversion.graph, replace(conversion.plan, arena=4), image.map, {}, conversion.entry.prefix)
    with pytest.raises(MismatchError, match="the bound is"):
        account(conversion, image, 10**6)
    fewer = replace(conversion, calls=(*conversion.calls[:-1], None))
    with pytest.raises(MismatchError, match="predicted"):
        account(fewer, image, None)


# -- the call graph ---------------------------------------------------------------------------------

GRAPH = r"""graph: { title: "m.c"
node: { title: "run" label: "run\nm.c:3:5\n16 bytes (static)" }
node: { title: "/folder/m.c:leaf" label: "leaf\nm.c:1:5\n80 bytes (static)" }
node: { title: "wild" label: "wild\nm.c:9:5\n8 bytes (dynamic)" }
node: { title: "again" label: "again\nm.c:9:5\n8 bytes (static)" }
node: { title: "memcpy" label: "__builtin_memcpy\n<built-in>" shape : ellipse }
edge: { sourcename: "run" targetname: "/folder/m.c:leaf" label: "m.c:4:1" }
edge: { sourcename: "run" targetname: "memcpy" }
edge: { sourcename: "again" targetname: "again" }
}
"""


def _nothing(name: str) -> Function:
    return Function(0, frozenset())


def test_deepest_path() -> None:
    functions = parse_call_graph([GRAPH])
    assert functions["run"] == Function(16, frozenset({"m.c:leaf", "memcpy"}))
    bound = stack_bound(functions, "run", _nothing)
    assert (bound.bytes, bound.path) == (96, ("run", "m.c:leaf"))
    deeper = stack_bound(functions, "run", lambda name: Function(100, frozenset()))
    assert (deeper.bytes, deeper.path) == (116, ("run", "memcpy"))


@pytest.mark.parametrize("root", ["wild", "again"])
def test_no_bound(root: str) -> None:
    bound = stack_bound(parse_call_graph([GRAPH]), root, _nothing)
    assert (bound.bytes, bound.unbounded) == (None, (root,))


def test_frames_from_disassembly() -> None:
    text = """
00000100 <f>:
     100:\tb570      \tpush\t{r4, r5, r6, lr}
     102:\tb084      \tsub\tsp, #16
     104:\tf84d 4d08 \tstr.w\tr4, [sp, #-8]!
     108:\ted2d 8b04 \tvpush\t{d8-d9}
     10c:\tf000 f801 \tbl\t112 <g>
     110:\te7fe      \tb.n\t110 <f+0x10>
"""
    assert read_function("f", text) == Function(16 + 16 + 8 + 16, frozenset({"g"}))
    assert read_function("f", "no such function") == Function(0, frozenset())
