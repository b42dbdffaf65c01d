"""When no unit computes: the idle stretches of a folded trace, themselves folded."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Hashable
from dataclasses import dataclass
from itertools import accumulate

from accelsim.sim.digest import Shift, watch
from accelsim.sim.folded import Event, FoldedTrace, Item, Recurrence


@dataclass(frozen=True, slots=True)
class Gap:
    """Half-open cycles [``start``, ``end``) in which nothing runs."""

    start: int
    end: int

    @property
    def idle(self) -> int:
        """Its cycles."""
        return self.end - self.start

    def before(self, cycle: int) -> int:
        """Idle cycles of it before ``cycle``."""
        return max(0, min(self.end, cycle) - self.start)


class GapRun:
    """Stretches that recur ``count`` times, each time ``cycles`` later."""

    def __init__(self, count: int, cycles: int, once: tuple[Gap | GapRun, ...]) -> None:
        self._count = count
        self._cycles = cycles
        self._once = Gaps(once)
        self.start: int = once[0].start
        self.idle: int = count * self._once.idle
        """Idle cycles in all."""

    def before(self, cycle: int) -> int:
        """Idle cycles of it before ``cycle``."""
        if cycle <= self.start:
            return 0
        whole = min(self._count - 1, (cycle - self.start) // self._cycles)
        return whole * self._once.idle + self._once.before(cycle - whole * self._cycles)


class Gaps:
    """Disjoint stretches in ascending order."""

    def __init__(self, gaps: tuple[Gap | GapRun, ...]) -> None:
        self._gaps = gaps
        self._starts = [gap.start for gap in gaps]
        self._sums = [0, *accumulate(gap.idle for gap in gaps)]

    @property
    def idle(self) -> int:
        """Idle cycles in all."""
        return self._sums[-1]

    def before(self, cycle: int) -> int:
        """Idle cycles in [0, ``cycle``)."""
        at = bisect_right(self._starts, cycle) - 1
        return self._sums[at] + self._gaps[at].before(cycle) if at >= 0 else 0


def idle_gaps(trace: FoldedTrace, queues: Collection[int]) -> Gaps:
    """The stretches of [0, makespan) in which none of the queues runs a command."""
    seen = _Coverage(frozenset(queues))
    watch(trace, seen)
    if seen.until < trace.cycles:
        seen.gaps.append(Gap(seen.until, trace.cycles))
    return Gaps(tuple(seen.gaps))


class _Coverage:
    """Watcher of the union of commands: commands come by start, so one figure is its state."""

    def __init__(self, queues: frozenset[int]) -> None:
        self._queues = queues
        self.until = 0
        """Latest end so far: everything before is covered, or in a gap."""
        self.gaps: list[Gap | GapRun] = []
        self._last: dict[int, int] = {}  # by id of a tuple of items

    def concerns(self, queue: int) -> bool:
        return queue in self._queues

    def event(self, event: Event, _shift: Shift, late: int) -> None:
        start = event.start + late
        if start > self.until:
            self.gaps.append(Gap(self.until, start))
            self.until = start
        self.until = max(self.until, event.end + late)

    def recurs(self, _item: Recurrence, _shift: Shift) -> bool:
        return True

    def passive(self, item: Recurrence, base: int) -> int:
        left = self.until - base - self._last_end(item.items)
        if left < 0:
            return 0
        return left // item.cycles + 1 if item.cycles else item.count

    def state(self, _item: Recurrence, _shift: Shift, base: int) -> Hashable:
        return self.until - base

    def mark(self) -> int:
        return len(self.gaps)

    def skip(self, mark: object, times: int, cycles: int, _advance: Shift) -> None:
        assert isinstance(mark, int), "a mark of this watcher"
        if self.gaps[mark:]:
            self.gaps[mark:] = [GapRun(times + 1, cycles, tuple(self.gaps[mark:]))]
        self.until += times * cycles

    def _last_end(self, items: tuple[Item, ...]) -> int:
        """Latest end of any command in the items, as recorded."""
        found = self._last.get(id(items))
        if found is None:
            found = 0
            for item in items:
                if isinstance(item, Event):
                    if item.queue in self._queues:
                        found = max(found, item.end)
                else:
                    more = (item.count - 1) * item.cycles
                    found = max(found, self._last_end(item.items) + more)
            self._last[id(items)] = found
        return found
