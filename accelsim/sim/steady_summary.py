"""Totals of a run without its trace: what design sweeps need."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from accelsim.program import Program
from accelsim.sim.steady_code import Code
from accelsim.sim.steady_machine import RawItem


@dataclass(frozen=True)
class Summary:
    """A run in short. Times in cycles from its start."""

    cycles: int
    """Makespan."""
    queue_busy: tuple[int, ...]
    """Per queue: cycles in which it runs a command."""
    port_busy: tuple[int, ...]
    """Per port: cycles of the commands that hold it, from their start."""
    spans: tuple[tuple[int, int], ...]
    """Per block of the program: start of its first command, end of its last; (0, 0) when empty."""
    steps: int
    """Commands that were really stepped."""


def summarise(
    program: Program, code: Code, items: Sequence[RawItem], cycles: int, steps: int
) -> Summary:
    """Add up the recorded items of a run of ``program`` that took so many cycles and steps."""
    totals = _Totals(program, code)
    totals.add(items, 1)
    totals.place(items, (0,) * code.queues, 0)
    spans = tuple(totals.spans.get(block, (0, 0)) for block in range(len(program.blocks)))
    return Summary(cycles, tuple(totals.queue_busy), tuple(totals.port_busy), spans, steps)


def joined(parts: Sequence[Summary], steps: int, queues: int, ports: int) -> Summary:
    """Summaries of stretches that happened one after the other."""
    late = 0
    queue_busy, port_busy = [0] * queues, [0] * ports
    spans: list[tuple[int, int]] = []
    for part in parts:
        spans += [(a + late, b + late) if b else (0, 0) for a, b in part.spans]
        queue_busy = [a + b for a, b in zip(queue_busy, part.queue_busy, strict=True)]
        port_busy = [a + b for a, b in zip(port_busy, part.port_busy, strict=True)]
        late += part.cycles
    return Summary(late, tuple(queue_busy), tuple(port_busy), tuple(spans), steps)


Extent = tuple[int, int, int, int]
"""Of one queue in some items: index and start of its first event, index and end of its last."""


class _Totals:
    def __init__(self, program: Program, code: Code) -> None:
        self.queue_busy = [0] * code.queues
        self.port_busy = [0] * code.ports
        self.spans: dict[int, tuple[int, int]] = {}
        self._code = code
        self._starts = [[start[queue] for start in program.starts] for queue in range(code.queues)]
        self._extents: dict[int, dict[int, Extent]] = {}  # by id of a tuple of items

    def add(self, items: Sequence[RawItem], times: int) -> None:
        """Busy cycles of items that happened so many times."""
        for item in items:
            if len(item) == 4:
                self.add(item[3], times * item[0])
                continue
            queue, _, _, start, end, pc = item
            busy = (end - start) * times
            self.queue_busy[queue] += busy
            for port in self._code.paths[queue][pc]:
                self.port_busy[port] += busy

    def place(self, items: Sequence[RawItem], shift: tuple[int, ...], late: int) -> None:
        """Widen the spans of the blocks to which the items belong, in time linear in the items and
        the blocks: a recurrence is only expanded if one of its queues changes block in it."""
        for item in items:
            if len(item) == 6:
                queue, index, _, start, end, _ = item
                block = self._block(queue, index + shift[queue])
                self._widen(block, start + late, end + late)
                continue
            count, cycles, advance, body = item
            if self._in_one_block(item, shift, late):
                continue
            for turn in range(count):
                moved = tuple([s + turn * a for s, a in zip(shift, advance, strict=True)])
                self.place(body, moved, late + turn * cycles)

    def _in_one_block(self, item: RawItem, shift: tuple[int, ...], late: int) -> bool:
        """Widen by a whole recurrence at once, if each queue stays in one block all through it."""
        found = []
        for queue, (first, start, last, end) in self._extent((item,)).items():
            block = self._block(queue, first + shift[queue])
            if block != self._block(queue, last + shift[queue]):
                return False
            found.append((block, start + late, end + late))
        for place in found:
            self._widen(*place)
        return True

    def _extent(self, items: Sequence[RawItem]) -> dict[int, Extent]:
        found: dict[int, Extent] = {}
        for item in items:
            if len(item) == 6:
                queue, index, _, start, end, _ = item
                _join(found, queue, (index, start, index, end))
                continue
            count, cycles, advance, body = item
            inner = self._extents.get(id(body))
            if inner is None:
                inner = self._extents[id(body)] = self._extent(body)
            for queue, (first, start, last, end) in inner.items():
                last += (count - 1) * advance[queue]
                _join(found, queue, (first, start, last, end + (count - 1) * cycles))
        return found

    def _block(self, queue: int, index: int) -> int:
        return bisect_right(self._starts[queue], index) - 1

    def _widen(self, block: int, start: int, end: int) -> None:
        known = self.spans.get(block)
        if known is not None:
            start, end = min(start, known[0]), max(end, known[1])
        self.spans[block] = (start, end)


def _join(found: dict[int, Extent], queue: int, later: Extent) -> None:
    """Extend by what the same queue did next: its events are recorded in order."""
    known = found.get(queue)
    found[queue] = later if known is None else (*known[:2], *later[2:])
