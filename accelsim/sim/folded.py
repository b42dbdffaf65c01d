"""What happened, run-length coded: executed commands, and stretches of them that recur.

The folded twin of :mod:`accelsim.sim.trace`. Times are cycles from the start of the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from accelsim.program import Program


@dataclass(frozen=True, slots=True)
class Event:
    """One executed command: the ``index``-th (from 0, whole program) of its queue."""

    queue: int
    index: int
    ready: int
    """Arrival: the command before it in its queue and all dependencies have ended."""
    start: int
    """The last port was granted."""
    end: int


@dataclass(frozen=True, slots=True)
class Recurrence:
    """``items`` happened ``count`` times (>= 2), each time ``cycles`` later than before, and each
    time with the next ``advance[queue]`` commands of every queue."""

    count: int
    cycles: int
    advance: tuple[int, ...]
    items: tuple[Item, ...]


Item = Event | Recurrence


@dataclass(frozen=True)
class FoldedTrace:
    """The executed schedule of one run: items in order of (start, queue) of their first event where
    they are recorded; within and across recurrences times of one queue ascend."""

    program: Program
    items: tuple[Item, ...]
    cycles: int
    """Makespan."""
    steps: int
    """Events that were really stepped: the cost of the simulation."""

    def events(self) -> Iterator[Event]:
        """Every event with the recurrences expanded (as many as ``program.commands``)."""
        yield from _expand(self.items, (0,) * len(self.program.queues), 0)


def _expand(items: tuple[Item, ...], shift: tuple[int, ...], late: int) -> Iterator[Event]:
    for item in items:
        if isinstance(item, Event):
            index = item.index + shift[item.queue]
            yield Event(item.queue, index, item.ready + late, item.start + late, item.end + late)
            continue
        for turn in range(item.count):
            moved = tuple(s + turn * a for s, a in zip(shift, item.advance, strict=True))
            yield from _expand(item.items, moved, late + turn * item.cycles)
