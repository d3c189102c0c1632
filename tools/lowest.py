"""Lower bounds of pyproject.toml as pip constraints; --installed: check that they are installed."""

import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?(?:>=|==)([^,;<\s]+)")
_EXTRAS = ("cmsis", "exact", "dask")


def lowest() -> dict[str, str]:
    """The lowest version allowed, by name, of what users install. Raises ValueError where there is none."""
    text = (Path(__file__).resolve().parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    extras = project["optional-dependencies"]
    found = {}
    for requirement in (*project["dependencies"], *(r for extra in _EXTRAS for r in extras[extra])):
        match = _REQUIREMENT.match(requirement)
        if match is None:
            raise ValueError(f"{requirement} has no lower bound")
        found[match[1]] = match[2]
    return found


def main() -> None:
    wanted = lowest()
    if "--installed" not in sys.argv:
        print("\n".join(f"{name}=={version}" for name, version in wanted.items()))
        return
    wrong = {
        n: importlib.metadata.version(n)
        for n, v in wanted.items()
        if not _same(importlib.metadata.version(n), v)
    }
    if wrong:
        sys.exit(f"not the lowest versions: {wrong}")
    print(f"{len(wanted)} lowest versions: " + ", ".join(f"{n} {v}" for n, v in sorted(wanted.items())))


def _same(one: str, other: str) -> bool:
    """Equal but for zeros at the end: 5 is 5.0.0; and build numbers, which bounds leave out."""
    parts = [re.sub(r"(\.0)+$", "", text) for text in (one, other)]
    return parts[0] == parts[1] or parts[0].startswith(f"{parts[1]}.")


if __name__ == "__main__":
    main()
