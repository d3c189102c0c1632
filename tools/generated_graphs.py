"""`make graphs`: thousands of random networks, each proven by tests/graph_proof.py; counts as JSON on stdout.

Network N of seed S is the N-th that hypothesis draws with it: `--seed S --only N` proves that one again and
leaves its model and C in a folder.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import count
from pathlib import Path

import hypothesis
from rich.console import Console
from rich.progress import Progress

from drawn_networks import Drawn, drawn
from graph_proof import Named, Outcome, Ways, libraries, prove_all
from pingponnx.fixed_point import Rounding
from pingponnx.plan import Effort

BATCH = 60
"""Networks of a seed, and of a program."""


def networks_of(seed: int, number: int = BATCH) -> list[Drawn]:
    """What hypothesis draws first with a seed; fewer when it repeats itself."""
    found: dict[bytes, Drawn] = {}

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=number,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(drawn())
    def collect(made: Drawn) -> None:
        found.setdefault(made.key, made)

    collect()
    return list(found.values())


def batches(seed: int, graphs: int) -> Iterator[tuple[int, list[Named]]]:
    """Different networks of one seed after the other, by seed."""
    seen = set[bytes]()
    for current in count(seed):
        new = [
            Named(f"g{current}_{i}", made)
            for i, made in enumerate(networks_of(current))
            if made.key not in seen
        ]
        new = new[: graphs - len(seen)]
        seen |= {network.drawn.key for network in new}
        yield current, new
        if len(seen) == graphs:
            return


def ways_of(seed: int) -> Ways:
    """One batch in four rounds as TensorFlow Lite does, and one in four is placed with normal effort."""
    rounding = Rounding.TFLITE if seed % 4 == 3 else Rounding.SINGLE
    return Ways(rounding=rounding, effort=Effort.NORMAL if seed % 4 == 2 else Effort.FAST)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graphs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--only", type=int, help="one network of that seed, kept in --folder")
    parser.add_argument("--folder", type=Path, default=Path("graph"))
    chosen = parser.parse_args(arguments)
    console = Console(stderr=True)
    outcome = Outcome()
    with tempfile.TemporaryDirectory(prefix="pingponnx-graphs-") as name:
        archives = {rounding: libraries(rounding, Path(name)) for rounding in Rounding}
        if chosen.only is not None:
            named = Named(f"g{chosen.seed}_{chosen.only}", networks_of(chosen.seed)[chosen.only])
            chosen.folder.mkdir(parents=True, exist_ok=True)
            ways = ways_of(chosen.seed)
            outcome.add(prove_all([named], ways, chosen.folder, archives[ways.rounding]))
        else:
            with Progress(console=console) as progress:
                task = progress.add_task("networks", total=chosen.graphs)
                for seed, some in batches(chosen.seed, chosen.graphs):
                    ways = ways_of(seed)
                    with tempfile.TemporaryDirectory(prefix="pingponnx-graphs-") as folder:
                        found = prove_all(some, ways, Path(folder), archives[ways.rounding])
                    for failure in found.failures:
                        progress.console.print(
                            f"{failure.network} {failure.stage}: {failure.message}", markup=False
                        )
                    outcome.add(found)
                    progress.advance(task, len(some))
                    done, failed = outcome.counts["networks"], len(outcome.failures)
                    progress.console.print(f"seed {seed}: {done} networks, {failed} failures")
    failures = [asdict(failure) for failure in outcome.failures]
    print(json.dumps(dict(sorted(outcome.counts.items())) | {"failures": failures}, indent=2))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
