"""Networks with state, step by step: the generated C, and onnxruntime with the state handed on by hand."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx

from pingponnx.ir import Array
from pingponnx.onnx_folding import session
from pingponnx.pipeline import Conversion

MAIN = """
#include <stdio.h>
#include "{p}.h"
static {p}_arena arena;
int main(void) {{
    static {ctype} x[{steps}][{P}_INPUT_0_SIZE];
    if (fread(x, sizeof x, 1, stdin) != 1) return 1;
    for (int pass = 0; pass < 2; ++pass) {{ /* the second, after a reset, must repeat the first */
        if ({p}_reset(&arena) != 0) return 2;
        for (int t = 0; t < {steps}; ++t) {{
            for (int i = 0; i < {P}_INPUT_0_SIZE; ++i) {p}_input_0(&arena)[i] = x[t][i];
            if ({p}_run(&arena) != 0) return 3;
            fwrite({p}_output_0(&arena), sizeof *{p}_output_0(&arena), {P}_OUTPUT_0_SIZE, stdout);
        }}
    }}
    return {p}_reset(NULL) == {P}_BAD_ARENA ? 0 : 4;
}}
"""


def stepped(conversion: Conversion, xs: Array, folder: Path) -> Array:
    """Output 0 of every step, from a program that knows only the header; twice, with a reset between."""
    prefix = conversion.entry.prefix
    for name, text in conversion.sources.items():
        (folder / name).write_text(text)
    x, y = (conversion.graph.tensors[n[0]] for n in (conversion.graph.inputs, conversion.graph.outputs))
    main = MAIN.format(p=prefix, P=prefix.upper(), steps=len(xs), ctype=x.dtype.c)
    (folder / "main.c").write_text(
        main.replace("#include <stdio.h>", "#include <stdio.h>\n#include <stddef.h>")
    )
    sources = [str(p) for p in folder.glob("*.c")]
    flags = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined"]
    subprocess.run(["gcc", *flags, "-I", str(folder), *sources, "-lm", "-o", str(folder / "run")], check=True)
    data = np.ascontiguousarray(xs, x.dtype.numpy).tobytes()
    done = subprocess.run([folder / "run"], input=data, capture_output=True, check=True)
    found = np.frombuffer(done.stdout, y.dtype.numpy).reshape(2, len(xs), *y.shape)
    np.testing.assert_array_equal(found[0], found[1])
    return found[0]


def unrolled(model: onnx.ModelProto, xs: Array, states: Sequence[tuple[str, str]]) -> list[Array]:
    """onnxruntime, step by step, with the state handed on by hand."""
    run, names = session(model), [o.name for o in model.graph.output]
    shapes = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in model.graph.input}
    kept: dict[str, Array] = {name: np.zeros(shapes[name], np.float32) for name, _ in states}
    found = []
    for x in xs:
        outputs = dict(zip(names, run.run(names, {"x": x, **kept}), strict=True))
        kept = {source: outputs[target] for source, target in states}
        found.append(outputs[names[0]])
    return found
