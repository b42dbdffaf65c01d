"""A folded trace as bars per resource: what timelines draw of a run too long to be drawn whole.

Of a recurrence the first turn is drawn as it is and all further turns as one bar. Where that makes
too many bars, neighbours on the same resource are joined. Bars of one resource never overlap, and
nothing is left out: busy cycles and amounts add up to those of the run.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Sequence
from dataclasses import astuple, dataclass, replace
from itertools import groupby

from accelsim.program import Block, Command, Node, Program, Repeat
from accelsim.sim.digest import Shift, moved
from accelsim.sim.ends import Ends
from accelsim.sim.folded import Event, FoldedTrace, Item, Recurrence
from accelsim.sim.places import Places
from accelsim.taskgraph import TaskKind


@dataclass(frozen=True)
class Amounts:
    """What some commands do together. Bytes; backing memories of any kind count as DRAM."""

    commands: int = 0
    dram_bytes: int = 0
    sram_bytes: int = 0
    macs: int = 0

    def plus(self, other: Amounts) -> Amounts:
        """Both together."""
        return Amounts(
            self.commands + other.commands,
            self.dram_bytes + other.dram_bytes,
            self.sram_bytes + other.sram_bytes,
            self.macs + other.macs,
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
                block, command = self._command(item, shift)
                did = amounts_of(command)
                for resource, held in self._event(item, command).items():
                    self._draw(resource, held, (block, command), late, did, 1)
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
                did = did.plus(self._sums.between(queue, resource, begin, end))
            end, busy = once.end + (turns - 1) * item.cycles, turns * once.busy
            held = replace(once, end=end, busy=busy)
            self._draw(resource, held, self._command(once.first, shift), late, did, turns)

    def _draw(
        self,
        resource: int,
        held: _Held,
        place: tuple[int, Command],
        late: int,
        did: Amounts,
        turns: int,
    ) -> None:
        block, kind = self._program.blocks[place[0]], place[1].work.kind
        times = held.first.ready + late, held.start + late, held.end + late
        self.found.append(
            Slice(resource, block.op, block.step, kind, *times, held.busy, did, turns)
        )

    def _command(self, event: Event, shift: Shift) -> tuple[int, Command]:
        """(block, command) of an event."""
        return self._places.command(event.queue, event.index + shift[event.queue])

    def _event(self, event: Event, command: Command) -> dict[int, _Held]:
        """Resource -> what the event does with it; ports do not depend on the turn."""
        held = _Held(event, event.start, event.end, event.end - event.start)
        queues = len(self._program.queues)
        return {event.queue: held} | {queues + port: held for port in command.ports}

    def _held(self, items: tuple[Item, ...]) -> dict[int, _Held]:
        found = self._known.get(id(items))
        if found is not None:
            return found
        found = {}
        for item in items:
            late, times = 0, 1
            if isinstance(item, Event):
                _, command = self._places.command(item.queue, item.index)
                parts = self._event(item, command)
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


_Sum = tuple[int, int, int, int]
"""The fields of :class:`Amounts`."""
_NOTHING: _Sum = (0, 0, 0, 0)


class _Sums:
    """What the first commands of a queue do, without going through them one by one."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._queues = len(program.queues)
        self._of_blocks: dict[tuple[int, int], _Prefix] = {}
        self._bodies: dict[tuple[int, int, int], _Prefix] = {}

    def between(self, queue: int, resource: int, begin: int, end: int) -> Amounts:
        """Commands [``begin``, ``end``) of the queue, as far as they hold the resource."""
        first = self._before(queue, resource, begin)
        return Amounts(*_plus(self._before(queue, resource, end), first, -1))

    def _before(self, queue: int, resource: int, index: int) -> _Sum:
        prefix, total, left = self._blocks(queue, resource), _NOTHING, index
        nodes: tuple[Block, ...] | tuple[Node, ...] = self._program.blocks
        while left:
            at, ahead, more = prefix.find(left)
            total, left = _plus(total, more), left - ahead
            if not left:
                break
            node = nodes[at]
            assert not isinstance(node, Command), "a command is whole or not there"
            nodes, prefix = node.body, self._body(node.body, queue, resource)
            if isinstance(node, Repeat):
                turns, left = divmod(left, prefix.commands)
                total = _plus(total, prefix.total, turns)
        return total

    def _blocks(self, queue: int, resource: int) -> _Prefix:
        found = self._of_blocks.get((queue, resource))
        if found is None:
            found = _Prefix()
            for block in self._program.blocks:
                inner = self._body(block.body, queue, resource)
                found.add(inner.commands, inner.total)
            self._of_blocks[queue, resource] = found
        return found

    def _body(self, body: tuple[Node, ...], queue: int, resource: int) -> _Prefix:
        key = (id(body), queue, resource)
        found = self._bodies.get(key)
        if found is None:
            found = _Prefix()
            for node in body:
                if isinstance(node, Repeat):
                    inner = self._body(node.body, queue, resource)
                    did = _plus(_NOTHING, inner.total, node.count)
                    found.add(node.count * inner.commands, did)
                elif node.queue != queue:
                    found.add(0, _NOTHING)
                else:
                    holds = resource == queue or resource - self._queues in node.ports
                    found.add(1, astuple(amounts_of(node)) if holds else _NOTHING)
            self._bodies[key] = found
        return found


class _Prefix:
    """Running totals over the nodes of a body (or the blocks of a program), for one queue."""

    def __init__(self) -> None:
        self.commands = 0
        self.total = _NOTHING
        self._ends: list[int] = []
        self._before: list[tuple[int, _Sum]] = []

    def add(self, commands: int, did: _Sum) -> None:
        """The next node."""
        self._before.append((self.commands, self.total))
        self.commands += commands
        self.total = _plus(self.total, did)
        self._ends.append(self.commands)

    def find(self, left: int) -> tuple[int, int, _Sum]:
        """The node that begins before the ``left``-th command and does not end before it, commands
        before the node or, where it ends there, up to its end, and what these do."""
        at = bisect_left(self._ends, left)
        if self._ends[at] == left:
            after = self._before[at + 1] if at + 1 < len(self._before) else None
            return (at, *(after or (self.commands, self.total)))
        return (at, *self._before[at])


def _plus(one: _Sum, other: _Sum, times: int = 1) -> _Sum:
    a, b, c, d = one
    e, f, g, h = other
    return a + times * e, b + times * f, c + times * g, d + times * h
