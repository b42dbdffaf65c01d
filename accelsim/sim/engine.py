"""Discrete-event execution of a task graph on SimPy: the reference semantics of time.

Every instant has two phases. First all ends of that instant happen (SimPy priority 1): resources
are given back, and tasks whose last dependency ended ask for their first resource. Then one settle
event (priority 2, so after everything else of the instant) lets the :class:`Arbiter` grant. A task
of zero cycles ends within its own instant, which opens another round of the two phases at the same
time. Within a phase only sets matter, so the result does not depend on the order in which callbacks
were created or run.

There is one event per instant at which tasks end and one settle event per round, and no process or
SimPy resource per task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import simpy

from accelsim.program import Work
from accelsim.sim.arbiter import Arbiter
from accelsim.sim.devices import PortDevice
from accelsim.sim.trace import Trace, TraceRow
from accelsim.taskgraph import Task, TaskGraph

SETTLE_PRIORITY = 2
"""SimPy runs lower numbers first within an instant; its own events are 0 (urgent) and 1."""

_UNSET = -1


def simulate(
    graph: TaskGraph, device: PortDevice | None = None, works: Sequence[Work] = ()
) -> Trace:
    """Execute ``graph`` from cycle 0 and return when every task was ready, started and ended.

    ``start`` is the cycle at which the *last* resource of a task was granted. Resources earlier in
    its tuple are held from their own grant on, which the trace does not record: a resource counts
    as busy from ``start`` to ``end`` only, and waiting on a held channel is waiting, not work.

    With a ``device`` behind one of the resources, tasks that hold it take as long as it says. It is
    told ``works[task]``, what the task does. The tasks of the trace have the cycles they took.

    A malformed graph (unknown resource, resources out of rank order, dependency on a later task,
    cycles that are no plain non-negative integer) is a bug of whoever built it: AssertionError.
    """
    env = simpy.Environment()
    engine = Engine(env, graph, device=device, works=works)
    env.run()
    return engine.trace()


class Engine:
    """One task graph running in a SimPy environment, from its current time on.

    ``order`` permutes the order in which tasks are set up. It must not change the result, and is
    there so that a test can show it.
    """

    def __init__(
        self,
        env: Any,
        graph: TaskGraph,
        order: Sequence[int] | None = None,
        device: PortDevice | None = None,
        works: Sequence[Work] = (),
    ) -> None:
        _require_well_formed(graph)
        if device is not None:
            device.reset()
        rank = {name: position for position, name in enumerate(graph.resources)}
        paths = [tuple(rank[name] for name in task.resources) for task in graph.tasks]
        count = len(graph.tasks)
        self._env = env
        self._graph = graph
        self._device = device
        self._works = works
        self._arbiter = Arbiter(paths, len(graph.resources))
        self._waits = [len(set(task.deps)) for task in graph.tasks]
        self._successors: list[list[int]] = [[] for _ in range(count)]
        self._ready = [_UNSET] * count
        self._start = [_UNSET] * count
        self._end = [_UNSET] * count
        self._ending: dict[int, list[int]] = {}  # cycle -> tasks that end there
        self._settle_pending = False
        setup = range(count) if order is None else order
        for task in setup:
            for dep in set(graph.tasks[task].deps):
                self._successors[dep].append(task)
        for task in setup:
            if self._waits[task] == 0:
                self._arrive(task)

    def trace(self) -> Trace:
        """The finished trace; AssertionError while any task has not ended."""
        stuck = [i for i, end in enumerate(self._end) if end == _UNSET]
        if stuck:
            raise AssertionError(f"{len(stuck)} tasks never ended, the first is task {stuck[0]}")
        times = zip(self._ready, self._start, self._end, strict=True)
        rows = tuple(TraceRow(i, *ready_start_end) for i, ready_start_end in enumerate(times))
        if self._device is None:
            return Trace(self._graph, rows)
        tasks = (
            replace(task, cycles=row.end - row.start)
            for task, row in zip(self._graph.tasks, rows, strict=True)
        )
        return Trace(replace(self._graph, tasks=tuple(tasks)), rows)

    def _arrive(self, task: int) -> None:
        now = self._env.now
        self._ready[task] = now
        self._arbiter.arrive(task, now)
        self._ask_to_settle()

    def _ask_to_settle(self) -> None:
        if self._settle_pending:
            return
        self._settle_pending = True
        event = self._env.event()
        # An event that was scheduled by hand has to be marked as successful by hand: `succeed`
        # would queue it among the normal events of the instant, which is what must not happen.
        event._ok, event._value = True, None
        event.callbacks.append(self._settle)
        self._env.schedule(event, priority=SETTLE_PRIORITY)

    def _settle(self, _event: object) -> None:
        self._settle_pending = False
        now = self._env.now
        for task in self._arbiter.settle(now):
            self._start[task] = now
            cycles = self._cycles(task, now)
            ending = self._ending.get(now + cycles)
            if ending is None:
                ending = self._ending[now + cycles] = []
                self._env.timeout(cycles).callbacks.append(self._finish)
            ending.append(task)

    def _cycles(self, task: int, now: int) -> int:
        """Duration of a task that starts now, every resource granted."""
        stated = self._graph.tasks[task]
        if self._device is None or self._device.port not in stated.resources:
            return stated.cycles
        return self._device.serve(self._works[task], stated.cycles, now)

    def _finish(self, _event: object) -> None:
        now = self._env.now
        for task in self._ending.pop(now):
            self._end[task] = now
            self._arbiter.leave(task)
            for successor in self._successors[task]:
                self._waits[successor] -= 1
                if self._waits[successor] == 0:
                    self._arrive(successor)
        self._ask_to_settle()


def _require_well_formed(graph: TaskGraph) -> None:
    """Rank order of acquisition rules out deadlock, lower dependencies rule out cycles."""
    rank = {name: position for position, name in enumerate(graph.resources)}
    if len(rank) != len(graph.resources):
        raise AssertionError(f"resources repeat: {graph.resources}")
    for position, task in enumerate(graph.tasks):
        fault = _fault_of(task, position, rank)
        if fault:
            raise AssertionError(f"task {position} ({task.op}, {task.kind}): {fault}")


def _fault_of(task: Task, position: int, rank: dict[str, int]) -> str:
    if task.id != position:
        return f"its id is {task.id}"
    if type(task.cycles) is not int or task.cycles < 0:
        return f"cycles must be a non-negative int, not {task.cycles!r}"
    if any(not 0 <= dep < position for dep in task.deps):
        return f"dependencies {task.deps} must be earlier tasks"
    if any(name not in rank for name in task.resources):
        return f"unknown resource among {task.resources}"
    ranks = [rank[name] for name in task.resources]
    if any(low >= high for low, high in pairwise(ranks)):
        return f"resources {task.resources} must be acquired in rank order, or tasks could deadlock"
    return ""
