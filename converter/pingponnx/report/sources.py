"""What made the numbers of a report: versions, models, commands, and how wrong modelled cycles may be."""

from collections.abc import Mapping, Sequence
from typing import Any


def version_rows(tool: Mapping[str, Any]) -> list[dict[str, str]]:
    """The tools that a report names; those that were not needed are left out."""
    cmsis = tool["cmsis_nn"]
    found = {
        "pingponnx": tool["pingponnx"],
        "compiler": f"{tool['gcc']} {tool['optimisation']}" if tool["gcc"] else "",
        "emulator": tool["qemu"],
        "CMSIS-NN": f"{cmsis['version']} ({cmsis['source']})" if cmsis else "",
        "onnxruntime": tool["onnxruntime"],
        "numpy": tool["numpy"],
    }
    return [{"tool": name, "version": str(version)} for name, version in found.items() if version]


def model_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The files that were measured; a report cannot be reproduced with others."""
    return [
        {"model": model, "SHA-256 of the file": checksum}
        for model, checksum in dict.fromkeys((r["model"], r["model_sha256"]) for r in rows)
    ]


def versions(tool: Mapping[str, Any]) -> str:
    """The tools as a sentence."""
    cmsis = tool["cmsis_nn"]
    named = f"CMSIS-NN {cmsis['version']} ({cmsis['source']})" if cmsis else ""
    parts = [
        f"pingponnx {tool['pingponnx']}",
        f"{tool['gcc']} {tool['optimisation']}" if tool["gcc"] else "",
        tool["qemu"],
        named,
        f"onnxruntime {tool['onnxruntime']}",
    ]
    return "Made with " + ", ".join(p for p in parts if p) + "."


def sample_note(rows: Sequence[Mapping[str, Any]]) -> str:
    """Which samples were run, a part a model: outputs and accuracy are of these."""
    notes = dict.fromkeys(
        (row["model"], *(row["samples"][k] for k in ("file", "seed", "count"))) for row in rows
    )
    told = [
        f"{model}: {count} of {file}"
        if file
        else f"{model}: {count} made up (seed {seed}), which say nothing about accuracy: give --samples"
        for model, file, seed, count in notes
    ]
    return f"Samples: {'; '.join(told)}." if told else ""


def cycle_note(rows: Sequence[Mapping[str, Any]]) -> str:
    """What has to be said wherever modelled cycles are shown: which model, and how wrong it may be."""
    notes = set()
    for row in rows:
        model = row["cycles_model"]
        if model is None:
            notes.add(f"{row['target']}: {row['cycles_missing']}")
        else:
            flash = f", flash model {model['flash']}" if model["flash"] else ", memory without wait states"
            notes.add(f"{row['target']}: model {model['name']} v{model['version']}, {model['error']}{flash}")
    return "Cycles are modelled: " + "; ".join(sorted(notes)) + "." if notes else ""
