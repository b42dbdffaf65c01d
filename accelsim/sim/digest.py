"""Exact consumers of folded traces: state machines over events, fast-forwarded like the engine.

Commands start in the order in which a :class:`~accelsim.sim.folded.FoldedTrace` records them, the
turns of a recurrence one after the other. Whatever can be worked out in one pass over the events in
order of their start is a :class:`Watcher`; :func:`watch` shows it the trace.

**Why skipping is exact.** All turns of a recurrence are the same events, shifted. If the watcher is
in the same state relative to the beginning of a turn as it was p turns before, then it does in the
next p turns what it did in the last p, shifted, and is in that state again. So only the sums of
what it found remain to be multiplied (:meth:`Watcher.skip`). What a watcher learns from the
program, not from the events, may differ from turn to turn; then it says so
(:meth:`Watcher.recurs`), and the turns are walked one by one. The cost is that of the distinct
parts of a trace.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol

from accelsim.sim.folded import Event, FoldedTrace, Item, Recurrence

STATES = 4096
"""States of one recurrence that are remembered at a time."""

Shift = tuple[int, ...]
"""Per queue: commands by which the recorded indices are to be moved."""


class Watcher(Protocol):
    """A state machine over events in order of their start."""

    def concerns(self, queue: int) -> bool:
        """Whether events of the queue are shown to it: a fixed property."""

    def event(self, event: Event, shift: Shift, late: int) -> None:
        """``event`` happened, ``late`` cycles later than recorded, with its index moved."""

    def recurs(self, item: Recurrence, shift: Shift) -> bool:
        """Whether all turns look alike to the watcher, apart from their time."""

    def passive(self, item: Recurrence, base: int) -> int:
        """How many turns of ``item``, from one that begins ``base`` cycles later than recorded on,
        certainly change nothing (a lower bound): they are not shown."""

    def state(self, item: Recurrence, shift: Shift, base: int) -> Hashable:
        """All that decides what it does in the turns of ``item`` to come, times relative to
        ``base``, indices to ``shift``."""

    def mark(self) -> object:
        """What it has found so far, to tell what was found since."""

    def skip(self, mark: object, times: int, cycles: int, advance: Shift) -> None:
        """What was found since ``mark`` is found ``times`` more, each time ``cycles`` and
        ``advance`` later, and the state moves with it."""


def watch(trace: FoldedTrace, watcher: Watcher) -> None:
    """Show every event of ``trace`` to ``watcher``, by way of :meth:`Watcher.skip` where they
    repeat."""
    _Walk(watcher).items(trace.items, (0,) * len(trace.program.queues), 0)


class _Walk:
    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._concerned: dict[int, bool] = {}  # by id of a tuple of items

    def items(self, items: tuple[Item, ...], shift: Shift, late: int) -> None:
        watcher = self._watcher
        for item in items:
            if isinstance(item, Event):
                if watcher.concerns(item.queue):
                    watcher.event(item, shift, late)
            elif self._any(item.items):
                if watcher.recurs(item, shift):
                    self._turns(item, shift, late)
                    continue
                for turn in range(item.count):
                    self.items(item.items, moved(shift, item.advance, turn), _at(item, late, turn))

    def _turns(self, item: Recurrence, shift: Shift, late: int) -> None:
        watcher = self._watcher
        seen: dict[Hashable, tuple[int, object]] = {}
        turn = 0
        while turn < item.count:
            base = _at(item, late, turn)
            nothing = watcher.passive(item, base)
            if nothing:
                turn += nothing
                continue
            here = moved(shift, item.advance, turn)
            state = watcher.state(item, here, base)
            known = seen.get(state)
            if known is not None:
                period = turn - known[0]
                times = (item.count - turn) // period
                if times:
                    ahead = tuple([period * a for a in item.advance])
                    watcher.skip(known[1], times, period * item.cycles, ahead)
                    turn += times * period
                    seen.clear()  # fewer turns than a period are left
                    continue
            if len(seen) >= STATES:
                seen.clear()
            seen[state] = (turn, watcher.mark())
            self.items(item.items, here, base)
            turn += 1

    def _any(self, items: tuple[Item, ...]) -> bool:
        """Whether the watcher is concerned by any of the items."""
        found = self._concerned.get(id(items))
        if found is None:
            found = self._concerned[id(items)] = any(
                self._watcher.concerns(item.queue)
                if isinstance(item, Event)
                else self._any(item.items)
                for item in items
            )
        return found


def moved(shift: Shift, advance: Shift, turns: int) -> Shift:
    """``shift``, so many turns of ``advance`` further."""
    if not turns:
        return shift
    return tuple([s + turns * a for s, a in zip(shift, advance, strict=True)])


def _at(item: Recurrence, late: int, turn: int) -> int:
    return late + turn * item.cycles
