"""Tile buffers in a tile loop: who used each slot last, and so must be done with it."""

from __future__ import annotations

from accelsim.lower.builder import CLEAR, FRESH, ProgramBuilder


class Stream:
    """The slots of a tile buffer, taken in turn.

    Their last users are kept as a chain, oldest first: the next slot to take is always the one at
    its beginning. So the state does not depend on which slot that is, and a loop over tiles repeats
    after one iteration, however many slots there are.
    """

    __slots__ = ("_builder", "_first", "_last")

    def __init__(self, builder: ProgramBuilder, count: int, queue: int) -> None:
        """``queue``: of the commands that use the slots."""
        self._builder = builder
        self._first = builder.cell(FRESH, queue=queue, count=count)
        self._last = self._first + count - 1

    @property
    def untouched(self) -> bool:
        """True before the first use."""
        return self._builder.cells[self._last] == FRESH

    def advance(self) -> int:
        """Take the next slot: the position of the last command that used what it holds now, or
        :data:`FRESH` for its first use in this step."""
        cells, first, last = self._builder.cells, self._first, self._last
        user = cells[first]
        for cell in range(first, last):
            cells[cell] = cells[cell + 1]
        cells[last] = CLEAR
        return user

    def used_by(self, position: int) -> None:
        """Note who uses the slot taken last (nobody, before the first was taken)."""
        cells = self._builder.cells
        if cells[self._last] != FRESH:
            cells[self._last] = position
