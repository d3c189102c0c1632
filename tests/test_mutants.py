"""tools/mutate.py makes mutants that are programs, and some of the verifier's are caught (`make mutants`)."""

import ast
import tomllib
from pathlib import Path

import mutate
import pytest
from mutate import Area, Mutant, areas, c_mutants, copy_of_tree, python_mutants, tried

DATA = tomllib.loads(mutate.DATA.read_text(encoding="utf-8"))
AREAS = areas(DATA, seed=1)


def test_python_is_broken_in_one_place() -> None:
    line = "x = 'ä'; y = a + b[0] if a < b and not b else min(a, 1)"
    text = f"def f(a, b):\n    {line}\n    raise Error(f'{{a + 1}}')\n"
    found = python_mutants("f.py", text)
    after = {mutant.apply(text).splitlines()[1].split("; ")[1] for mutant in found}
    assert "y = (a - b[0]) if a < b and not b else min(a, 1)" in after
    assert "y = a + b[0] if (a <= b) and not b else min(a, 1)" in after
    assert "y = a + b[0] if a < b and not b else (max(a, 1))" in after
    assert len(after) == len(found) == 7
    for mutant in found:
        ast.parse(mutant.apply(text))


def test_c_is_broken_outside_comments() -> None:
    text = "#if A == 1\n/* a < b */\nint f(int a) { return a < 2 && a != 0; }\n"
    assert [(m.old, m.new) for m in c_mutants("f.c", text)] == [
        (" < ", " <= "),
        (" && ", " || "),
        (" != ", " == "),
    ]


def test_what_is_planted() -> None:
    """Hand-written mutants are found in the sources, all change something, and arguments name real ones."""
    every = [mutant for area in AREAS for mutant in area.mutants]
    assert len(every) >= 60 and len(set(every)) == len(every)
    texts = {m.file: (mutate.ROOT / m.file).read_text(encoding="utf-8") for m in every}
    changed = {(m.file, *m.lines(texts[m.file])) for m in every}
    assert all(m.apply(texts[m.file]) != texts[m.file] for m in every)
    assert {(e["file"], e["before"], e["after"]) for e in DATA.get("equivalent", ())} <= changed


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    copy_of_tree(folder)
    return folder


def test_mutants_of_the_verifier_are_caught(tree: Path) -> None:
    """Those written by hand; and a tree without any is not."""
    verifier = next(area for area in AREAS if area.name == "verifier")
    quick = Area(verifier.name, verifier.mutants[-3:], verifier.tests[:1])
    same = Mutant(quick.mutants[0].file, 0, "", "")
    verdicts = [tried(tree, quick, mutant, [300.0], {}).verdict for mutant in (same, *quick.mutants)]
    assert verdicts == ["survived", *["caught"] * 3]
