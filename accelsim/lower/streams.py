"""Tile buffers in a tile loop: who used each slot last, and so must be done with it."""

from __future__ import annotations

from accelsim.lower.builder import CLEAR, FRESH, ProgramBuilder


class Stream:
    """The slots of a tile buffer, taken in turn.

    Their last users are kept as a chain, oldest first: the next slot to take is always the one at
    its beginning. So the state does not depend on which slot that is, and a loop over tiles repeats
    after one iteration, however many slots there are.
    """

    __slots__ = ("_before", "_builder", "_first", "_last")

    def __init__(self, builder: ProgramBuilder, count: int, queue: int) -> None:
        """``queue``: of the commands that use the slots. Those of the step must not have begun.

        Before their first use in the step, the slots count as used by the last commands of the
        queue before it (:data:`FRESH` where there are none), each by another one. Whoever takes
        them has waited for these anyway, since the memory was somebody else's. Waiting for them by
        name makes the first turns of a loop equal to the later ones.
        """
        self._builder = builder
        self._before = before = builder.counts[queue]
        ages = range(count - 1, -1, -1)
        users = [before - age if before > age else FRESH for age in ages]
        self._first = builder.row(users, queue)
        self._last = self._first + count - 1

    @property
    def untouched(self) -> bool:
        """True before the first use."""
        return self.fresh(self._builder.cells[self._last])

    def fresh(self, user: int) -> bool:
        """Whether a slot with that last user has not been used in this step."""
        return user <= self._before and user != CLEAR

    def advance(self) -> int:
        """Take the next slot: the position of the last command that used what it holds now (if
        any)."""
        cells, first, last = self._builder.cells, self._first, self._last
        user = cells[first]
        for cell in range(first, last):
            cells[cell] = cells[cell + 1]
        cells[last] = CLEAR
        return user

    def used_by(self, position: int) -> None:
        """Note who uses the slot taken last (nobody, before the first was taken)."""
        cells = self._builder.cells
        if not self.fresh(cells[self._last]):
            cells[self._last] = position
