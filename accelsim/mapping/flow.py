"""The transfers of a tile loop, in figures: what its duration is estimated from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class LevelFlow:
    """The part of a tile loop's transfers that goes to and from one memory level."""

    level: str
    loads: int = 0
    read: int = 0
    """Bytes; likewise ``written``."""
    stores: int = 0
    written: int = 0


@dataclass(frozen=True)
class Flow:
    """The transfers of a tile loop."""

    loads: int
    read: int
    """Bytes of all loads; likewise below."""
    stores: int
    written: int
    first: int
    """Cycles of the transfers that the first tile waits for."""
    last: int
    """Cycles of the last store."""
    hidden: int = 0
    """Cycles of ``first`` that pass before the step begins."""
    constants: int = 0
    """Bytes of ``read`` that are weights and biases."""
    levels: tuple[LevelFlow, ...] = ()
    """Of all these, what memory levels take part in, ``constants`` apart."""


def by_level(parts: Iterable[LevelFlow]) -> tuple[LevelFlow, ...]:
    """Parts of one flow added up by level, sorted; those without a level (``""``) are left out."""
    found: dict[str, LevelFlow] = {}
    for part in parts:
        if part.level:
            known = found.get(part.level, LevelFlow(part.level))
            found[part.level] = LevelFlow(
                part.level,
                known.loads + part.loads,
                known.read + part.read,
                known.stores + part.stores,
                known.written + part.written,
            )
    return tuple(found[level] for level in sorted(found))


def moved_by_level(parts: Iterable[LevelFlow]) -> tuple[tuple[str, int], ...]:
    """(level, bytes both ways) of such parts."""
    return tuple((part.level, part.read + part.written) for part in parts)
