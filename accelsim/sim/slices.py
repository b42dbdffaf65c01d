"""A folded trace as bars per resource: what timelines draw of a run too long to be drawn whole.

Of a recurrence the first turn is drawn as it is and all further turns as one bar. Where that makes
too many bars, neighbours on the same resource are joined. Bars of one resource never overlap, and
nothing is left out: busy cycles and amounts add up to those of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from accelsim.program import Command, Node, Program
from accelsim.sim.digest import Shift, moved
from accelsim.sim.folded import Event, FoldedTrace, Item
from accelsim.sim.places import Places
from accelsim.taskgraph import TaskKind


@dataclass(frozen=True)
class Amounts:
    """What some commands do together. Bytes; backing memories of any kind count as DRAM."""

    commands: int = 0
    dram_bytes: int = 0
    sram_bytes: int = 0
    macs: int = 0

    def plus(self, other: Amounts, times: int = 1) -> Amounts:
        """With ``times`` as much as ``other``."""
        return Amounts(
            self.commands + times * other.commands,
            self.dram_bytes + times * other.dram_bytes,
            self.sram_bytes + times * other.sram_bytes,
            self.macs + times * other.macs,
        )


@dataclass(frozen=True)
class Slice:
    """Commands that hold one resource, drawn as one bar. Cycles from the start of the run."""

    resource: int
    """Queues first, then ports, by rank."""
    op: str
    """Of the first command; likewise ``step`` and ``kind``."""
    step: int
    kind: TaskKind
    ready: int
    """Arrival of the first command."""
    start: int
    end: int
    busy: int
    """Cycles in which the resource works."""
    did: Amounts
    turns: int = 1
    """> 1: so many turns of a recurrence."""


def slices(trace: FoldedTrace, cap: int) -> tuple[list[Slice], str]:
    """Bars by resource and then by time, and in words how they were folded. At most ``cap`` of
    them, or one per resource."""
    drawing = _Drawing(trace.program)
    drawing.items(trace.items, (0,) * len(trace.program.queues), 0)
    found = sorted(drawing.found, key=lambda s: (s.resource, s.start, s.end))
    if len(found) <= cap:
        return found, "all turns of a recurrence but the first are one slice"
    lanes = [list(lane) for _, lane in groupby(found, key=lambda s: s.resource)]
    ways: tuple[tuple[Callable[[Slice], Hashable], str], ...] = (
        (lambda s: (s.op, s.step, s.kind), "consecutive commands of equal operator and kind"),
        (lambda s: (s.op, s.step), "consecutive commands of equal operator"),
    )
    for key, words in ways:
        joined = [_joined(run) for lane in lanes for run in _runs(lane, key)]
        if len(joined) <= cap:
            return joined, f"{words} are one slice"
    size = -(-len(found) // max(1, cap - len(lanes)))  # rounding up costs a slice per lane
    blocks = [lane[at : at + size] for lane in lanes for at in range(0, len(lane), size)]
    return [_joined(block) for block in blocks], f"blocks of {size} consecutive slices are one"


def _runs(lane: Sequence[Slice], key: Callable[[Slice], Hashable]) -> list[list[Slice]]:
    return [list(run) for _, run in groupby(lane, key=key)]


def _joined(run: Sequence[Slice]) -> Slice:
    did = Amounts()
    for part in run:
        did = did.plus(part.did)
    turns = run[0].turns if len(run) == 1 else 1
    end, busy = max(part.end for part in run), sum(part.busy for part in run)
    return replace(run[0], end=end, busy=busy, did=did, turns=turns)


@dataclass(frozen=True)
class _Held:
    """What some items do with one resource, times as recorded."""

    first: Event
    start: int
    end: int
    busy: int


class _Drawing:
    def __init__(self, program: Program) -> None:
        self._program = program
        self._places = Places(program)
        self._sums = _Sums(program)
        self._known: dict[int, dict[int, _Held]] = {}  # by id of a tuple of items
        self.found: list[Slice] = []

    def items(self, items: tuple[Item, ...], shift: Shift, late: int) -> None:
        """Draw events as they are, of a recurrence the first turn and the rest."""
        for item in items:
            if isinstance(item, Event):
                for resource, held in self._event(item).items():
                    self._draw(resource, held, shift, late)
                continue
            self.items(item.items, shift, late)
            rest = moved(shift, item.advance, 1)
            turns = item.count - 1
            for resource, held in self._held(item.items).items():
                whole = replace(
                    held, end=held.end + (turns - 1) * item.cycles, busy=turns * held.busy
                )
                more = tuple([turns * n for n in item.advance])
                self._draw(resource, whole, rest, late + item.cycles, turns, more)

    def _draw(
        self, resource: int, held: _Held, shift: Shift, late: int, turns: int = 1,
        more: Shift = (),
    ) -> None:  # fmt: skip
        """``more``: commands of every queue in a recurrence; none: the first event alone."""
        first = held.first
        place = self._places.find(first.queue, first.index + shift[first.queue])
        block, work = self._program.blocks[place.block], place.command.work
        did = amounts_of(place.command)
        if more:
            did = self._sums.of(resource, self._starts(shift), more)
        self.found.append(
            Slice(
                resource, block.op, block.step, work.kind, first.ready + late, held.start + late,
                held.end + late, held.busy, did, turns,
            )
        )  # fmt: skip
"""
"""
