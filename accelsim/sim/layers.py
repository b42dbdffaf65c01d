"""Where the cycles go, from a folded trace: the rows of :mod:`accelsim.sim.summary`, exactly.

The cost grows with the distinct segments of the trace and with the blocks, not with the commands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from accelsim.arch.parts import SystolicArray
from accelsim.program import Block, Program, distinct
from accelsim.sim.digest import Shift, moved
from accelsim.sim.folded import Event, FoldedTrace, Item, Recurrence
from accelsim.sim.idle import idle_gaps
from accelsim.sim.places import Places
from accelsim.sim.summary import COMPUTE, IDLE, LayerRow
from accelsim.taskgraph import TaskKind


@dataclass(frozen=True)
class BlockTimes:
    """One block of a program in time. Cycles from the start of the run."""

    start: int
    """Of its first command; likewise ``end`` of its last one; 0 and 0 for an empty block."""
    end: int
    busy: tuple[int, ...]
    """Per queue, then per port: cycles of its commands that hold it, from their start."""


def block_times(trace: FoldedTrace) -> tuple[BlockTimes, ...]:
    """The times of every block."""
    totals = _Totals(trace.program)
    totals.add(trace.items, (0,) * len(trace.program.queues), 0)
    return tuple(
        BlockTimes(*totals.spans.get(number, (0, 0)), tuple(totals.busy[number]))
        for number in range(len(trace.program.blocks))
    )


def busy_of(trace: FoldedTrace, times: Sequence[BlockTimes] | None = None) -> dict[str, int]:
    """Cycles for which each queue and port works (start to end of its commands), in rank order:
    :func:`accelsim.sim.summary.busy_cycles` of a folded trace. ``times``: its
    :func:`block_times`, if they are at hand."""
    names = (*trace.program.queues, *trace.program.ports)
    times = block_times(trace) if times is None else times
    return dict(zip(names, _summed(times, len(names)), strict=True))


def layer_rows_of(
    trace: FoldedTrace, *, pes: int, times: Sequence[BlockTimes] | None = None
) -> tuple[LayerRow, ...]:
    """:func:`accelsim.sim.summary.layer_rows` of a folded trace: equal rows, at any size.
    ``times``: its :func:`block_times`, if they are at hand."""
    if pes <= 0:
        raise AssertionError(f"pes must be positive, not {pes}")
    program = trace.program
    times = block_times(trace) if times is None else times
    groups: dict[tuple[int, str], list[int]] = {}
    for number, block in enumerate(program.blocks):
        if block.body:
            groups.setdefault((block.step, block.op), []).append(number)
    compute = [q for q, name in enumerate(program.queues) if name in COMPUTE]
    idle = idle_gaps(trace, compute)
    rows: list[LayerRow] = []
    front = 0
    # Sorting is stable: within a step by first command.
    for _, numbers in sorted(groups.items(), key=lambda group: group[0][0]):
        after = max(front, *(times[number].end for number in numbers))
        stall = idle.before(after) - idle.before(front)
        mine = [(program.blocks[number], times[number]) for number in numbers]
        rows.append(_row(program, mine, pes, after - front, stall))
        front = after
    return tuple(rows)


def _row(
    program: Program, mine: list[tuple[Block, BlockTimes]], pes: int, advance: int, stall: int
) -> LayerRow:
    names = (*program.queues, *program.ports)
    held = _summed([times for _, times in mine], len(names))
    busy = dict(zip(names, held, strict=True))
    start = min(times.start for _, times in mine)
    end = max(times.end for _, times in mine)
    did = WorkTotals()
    for block, _ in mine:
        did.add(block)
    rated = max(advance, busy.get("array", 0))
    return LayerRow(
        op=mine[0][0].op,
        step=mine[0][0].step,
        start=start,
        end=end,
        cycles=advance,
        advance_cycles=advance,
        span_cycles=end - start,
        array_busy=busy.get("array", 0),
        vector_busy=busy.get("vector", 0),
        dram_busy=busy.get("dram", 0),
        bound=busiest(busy),
        macs=did.macs,
        utilisation=did.macs / (rated * pes) if rated else 0.0,
        dram_read_bytes=did.dram_read,
        dram_write_bytes=did.dram_write,
        sram_read_bytes=did.sram_read,
        sram_write_bytes=did.sram_write,
        stall_cycles=stall,
    )


@dataclass
class WorkTotals:
    """What commands do, added up. Bytes; backing memories of any kind count as DRAM."""

    macs: int = 0
    dram_read: int = 0
    dram_write: int = 0
    sram_read: int = 0
    sram_write: int = 0
    levels: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Memory level -> bytes (read, written)."""

    def add(self, block: Block) -> None:
        """All commands of a block, each as often as it is executed."""
        for command, times in distinct(block.body):
            work = command.work
            self.macs += times * work.macs
            self.dram_read += times * work.dram_read_bytes
            self.dram_write += times * work.dram_write_bytes
            self.sram_read += times * work.sram_read_bytes
            self.sram_write += times * work.sram_write_bytes
            if work.level:
                read, written = self.levels.get(work.level, (0, 0))
                self.levels[work.level] = (
                    read + times * work.level_read_bytes,
                    written + times * work.level_write_bytes,
                )


def work_totals(program: Program) -> WorkTotals:
    """What all commands of a program do."""
    did = WorkTotals()
    for block in program.blocks:
        did.add(block)
    return did


def dataflows_of(program: Program, arrays: Mapping[int, SystolicArray]) -> dict[str, str]:
    """Operator -> the dataflow that the array runs it with; several in alphabetical order, since
    its parts on several cores may differ. ``arrays``: those of the cores by number (a program of
    one core: of number 0)."""
    found: dict[str, set[str]] = {}
    for block in program.blocks:
        for command, _ in distinct(block.body):
            if command.work.kind is TaskKind.ARRAY:
                core = program.queues[command.queue].rpartition(".")[0].removeprefix("core")
                flow = arrays[int(core or 0)].flow(command.work.dataflow)
                found.setdefault(block.op, set()).add(flow)
    return {op: ", ".join(sorted(names)) for op, names in found.items()}


def busiest(busy: Mapping[str, int]) -> str:
    """The resource that is busy longest, the last one on a tie; :data:`IDLE` when none is."""
    best, most = IDLE, 0
    for name, cycles in busy.items():
        if cycles and cycles >= most:
            best, most = name, cycles
    return best


def _summed(times: Iterable[BlockTimes], resources: int) -> list[int]:
    total = [0] * resources
    for block in times:
        for at, cycles in enumerate(block.busy):
            total[at] += cycles
    return total


@dataclass(slots=True)
class _Extent:
    """What one queue does in some items, as recorded."""

    first: int
    start: int
    last: int
    end: int
    busy: list[int]
    """As in :class:`BlockTimes`."""


class _Totals:
    """Adds items to the blocks that they belong to. A recurrence is only looked into where one of
    its queues changes block in it."""

    def __init__(self, program: Program) -> None:
        self._places = Places(program)
        self._queues = len(program.queues)
        self._resources = self._queues + len(program.ports)
        self._extents: dict[int, dict[int, _Extent]] = {}  # by id of a tuple of items
        self.spans: dict[int, tuple[int, int]] = {}
        self.busy = [[0] * self._resources for _ in program.blocks]

    def add(self, items: tuple[Item, ...], shift: Shift, late: int) -> None:
        """Items that happened so much later than recorded."""
        for item in items:
            found = self._extent(item)
            blocks = {
                queue: self._places.block(queue, extent.first + shift[queue])
                for queue, extent in found.items()
            }
            if isinstance(item, Event) or all(
                block == self._places.block(queue, found[queue].last + shift[queue])
                for queue, block in blocks.items()
            ):
                for queue, block in blocks.items():
                    self._count(block, found[queue], late)
                continue
            for turn in range(item.count):
                here = moved(shift, item.advance, turn)
                self.add(item.items, here, late + turn * item.cycles)

    def _count(self, block: int, extent: _Extent, late: int) -> None:
        start, end = extent.start + late, extent.end + late
        known = self.spans.get(block)
        if known is not None:
            start, end = min(start, known[0]), max(end, known[1])
        self.spans[block] = (start, end)
        mine = self.busy[block]
        for at, cycles in enumerate(extent.busy):
            mine[at] += cycles

    def _extent(self, item: Item) -> dict[int, _Extent]:
        if isinstance(item, Event):
            return {item.queue: self._event(item)}
        return {
            queue: self._turns(item, queue, once) for queue, once in self._of(item.items).items()
        }

    def _event(self, event: Event) -> _Extent:
        busy = [0] * self._resources
        cycles = event.end - event.start
        busy[event.queue] = cycles
        for port in self._places.command(event.queue, event.index)[1].ports:
            busy[self._queues + port] = cycles
        return _Extent(event.index, event.start, event.index, event.end, busy)

    def _turns(self, item: Recurrence, queue: int, once: _Extent) -> _Extent:
        more = item.count - 1
        last = once.last + more * item.advance[queue]
        busy = [item.count * cycles for cycles in once.busy]
        return _Extent(once.first, once.start, last, once.end + more * item.cycles, busy)

    def _of(self, items: tuple[Item, ...]) -> dict[int, _Extent]:
        """All of the items together; a queue runs in order, so the last event ends last."""
        found = self._extents.get(id(items))
        if found is not None:
            return found
        found = {}
        for item in items:
            for queue, extent in self._extent(item).items():
                known = found.get(queue)
                if known is None:
                    found[queue] = extent
                    continue
                both = [a + b for a, b in zip(known.busy, extent.busy, strict=True)]
                found[queue] = _Extent(known.first, known.start, extent.last, extent.end, both)
        self._extents[id(items)] = found
        return found
