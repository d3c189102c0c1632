"""The stages in a row: ONNX file -> C library, and -> firmware."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pingponnx import cmsis
from pingponnx.build import OPTIMISATION, Firmware, build
from pingponnx.constants import Constant, Key, constants
from pingponnx.cycles import FlashModel, get_flash_model
from pingponnx.decide import Budget, Task, decide
from pingponnx.emit import Settings, emit, prefix_of, state_bytes
from pingponnx.entry import Entry
from pingponnx.errors import Error
from pingponnx.fixed_point import Rounding
from pingponnx.hot import HotWeights, hottest
from pingponnx.ir import Graph, Shape
from pingponnx.load import load
from pingponnx.names import check_bank
from pingponnx.ops import CmsisNN
from pingponnx.plan import Calls, Effort, InputMode, Plan, Wish
from pingponnx.rewrite import rewrite
from pingponnx.select import Goal, Offers, Variant, offers, scratch_queries, variant, with_scratch
from pingponnx.states import bind_states
from pingponnx.targets import Target, get_target


@dataclass(frozen=True, slots=True)
class Options:
    """Everything that decides what C comes out, besides the model itself."""

    variant: str = "optimised"
    target: str = "cortex-m4"
    goal: Goal = Goal.BALANCED
    rounding: Rounding = Rounding.SINGLE
    float_io: bool = False
    nchw_io: bool = False
    input_shapes: Mapping[str, Shape] = field(default_factory=dict)
    input_mode: InputMode = InputMode.RESIDENT
    states: tuple[tuple[str, str], ...] = ()  # (input, output): what outlives a run, by ONNX names
    effort: Effort = Effort.NORMAL
    banks: tuple[tuple[str, int], ...] = ()
    pins: Mapping[str, str] = field(default_factory=dict)
    hot_weights: int = 0
    ram: int | None = None  # bytes that the arena may take
    flash: int | None = None  # bytes that the constants may take
    flash_model: str | None = None  # of flash with wait states; None: the target's, if it has one
    cmsis_nn: Path | None = None
    targets_file: Path | None = None
    optimisation: str = OPTIMISATION  # gcc's, for firmware

    def __post_init__(self) -> None:
        if self.states and (self.banks or self.input_mode is not InputMode.RESIDENT):
            hint = "leave out --bank, and --input or give it resident"
            raise Error("state lies in an arena of one piece, beside resident inputs", hint)
        names = [name for name, _ in self.banks]
        for name in names:
            check_bank(name)
        if len(set(names)) != len(names):
            raise Error(f"two banks have the same name: {', '.join(names)}")
        for tensor, bank in self.pins.items():
            if bank not in names:
                hint = f"the banks are: {', '.join(names)}" if names else "add --bank NAME=SIZE"
                raise Error(f"cannot pin {tensor!r} to {bank!r}: there is no such bank", hint)


@dataclass(frozen=True, slots=True)
class Conversion:
    """A converted model: `graph` is what the variant computes, `sources` its C library."""

    options: Options
    target: Target
    graph: Graph
    calls: Calls
    plan: Plan
    sources: Mapping[str, str]
    library: cmsis.CmsisSource | None

    @property
    def constants(self) -> Mapping[Key, Constant]:
        """The tables of the C library."""
        return constants(self.graph, self.calls, self.plan)

    @property
    def hot(self) -> HotWeights:
        """Those of them that are in RAM."""
        return hottest(self.constants.values(), self.options.hot_weights)

    @property
    def entry(self) -> Entry:
        """How the run function is called, and where in the arena inputs and outputs lie."""
        graph, mode, offsets = self.graph, self.plan.input_mode, self.plan.offsets
        resident = mode is InputMode.RESIDENT
        return Entry(
            prefix_of(graph),
            tuple((offsets[n] if resident else None, graph.tensors[n].bytes) for n in graph.inputs),
            tuple((offsets[n], graph.tensors[n].bytes) for n in graph.outputs),
            len(graph.nodes),
            tuple((bank.name, bank.bytes) for bank in self.plan.banks if bank.bytes),
            "state" if mode is InputMode.ROWS else "arena",
        )

    @property
    def state(self) -> int:
        """Bytes of RAM beside the arena that tell how far fed rows have come."""
        return state_bytes(self.plan)


def flash_of(options: Options) -> FlashModel | None:
    """The model of the flash's wait states; None for memory without them."""
    name = options.flash_model or get_target(options.target, options.targets_file).flash_model
    return get_flash_model(name, options.targets_file) if name else None


def target_of(options: Options) -> Target:
    """The core that code is made for, and how much of it its flash's buffer holds."""
    target, flash = get_target(options.target, options.targets_file), flash_of(options)
    return replace(target, code_buffer=flash.code_lines * flash.line_bytes) if flash else target


def normal_form(path: Path, options: Options) -> Graph:
    """The rewritten graph that every variant starts from."""
    graph = load(path, options.input_shapes)
    normal = rewrite(graph, float_io=options.float_io, nchw_io=options.nchw_io)
    return bind_states(normal, options.states) if options.states else normal


def convert(normal: Graph, options: Options) -> Conversion:
    """Select kernels, plan memory and emit C for one variant and target; touches no file of the user's."""
    task = task_of(normal, options)
    return conversion(task, options, *decide(task, options.goal, Budget(options.ram, options.flash)))


def conversion(task: Task, options: Options, calls: Calls, memory: Plan) -> Conversion:
    """Emit C for calls that were chosen and planned."""
    sources = emit(task.graph, calls, memory, settings_of(options))
    target, library = target_of(options), _library(options)
    return Conversion(options, target, task.graph, calls, memory, sources, library)


def settings_of(options: Options) -> Settings:
    """What the library says about how it was made."""
    flash = flash_of(options)
    return Settings(
        options.variant,
        options.target,
        str(options.goal),
        options.rounding,
        options.hot_weights,
        flash.name if flash else None,
    )


def task_of(normal: Graph, options: Options) -> Task:
    """What `decide` chooses from: the variant's graph and the candidates of every node."""
    chosen = variant(options.variant)
    graph = chosen.prepare(normal)
    return Task(graph, normal, _offers(graph, chosen, options), wish_of(options))


def wish_of(options: Options) -> Wish:
    """What plan the options ask for."""
    return Wish(
        options.input_mode,
        options.effort,
        banks=options.banks,
        pins=options.pins,
        by_hand=variant(options.variant).needs_cmsis_nn,
    )


def _library(options: Options) -> cmsis.CmsisSource | None:
    return cmsis.find(options.cmsis_nn) if variant(options.variant).needs_cmsis_nn else None


def _offers(graph: Graph, chosen: Variant, options: Options) -> Offers:
    target, library = target_of(options), _library(options)
    offered = CmsisNN(library.version, library.functions) if library else None
    found = offers(graph, chosen, options.rounding, target, offered)
    queries = scratch_queries(found)
    if library is None or not queries:
        return found
    return with_scratch(found, cmsis.scratch_sizes(queries, library, target, options.rounding))


def firmware(
    conversion: Conversion,
    folder: Path,
    *,
    trace: bool = False,
    defines: Sequence[str] = (),
    sanitize: bool = False,
) -> Firmware:
    """Compile and link a conversion with the test harness, in `folder`."""
    options, library = conversion.options, conversion.library
    includes: Sequence[Path] = ()
    libraries: Sequence[Path] = ()
    if library is not None:
        includes = library.include_dirs
        libraries = (cmsis.library(library, conversion.target, options.rounding, options.optimisation),)
        defines = (*defines, *library.defines)
    return build(
        conversion.sources,
        conversion.entry,
        conversion.target,
        folder,
        trace=trace,
        optimisation="-O1"
        if sanitize
        else options.optimisation,  # gcc is eight times slower with sanitizers at -O3
        defines=defines,
        include_dirs=includes,
        libraries=libraries,
        sanitize=sanitize,
    )
