"""Tile buffers in an unrolled tile loop: which slot is next, and who must be done with it."""

from __future__ import annotations

from accelsim.mapping.layout import Layout


class Stream:
    """The one or two slots of a tile buffer, used in turn."""

    def __init__(self, layout: Layout, role: str, base: int) -> None:
        self._addresses = [base + slot.offset for slot in layout.slots(role)]
        self._users: list[int | None] = [None] * len(self._addresses)
        self._count = 0

    def __bool__(self) -> bool:
        return bool(self._addresses)

    @property
    def fresh(self) -> bool:
        """True while the next slot has not been used in this step."""
        return self._count < len(self._addresses)

    @property
    def first(self) -> bool:
        """True before the first use."""
        return self._count == 0

    def advance(self) -> tuple[int, int | None]:
        """Take the next slot: its address, and the last task that used what it holds now."""
        slot = self._count % len(self._addresses)
        self._count += 1
        return self._addresses[slot], self._users[slot]

    def used_by(self, task: int) -> None:
        """Note that ``task`` uses the slot taken last."""
        self._users[(self._count - 1) % len(self._addresses)] = task
