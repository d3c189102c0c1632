"""The tables of docs/exporters.md: converts what export.py made. Runs with pingponnx, not torch.

python table.py FOLDER > table.md
"""

import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import onnx

from pingponnx.errors import Error
from pingponnx.evaluate import evaluate
from pingponnx.pipeline import Options, normal_form
from pingponnx.samples import feeds, read_samples
from pingponnx.verification import to_ours


def error_of(path: Path) -> float | str:
    """Largest difference between the converted graph and onnxruntime, or why there is none."""
    worst = 0.0
    try:
        graph = normal_form(path, Options())
        for sample in read_samples(path.with_name(path.name.split(".")[0] + ".npz"), graph):
            values = evaluate(graph, feeds(graph, sample), Options().rounding)
            for name, want in zip(graph.outputs, sample.outputs, strict=True):
                worst = max(worst, float(np.abs(values[name] - to_ours(graph, name, want)).max()))
    except Error as error:
        return str(error).splitlines()[0]
    return worst


def operators(path: Path) -> str:
    counts = Counter(node.op_type for node in onnx.load(path).graph.node)
    counts.pop("Constant", None)
    return " ".join(f"{op}:{n}" if n > 1 else op for op, n in counts.most_common())


def main(folder: Path) -> None:
    groups: dict[tuple[str, str], list[tuple[int, Path]]] = defaultdict(list)
    for path in folder.glob("*.onnx"):
        net, kind, opset = path.stem.split(".")
        groups[net, kind].append((int(opset), path))
    print("| network | exporter | batch | opsets exported | convert and agree | largest error |")
    print("|---|---|---|---|---|---|")
    emitted = []
    for (net, kind), models in sorted(groups.items()):
        found = {opset: error_of(path) for opset, path in sorted(models)}
        good = [opset for opset, e in found.items() if isinstance(e, float) and e < 1e-4]
        errors = [e for e in found.values() if isinstance(e, float)]
        exporter, batch = kind.removesuffix("_dyn"), "dynamic" if kind.endswith("_dyn") else "1"
        opsets = f"{min(found)} to {max(found)}"
        worst = f"{max(errors, default=0):.1e}"
        print(
            f"| {net} | {exporter} | {batch} | {opsets} | {len(good)} of {len(found)} | {worst} |", flush=True
        )
        for opset, e in found.items():
            if opset not in good:
                print(f"{net} {kind} {opset}: {e}", file=sys.stderr)
        newest = max(models)[1]
        emitted.append(f"| {net} | {exporter} | {batch} | {max(found)} | {operators(newest)} |")
    print("\n| network | exporter | batch | opset | operators |\n|---|---|---|---|---|")
    print("\n".join(emitted))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
