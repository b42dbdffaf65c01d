"""What a run did, as integer totals: all that its energy depends on.

Made from tasks, or from the commands of a folded program: the activity of one execution, times how
often it happens, added up. Integers first, so that the result does not depend on any order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from itertools import zip_longest
from typing import NamedTuple, Protocol

from accelsim.arch.parts import Accelerator
from accelsim.cost.registers import register_activity
from accelsim.dataflow.counts import ceil_div
from accelsim.dataflow.sparse import index_bits
from accelsim.taskgraph import Task, TaskGraph, TaskKind


class Counted(Protocol):
    """Anything that states what one execution moves and computes."""

    @property
    def kind(self) -> TaskKind:
        """What it does."""

    @property
    def dram_read_bytes(self) -> int:
        """Bytes from a backing memory."""

    @property
    def dram_write_bytes(self) -> int:
        """Bytes to a backing memory."""

    @property
    def sram_read_bytes(self) -> int:
        """Bytes out of the scratchpad."""

    @property
    def sram_write_bytes(self) -> int:
        """Bytes into the scratchpad."""

    @property
    def accumulator_read_bytes(self) -> int:
        """Bytes out of the accumulators."""

    @property
    def accumulator_write_bytes(self) -> int:
        """Bytes into the accumulators."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""

    @property
    def vector_ops(self) -> int:
        """Element operations of the vector unit."""

    @property
    def weight_read_bytes(self) -> int:
        """Bytes out of the weight scratchpad, part of those out of the scratchpad."""

    @property
    def dataflow(self) -> str:
        """Which of the array's dataflows runs it; empty: the only one, or no work for it."""

    @property
    def level(self) -> str:
        """Memory level that it uses, if any."""

    @property
    def level_read_bytes(self) -> int:
        """Bytes out of that level."""

    @property
    def level_write_bytes(self) -> int:
        """Bytes into that level."""


@dataclass(frozen=True)
class Activity:
    """Totals of a run or of a part of it. Bytes of the scratchpads are whole port widths."""

    dram_read_bytes: int = 0
    dram_write_bytes: int = 0
    weight_memory_bytes: int = 0
    """Read from the backing memory of the weights, where the machine has one."""
    scratchpad_read_bytes: int = 0
    scratchpad_write_bytes: int = 0
    weight_sram_read_bytes: int = 0
    """Of the weight scratchpad of a split one; likewise below."""
    weight_sram_write_bytes: int = 0
    accumulator_read_bytes: int = 0
    accumulator_write_bytes: int = 0
    macs: int = 0
    vector_ops: int = 0
    register_bits: int = 0
    """Register bits of the array that take a new value (accelsim.cost.registers)."""
    hop_bits: int = 0
    """Of these, bits that cross from PE to PE."""
    array_busy: int = 0
    """Cycles in which an array works, over all cores; likewise below."""
    vector_busy: int = 0
    cycles: int = 0
    """Makespan; 0 for a part of a run, which then has neither leakage nor clock energy."""
    levels: tuple[int, ...] = field(default=(), kw_only=True)
    """Bytes read and bytes written of every memory level in turn, the nearest one first."""

    def __add__(self, other: Activity) -> Activity:
        """Both, one after the other."""
        pairs = zip_longest(self.values, other.values, fillvalue=0)
        return Activity.of([a + b for a, b in pairs])

    def times(self, count: int) -> Activity:
        """This ``count`` times in a row."""
        return Activity.of([value * count for value in self.values])

    @property
    def values(self) -> tuple[int, ...]:
        """All figures in the order of the fields."""
        return (*(getattr(self, name) for name in SINGLE), *self.levels)

    @classmethod
    def of(cls, values: Sequence[int]) -> Activity:
        """Inverse of :attr:`values`."""
        return cls(*values[: len(SINGLE)], levels=tuple(values[len(SINGLE) :]))

    @property
    def dram_bytes(self) -> int:
        """Off-chip bytes in both directions, weights included."""
        return self.dram_read_bytes + self.dram_write_bytes + self.weight_memory_bytes

    @property
    def scratchpad_bytes(self) -> int:
        """Scratchpad bytes in both directions, in whole port widths."""
        return self.scratchpad_read_bytes + self.scratchpad_write_bytes

    @property
    def accumulator_bytes(self) -> int:
        """Accumulator bytes in both directions."""
        return self.accumulator_read_bytes + self.accumulator_write_bytes


SINGLE = tuple(one.name for one in fields(Activity) if one.name != "levels")
"""The fields of an :class:`Activity` that are one figure each."""


def activity_of(
    work: Counted, cycles: int, accelerator: Accelerator, *, stationary: int = 0
) -> Activity:
    """One execution of ``work`` that keeps its unit busy for ``cycles``.

    ``stationary``: operands that it loads into holding registers
    (:func:`accelsim.cost.registers.register_activity`). Partial sums have whole bytes.
    """
    loads_weights = work.kind is TaskKind.LOAD_WEIGHT
    own_memory = loads_weights and accelerator.weight_memory is not None
    split = accelerator.weight_sram
    array = accelerator.array
    if work.kind is TaskKind.ARRAY:
        array = array.running(work.dataflow)
    held = work.weight_read_bytes
    pad = _Port(accelerator.scratchpad.width_bytes)
    side = _Port(split.width_bytes if split else 1)
    into_split = loads_weights and split is not None
    moved = register_activity(
        array,
        macs=work.macs,
        sums=work.accumulator_write_bytes // _bytes(1, array.accumulator_bits),
        stationary=stationary,
    )
    return Activity(
        dram_read_bytes=0 if own_memory else work.dram_read_bytes,
        dram_write_bytes=work.dram_write_bytes,
        weight_memory_bytes=work.dram_read_bytes if own_memory else 0,
        scratchpad_read_bytes=pad.whole(work.sram_read_bytes - held),
        scratchpad_write_bytes=0 if into_split else pad.whole(work.sram_write_bytes),
        weight_sram_read_bytes=side.whole(held),
        weight_sram_write_bytes=side.whole(work.sram_write_bytes) if into_split else 0,
        accumulator_read_bytes=work.accumulator_read_bytes,
        accumulator_write_bytes=work.accumulator_write_bytes,
        macs=work.macs,
        vector_ops=work.vector_ops,
        register_bits=moved.written_bits,
        hop_bits=moved.hop_bits,
        array_busy=cycles if work.kind is TaskKind.ARRAY else 0,
        vector_busy=cycles if work.kind is TaskKind.VECTOR else 0,
        levels=_level_bytes(work, accelerator),
    )


def _level_bytes(work: Counted, accelerator: Accelerator) -> tuple[int, ...]:
    found: list[int] = []
    for level in accelerator.levels:
        port, mine = _Port(level.width_bytes), level.name == work.level
        moved = (work.level_read_bytes, work.level_write_bytes) if mine else (0, 0)
        found += [port.whole(size) for size in moved]
    return tuple(found)


@dataclass(frozen=True)
class _Port:
    """An SRAM port: bytes are moved in whole widths, per task."""

    width: int

    def whole(self, size: int) -> int:
        return ceil_div(size, self.width) * self.width


def _bytes(elements: int, bits: int) -> int:
    """Bytes of elements that are each stored in whole bytes."""
    return elements * ceil_div(bits, 8)


def graph_activity(
    graph: TaskGraph, accelerator: Accelerator, tasks: Iterable[Task] | None = None
) -> Activity:
    """Totals of a task graph, or of some of its tasks; ``cycles`` stays 0.

    Operands that an array task loads into holding registers are the distinct bytes that it reads of
    them: exact for weights; of inputs under ``is`` a window's repetitions are missing.
    """
    seen: Counter[_Event] = Counter()
    for task in graph.tasks if tasks is None else tasks:
        reads = ((graph.values[a.value].kind, a.bytes) for a in task.reads)
        held = held_operands(reads, accelerator, task.dataflow) if task.macs else 0
        seen[_Counts.of(task), task.cycles, held] += 1
    return _total(seen, accelerator)


def _total(seen: Counter[_Event], accelerator: Accelerator) -> Activity:
    total = [0] * (len(SINGLE) + 2 * len(accelerator.levels))
    for (counts, cycles, held), often in seen.items():
        one = activity_of(counts, cycles, accelerator, stationary=held)
        total = [a + often * b for a, b in zip(total, one.values, strict=True)]
    return Activity.of(total)


class _Counts(NamedTuple):
    """The counts of a task alone: equal tiles are one."""

    kind: TaskKind
    dram_read_bytes: int
    dram_write_bytes: int
    sram_read_bytes: int
    sram_write_bytes: int
    accumulator_read_bytes: int
    accumulator_write_bytes: int
    macs: int
    vector_ops: int
    weight_read_bytes: int
    dataflow: str
    level: str
    level_read_bytes: int
    level_write_bytes: int

    @classmethod
    def of(cls, work: Counted) -> _Counts:
        return cls(
            work.kind, work.dram_read_bytes, work.dram_write_bytes, work.sram_read_bytes,
            work.sram_write_bytes, work.accumulator_read_bytes, work.accumulator_write_bytes,
            work.macs, work.vector_ops, work.weight_read_bytes, work.dataflow, work.level,
            work.level_read_bytes, work.level_write_bytes,
        )  # fmt: skip


_Event = tuple[_Counts, int, int]
"""What happens, its cycles, and the operands it loads into holding registers."""


def held_operands(
    reads: Iterable[tuple[str, int]], accelerator: Accelerator, dataflow: str = ""
) -> int:
    """Elements of the operand that stays in the PEs, from the (kind, bytes) that a task reads: ws
    the weights (or the second operand), is the inputs. ``dataflow``: one of the array's
    ``choices``."""
    array = accelerator.array.running(dataflow)
    if array.dataflow not in ("ws", "is"):
        return 0
    operands = [size for kind, size in reads if kind in ("weight", "activation")]
    if not operands or (array.dataflow == "is" and len(operands) < 2):
        return 0
    size = operands[-1] if array.dataflow == "ws" else operands[0]
    if array.sparsity is not None:  # stored with an index, to the bit
        return 8 * size // (8 * ceil_div(array.weight_bits, 8) + index_bits(array.sparsity))
    bits = array.weight_bits if array.dataflow == "ws" else array.operand_bits
    return size // ceil_div(bits, 8)
