"""Write docs/operators.md from the operators themselves."""

from pathlib import Path

from pingponnx.operators import describe, markdown

if __name__ == "__main__":
    path = Path(__file__).resolve().parents[1] / "docs" / "operators.md"
    path.write_text(markdown(describe()), encoding="utf-8")
    print(f"{path.name}: {len(describe())} operators")
