"""Grows a program command by command, and folds loops whose iterations have come to repeat.

What a command must wait for is remembered as the *position* of a command in its queue: the n-th
command of the queue, counted from 1 over the whole program. When a command is issued, positions
become distances (``queue``, ``back``), so that equal tiles get equal commands.

The memory plan reserves addresses in whole steps, so whoever writes scratchpad memory in step s
waits for all of the steps before. Because queues run in order, because every load is awaited by a
compute command of its step, and every array command by a vector command, two positions stand for
all of a step: its last vector command and its last store.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from accelsim.arch.parts import Accelerator
from accelsim.lower.buffers import At
from accelsim.mapping.timing import Timing
from accelsim.mapping.timing import Transfer as TransferTime
from accelsim.program import Command, Dependency, Node, Repeat, Touch, Work
from accelsim.taskgraph import TaskKind

FRESH = -1
"""A slot that has not been used in this step; a flag that is up."""
CLEAR = 0
"""Nothing to wait for; a flag that is down."""

Marks = tuple[int, int]
"""Positions (last store, last vector command) that stand for the end of a step; 0: none."""


@dataclass(frozen=True)
class State:
    """What an operator leaves behind for the next one."""

    grown: tuple[int, ...]
    """Commands that it added to each queue."""
    turn: int
    """Loader of the next load."""


class Recipe:
    """Commands that differ only in what they wait for, each made once."""

    __slots__ = ("cycles", "made", "ports", "work")

    def __init__(self, cycles: int, work: Work, ports: tuple[int, ...] = ()) -> None:
        self.cycles = cycles
        self.work = work
        self.ports = ports
        self.made: dict[tuple[int, tuple[Dependency, ...]], Command] = {}


class Transfer:
    """A transfer as its two commands: set-up and latency on the queue, then the bytes on the port
    of the backing memory (no set-up command if it takes no time)."""

    __slots__ = ("bytes", "setup")

    def __init__(self, setup: Recipe | None, transfer: Recipe) -> None:
        self.setup = setup
        self.bytes = transfer


class ProgramBuilder:
    """Commands of the current block, and the state of its loops.

    ``cells`` is all the state that a loop body may change or depend on: each cell is a position in
    the queue ``owners[cell]`` (> 0), :data:`CLEAR`, or a flag (negative, with any meaning). Two
    rules make :meth:`repeat` exact: a loop body is a function of the cells alone, and *reading
    consumes*: whoever uses a position to make a dependency clears or overwrites the cell.
    """

    def __init__(
        self, accelerator: Accelerator, *, fold: bool = True, timing: Timing | None = None
    ) -> None:
        self.timing = timing or Timing(accelerator)
        channels = accelerator.dma.channels
        shared = channels == 1
        own = accelerator.weight_memory is not None
        self.loaders = max(1, channels - 1)
        """Queues 0 .. loaders - 1 carry loads, which take turns."""
        self.store_queue = self.loaders
        self.array_queue = self.loaders + 1
        self.vector_queue = self.loaders + 2
        # A single channel is a port that two queues share.
        dma = ("dma.0.load", "dma.0.store") if shared else [f"dma.{c}" for c in range(channels)]
        self.queues = (*dma, "array", "vector")
        backing = ("dram", *(("weights",) if own else ()))
        levels = [level.name for level in accelerator.levels]
        self.ports = (*(("dma.0",) if shared else ()), *backing, *levels)
        self._channel = (0,) if shared else ()
        self._memory = {name: (*self._channel, self.ports.index(name)) for name in self.ports}
        self._fold = fold
        self._slots = max(2, accelerator.scratchpad.buffering)
        """Of any buffer at most (the accumulators have two)."""
        self._setups: dict[int, Recipe] = {}
        self.counts = [0] * len(self.queues)
        """Commands of each queue so far."""
        self.nodes: list[Node] = []
        """Of the current block."""
        self.cells: list[int] = []
        self.owners: list[int] = []
        self.turn = 0
        """Loader of the next load, between blocks."""
        self.marks: tuple[Marks, Marks] = ((0, 0), (0, 0))
        """Ends of the steps before this one, and of those before the previous one."""
        self._user_queue = self.array_queue

    # Blocks

    def begin(self) -> None:
        """Start the next step."""
        self.nodes = []
        last = self.counts[self.store_queue], self.counts[self.vector_queue]
        self.marks = (last, self.marks[0])
        self.cells = []
        self.owners = []
        # One flag per loader: it has not waited for the steps before; then: a load on it that no
        # compute command has waited for; then the turn, and the first array and vector commands.
        self._unsynced = self.cell(FRESH, count=self.loaders)
        self._awaited = self.cell(CLEAR, count=self.loaders)
        self._turn = self.cell(-self.turn)
        self._first_array = self.cell(FRESH)
        self._first_vector = self.cell(FRESH)

    def cell(self, value: int, *, queue: int = 0, count: int = 1) -> int:
        """New state: the index of the first of ``count`` cells."""
        return self.row([value] * count, queue)

    def row(self, values: list[int], queue: int) -> int:
        """New cells with these values: the index of the first."""
        first = len(self.cells)
        self.cells += values
        self.owners += [queue] * len(values)
        return first

    def end(self) -> tuple[Node, ...]:
        """Close the step: its commands."""
        self.turn = -self.cells[self._turn]
        return tuple(self.nodes)

    @property
    def entry(self) -> tuple[int, ...]:
        """All that the commands of an operator depend on besides the operator, when asked before
        its first one: cells, and which earlier commands there are that slots can refer to."""
        most, counts = self._slots, self.counts[self.store_queue :]
        return *[min(count, most) for count in counts], *self.cells

    @property
    def synced(self) -> bool:
        """Whether the loader of the next load has waited for the steps before."""
        return self.cells[self._unsynced - self.cells[self._turn]] == CLEAR

    def since(self, before: tuple[int, ...]) -> State:
        """What has changed since there were ``before`` commands."""
        grown = tuple(now - then for now, then in zip(self.counts, before, strict=True))
        return State(grown, -self.cells[self._turn])

    def resume(self, nodes: tuple[Node, ...], after: State) -> None:
        """Take over all commands of an operator from an equal one."""
        self.nodes += nodes
        for queue, more in enumerate(after.grown):
            self.counts[queue] += more
        self.cells[self._turn] = -after.turn

    def postpone(self, node: int) -> None:
        """Make a command that waits for nothing of this step's predecessors, the first of its
        operator, wait for the steps before the previous one."""
        command = self.nodes[node]
        assert isinstance(command, Command), "a first load is part of no loop"
        grown = [now - then for now, then in zip(self.marks[0], self.marks[1], strict=True)]
        queues = self.store_queue, self.vector_queue
        deps = command.deps + tuple(
            (queue, back + 1)
            for queue, back, mark in zip(queues, grown, self.marks[1], strict=True)
            if mark
        )
        self.nodes[node] = Command(command.queue, command.cycles, command.work, deps, command.ports)

    # Loops

    def repeat(self, count: int, body: Callable[[], None]) -> None:
        """Emit ``count`` iterations; once they recur, as one :class:`Repeat`.

        Iterations are emitted one at a time. Suppose that before an iteration every cell either
        has moved by exactly as much as its queue has grown since p iterations ago (flags: is the
        same), or is a position that has not moved at all. Positions that did not move were neither
        written (a new position is always later) nor read (reading consumes) in those p iterations.
        All others are the same relative to the queues, and so is every distance made from them.
        Hence the next p iterations issue the same commands and leave the cells in the same relation
        again, and by induction so do all that follow: only how often is left to say.
        """
        if count == 1 or not self._fold:
            for _ in range(count):
                body()
            return
        history: list[tuple[list[int], list[int], int]] = []
        done = 0
        while done < count:
            for period in range(1, len(history) + 1):
                before = history[-period]
                if self._recurs(before[0], before[1]):
                    times = (count - done) // period
                    self._wind(before, times)
                    for _ in range(count - done - times * period):
                        body()
                    return
            # What takes turns are the loaders, so no period is longer than there are of them.
            if len(history) == self.loaders:
                del history[0]
            history.append((self.cells.copy(), self.counts.copy(), len(self.nodes)))
            body()
            done += 1

    def _recurs(self, cells: list[int], counts: list[int]) -> bool:
        new = self.counts
        for then, now, queue in zip(cells, self.cells, self.owners, strict=True):
            if now != then and (then <= 0 or now - then != new[queue] - counts[queue]):
                return False
        return True

    def _wind(self, before: tuple[list[int], list[int], int], times: int) -> None:
        """Account for ``times`` more of what was issued since ``before``."""
        if times == 0:
            return
        cells, counts, start = before
        self.nodes[start:] = [Repeat(times + 1, tuple(self.nodes[start:]))]
        grown = [now - then for now, then in zip(self.counts, counts, strict=True)]
        for queue, more in enumerate(grown):
            self.counts[queue] += times * more
        for cell, (then, queue) in enumerate(zip(cells, self.owners, strict=True)):
            if self.cells[cell] != then:
                self.cells[cell] += times * grown[queue]

    # Commands

    def loading(
        self,
        kind: TaskKind,
        writes: tuple[Touch, ...],
        region: str,
        *,
        constant: bool = False,
        homes: Sequence[At | None] = (),
    ) -> Transfer:
        """Recipe of a load of all that it ``writes`` (``constant``: weights, biases). ``homes``: of
        each of these, if it is kept in a memory level, all in the same one."""
        sizes = [touch.bytes for touch in writes]
        size = sum(sizes)
        kept = [home for home in homes if home is not None]
        if kept:
            assert len(kept) == len(writes), "what is loaded together is kept together"
            moved = self.timing.transfer(*sizes, constant=constant, level=kept[0].level)
            reads = [
                Touch(at.buffer, min(part, at.bytes)) for at, part in zip(kept, sizes, strict=True)
            ]
            work = Work(
                kind, tuple(reads), writes, sram_write_bytes=size, region=region,
                level=moved.memory, level_read_bytes=size,
            )  # fmt: skip
            return self._transfer(work, moved)
        moved = self.timing.transfer(*sizes, constant=constant)
        work = Work(
            kind, writes=writes, dram_read_bytes=moved.stored, sram_write_bytes=size, region=region
        )
        return self._transfer(work, moved)

    def storing(
        self, kind: TaskKind, read: Touch, region: str, *, home: At | None = None
    ) -> Transfer:
        """Recipe of a store of what it reads. ``home``: if that is kept in a memory level."""
        if home is not None:
            moved = self.timing.transfer(read.bytes, level=home.level)
            work = Work(
                kind, (read,), (Touch(home.buffer, read.bytes),), sram_read_bytes=read.bytes,
                region=region, level=home.level, level_write_bytes=read.bytes,
            )  # fmt: skip
            return self._transfer(work, moved)
        moved = self.timing.transfer(read.bytes)
        work = Work(
            kind, (read,), dram_write_bytes=moved.stored, sram_read_bytes=read.bytes, region=region
        )
        return self._transfer(work, moved)

    def copying(
        self, at: At | None, tensor: str, *, inward: bool = False, constant: bool = False
    ) -> Transfer:
        """Recipe of a copy of a whole tensor out of a memory level into its backing memory, or, if
        ``inward``, the other way. It holds both ports."""
        assert at is not None, f"{tensor} is kept in no memory level"
        moved = self.timing.copy(at.bytes, at.level, constant=constant)
        touch = Touch(at.buffer, at.bytes)
        if inward:
            work = Work(
                TaskKind.COPY, writes=(touch,), dram_read_bytes=moved.stored, region=tensor,
                level=at.level, level_write_bytes=at.bytes,
            )  # fmt: skip
        else:
            work = Work(
                TaskKind.COPY, (touch,), dram_write_bytes=moved.stored, region=tensor,
                level=at.level, level_read_bytes=at.bytes,
            )  # fmt: skip
        return self._transfer(work, moved, self._memory[at.level][-1:])

    def _transfer(self, work: Work, moved: TransferTime, also: tuple[int, ...] = ()) -> Transfer:
        setup = self._setups.get(moved.fixed)
        if setup is None and moved.fixed:
            setup = Recipe(moved.fixed, Work(TaskKind.DMA_SETUP), self._channel)
            self._setups[moved.fixed] = setup
        ports = (*self._memory[moved.memory], *also)
        return Transfer(setup, Recipe(moved.cycles, work, ports))

    def load(self, transfer: Transfer, *, fresh: bool, array: int = 0, vector: int = 0) -> None:
        """Issue a load on the loader whose turn it is. ``fresh``: into memory that was not used in
        this step; else after the ``array``-th array or ``vector``-th vector command.

        Bytes arrive in the order of issue whatever the loader, like commands in one queue: a later
        operator's prefetch never overtakes what the current one still needs.
        """
        cells, counts, store = self.cells, self.counts, 0
        queue = -cells[self._turn]
        if fresh and cells[self._unsynced + queue]:
            cells[self._unsynced + queue] = CLEAR
            store, before = self.marks[0]
            vector = max(vector, before)
        deps: tuple[Dependency, ...] = ()
        if store:
            deps = ((self.store_queue, counts[self.store_queue] - store + 1),)
        if array:
            deps += ((self.array_queue, counts[self.array_queue] - array + 1),)
        if vector:
            deps += ((self.vector_queue, counts[self.vector_queue] - vector + 1),)
        if transfer.setup is not None:
            self.issue(transfer.setup, queue, deps)
            deps = ()
        if self.loaders > 1:
            deps = (((queue - 1) % self.loaders, 1), *deps)
            cells[self._turn] = -((queue + 1) % self.loaders)
        self.issue(transfer.bytes, queue, deps)
        cells[self._awaited + queue] = FRESH

    def store(self, transfer: Transfer) -> int:
        """Issue a store of what the last vector command made; its position."""
        queue = self.store_queue
        deps: tuple[Dependency, ...] = ((self.vector_queue, 1),)
        if transfer.setup is not None:
            self.issue(transfer.setup, queue, deps)
            deps = ()
        return self.issue(transfer.bytes, queue, deps)

    def array(self, recipe: Recipe, *, vector: int = 0) -> int:
        """Issue an array command after all loads so far and the ``vector``-th vector command; its
        position. The first of a step also waits for the vector commands of the steps before."""
        if self.cells[self._first_array]:
            self.cells[self._first_array] = CLEAR
            vector = max(vector, self.marks[0][1])
        deps = self._loads()
        if vector:
            queue = self.vector_queue
            deps += ((queue, self.counts[queue] - vector + 1),)
        return self.issue(recipe, self.array_queue, deps)

    def vector(self, recipe: Recipe, *, store: int = 0, array: bool = False) -> int:
        """Issue a vector command after all loads so far, the ``store``-th store and (``array``) the
        last array command; its position. The first of a step also waits for earlier stores."""
        if self.cells[self._first_vector]:
            self.cells[self._first_vector] = CLEAR
            store = max(store, self.marks[0][0])
        deps = self._loads()
        if store:
            deps += ((self.store_queue, self.counts[self.store_queue] - store + 1),)
        if array:
            deps += ((self.array_queue, 1),)
        return self.issue(recipe, self.vector_queue, deps)

    def _loads(self) -> tuple[Dependency, ...]:
        """The last load of every loader with one that no compute command has waited for."""
        cells = self.cells
        deps: tuple[Dependency, ...] = ()
        for queue in range(self.loaders):
            cell = self._awaited + queue
            if cells[cell]:
                cells[cell] = CLEAR
                deps += ((queue, 1),)
        return deps

    def issue(self, recipe: Recipe, queue: int, deps: tuple[Dependency, ...]) -> int:
        """Append one command; its position."""
        key = queue, deps
        command = recipe.made.get(key)
        if command is None:
            command = Command(queue, recipe.cycles, recipe.work, deps, recipe.ports)
            recipe.made[key] = command
        self.nodes.append(command)
        self.counts[queue] += 1
        return self.counts[queue]
