"""Programs and folded traces written out, task by task: the form of the reference engine.

What is short as loops is long as a list, so this is for small programs: checks against the
reference, exact exports, and consumers that look at every single task.
"""

from __future__ import annotations

from dataclasses import replace

from accelsim.errors import AccelsimError, Mistake
from accelsim.program import Block, Buffer, Command, Program, Touch, Work, commands_of
from accelsim.sim.folded import FoldedTrace
from accelsim.sim.trace import Trace, TraceRow
from accelsim.taskgraph import Access, Task, TaskGraph, TaskKind, Value

MOST_COMMANDS = 2_000_000
"""Commands that are written out at most, about 1 kB each."""


def expand(program: Program, *, limit: int = MOST_COMMANDS) -> TaskGraph:
    """The task graph of ``program``: one task per command, in program order.

    A task depends on the command before it in its queue and on what its command depends on. Its
    resources are its queue, then its ports. ``tile`` counts the tasks of its kind within its block.
    AccelsimError when the program has more than ``limit`` commands.
    """
    if program.commands > limit:
        raise AccelsimError(
            Mistake(
                "R503",
                f"{program.commands} commands are too many to be written out one by one: at most "
                f"{limit}",
                "use the folded form of the trace, or larger tiles",
            )
        )
    writer = _Writer(program)
    for block in program.blocks:
        writer.block(block)
    resources = (*program.queues, *program.ports)
    return TaskGraph(tuple(writer.tasks), tuple(writer.values), resources, program.op_order)


def expand_works(program: Program) -> tuple[Work, ...]:
    """What every task of ``expand(program)`` does, by task id."""
    return tuple(command.work for block in program.blocks for command in commands_of(block.body))


def unfold(folded: FoldedTrace, graph: TaskGraph | None = None) -> Trace:
    """The trace with one row per task of ``graph``, which is that of the program (None: made here).

    Where a port with a state took another time than a command states, the tasks of the result have
    the cycles that they really took.
    """
    if graph is None:
        graph = expand(folded.program)
    rank = {name: queue for queue, name in enumerate(folded.program.queues)}
    ids: list[list[int]] = [[] for _ in rank]
    for task in graph.tasks:
        ids[rank[task.resources[0]]].append(task.id)
    rows: list[TraceRow | None] = [None] * len(graph.tasks)
    tasks = list(graph.tasks)
    for event in folded.events():
        at = ids[event.queue][event.index]
        rows[at] = TraceRow(at, event.ready, event.start, event.end)
        if event.end - event.start != tasks[at].cycles:
            tasks[at] = replace(tasks[at], cycles=event.end - event.start)
    complete = tuple([row for row in rows if row is not None])
    assert len(complete) == len(rows), "the trace lacks commands of the program"
    return Trace(replace(graph, tasks=tuple(tasks)), complete)


class _Writer:
    def __init__(self, program: Program) -> None:
        self.tasks: list[Task] = []
        self.values: list[Value] = []
        self._ids: list[list[int]] = [[] for _ in program.queues]  # tasks of each queue
        self._program = program
        self._resident: dict[tuple[str, str], int] = {}  # (structure, tensor) -> value
        self._resources: dict[tuple[int, tuple[int, ...]], tuple[str, ...]] = {}

    def block(self, block: Block) -> None:
        for at in block.starts:
            buffer = block.buffers[at]
            place = (buffer.structure, buffer.tensor)
            self._resident[place] = self.value(buffer, buffer.resident_bytes, 0)
        slots = _Slots(self, block.buffers)
        tiles: dict[TaskKind, int] = {}
        for command in commands_of(block.body):
            kind = command.work.kind
            tiles[kind] = tiles.get(kind, -1) + 1
            self._task(block, command, tiles[kind], slots)

    def _task(self, block: Block, command: Command, tile: int, slots: _Slots) -> None:
        work = command.work
        reads = slots.accesses(work.reads) if work.reads else ()
        writes = slots.accesses(work.writes) if work.writes else ()
        self._ids[command.queue].append(len(self.tasks))
        self.tasks.append(
            Task(
                len(self.tasks), block.op, block.step, tile, work.kind, self._path(command),
                command.cycles, self._deps(command), reads, writes,
                work.dram_read_bytes, work.dram_write_bytes,
                work.sram_read_bytes, work.sram_write_bytes,
                work.accumulator_read_bytes, work.accumulator_write_bytes,
                work.macs, work.vector_ops, work.weight_read_bytes, work.dataflow,
                work.level_read_bytes, work.level_write_bytes, level=work.level,
            )
        )  # fmt: skip

    def _deps(self, command: Command) -> tuple[int, ...]:
        """Absolute dependencies; the task itself is already the last one of its queue."""
        own = self._ids[command.queue]
        found = [own[-2]] if len(own) > 1 else []
        for queue, back in command.deps:
            others = self._ids[queue]
            if back <= len(others):
                found.append(others[-back])
        return tuple(sorted(found))

    def _path(self, command: Command) -> tuple[str, ...]:
        key = (command.queue, command.ports)
        found = self._resources.get(key)
        if found is None:
            ports = (self._program.ports[port] for port in command.ports)
            found = self._resources[key] = (self._program.queues[command.queue], *ports)
        return found

    def value(self, buffer: Buffer, size: int, slot: int) -> int:
        """A new value of ``size`` bytes in a slot of ``buffer``; returns its id."""
        address = buffer.addresses[slot % len(buffer.addresses)]
        self.values.append(
            Value(
                len(self.values), buffer.structure, buffer.kind, buffer.tensor, buffer.op, size,
                address,
            )
        )  # fmt: skip
        return len(self.values) - 1

    def resident(self, buffer: Buffer) -> int:
        """Value of a whole tensor that some block began."""
        found = self._resident.get((buffer.structure, buffer.tensor))
        assert found is not None, f"{buffer.tensor} is used before it is resident"
        return found


class _Slots:
    """The buffers of one block: their present values and how many they have had."""

    def __init__(self, writer: _Writer, buffers: tuple[Buffer, ...]) -> None:
        self._writer = writer
        self._buffers = buffers
        self._present: list[int | None] = [None] * len(buffers)
        self._had = [0] * len(buffers)

    def accesses(self, touches: tuple[Touch, ...]) -> tuple[Access, ...]:
        return tuple([Access(self._of(touch), touch.bytes, touch.from_start) for touch in touches])

    def _of(self, touch: Touch) -> int:
        """Value that is touched; reads come before writes, so a read means the value before."""
        at = touch.buffer
        buffer = self._buffers[at]
        if buffer.resident_bytes:
            return self._writer.resident(buffer)
        if touch.fresh:
            self._present[at] = self._writer.value(buffer, touch.bytes, self._had[at])
            self._had[at] += 1
        present = self._present[at]
        assert present is not None, f"{buffer.tensor} is touched before a fresh value of it"
        return present
