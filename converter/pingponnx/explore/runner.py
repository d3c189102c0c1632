"""Many measurements at once, on this machine's cores or on a Dask cluster, through joblib."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing import resource_tracker

import joblib
from joblib.externals.loky.process_executor import BrokenProcessPool

from pingponnx.errors import Error
from pingponnx.explore.cache import Cache
from pingponnx.explore.outcome import Outcome
from pingponnx.explore.work import Result, Work, perform
from pingponnx.signals import held_back

_TRIES = 3
_CONNECT = 10.0  # seconds

Done = Callable[[Outcome], None]
Backend = tuple[type[Exception], ...]
"""What is raised when workers die."""


def explore(
    works: Sequence[Work], jobs: int, dask: str | None = None, done: Done = lambda outcome: None
) -> list[Outcome]:
    """Measure everything that the cache does not have; outcomes in the order of `works`.

    `jobs` processes here, or the workers of the Dask scheduler at the address `dask`. `done` is called
    for each outcome when it is known. A result is in the cache as soon as it is finished, so that a
    worker that is killed costs no other result; what it was at is done again, a few times at most.
    Raises Error when the scheduler does not answer or workers keep dying.
    """
    cache, keys = Cache(), {work.key: work for work in works}
    found: dict[str, Outcome] = {}

    def arrive(key: str, result: Result, cached: bool) -> None:
        found[key] = Outcome(keys[key].choice, result, cached)
        done(found[key])

    def take_cached(cached: bool) -> None:
        for key in keys.keys() - found.keys():
            result = cache.get(key)
            if result is not None:
                arrive(key, result, cached)

    take_cached(True)
    with _backend(dask) as deaths:
        for attempt in range(1, _TRIES + 1):
            missing = {key: work for key, work in keys.items() if key not in found}
            try:
                for key, result in _parallel(missing, -1 if dask else jobs):
                    _keep(cache, key, result)
                    arrive(key, result, False)
                break
            except deaths as error:
                take_cached(False)  # what was finished, but not handed over
                if attempt == _TRIES:
                    hint = "use fewer --jobs, or give the workers more memory"
                    raise Error("the processes that measure keep dying", hint) from error
    return [found[work.key] for work in works]


def _keep(cache: Cache, key: str, result: Result) -> None:
    """A worker on another machine has another cache."""
    if "failed" not in result and cache.get(key) is None:
        cache.put(key, result)


def _parallel(works: Mapping[str, Work], jobs: int) -> Iterator[tuple[str, Result]]:
    """(key, result) as they come."""
    if not works:
        return
    pool = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", pre_dispatch="all", batch_size=1)
    resource_tracker.ensure_running()  # lets signals through when it starts
    with held_back():
        results = pool(joblib.delayed(perform)(work, key) for key, work in works.items())
    yield from results


@contextlib.contextmanager
def _backend(dask: str | None) -> Iterator[Backend]:
    """joblib's own processes, or those of a scheduler that exists."""
    if dask is None:
        yield (BrokenProcessPool,)
        return
    try:
        from distributed import Client, KilledWorker
    except ImportError as error:
        raise Error("--dask needs the Dask library", "pip install 'pingponnx[dask]'") from error
    try:
        client = Client(dask, timeout=_CONNECT)
    except (OSError, ValueError) as error:
        hint = "give the address that it printed, like tcp://127.0.0.1:8786"
        raise Error(f"no Dask scheduler answers at {dask!r}", hint) from error
    with client, joblib.parallel_config(backend="dask", client=client):
        yield (KilledWorker,)
