"""Three-way proof: generated C, integer reference and onnxruntime, node by node and end to end."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pingponnx.evaluate import evaluate, node_by_node
from pingponnx.fixed_point import Rounding
from pingponnx.ir import CODES, Array, DType, Graph, Node
from pingponnx.names import short
from pingponnx.oracle import Oracle
from pingponnx.pipeline import Conversion, firmware
from pingponnx.plan import Plan
from pingponnx.run import Execution, run
from pingponnx.samples import Sample, feeds, input_bytes, to_ours, to_real, to_theirs
from pingponnx.workspace import temporary_folder

RELATIVE, ABSOLUTE = 1e-4, 1e-5  # how far a float32 value may be from onnxruntime's
_NOISE = 1e-3  # how far the C may be from the reference where noise passed through 16-bit codes, see `noisy`
EQUAL_SHARE = 0.999  # int8 values of a node that must equal onnxruntime's, under single rounding
WIDE_EQUAL_SHARE = 0.99  # and int16 ones: the same noise in its float32 sums is 256 times as many steps
_STEP = 1  # and how far the others may be off, in steps of the output's scale
TOLERANCE = (
    0.02  # of a quantized network's outputs from those that samples expect, of their largest magnitude
)
_CODES = (*CODES, DType.U8, DType.U16)


@dataclass(slots=True)
class NodeDistance:
    """How far a node of the reference is from onnxruntime when fed onnxruntime's own inputs."""

    node: str
    op: str
    integer: bool
    wide: bool = False  # 16-bit codes
    values: int = 0
    equal: int = 0
    undecided: int = 0  # differ by one step where the exact result is halfway between two
    max_lsb: int = 0
    max_abs: float = 0.0
    close: bool = True

    def add(self, got: Array, want: Array, undecided: Array | None) -> None:
        """Take one sample's output into account."""
        self.values += got.size
        self.equal += int((got == want).sum())
        if self.integer:
            steps = np.abs(got.astype(np.int64) - want.astype(np.int64))
            self.max_lsb = max(self.max_lsb, int(steps.max(initial=0)))
            if undecided is not None:
                self.undecided += int(((steps == 1) & undecided).sum())
        else:
            self.max_abs = max(self.max_abs, float(np.abs(got - want).max(initial=0.0)))
            self.close &= close(got, want)

    def row(self) -> dict[str, Any]:
        """A node of a verification or report."""
        return {
            "name": self.node,
            "op": self.op,
            "values": self.values,
            "equal": self.equal,
            "undecided": self.undecided,
            "max_lsb": self.max_lsb if self.integer else None,
            "max_abs": None if self.integer else self.max_abs,
        }

    def holds(self, rounding: Rounding) -> bool:
        """The contract of docs/integer-contract.md for one node."""
        if not self.integer:
            return self.close
        equal = self.equal + self.undecided
        enough = equal / max(self.values, 1) >= (WIDE_EQUAL_SHARE if self.wide else EQUAL_SHARE)
        enough |= self.wide and self.values - equal <= 1  # of a small tensor that is more than 1 %
        return self.max_lsb <= _STEP and (rounding is Rounding.TFLITE or enough)


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place where two computations disagree: generated C and reference, or an output and the one
    that the samples expect, whose index is in ONNX's layout."""

    node: str
    op: str
    sample: int
    index: int
    expected: float
    got: float

    def __str__(self) -> str:
        where = f"{self.op} node {short(self.node)!r}: sample {self.sample}, value {self.index}"
        return f"{where}: expected {self.expected:g}, got {self.got:g}"


@dataclass(slots=True)
class Agreement:
    """The model's outputs against onnxruntime's, over all samples."""

    samples: int = 0
    same_class: int = 0
    classified: bool = True
    max_lsb: int | None = None
    max_abs: float = 0.0
    close: bool = True

    def add(self, graph: Graph, outputs: Sequence[Array], golden: Sequence[Array | None]) -> None:
        """Take one sample into account; `golden` is in ONNX's layout, None where nothing is known."""
        self.samples += 1
        same = True
        for name, got, raw in zip(graph.outputs, outputs, golden, strict=True):
            if raw is None:
                continue
            tensor = graph.tensors[name]
            want = to_ours(graph, name, raw)
            if tensor.dtype in (*CODES, DType.U8):
                steps = int(np.abs(got.astype(np.int64) - want.astype(np.int64)).max(initial=0))
                self.max_lsb = max(self.max_lsb or 0, steps)
            real_got, real_want = to_real(tensor, got), to_real(tensor, want)
            if real_got.dtype.kind == "f":
                self.close &= close(real_got, real_want)
            gap = np.abs(real_got.astype(np.float64) - real_want.astype(np.float64))
            self.max_abs = max(self.max_abs, float(gap.max(initial=0.0)))
            same &= got.size == 0 or int(got.argmax()) == int(want.argmax())
        self.same_class += same

    def row(self) -> dict[str, Any]:
        """The `onnxruntime` object of a report."""
        return {
            "max_lsb": self.max_lsb,
            "max_abs": self.max_abs,
            "top1_agreement": self.same_class / self.samples if self.samples else None,
            "samples": self.samples,
        }


@dataclass(slots=True)
class Verification:
    """What `verify` found; `passed` is the contract."""

    passed: bool
    difference: Difference | None
    broken: tuple[str, ...] = ()  # nodes further from onnxruntime than the contract allows
    nodes: list[NodeDistance] = field(default_factory=list)
    outputs: Agreement = field(default_factory=Agreement)
    expected: Agreement | None = None  # the samples' own outputs
    unexpected: Difference | None = None  # where they are not what the model computes

    @property
    def worst(self) -> NodeDistance | None:
        """The node that is furthest from onnxruntime."""
        return worst_of(self.nodes)


def worst_of(nodes: Sequence[NodeDistance]) -> NodeDistance | None:
    """The node that is furthest from onnxruntime: by steps, by the share that is off, in float32."""

    def badness(n: NodeDistance) -> tuple[float, ...]:
        return n.max_lsb, n.integer and 1 - n.equal / max(n.values, 1), n.max_abs

    return max(nodes, key=badness, default=None)


def close(got: Array, want: Array) -> bool:
    """The float32 contract: see `far`."""
    return not far(got, want).any()


def far(got: Array, want: Array) -> Array:
    """Where values differ by more than 1e-5 and 1e-4 of the tensor's largest magnitude.

    Relative to the tensor and not to the value, because sums that cancel keep the error of their terms.
    """
    return ~np.isclose(got, want, rtol=0, atol=tolerance_of(want), equal_nan=True)


def tolerance_of(want: Array) -> float:
    """How far a value of such a tensor may be off, see `far`."""
    finite = np.abs(want[np.isfinite(want)])
    return max(ABSOLUTE, RELATIVE * float(finite.max(initial=0.0)))


def distances(
    graph: Graph, oracle: Oracle, samples: Sequence[Sample], rounding: Rounding
) -> list[NodeDistance]:
    """Every node that onnxruntime also computes, fed onnxruntime's inputs."""
    found: dict[str, NodeDistance] = {}

    def compare(node: Node, got: Array, want: Array, undecided: Array | None) -> None:
        if node.op.alias:
            return
        dtype = graph.tensors[node.outputs[0]].dtype
        entry = NodeDistance(node.name, type(node.op).__name__, dtype is not DType.F32, dtype is DType.S16)
        entry = found.setdefault(node.name, entry)
        entry.add(got, want, undecided)

    for golden in oracle.values(graph, samples):
        node_by_node(graph, golden, rounding, compare)
    return list(found.values())


def verify(
    conversion: Conversion, oracle: Oracle, samples: Sequence[Sample], tolerance: float | None = None
) -> Verification:
    """Run the generated C and compare; raises ToolchainError when it cannot be built or run.

    It runs twice: traced (on the host under sanitizers) for what every node computes, and as it is shipped,
    for optimisers may break what sanitizers and markers between the nodes keep whole.
    `tolerance` is how far outputs may be from those that the samples expect, see `unexpected`.
    """
    graph, rounding = conversion.graph, conversion.options.rounding
    execution, shipped = _executions(conversion, input_bytes(graph, samples))
    result = Verification(True, None)
    result.nodes = distances(graph, oracle, samples, rounding)
    given = Agreement()
    for index, sample in enumerate(samples):
        values = evaluate(graph, feeds(graph, sample), rounding)
        if result.difference is None:
            trace = joined(execution.traces[index], conversion.plan)
            result.difference = first_difference(graph, values, trace, index)
        outputs = decode(graph, execution.outputs[index])
        if result.difference is None:
            result.difference = _shipped_difference(graph, values, shipped.outputs[index], index)
        golden = oracle.outputs(sample)
        result.outputs.add(graph, outputs, golden)
        if any(expected is not None for expected in sample.outputs):
            given.add(graph, outputs, sample.outputs)
            found = unexpected(graph, outputs, golden, sample, tolerance)
            result.unexpected = result.unexpected or (replace(found, sample=index) if found else None)
    result.expected = given if given.samples else None
    result.broken = tuple(n.node for n in result.nodes if not n.holds(rounding))
    result.passed = result.difference is None and not result.broken
    result.passed &= result.unexpected is None
    if all(graph.tensors[n].dtype is DType.F32 for n in graph.tensors if not graph.tensors[n].constant):
        result.passed &= result.outputs.close
    return result


def _executions(conversion: Conversion, inputs: Sequence[Sequence[bytes]]) -> tuple[Execution, Execution]:
    """The runs of a traced and of a shipped firmware, built side by side."""

    def execution(traced: bool) -> Execution:
        with temporary_folder() as folder:
            sanitize = traced and conversion.target.is_host
            built = firmware(conversion, folder, trace=traced, sanitize=sanitize)
            return run(built, inputs, dump=traced)

    with ThreadPoolExecutor(2) as pool:
        traced, shipped = pool.map(execution, (True, False))
    return traced, shipped


def _shipped_difference(
    graph: Graph, values: Mapping[str, Array], outputs: Sequence[bytes], sample: int
) -> Difference | None:
    """The first output of the C as it is shipped that is not the reference's (float32: not close)."""
    noise = noisy(graph)
    for name, got in zip(graph.outputs, decode(graph, outputs), strict=True):
        at = _first_wrong(got, values[name], noise=name in noise)
        if at is not None:
            return Difference(f"{name} (compiled as it is shipped)", "Output", sample, *at)
    return None


def unexpected(
    graph: Graph,
    outputs: Sequence[Array],
    golden: Sequence[Array],
    sample: Sample,
    tolerance: float | None = None,
) -> Difference | None:
    """The first value that a sample expects and the model does not compute.

    It may lie between our value and onnxruntime's, and as far beyond as `tolerance` times the largest
    magnitude that the sample expects: 1e-4 of float32 networks, 0.02 and at least one step of quantized ones.
    Integers that stand for themselves have none.
    """
    known = [t for t in graph.tensors.values() if not t.constant]
    if tolerance is None:
        tolerance = TOLERANCE if any(t.quantized or t.dtype in _CODES for t in known) else RELATIVE
    for name, output, raw, expected in zip(graph.outputs, outputs, golden, sample.outputs, strict=True):
        if expected is None:
            continue
        tensor = graph.tensors[name]
        got, theirs = (to_theirs(graph, name, v) for v in (output, to_ours(graph, name, raw)))
        want = (
            expected if expected.dtype.kind == "f" else to_theirs(graph, name, to_ours(graph, name, expected))
        )
        slack = 0.0
        if want.dtype.kind == "f":
            least = float(tensor.quantization.scale.max()) if tensor.quantization else ABSOLUTE
            slack = max(least, tolerance * float(np.abs(want[np.isfinite(want)]).max(initial=0.0)))
        inside = (want >= np.fmin(got, theirs) - slack) & (want <= np.fmax(got, theirs) + slack)
        outside = ~(inside | (np.isnan(want) & np.isnan(got)))
        if outside.any():
            at = int(np.flatnonzero(outside.ravel())[0])
            maker = next((n for n in graph.nodes if name in n.outputs), None)
            title, op = (maker.name, type(maker.op).__name__) if maker else (name, "Input")
            return Difference(title, op, 0, at, float(want.ravel()[at]), float(got.ravel()[at]))
    return None


def decode(graph: Graph, outputs: Sequence[bytes]) -> list[Array]:
    """The bytes a firmware gave, as arrays."""
    return [
        np.frombuffer(data, graph.tensors[n].dtype.numpy).reshape(graph.tensors[n].shape)
        for n, data in zip(graph.outputs, outputs, strict=True)
    ]


def joined(trace: Sequence[tuple[int, bytes]], plan: Plan) -> list[tuple[int, bytes]]:
    """A trace with the rows of every streamed node put together, by node in the order of execution."""
    pieces: dict[int, list[bytes]] = {}
    for node, data in trace:
        pieces.setdefault(node, []).append(data)
    turned = {node for segment in plan.segments if segment.backward for node in segment.nodes}
    return [(n, b"".join(rows[::-1] if n in turned else rows)) for n, rows in sorted(pieces.items())]


def first_difference(
    graph: Graph, values: Mapping[str, Array], trace: Sequence[tuple[int, bytes]], sample: int
) -> Difference | None:
    """The first node, in execution order, whose bytes are not the reference's (float32: not close)."""
    noise = noisy(graph)
    for number, data in trace:
        node = graph.nodes[number]
        (name,) = node.outputs[:1]
        got = np.frombuffer(data, graph.tensors[name].dtype.numpy).reshape(graph.tensors[name].shape)
        found = _first_wrong(got, values[name], noise=name in noise)
        if found is not None:
            return Difference(node.name, type(node.op).__name__, sample, *found)
    return None


def noisy(graph: Graph) -> set[str]:
    """16-bit codes that float32 arithmetic decides, for its noise can be what rounds them up or down, and
    float32 values that are computed from these: a step of such codes is more than the noise was."""
    computed: set[str] = set()  # by float32 arithmetic, or from what is
    found: set[str] = set()
    for node in graph.nodes:
        sources = [graph.tensors[n] for n in node.inputs if n and n not in graph.inputs]
        if any(t.name in computed or (t.dtype is DType.F32 and not t.constant) for t in sources):
            computed.update(node.outputs)
            kinds = {DType.S16, DType.U16} | ({DType.F32} if any(t.name in found for t in sources) else set())
            found.update(name for name in node.outputs if graph.tensors[name].dtype in kinds)
    return found


def wrong(got: Array, want: Array, *, noise: bool) -> Array:
    """Where a value of the C is not the reference's: float32 not close, codes not equal; those with `noise`
    (see `noisy`) further away than one step and 1e-3 of the largest."""
    if not noise:
        return far(got, want) if want.dtype == np.float32 else got != want
    largest = float(np.abs(want[np.isfinite(want)].astype(np.float64)).max(initial=0.0))
    slack = max(ABSOLUTE if want.dtype == np.float32 else _STEP, _NOISE * largest)
    return ~np.isclose(got.astype(np.float64), want.astype(np.float64), rtol=0, atol=slack, equal_nan=True)


def _first_wrong(got: Array, want: Array, *, noise: bool) -> tuple[int, float, float] | None:
    """Index, wanted and computed value of the first that is not the reference's."""
    differing = wrong(got, want, noise=noise)
    if not differing.any():
        return None
    at = int(np.flatnonzero(differing.ravel())[0])
    return at, float(want.ravel()[at]), float(got.ravel()[at])
