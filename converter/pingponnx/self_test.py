"""Conversion + sample -> the same library with a self-test, by which a device proves itself."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from pingponnx.emit import Proof, emit
from pingponnx.evaluate import evaluate
from pingponnx.pipeline import Conversion, settings_of
from pingponnx.samples import SEED, feeds, random_samples, read_samples
from pingponnx.verification import tolerance_of


def with_self_test(conversion: Conversion, samples: Path | None = None) -> Conversion:
    """Embed the first sample of the file, else a made-up one, and what the reference computes from it.

    Raises Error when the file does not fit the model.
    """
    graph = conversion.graph
    sample = read_samples(samples, graph, 1)[0] if samples else random_samples(graph)[0]
    source = f"the first sample of {samples.name}" if samples else f"a made-up sample (seed {SEED})"
    given = feeds(graph, sample)
    values = evaluate(graph, given, conversion.options.rounding)
    outputs = [np.asarray(values[name]) for name in graph.outputs]
    inputs = [np.asarray(given[name]) for name in graph.inputs]
    proof = Proof(source, inputs, outputs, [tolerance_of(a) for a in outputs])
    sources = emit(graph, conversion.calls, conversion.plan, settings_of(conversion.options), proof)
    return replace(conversion, sources=sources)
