"""Independent conservation checks on a folded trace, exact at any size.

The folded twin of :mod:`accelsim.sim.check`. Nothing here knows how the engine works: the laws are
read off the program, and the trace is shown to them event by event. Where it recurs, the laws are
tested on turns until their own state recurs, and only if the program says that all turns execute
the same commands (:class:`_Laws`, ``recurs``); otherwise every turn is looked at.

That a read finds the bytes which it takes and that values have bytes of their own is checked on
the program (:mod:`~accelsim.sim.written`, :mod:`~accelsim.sim.addresses`), and by the cycle in the
flat form.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from accelsim.program import Command, Program, Repeat, distinct
from accelsim.sim.check import TraceError, weight_scratchpad_bytes
from accelsim.sim.digest import Shift, watch
from accelsim.sim.ends import Ends, Window
from accelsim.sim.folded import Event, FoldedTrace, Recurrence
from accelsim.sim.order import require_order
from accelsim.sim.places import Level, Place, Places

MOST_VIOLATIONS = 1000
"""Violations after which no more are collected."""


@dataclass(frozen=True)
class Rates:
    """How fast the resources of a machine are at most, per cycle."""

    memories: Mapping[str, Fraction]
    """Port of a backing memory -> bytes."""
    pes: int
    """MACs of an array."""
    lanes: int
    """Element operations of a vector unit."""
    scratchpad: int
    """Bytes of one command, both ways."""
    accumulators: int
    """Bytes of one command, each way."""
    levels: Mapping[str, Fraction] = field(default_factory=dict)
    """Port of a memory level -> bytes, both ways."""
    varying: tuple[str, ...] = ()
    """Ports behind which a command may take longer than it states (accelsim.sim.devices)."""
    weight_scratchpad: int | None = None
    """Bytes of one command, both ways; None: no part of the scratchpad is split off."""


def check_folded(trace: FoldedTrace, rates: Rates) -> None:
    """Raise :class:`TraceError` with the breaches of these laws:

    - every command of the program is executed once, in the order of its queue, one at a time;
    - it arrives when the command before it and its dependencies have ended, not before, not later;
    - it lasts exactly its cycles (longer only behind a port of ``rates.varying``);
    - a port carries one command at a time, and nobody waits idly: a command that starts after its
      arrival does so at the cycle at which one of its ports is given back;
    - physics: bytes, MACs and element operations within time x ``rates``, on the queue and with the
      ports that they need;
    - the makespan is the last end.
    """
    require_order(trace)  # the other checks look commands up by their numbers
    found = list(_physics(trace.program, rates))
    varying = frozenset(
        port for port, name in enumerate(trace.program.ports) if name in rates.varying
    )
    laws = _Laws(trace, varying)
    watch(trace, laws)
    found += laws.found
    if not found and laws.last_end() != trace.cycles:
        found.append(f"the makespan is {laws.last_end()}, not {trace.cycles}")
    if found:
        raise TraceError(tuple(found[:MOST_VIOLATIONS]))


def _physics(program: Program, rates: Rates) -> Iterator[str]:
    """The rates, for every command as written: what repeats does the same."""
    seen: set[int] = set()
    for block in program.blocks:
        for command, _ in distinct(block.body):
            if id(command) not in seen:
                seen.add(id(command))
                for fault in _too_fast(program, command, rates):
                    yield f"{block.op}, {command.work.kind.value}: {fault}"


def _too_fast(program: Program, command: Command, rates: Rates) -> Iterator[str]:
    work, cycles = command.work, command.cycles
    moved = work.dram_read_bytes + work.dram_write_bytes
    if moved:
        held = [program.ports[port] for port in command.ports]
        memories = [name for name in held if name in rates.memories]
        if not memories:
            yield f"moves {moved} bytes without the port of a backing memory"
        for name in memories:
            if moved > cycles * rates.memories[name]:
                yield f"moves {moved} bytes through {name} in {cycles} cycles"
    near = work.level_read_bytes + work.level_write_bytes
    if near:
        held = [program.ports[port] for port in command.ports]
        if work.level not in held or work.level not in rates.levels:
            yield f"moves {near} bytes of level {work.level!r} without its port"
        elif near > cycles * rates.levels[work.level]:
            yield f"moves {near} bytes through {work.level} in {cycles} cycles"
    unit = program.queues[command.queue].rpartition(".")[2]
    for name, amount, rate in (
        ("array", work.macs, rates.pes),
        ("vector", work.vector_ops, rates.lanes),
    ):
        if amount > cycles * rate:
            yield f"{amount} operations in {cycles} cycles on {rate} units"
        if amount and unit != name:
            yield f"{amount} operations on {unit} instead of {name}"
    pad = work.sram_read_bytes + work.sram_write_bytes
    if rates.weight_scratchpad is not None:
        side = weight_scratchpad_bytes(work)
        pad -= side
        if side > cycles * rates.weight_scratchpad:
            yield f"moves {side} weight scratchpad bytes in {cycles} cycles"
    if pad > cycles * rates.scratchpad:
        yield f"moves {pad} scratchpad bytes in {cycles} cycles"
    sums = max(work.accumulator_read_bytes, work.accumulator_write_bytes)
    if sums > cycles * rates.accumulators:
        yield f"moves {sums} accumulator bytes in {cycles} cycles"


@dataclass(frozen=True)
class _Mark:
    following: tuple[int, ...]
    port_end: tuple[int, ...]


class _Laws:
    """Watcher of the laws of time.

    Its state: how far each queue is, the last ends of the queues as far back as any command has
    asked for (``reach``), the last end on each port. Of an end only matters how it compares with
    what happens in a turn, so ends before the first arrival of a turn count as one, and so do those
    after its last start.
    """

    def __init__(self, trace: FoldedTrace, varying: frozenset[int]) -> None:
        program = trace.program
        self.found: list[str] = []
        self._program = program
        self._varying = varying
        self._totals = program.starts[-1]
        self._places = Places(program)
        self._ends = Ends(trace)
        self._following = [0] * len(program.queues)
        self._reach = [1] * len(program.queues)
        self._port_end = [0] * len(program.ports)
        self._start = 0  # of the event before
        self._waits: dict[tuple[int, int], frozenset[int]] = {}

    def concerns(self, _queue: int) -> bool:
        return True

    def event(self, event: Event, shift: Shift, late: int) -> None:
        queue, index = event.queue, event.index + shift[event.queue]
        name = f"{self._program.queues[queue]} command {index}"
        self._following[queue] = index + 1
        place = self._places.find(queue, index)
        ready, start, end = event.ready + late, event.start + late, event.end + late
        self._times(name, place.command, start, end)
        self._arrival(name, queue, index, place, ready)
        self._ports(name, place.command, ready, start, end)

    def _times(self, name: str, command: Command, start: int, end: int) -> None:
        if start < self._start:
            self._report(f"{name} starts at {start}, after a command that starts at {self._start}")
        self._start = start
        longer = any(port in self._varying for port in command.ports)
        if end - start < command.cycles or (end - start > command.cycles and not longer):
            self._report(f"{name} lasts {end - start} cycles instead of {command.cycles}")

    def _arrival(self, name: str, queue: int, index: int, place: Place, ready: int) -> None:
        latest = self._ends.of(queue, index - 1) if index else 0
        for other, back in place.command.deps:
            at = place.before[other] - back
            if at < 0:
                continue
            if at >= self._following[other]:
                self._report(f"{name} starts before {self._program.queues[other]} command {at}")
                continue
            self._reach[other] = max(self._reach[other], self._following[other] - at)
            latest = max(latest, self._ends.of(other, at))
        if ready != latest:
            self._report(f"{name}: ready at {ready}, but what it waits for ends at {latest}")

    def _ports(self, name: str, command: Command, ready: int, start: int, end: int) -> None:
        for port in command.ports:
            if start < self._port_end[port]:
                self._report(
                    f"{name} starts at {start}, but {self._program.ports[port]} is held until "
                    f"{self._port_end[port]}"
                )
        if start > ready and all(self._port_end[port] != start for port in command.ports):
            self._report(
                f"{name}: ready at {ready} but started at {start}, although nothing it needs was "
                "given back then"
            )
        for port in command.ports:
            self._port_end[port] = end

    def _report(self, text: str) -> None:
        if len(self.found) < MOST_VIOLATIONS:
            self.found.append(text)

    def last_end(self) -> int:
        """The last end of any command."""
        return max((self._ends.of(q, n - 1) for q, n in enumerate(self._totals) if n), default=0)

    # Recurrences

    def recurs(self, item: Recurrence, shift: Shift) -> bool:
        """Whether each queue goes through iterations of one loop of the program in all turns, and
        what it waits for moves on as fast as the queues do: then all turns execute the same
        commands, with the same things to wait for."""
        if self.found:
            return False
        for queue, first in self._ends.firsts(item).items():
            place = self._places.find(queue, first + shift[queue])
            if not any(self._loops(item, queue, level) for level in place.levels):
                return False
        return True

    def _loops(self, item: Recurrence, queue: int, level: Level) -> bool:
        mine, ahead = level.per_turn[queue], item.advance[queue]
        turns, rest = divmod(ahead, mine)
        if rest or not turns or level.before + item.count * ahead > level.loop.count * mine:
            return False
        return all(
            turns * level.per_turn[other] == item.advance[other]
            for other in self._waited(level.loop, queue)
        )

    def _waited(self, loop: Repeat, queue: int) -> frozenset[int]:
        """Queues that commands of ``queue`` in the loop wait for."""
        key = (id(loop), queue)
        found = self._waits.get(key)
        if found is None:
            found = self._waits[key] = frozenset(
                other
                for command, _ in distinct(loop.body)
                if command.queue == queue
                for other, _ in command.deps
            )
        return found

    def passive(self, _item: Recurrence, _base: int) -> int:
        return 0

    def state(self, item: Recurrence, shift: Shift, base: int) -> Hashable:
        window = self._ends.window(item)
        parts: list[Hashable] = [self._start - base, tuple(self._reach)]
        for queue, following in enumerate(self._following):
            first = max(0, following - self._reach[queue])
            parts.append(following - shift[queue])
            parts.append(
                tuple(
                    _clipped(self._ends.of(queue, at) - base, window)
                    for at in range(first, following)
                )
            )
        parts.append(tuple([_clipped(end - base, window) for end in self._port_end]))
        return tuple(parts)

    def mark(self) -> _Mark:
        return _Mark(tuple(self._following), tuple(self._port_end))

    def skip(self, mark: object, times: int, cycles: int, advance: Shift) -> None:
        assert isinstance(mark, _Mark), "a mark of this watcher"
        late = times * cycles
        self._start += late
        self._following = [
            n + times * more for n, more in zip(self._following, advance, strict=True)
        ]
        for port, before in enumerate(mark.port_end):
            if self._port_end[port] != before:  # used since
                self._port_end[port] += late


def _clipped(time: int, window: Window) -> int:
    return min(max(time, window.first - 1), window.last + 1)
