"""The intermediate form that carries everything that takes time.

A :class:`Task` holds one or more resources for a whole number of cycles, after its dependencies.
What it reads and writes are :class:`Value` objects: bytes that live in an on-chip structure from
the end of the write to the end of the last read, which is what fault exposure is made of.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class TaskKind(StrEnum):
    """What a task does; each kind runs on one class of resource."""

    LOAD_WEIGHT = "load_weight"
    LOAD_INPUT = "load_input"
    """Stream tile of an activation, DRAM -> scratchpad."""
    RELOAD = "reload"
    """Whole tensor, DRAM -> scratchpad (first load of a graph input, or after a spill)."""
    STORE_OUTPUT = "store_output"
    """Stream tile of an activation, scratchpad -> DRAM."""
    SPILL = "spill"
    """Whole tensor, scratchpad -> DRAM."""
    COPY = "copy"
    """Whole tensor between a backing memory and a memory level; the scratchpad takes no part."""
    DMA_SETUP = "dma_setup"
    """Set-up and latency of the transfer that follows on the same channel; moves nothing."""
    ARRAY = "array"
    VECTOR = "vector"


@dataclass(frozen=True)
class Value:
    """Bytes with one meaning in one structure, from their write to their last read."""

    id: int
    structure: str
    """``scratchpad``, ``weight_scratchpad`` (of a split one), ``accumulators`` or a memory
    level."""
    kind: str
    """``weight``, ``bias``, ``activation`` or ``accumulator``."""
    tensor: str
    """Workload tensor the bytes belong to (accumulators: the output tensor of the operator)."""
    op: str
    """Operator that owns the value: consumer of a weight, producer of an activation."""
    bytes: int
    """Size of the buffer it occupies."""
    address: int = 0


@dataclass(frozen=True)
class Access:
    """One task touching a value: ``bytes`` of it."""

    value: int
    bytes: int
    from_start: bool = False
    """The written bytes are live from the start of the task (accumulators), not its end."""


@dataclass(frozen=True)
class Task:
    """A unit of work. ``id`` is its position in the graph; dependencies have lower ids."""

    id: int
    op: str
    step: int
    tile: int
    kind: TaskKind
    resources: tuple[str, ...]
    """Acquired in this order, all held until the task ends, e.g. ``("dma.0", "dram")``."""
    cycles: int
    deps: tuple[int, ...] = ()
    reads: tuple[Access, ...] = ()
    writes: tuple[Access, ...] = ()
    dram_read_bytes: int = 0
    dram_write_bytes: int = 0
    sram_read_bytes: int = 0
    """Bytes moved out of the scratchpad by this task."""
    sram_write_bytes: int = 0
    accumulator_read_bytes: int = 0
    accumulator_write_bytes: int = 0
    macs: int = 0
    vector_ops: int = 0
    weight_read_bytes: int = 0
    """Of ``sram_read_bytes``, those out of the weight scratchpad of a machine that has one."""
    dataflow: str = ""
    """Which of the array's dataflows runs it; empty: the only one, or no work for the array."""
    level_read_bytes: int = 0
    """Bytes out of the memory level ``level``, likewise below; a copy between a level and a backing
    memory counts on both sides."""
    level_write_bytes: int = 0
    level: str = field(default="", kw_only=True)


@dataclass(frozen=True)
class TaskGraph:
    """Tasks in issue order, the values they touch, and the resources in arbitration rank order."""

    tasks: tuple[Task, ...]
    values: tuple[Value, ...]
    resources: tuple[str, ...]
    """A resource that carries one task at a time; earlier in the tuple = resolved first."""
    op_order: tuple[str, ...]
