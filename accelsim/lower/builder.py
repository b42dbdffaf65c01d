"""Grows a task graph step by step and knows what a new task has to wait for.

The memory plan reserves addresses in whole steps, so whoever writes scratchpad memory in step s
waits for all tasks of the steps before. That barrier is kept compact: it is the set of tasks of
step s - 1 that no task of the same step waits for, and one or two tasks per step carry it (the
rest follow through their own chains), so the graph stays linear in the number of tiles.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from accelsim.arch.parts import Accelerator
from accelsim.mapping.timing import Timing
from accelsim.plan import Step
from accelsim.taskgraph import Access, Task, TaskGraph, TaskKind, Value
from accelsim.workload.graph import Op, Workload


class GraphBuilder:
    """Tasks and values so far. Compute tasks (array, vector) of all steps form chains, in order."""

    def __init__(self, workload: Workload, accelerator: Accelerator) -> None:
        self.workload = workload
        self.accelerator = accelerator
        self.timing = Timing(accelerator)
        self.resident: dict[str, int] = {}
        """Tensor -> value of its current residency."""
        self.last_vector: int | None = None
        """Last vector task: every compute task of the earlier steps precedes it."""
        self.reloads: tuple[int, ...] = ()
        """Whole-tensor loads of the current step."""
        self._tasks: list[Task] = []
        self._values: list[Value] = []
        self._op = ""
        self._step = -1
        self._open: dict[int, None] = {}
        self._ends: list[tuple[int, ...]] = []
        self._load_channels = max(1, accelerator.dma.channels - 1)
        self._store_channel = accelerator.dma.channels - 1
        self._loads: list[int] = []
        self._last_store: int | None = None

    def begin_step(self, op: Op) -> None:
        """Start the next step, which runs ``op``."""
        self._op = op.name
        self._step += 1
        self._open = {}
        self.reloads = ()

    def end_step(self) -> None:
        """Close the step: its unwaited-for tasks become the barrier of the next."""
        self._ends.append(tuple(self._open) if self._open else self.barrier(1))

    def barrier(self, lag: int) -> tuple[int, ...]:
        """Tasks after which everything up to step (current - ``lag``) is over."""
        index = self._step - lag
        return self._ends[index] if index >= 0 else ()

    def value(self, structure: str, kind: str, tensor: str, size: int, address: int) -> int:
        """A new value; activations belong to their producer, everything else to this operator."""
        producer = self.workload.producer.get(tensor)
        owner = producer.name if kind == "activation" and producer is not None else self._op
        self._values.append(Value(len(self._values), structure, kind, tensor, owner, size, address))
        return len(self._values) - 1

    def start_residency(self, tensor: str, step: Step) -> int:
        """A new value for a whole tensor that becomes resident in this step."""
        addresses = step.addresses or {}
        size = self.workload.tensors[tensor].bytes
        value = self.value("scratchpad", "activation", tensor, size, addresses.get(tensor, 0))
        self.resident[tensor] = value
        return value

    def load(
        self, kind: TaskKind, tile: int, deps: Iterable[int | None], writes: Sequence[Access]
    ) -> int:
        """One DMA transfer DRAM -> scratchpad. Loads are issued in order, like commands in a
        queue: a later operator's prefetch never overtakes what the current one still needs. With
        several load channels they take turns; set-ups then overlap, the bytes stay in order."""
        turn = len(self._loads)
        before = self._loads[turn - self._load_channels] if turn >= self._load_channels else None
        ordered = self._loads[-1] if self._loads else None
        size = sum(access.bytes for access in writes)
        task = self._transfer(
            kind, tile, turn % self._load_channels, size, (*deps, before), ordered, (), writes,
            dram_read_bytes=size, sram_write_bytes=size,
        )  # fmt: skip
        self._loads.append(task)
        return task

    def store(self, kind: TaskKind, tile: int, deps: Iterable[int | None], read: Access) -> int:
        """One DMA transfer scratchpad -> DRAM, after the store before it."""
        self._last_store = self._transfer(
            kind, tile, self._store_channel, read.bytes, (*deps, self._last_store), None, (read,),
            (), dram_write_bytes=read.bytes, sram_read_bytes=read.bytes,
        )  # fmt: skip
        return self._last_store

    def _transfer(
        self,
        kind: TaskKind,
        tile: int,
        channel: int,
        size: int,
        deps: Sequence[int | None],
        ordered: int | None,
        reads: Sequence[Access],
        writes: Sequence[Access],
        **counts: int,
    ) -> int:
        """Set-up on the channel alone, then the bytes on the channel and the DRAM port.

        Loads of a channel wait for each other, and so do stores: between a set-up and its bytes the
        channel carries nothing else. Only where loads and stores share a single channel may one
        direction's set-up fall between the other's set-up and its bytes (a queue of two commands).
        """
        name = f"dma.{channel}"
        if self.timing.dma_fixed:
            setup = self._add(
                TaskKind.DMA_SETUP, tile, (name,), self.timing.dma_fixed, deps, (), ()
            )
            deps = (setup,)
        cycles = self.timing.transfer_bytes(size)
        return self._add(
            kind, tile, (name, "dram"), cycles, (*deps, ordered), reads, writes, **counts
        )

    def array(
        self,
        tile: int,
        cycles: int,
        deps: Iterable[int | None],
        reads: Sequence[Access],
        writes: Sequence[Access],
        **counts: int,
    ) -> int:
        """One tile on the array. ``counts``: byte and MAC counts of :class:`Task`."""
        return self._add(TaskKind.ARRAY, tile, ("array",), cycles, deps, reads, writes, **counts)

    def vector(
        self,
        tile: int,
        cycles: int,
        deps: Iterable[int | None],
        reads: Sequence[Access],
        writes: Sequence[Access],
        **counts: int,
    ) -> int:
        """One tile on the vector unit, after the vector task before it."""
        chained = (*deps, self.last_vector)
        task = self._add(
            TaskKind.VECTOR, tile, ("vector",), cycles, chained, reads, writes, **counts
        )
        self.last_vector = task
        return task

    def graph(self, op_order: tuple[str, ...]) -> TaskGraph:
        """The finished graph."""
        channels = self.accelerator.dma.channels
        resources = (*(f"dma.{c}" for c in range(channels)), "dram", "array", "vector")
        return TaskGraph(tuple(self._tasks), tuple(self._values), resources, op_order)

    def _add(
        self,
        kind: TaskKind,
        tile: int,
        resources: tuple[str, ...],
        cycles: int,
        deps: Iterable[int | None],
        reads: Sequence[Access],
        writes: Sequence[Access],
        **counts: int,
    ) -> int:
        waits = tuple(sorted({dep for dep in deps if dep is not None}))
        task = Task(
            len(self._tasks), self._op, self._step, tile, kind, resources, cycles, waits,
            tuple(reads), tuple(writes), **counts,
        )  # fmt: skip
        self._tasks.append(task)
        for dep in waits:
            self._open.pop(dep, None)
        self._open[task.id] = None
        return task.id
