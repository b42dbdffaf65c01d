"""Runs units of work in this process or in spawned, single-threaded ones: same results, any count.

Workers get the model's bytes and the images once, and units by number; nothing they do depends on
which worker does it or when. On an interrupt no new unit starts and KeyboardInterrupt goes on.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import current_process, get_context, parent_process
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
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
    if current_process().name != "MainProcess":  # true already while a worker imports the script
        raise _nested()
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
    context = get_context("spawn")
    stop = context.Event()
    count = min(workers, len(units))
    # Not as an argument of the processes: handing a large one to a process that ends at its start
    # (a script without a guard) would block for ever.
    inbox: Queue[Setup] = context.Queue()
    inbox.cancel_join_thread()
    for _ in range(count):
        inbox.put(setup)
    pool = ProcessPoolExecutor(count, context, _start, (inbox, stop))
    try:
        with _interrupts_held():  # the processes start here and inherit the mask
            futures = {pool.submit(_work, unit): number for number, unit in units.items()}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _interrupts_held() -> Generator[None]:
    """Hold back Ctrl-C: this process gets it right after, processes started inside never do.

    An interrupt in the middle of a pool's bookkeeping would leave workers that nobody ends. The
    mask is for the processes, which inherit it; here the signal may reach any thread that does not
    block it, such as the runtime's own, and Python then acts on it in the main thread: so the
    handler only takes note meanwhile.
    """
    own = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if own else None
    noted: list[int] = []
    if handler is not None:
        signal.signal(signal.SIGINT, lambda number, frame: noted.append(number))
    maskable = hasattr(signal, "pthread_sigmask")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if maskable else set()
    try:
        yield
    finally:
        if maskable:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
    if noted and callable(handler):
        handler(signal.SIGINT, None)


@dataclass(frozen=True)
class _Worker:
    """A worker process's own runner, and the sign that nothing more is wanted."""

    runner: Executor
    stop: Event


_worker: list[_Worker] = []
"""One in a worker process, set at its start; empty everywhere else."""


def _start(inbox: Queue[Setup], stop: Event) -> None:
    # The parent handles the interrupt; units under way end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker[:] = [_Worker(build(inbox.get()), stop)]


def _end_with_parent() -> None:
    """A killed parent leaves no workers behind: they hold both ends of their queue, and would wait
    for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(unit: Any) -> list[FaultRecord]:
    # The queue holds units that can no longer be called back: they end at once.
    return [] if _worker[0].stop.is_set() else _worker[0].runner.run(unit)


def _nested() -> AccelsimError:
    """Most often a script without a guard, imported again by the workers it starts: without this
    refusal they would start workers of their own."""
    return AccelsimError(
        Mistake(
            "F591",
            "a worker process cannot start workers",
            "call the campaign below 'if __name__ == \"__main__\":', or use one worker",
        )
    )


def _lost(name: str) -> AccelsimError:
    hint = (
        "out of memory? use fewer workers; in a script of your own, start the campaign "
        "below 'if __name__ == \"__main__\":'"
    )
    return AccelsimError(Mistake("F590", "worker processes died twice", hint, Location(name)))
