"""Whether a folded trace executes every command of its program once, in the order of its queue."""

from __future__ import annotations

from typing import NoReturn

from accelsim.sim.check import TraceError
from accelsim.sim.folded import Event, FoldedTrace, Item

Ranges = dict[int, tuple[int, int]]
"""Queue -> (first, past the last) command."""


def require_order(trace: FoldedTrace) -> None:
    """Raise :class:`TraceError` with the first breach. What holds here, other checks rely on."""
    program = trace.program
    found = _ranges(trace.items, len(program.queues))
    for queue, total in enumerate(program.starts[-1]):
        if found.get(queue, (0, 0)) != (0, total):
            first, last = found.get(queue, (0, 0))
            _wrong(f"{program.queues[queue]} executes commands [{first}, {last}) of {total}")


def _ranges(items: tuple[Item, ...], queues: int) -> Ranges:
    """The commands of every queue in the items, which must follow each other without a gap."""
    found: Ranges = {}
    for item in items:
        if isinstance(item, Event):
            if not 0 <= item.queue < queues:
                _wrong("an event has no queue")
            if not 0 <= item.ready <= item.start <= item.end:
                _wrong("the times of an event do not ascend")
            _append(found, item.queue, item.index, item.index + 1)
            continue
        if item.count < 2 or item.cycles < 0 or len(item.advance) != queues:
            _wrong("a recurrence has a wrong count, period or number of queues")
        for queue, (first, last) in _ranges(item.items, queues).items():
            if item.advance[queue] != last - first:
                _wrong("a recurrence does not go on where a turn of it ends")
            _append(found, queue, first, first + item.count * (last - first))
        if any(more for queue, more in enumerate(item.advance) if queue not in found):
            _wrong("a recurrence advances a queue that does nothing in it")
    return found


def _append(found: Ranges, queue: int, first: int, last: int) -> None:
    known = found.get(queue)
    if known is not None and known[1] != first:
        _wrong("the commands of a queue do not follow each other")
    found[queue] = (first if known is None else known[0], last)


def _wrong(text: str) -> NoReturn:
    raise TraceError((text,))
