"""A folded trace as bars per resource: what timelines draw of a run too long to be drawn whole.

Of a recurrence the first turn is drawn as it is and all further turns as one bar. Where that makes
too many bars, neighbours on the same resource are joined. Bars of one resource never overlap, and
nothing is left out: busy cycles and amounts add up to those of the run.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from accelsim.program import Command, Node, Program
from accelsim.sim.digest import Shift, moved
from accelsim.sim.ends import Ends
from accelsim.sim.folded import Event, FoldedTrace, Item, Recurrence
from accelsim.sim.places import Place, Places
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
    drawing = _Drawing(trace)
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
    def __init__(self, trace: FoldedTrace) -> None:
        self._program = trace.program
        self._places = Places(trace.program)
        self._ends = Ends(trace)
        self._sums = _Sums(trace.program)
        self._known: dict[int, dict[int, _Held]] = {}  # by id of a tuple of items
        self.found: list[Slice] = []

    def items(self, items: tuple[Item, ...], shift: Shift, late: int) -> None:
        """Draw events as they are, of a recurrence the first turn and the rest."""
        for item in items:
            if isinstance(item, Event):
                for resource, held in self._event(item).items():
                    place = self._place(item, shift)
                    self._draw(resource, held, place, late, amounts_of(place.command), 1)
                continue
            self.items(item.items, shift, late)
            self._rest(item, moved(shift, item.advance, 1), late + item.cycles)

    def _rest(self, item: Recurrence, shift: Shift, late: int) -> None:
        """All turns but the first, as one bar per resource."""
        turns = item.count - 1
        firsts = self._ends.firsts(item)
        for resource, once in self._held(item.items).items():
            did = Amounts()
            for queue, first in firsts.items():
                begin = first + shift[queue]
                end = begin + turns * item.advance[queue]
                did = did.plus(self._sums.before(queue, resource, end))
                did = did.plus(self._sums.before(queue, resource, begin), -1)
            end, busy = once.end + (turns - 1) * item.cycles, turns * once.busy
            held = replace(once, end=end, busy=busy)
            self._draw(resource, held, self._place(once.first, shift), late, did, turns)

    def _draw(
        self, resource: int, held: _Held, place: Place, late: int, did: Amounts, turns: int
    ) -> None:
        block, kind = self._program.blocks[place.block], place.command.work.kind
        times = held.first.ready + late, held.start + late, held.end + late
        self.found.append(
            Slice(resource, block.op, block.step, kind, *times, held.busy, did, turns)
        )

    def _place(self, event: Event, shift: Shift) -> Place:
        return self._places.find(event.queue, event.index + shift[event.queue])

    def _event(self, event: Event) -> dict[int, _Held]:
        """Resource -> what the event does with it; ports do not depend on the turn."""
        held = _Held(event, event.start, event.end, event.end - event.start)
        ports = self._places.find(event.queue, event.index).command.ports
        queues = len(self._program.queues)
        return {event.queue: held} | {queues + port: held for port in ports}

    def _held(self, items: tuple[Item, ...]) -> dict[int, _Held]:
        found = self._known.get(id(items))
        if found is not None:
            return found
        found = {}
        for item in items:
            late, times = 0, 1
            if isinstance(item, Event):
                parts = self._event(item)
            else:
                parts = self._held(item.items)
                late, times = (item.count - 1) * item.cycles, item.count
            for resource, part in parts.items():
                before = found.get(resource, replace(part, busy=0))
                busy = before.busy + times * part.busy
                found[resource] = replace(before, end=part.end + late, busy=busy)
        self._known[id(items)] = found
        return found


def amounts_of(command: Command) -> Amounts:
    """One command."""
    work = command.work
    dram = work.dram_read_bytes + work.dram_write_bytes
    return Amounts(1, dram, work.sram_read_bytes + work.sram_write_bytes, work.macs)


class _Sums:
    """What the first commands of a queue do, without going through them one by one."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._blocks: dict[tuple[int, int], list[Amounts]] = {}
        self._bodies: dict[tuple[int, int, int], tuple[int, Amounts]] = {}

    def before(self, queue: int, resource: int, index: int) -> Amounts:
        """The first ``index`` commands of the queue, as far as they hold the resource."""
        starts = self._program.starts
        number = bisect_right(starts, index, key=lambda start: start[queue]) - 1
        total = self._running(queue, resource)[number]
        left = index - starts[number][queue]
        if not left:
            return total
        return self._first(self._program.blocks[number].body, queue, resource, left, total)

    def _first(
        self, body: tuple[Node, ...], queue: int, resource: int, left: int, total: Amounts
    ) -> Amounts:
        for node in body:
            commands, did = self._node(node, queue, resource)
            if commands <= left:
                left -= commands
                total = total.plus(did)
                continue
            if left and not isinstance(node, Command):
                once, did = self._body(node.body, queue, resource)
                turns, left = divmod(left, once)
                return self._first(node.body, queue, resource, left, total.plus(did, turns))
            break
        return total

    def _running(self, queue: int, resource: int) -> list[Amounts]:
        """Per block: everything before it."""
        found = self._blocks.get((queue, resource))
        if found is None:
            found = [Amounts()]
            for block in self._program.blocks:
                found.append(found[-1].plus(self._body(block.body, queue, resource)[1]))
            self._blocks[queue, resource] = found
        return found

    def _node(self, node: Node, queue: int, resource: int) -> tuple[int, Amounts]:
        """(commands of the queue, what those that hold the resource do)."""
        if isinstance(node, Command):
            if node.queue != queue:
                return 0, Amounts()
            port = resource - len(self._program.queues)
            holds = resource == queue or port in node.ports
            return 1, amounts_of(node) if holds else Amounts()
        commands, did = self._body(node.body, queue, resource)
        return node.count * commands, Amounts().plus(did, node.count)

    def _body(self, body: tuple[Node, ...], queue: int, resource: int) -> tuple[int, Amounts]:
        key = (id(body), queue, resource)
        found = self._bodies.get(key)
        if found is None:
            commands, did = 0, Amounts()
            for node in body:
                more, part = self._node(node, queue, resource)
                commands += more
                did = did.plus(part)
            found = self._bodies[key] = commands, did
        return found
