"""The task graph, run-length coded: commands in order per queue, with loops kept as loops.

A :class:`Program` is what the lowering makes and what the simulator executes. Every command belongs
to one *queue* (a DMA channel, the array, the vector unit, of any core). Queues run side by side;
within a queue commands run in program order, one at a time. A command waits for commands of other
queues through *dependencies* ``(queue, back)``: the ``back``-th most recent command of that queue,
counted in program order from the command itself, must have ended (and with it, because queues are
in order, all before it). Distances instead of absolute numbers are what lets equal tiles have equal
commands, so a loop over a million tiles is one :class:`Repeat`.

Semantics of time (``accelsim.sim.engine`` on the expanded graph is the reference): a command
*arrives* when the command before it in its queue and all its dependencies have ended. It then
acquires its ``ports`` one after the other in ascending order, keeping what it has; a free port goes
to the request with the smallest (cycle of the request, rank of the port held before, queue).
It runs for ``cycles`` from the grant of its last port (from its arrival when it needs none), then
gives everything back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from accelsim.taskgraph import TaskKind

Dependency = tuple[int, int]
"""(queue, back): the ``back``-th most recent command of the queue, ``back`` >= 1. A distance that
reaches before the beginning of the program waits for nothing."""


@dataclass(frozen=True, slots=True)
class Touch:
    """A command touching a buffer of its block (``Block.buffers``): ``bytes`` of it."""

    buffer: int
    bytes: int
    fresh: bool = False
    """A write that starts a new value in the buffer's next slot."""
    from_start: bool = False
    """The written bytes are live from the start of the command (accumulators), not its end."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a command does, apart from its time. All counts per execution."""

    kind: TaskKind
    reads: tuple[Touch, ...] = ()
    writes: tuple[Touch, ...] = ()
    dram_read_bytes: int = 0
    """Bytes from a backing memory (of any kind), likewise below."""
    dram_write_bytes: int = 0
    sram_read_bytes: int = 0
    sram_write_bytes: int = 0
    accumulator_read_bytes: int = 0
    accumulator_write_bytes: int = 0
    macs: int = 0
    vector_ops: int = 0
    region: str = ""
    """Tensor in the backing memory that a transfer reads or writes front to back."""
    weight_read_bytes: int = 0
    """Of ``sram_read_bytes``, those out of the weight scratchpad of a machine that has one. What a
    load of weights writes, it writes there."""
    dataflow: str = ""
    """Which of the array's dataflows runs it; empty: the only one, or no work for the array."""
    level: str = ""
    """Memory level that a transfer reads or writes; likewise below. A copy between a level and a
    backing memory counts on both sides."""
    level_read_bytes: int = 0
    level_write_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Command:
    """One unit of work on one queue."""

    queue: int
    cycles: int
    """Duration once every port is held (with a state-dependent port: its share besides that)."""
    work: Work
    deps: tuple[Dependency, ...] = ()
    """At most one per queue, none on its own queue; ascending by queue."""
    ports: tuple[int, ...] = ()
    """Shared resources held as well, ascending."""


@dataclass(frozen=True)
class Repeat:
    """``body`` executed ``count`` >= 1 times in a row."""

    count: int
    body: tuple[Node, ...]

    @cached_property
    def _hash(self) -> int:
        return hash((self.count, self.body))

    def __hash__(self) -> int:
        return self._hash

    @property
    def counts(self) -> dict[int, int]:
        """Queue -> commands of one iteration."""
        # Like a cached property, without the lock that makes one of Python 3.11 slow.
        found: dict[int, int] | None = self.__dict__.get("_counts")
        if found is None:
            found = self.__dict__["_counts"] = queue_counts(self.body)
        return found


Node = Command | Repeat


@dataclass(frozen=True)
class Buffer:
    """Bytes with one meaning that the commands of a block touch."""

    structure: str
    """``scratchpad``, ``weight_scratchpad`` (of a split one), ``accumulators`` or a memory
    level."""
    kind: str
    """``weight``, ``bias``, ``activation`` or ``accumulator``."""
    tensor: str
    op: str
    """Operator that owns the values: consumer of a weight, producer of an activation."""
    addresses: tuple[int, ...] = (0,)
    """Of its slots, which fresh values take in turn."""
    resident_bytes: int = 0
    """> 0: a whole tensor of that size that outlives the block. Its value is the one that the last
    block with it in ``starts`` began."""


@dataclass(frozen=True)
class Block:
    """One step: everything an operator's turn consists of."""

    op: str
    step: int
    body: tuple[Node, ...]
    buffers: tuple[Buffer, ...] = ()
    starts: tuple[int, ...] = ()
    """Buffers (resident ones) of which a new value begins with this block."""
    alike: tuple[Node, ...] = field(default=(), compare=False, repr=False)
    """The body of the first block that is executed alike: command for command the same queue,
    cycles, dependencies, ports and counts. Empty: not known, look at ``body``."""

    @property
    def timing(self) -> tuple[Node, ...]:
        """One object for all blocks that are known to be executed alike."""
        return self.alike or self.body

    @cached_property
    def counts(self) -> dict[int, int]:
        """Queue -> commands of this block."""
        return queue_counts(self.body)


@dataclass(frozen=True)
class Program:
    """Blocks in program order."""

    queues: tuple[str, ...]
    """Names by rank, e.g. ``dma.0``, ``dma.1``, ``array``, ``vector``; several cores:
    ``core1.array``. Earlier = served first on a tie."""
    ports: tuple[str, ...]
    """Shared resources by rank, e.g. ``dram``."""
    blocks: tuple[Block, ...]
    op_order: tuple[str, ...] = field(default=())

    @cached_property
    def starts(self) -> tuple[tuple[int, ...], ...]:
        """Per block: commands of each queue before it; one entry more, the totals."""
        before = [0] * len(self.queues)
        found = [tuple(before)]
        known: dict[int, dict[int, int]] = {}
        for block in self.blocks:
            counts = known.get(id(block.timing))
            if counts is None:
                counts = known[id(block.timing)] = queue_counts(block.timing)
            for queue, count in counts.items():
                before[queue] += count
            found.append(tuple(before))
        return tuple(found)

    @property
    def commands(self) -> int:
        """Commands of all queues, loops expanded."""
        return sum(self.starts[-1])


def queue_counts(body: tuple[Node, ...]) -> dict[int, int]:
    """Commands per queue of a body, loops expanded (queues without any are absent)."""
    found: dict[int, int] = {}
    for node in body:
        if isinstance(node, Command):
            found[node.queue] = found.get(node.queue, 0) + 1
        else:
            for queue, count in node.counts.items():
                found[queue] = found.get(queue, 0) + count * node.count
    return found


def commands_of(body: tuple[Node, ...]) -> Iterator[Command]:
    """Every execution in program order: the loops unrolled."""
    for node in body:
        if isinstance(node, Command):
            yield node
        else:
            for _ in range(node.count):
                yield from commands_of(node.body)


def distinct(body: tuple[Node, ...], times: int = 1) -> Iterator[tuple[Command, int]]:
    """Every command as written, with how often it is executed in all."""
    for node in body:
        if isinstance(node, Command):
            yield node, times
        else:
            yield from distinct(node.body, times * node.count)
