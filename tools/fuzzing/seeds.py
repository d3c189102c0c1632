"""The models that fuzzing starts from: the repository's small ones, and more where a folder has them."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAX_BYTES = 6_700  # larger ones are slow and say nothing new


def seeds(more: Path | None = None) -> list[bytes]:
    """Serialized models in an order that is the same everywhere, no two alike."""
    files = sorted((ROOT / "tests" / "exports").glob("*.onnx"), key=lambda p: p.name)
    if more is not None:
        files += sorted(more.rglob("*.onnx"))
    found = dict.fromkeys(f.read_bytes() for f in files if f.stat().st_size <= MAX_BYTES)
    return list(found)
