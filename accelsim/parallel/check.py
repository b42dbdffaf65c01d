"""Independent check of an executed tile graph: laws that hold whatever the policy.

Looks at the log and the graph only; shares no code with the engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Protocol

from accelsim.parallel.tile_dag import TileDag


class Turn(Protocol):
    """One executed tile."""

    @property
    def tile(self) -> int:
        """Number of the tile."""

    @property
    def core(self) -> int:
        """Where it ran."""

    @property
    def start(self) -> int:
        """Cycle."""

    @property
    def end(self) -> int:
        """Cycle."""


class LogError(AssertionError):
    """A log that breaks a law: a bug of ours. ``violations`` lists every breach."""

    def __init__(self, violations: tuple[str, ...]) -> None:
        self.violations = violations
        super().__init__("\n".join([f"{len(violations)} violations in the log:", *violations[:20]]))


def check_log(
    dag: TileDag,
    log: Sequence[Turn],
    work: Sequence[int],
    speeds: Sequence[Fraction],
    *,
    saved: Fraction = Fraction(0),
    barriers: bool = False,
    own: Sequence[Sequence[int]] | None = None,
) -> None:
    """Raise :class:`LogError` unless

    - every tile ran exactly once, on a core that exists, from a cycle >= 0;
    - no tile started before all its parents ended;
    - no core ran two tiles at once;
    - every tile took at least its ``work`` at the core's speed (or what ``own`` says it is on that
      core), of which the part ``saved`` may be missing if the core's previous tile was one of its
      parents;
    - with ``barriers``: no tile started before all tiles of all earlier operators ended.
    """
    rates = speeds if own is None else (Fraction(1),) * len(speeds)
    found = tuple(_complete(dag, log, len(speeds)))
    if not found:
        found = (
            *_dependences(dag, log),
            *_cores(dag, log, own or (work,) * len(speeds), rates, saved),
            *(_barriers(dag, log) if barriers else ()),
        )
    if found:
        raise LogError(found)


def _complete(dag: TileDag, log: Sequence[Turn], cores: int) -> Iterator[str]:
    times = [0] * len(dag.tiles)
    for one in log:
        if not 0 <= one.tile < len(times) or not 0 <= one.core < cores:
            yield f"tile {one.tile} on core {one.core} does not exist"
        elif one.start < 0 or one.end <= one.start:
            yield f"tile {one.tile} runs from {one.start} to {one.end}"
        else:
            times[one.tile] += 1
    for tile, count in enumerate(times):
        if count != 1:
            yield f"tile {tile} ran {count} times"


def _dependences(dag: TileDag, log: Sequence[Turn]) -> Iterator[str]:
    ends = {one.tile: one.end for one in log}
    for one in log:
        for parent in dag.tiles[one.tile].parents:
            if one.start < ends[parent]:
                yield f"tile {one.tile} starts at {one.start}, its parent {parent} ends later"


def _cores(
    dag: TileDag,
    log: Sequence[Turn],
    works: Sequence[Sequence[int]],
    speeds: Sequence[Fraction],
    saved: Fraction,
) -> Iterator[str]:
    before: dict[int, Turn] = {}
    for one in sorted(log, key=lambda turn: (turn.core, turn.start)):
        last = before.get(one.core)
        if last is not None and one.start < last.end:
            yield f"core {one.core}: tile {one.tile} starts before tile {last.tile} ends"
        near = last is not None and last.tile in dag.tiles[one.tile].parents
        work = works[one.core][one.tile]
        least = work * (1 - saved if near else 1)
        if (one.end - one.start) * speeds[one.core] < least:
            yield f"tile {one.tile}: {work} of work in {one.end - one.start} cycles"
        before[one.core] = one


def _barriers(dag: TileDag, log: Sequence[Turn]) -> Iterator[str]:
    turns = {one.tile: one for one in log}
    passed = 0
    for mine in dag.by_op:
        for tile in mine:
            if turns[tile].start < passed:
                yield f"tile {tile} starts at {turns[tile].start}, before a barrier at {passed}"
        passed = max([passed, *(turns[tile].end for tile in mine)])
