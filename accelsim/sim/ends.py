"""Looking up when a command of a folded trace ended."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from accelsim.sim.folded import Event, FoldedTrace, Item, Recurrence


@dataclass(frozen=True, slots=True)
class Window:
    """When, as recorded, the events of one turn of a recurrence arrive and start."""

    first: int
    """Earliest arrival."""
    last: int
    """Latest start."""


class Ends:
    """Ends of commands by queue and index; each tuple of items is indexed once."""

    def __init__(self, trace: FoldedTrace) -> None:
        self._items = trace.items
        self._index: dict[int, dict[int, tuple[list[int], list[Item]]]] = {}
        self._windows: dict[int, Window] = {}

    def of(self, queue: int, index: int) -> int:
        """End of the ``index``-th command of the queue; AssertionError where it never ran."""
        items, late = self._items, 0
        while True:
            firsts, found = self._indexed(items).get(queue, ([], []))
            at = bisect_right(firsts, index) - 1
            if at < 0:
                break
            item = found[at]
            if isinstance(item, Event):
                if item.index != index:
                    break
                return item.end + late
            # Beyond the last turn there is nothing: the loop ends at an event of another index.
            ahead = item.advance[queue]
            turn = min((index - firsts[at]) // ahead, item.count - 1) if ahead > 0 else 0
            index -= turn * ahead
            late += turn * item.cycles
            items = item.items
        raise AssertionError(f"queue {queue}: command {index} never ran")

    def firsts(self, item: Recurrence) -> dict[int, int]:
        """Queue -> index, as recorded, of its first event in a recurrence."""
        return {queue: known[0][0] for queue, known in self._indexed(item.items).items()}

    def _first_of(self, item: Item) -> dict[int, int]:
        return {item.queue: item.index} if isinstance(item, Event) else self.firsts(item)

    def window(self, item: Recurrence) -> Window:
        """Of the first turn, as recorded."""
        return self._window(item.items)

    def _window(self, items: tuple[Item, ...]) -> Window:
        found = self._windows.get(id(items))
        if found is None:
            first: list[int] = []
            last: list[int] = []
            for item in items:
                if isinstance(item, Event):
                    first.append(item.ready)
                    last.append(item.start)
                else:
                    inner = self._window(item.items)
                    first.append(inner.first)
                    last.append(inner.last + (item.count - 1) * item.cycles)
            found = self._windows[id(items)] = Window(min(first, default=0), max(last, default=0))
        return found

    def _indexed(self, items: tuple[Item, ...]) -> dict[int, tuple[list[int], list[Item]]]:
        """Queue -> (index of its first command, item) of all items with commands of it."""
        found = self._index.get(id(items))
        if found is None:
            found = {}
            for item in items:
                for queue, first in self._first_of(item).items():
                    lists = found.setdefault(queue, ([], []))
                    lists[0].append(first)
                    lists[1].append(item)
            self._index[id(items)] = found
        return found
