"""Runs units of work in this process or in spawned, single-threaded ones: same results, any count.

Workers get the model's bytes and the images once, and units by number; nothing they do depends on
which worker does it or when. On an interrupt no new unit starts and KeyboardInterrupt goes on.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, Protocol

from accelsim.errors import AccelsimError, Location, Mistake
from faults.data import EvalSet
from faults.plan import FaultRecord, RatePlan
from faults.trust import Trust

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Executor(Protocol):
    """Whatever turns a unit of work into records."""

    def run(self, work: Any) -> list[FaultRecord]:
        """Records of one unit."""


@dataclass(frozen=True, eq=False)
class Setup:
    """All a worker needs to build its runner."""

    model: bytes
    name: str
    data: EvalSet
    scores: NDArray[Any]
    how: Trust | RatePlan
    """Trust: single upsets; RatePlan: fault maps."""


def build(setup: Setup) -> Executor:
    """The runner of a setup."""
    import onnx

    from faults.maps import MapRunner
    from faults.network import Network
    from faults.upsets import Runner

    model = onnx.ModelProto()
    model.ParseFromString(setup.model)
    network = Network(model, setup.name)
    if isinstance(setup.how, RatePlan):
        return MapRunner(network, setup.data, setup.scores, setup.how)
    return Runner(network, setup.data, setup.scores, setup.how)


def execute(
    setup: Callable[[], Setup], local: Executor, units: Sequence[Any], workers: int
) -> Generator[list[FaultRecord]]:
    """Records of every unit, as units end. One worker: in this process, with ``local``."""
    if workers <= 1 or len(units) <= 1:
        for unit in units:
            yield local.run(unit)
        return
    ready = setup()
    left = dict(enumerate(units))
    for attempt in range(2):
        try:
            for number, records in _pooled(ready, left, workers):
                del left[number]
                yield records
            return
        except BrokenProcessPool as error:
            if attempt:
                raise _lost(ready.name) from error


def _pooled(
    setup: Setup, units: dict[int, Any], workers: int
) -> Generator[tuple[int, list[FaultRecord]]]:
    pool = ProcessPoolExecutor(min(workers, len(units)), get_context("spawn"), _start, (setup,))
    try:
        futures = {pool.submit(_work, unit): number for number, unit in units.items()}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_runner: list[Executor] = []
"""The worker process's own runner (one, set at its start)."""


def _start(setup: Setup) -> None:
    # The parent handles the interrupt and lets units under way end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _runner[:] = [build(setup)]


def _work(unit: Any) -> list[FaultRecord]:
    return _runner[0].run(unit)


def _lost(name: str) -> AccelsimError:
    hint = (
        "out of memory? use fewer workers; in a script of your own, start the campaign "
        "below 'if __name__ == \"__main__\":'"
    )
    return AccelsimError(Mistake("F590", "worker processes died twice", hint, Location(name)))
