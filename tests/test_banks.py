"""The arena spread over several memories: the same bytes come out, and every byte is accounted for."""

import json
from pathlib import Path
from typing import Any

import pytest

from mode_programs import FED, compile_and_run, data_header
from models import assert_refused, command_line, converted, execute
from pingponnx.build import build
from pingponnx.entry import Entry
from pingponnx.errors import BudgetError, Error, MemoryPlanError, MismatchError, ToolchainError
from pingponnx.ledger import ledger
from pingponnx.measure import measure, subject
from pingponnx.pipeline import Options, firmware
from pingponnx.plan import InputMode
from pingponnx.run import run
from pingponnx.samples import random_samples
from pingponnx.select import Goal
from pingponnx.targets import get_target

LENET = "lenet5/lenet5_int8.onnx"
SMALL = (("dtcm", 512), ("sram", 4096))
CASES = {
    "lenet5_int8": SMALL,
    "lenet5_f32": (("dtcm", 2048), ("sram", 65536)),
    "mlperf_ic_int8": (("dtcm", 8192), ("sram", 65536)),
}


@pytest.fixture
def path(request: pytest.FixtureRequest, examples: Path) -> Path:
    """The model that the test's parameter names."""
    name: str = request.param
    if name.startswith("lenet5"):
        return examples / "lenet5" / f"{name}.onnx"
    folder: Path = request.getfixturevalue("shared_models")
    return folder / f"{name}.onnx"


@pytest.mark.parametrize("path", CASES, indirect=True)
def test_the_same_bytes_from_two_banks(path: Path) -> None:
    """Under sanitizers, which watch the end of each bank."""
    whole = converted(path)
    samples = random_samples(whole.graph)[:2]
    wanted = [[a.tobytes() for a in found] for found in execute(whole, samples)]
    for mode in InputMode:
        conversion = converted(path, goal=Goal.RAM, input_mode=mode, banks=CASES[path.stem])
        banks = conversion.plan.banks
        assert all(0 < bank.bytes <= bank.capacity for bank in banks)
        assert sum(bank.bytes for bank in banks) == conversion.plan.arena
        spread = execute(conversion, samples, sanitize=True)
        assert [[a.tobytes() for a in found] for found in spread] == wanted, mode


@pytest.mark.qemu
@pytest.mark.parametrize("mode", InputMode)
def test_banks_are_linked_as_planned(mode: InputMode, examples: Path, tmp_path: Path) -> None:
    path = examples / LENET
    options = Options(goal=Goal.RAM, input_mode=mode, banks=SMALL)
    row = measure(subject(path, options, None, 2), options)
    conversion = converted(path, target="cortex-m4", goal=Goal.RAM, input_mode=mode, banks=SMALL)
    banks = {bank.name: bank.bytes for bank in conversion.plan.banks}
    assert row["equal_to_reference"]
    assert row["ram"]["arena"] == sum(banks.values())
    for name, size in banks.items():
        assert sum(e["bytes"] for e in row["ledger"] if e["owner"] == f"bank {name}") == size
    image = firmware(conversion, tmp_path)
    assert image.map.arenas == banks
    assert image.map.state == conversion.state == row["ram"]["static"]
    with pytest.raises(MismatchError, match="state"):
        ledger(conversion.graph, conversion.plan, image.map, {}, "lenet5_int8", conversion.state + 4)


def test_fed_rows_with_banks(examples: Path, tmp_path: Path) -> None:
    """Beginning anew leaves the pointers to the banks; one that is missing is told."""
    path = examples / LENET
    conversion = converted(path, goal=Goal.RAM, input_mode=InputMode.ROWS, banks=SMALL)
    samples = random_samples(conversion.graph)[:2]
    outputs = [b"".join(a.tobytes() for a in found) for found in execute(converted(path), samples)]
    setup = """
    static net_dtcm dtcm[2];
    static net_sram sram[2];
    CHECK(net_begin(&states[0]) == NET_BAD_ARENA);
    for (int i = 0; i < 2; ++i) {
        states[i].arena.dtcm = &dtcm[i];
        CHECK(net_begin(&states[i]) == NET_BAD_ARENA);
        states[i].arena.sram = &sram[i];
        CHECK(net_begin(&states[i]) == NET_OK);
    }
    """
    program = FED.replace("SETUP", setup)
    compile_and_run(conversion, program, data_header(conversion, samples, outputs), tmp_path)


def test_the_header_shows_the_banks(examples: Path, tmp_path: Path) -> None:
    """Pointers to them may be constant; a bank in which nothing lies does not exist."""
    banks = (*SMALL, ("slow", 65536))
    conversion = converted(examples / LENET, goal=Goal.RAM, banks=banks)
    header = conversion.sources["lenet5_int8.h"]
    for bank in conversion.plan.banks[:2]:
        assert f"#define LENET5_INT8_{bank.name.upper()}_BYTES {bank.bytes}\n" in header
        assert f"}} lenet5_int8_{bank.name};" in header
    assert conversion.plan.banks[2].bytes == 0
    assert "Nothing lies in slow." in header and "lenet5_int8_slow" not in header
    samples = random_samples(conversion.graph)[:2]
    outputs = [b"".join(a.tobytes() for a in found) for found in execute(conversion, samples)]
    main = """
int main(void) {
    static net_dtcm dtcm;
    static net_sram sram;
    static const net_arena arena = {&dtcm, &sram};
    static const net_arena half = {&dtcm, NULL};
    memcpy(net_input_0(&arena), inputs[1], sizeof inputs[1]);
    if (net_run(&arena) != NET_OK || memcmp(net_output_0(&arena), wanted[1], sizeof wanted[1]) != 0) return 1;
    return net_run(&half) != NET_BAD_ARENA || net_run(NULL) != NET_BAD_ARENA;
}
"""
    compile_and_run(conversion, main, data_header(conversion, samples, outputs), tmp_path)


def test_pins_are_kept(examples: Path) -> None:
    """By the ONNX name and by ours; of a tensor that never exists as a whole, its ring."""
    free = converted(examples / LENET, goal=Goal.RAM, banks=SMALL).plan
    assert {b.name: _bank(free, b.name) for b in free.blocks if "logits" in b.name} == {
        "logits_QuantizeLinear_Output": "dtcm"
    }
    ring = next(b.name for b in free.blocks if b.kind == "ring")
    for tensor in ("logits", "logits_QuantizeLinear_Output"):
        pins = {tensor: "sram", ring.partition("@")[0]: "sram"}
        plan = converted(examples / LENET, goal=Goal.RAM, banks=SMALL, pins=pins).plan
        assert _bank(plan, "logits_QuantizeLinear_Output") == _bank(plan, ring) == "sram"


def _bank(plan: Any, name: str) -> str:
    (offset,) = {b.offset for b in plan.blocks if b.name == name}
    return str(plan.bank_of(offset).name)


def test_too_small_banks_are_named(examples: Path, tmp_path: Path) -> None:
    with pytest.raises(BudgetError, match="bank sram of 900 bytes has no room for tensor 'input_") as raised:
        converted(examples / LENET, goal=Goal.RAM, banks=(("dtcm", 512), ("sram", 900)))
    assert "give the bank more bytes" in raised.value.hint
    pins = {"input": "dtcm"}
    with pytest.raises(BudgetError, match="bank dtcm of 512 bytes has no room for tensor 'input_"):
        converted(examples / LENET, goal=Goal.RAM, banks=SMALL, pins=pins)
    arguments = ["--bank", "dtcm=512", "--bank", "sram=900"]
    done = command_line("convert", examples / LENET, "-o", tmp_path / "c", *arguments)
    assert_refused(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"banks": (("Dtcm", 9),)}, "'Dtcm' cannot be a bank's name"),
        ({"banks": (("int", 9),)}, "'int' cannot be"),
        ({"banks": (("1k", 9),)}, "'1k' cannot be"),
        ({"banks": (("a-b", 9),)}, "'a-b' cannot be"),
        ({"banks": (("", 9),)}, "'' cannot be"),
        ({"banks": (("arena", 9),)}, "the C library has names of its own"),
        ({"banks": (("node_1", 9),)}, "the C library has names of its own"),
        ({"banks": (("n1_weights", 9),)}, "the C library has names of its own"),
        ({"banks": (("a", 9), ("a", 9))}, "two banks have the same name"),
        ({"pins": {"x": "a"}}, "there is no such bank\nhint: add --bank"),
        ({"banks": (("a", 9), ("b", 9)), "pins": {"x": "c"}}, "no such bank\nhint: the banks are: a, b"),
    ],
)
def test_names_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(Error) as raised:
        Options(**options)
    assert message in str(raised.value)


@pytest.mark.parametrize("name", ["dtcm", "sram_1", "a", "ccm2", "noinit"])
def test_names_that_can_be(name: str) -> None:
    assert Options(banks=((name, 64),)).banks


@pytest.mark.parametrize(
    "arguments",
    [
        ["--bank", "a"],
        ["--bank", "=4K"],
        ["--bank", "a="],
        ["--bank", "a=0"],
        ["--bank", "a=4G"],
        ["--bank", "a=-4"],
        ["--bank", "a=4K", "--pin", "logits"],
        ["--bank", "a=4K", "--pin", "=a"],
        ["--bank", "a=4K", "--pin", "nothing=a"],
        ["--bank", "a=4K", "--pin", "input=a", "--input", "external"],
    ],
)
def test_wrong_command_lines(arguments: list[str], examples: Path) -> None:
    done = command_line("plan", examples / LENET, *arguments)
    assert_refused(done.returncode, done.stdout, done.stderr)


def test_commands_say_what_is_used(examples: Path, tmp_path: Path) -> None:
    model = examples / LENET
    arguments = ["--goal", "ram", "--bank", "dtcm=512", "--bank", "sram=4K", "--pin", "logits=sram"]
    done = command_line("convert", model, "-o", tmp_path / "c", *arguments)
    assert "bank dtcm: 420 of 512 B" in done.stdout and "bank sram: 1,024 of 4,096 B" in done.stdout
    done = command_line("plan", model, *arguments, "--json")
    banks = json.loads(done.stdout)["banks"]
    assert [(b["name"], b["bytes"], b["capacity"]) for b in banks] == [
        ("dtcm", 420, 512),
        ("sram", 1024, 4096),
    ]
    done = command_line("plan", model, *arguments)
    assert "bank dtcm: 420 of 512 bytes" in done.stdout


# -- the harness ----------------------------------------------------------------------------------------

TINY = """
#include <stdint.h>
typedef union { uint32_t align; uint8_t bytes[12]; } tiny_one;
typedef union { uint32_t align; uint8_t bytes[8]; } tiny_two;
typedef struct { tiny_one *one; tiny_two *two; } tiny_arena;
int tiny_run(const tiny_arena *arena);
"""
BANKS = Entry("tiny", ((4, 4),), ((12, 4),), 1, (("one", 12), ("two", 8)))


def _tiny(statements: str) -> dict[str, str]:
    run = f"int tiny_run(const tiny_arena *arena) {{ volatile uint32_t zero = 0; {statements} return 0; }}"
    code = f'#include "tiny.h"\n#include <string.h>\n{run}\n'
    return {"tiny.h": TINY, "tiny.c": code}


@pytest.mark.parametrize("target", ["host", pytest.param("cortex-m4", marks=pytest.mark.qemu)])
def test_every_bank_has_a_canary(target: str, tmp_path: Path) -> None:
    copy = "memcpy(arena->two->bytes, arena->one->bytes + 4, 4 + zero);"
    image = build(_tiny(copy), BANKS, get_target(target), tmp_path / "copy")
    assert run(image, [[b"abcd"]]).outputs == ((b"abcd",),)
    for bank, size in BANKS.banks:
        code = _tiny(f"arena->{bank}->bytes[{size + 2} + zero] = 1;")
        image = build(code, BANKS, get_target(target), tmp_path / bank)
        with pytest.raises(MemoryPlanError, match=rf"behind the end of its bank {bank} \(byte 2\)"):
            run(image, [[b"abcd"]])


@pytest.mark.parametrize("bank", ["one", "two"])
def test_the_sanitizer_sees_the_end_of_every_bank(bank: str, tmp_path: Path) -> None:
    code = _tiny(f"uint8_t *b = arena->{bank}->bytes; b[zero] = b[12 + zero];")
    image = build(code, BANKS, get_target("host"), tmp_path, sanitize=True)
    with pytest.raises(ToolchainError, match="exit status 1") as raised:
        run(image, [[b"abcd"]])
    assert "tiny.c" in raised.value.output


def test_a_port_that_leaves_its_bank_is_refused(tmp_path: Path) -> None:
    entry = Entry("tiny", ((8, 8),), ((12, 4),), 1, BANKS.banks)
    with pytest.raises(ToolchainError, match="leaves the arena"):
        build(_tiny("(void)arena; (void)zero;"), entry, get_target("host"), tmp_path)


def test_an_input_is_written_to_its_bank(examples: Path) -> None:
    path = examples / LENET
    conversion = converted(path, banks=(("a", 4096), ("b", 4096)), pins={"input": "b"})
    ((offset, _),) = conversion.entry.inputs
    assert offset is not None and conversion.plan.bank_of(offset) == conversion.plan.banks[1]
    samples = random_samples(conversion.graph)[:2]
    for got, want in zip(execute(conversion, samples), execute(converted(path), samples), strict=True):
        assert [a.tobytes() for a in got] == [a.tobytes() for a in want]
