"""Where the cycles of an inference go: per resource and per operator."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from accelsim.sim.trace import Trace, TraceRow
from accelsim.taskgraph import Task

COMPUTE = ("array", "vector")
"""Resources whose work is computation; everything else moves data."""

IDLE = "none"
"""Bound of an operator that keeps no resource busy."""


@dataclass(frozen=True)
class LayerRow:
    """One operator of a trace. Times in cycles, sizes in bytes.

    Operators overlap: weights of the next one arrive early, stores of the one before run on. So
    the time of the inference is shared out by how far each operator moves its front, and ``cycles``
    of all rows sum to the makespan, while their spans overlap.
    """

    op: str
    step: int
    start: int
    """Start of its first task, prefetched transfers included."""
    end: int
    cycles: int
    """The operator's share of the makespan: how far it moves the latest end of all steps so far."""
    advance_cycles: int
    """The same as ``cycles``."""
    span_cycles: int
    """``end - start``: with what it did while other operators were in front."""
    array_busy: int
    vector_busy: int
    dram_busy: int
    """Busy cycles of these resources with tasks of this operator."""
    bound: str
    """The resource that this operator keeps busy longest; on a tie the higher-ranked one. A DMA
    channel when its set-ups and latencies outweigh the bytes."""
    macs: int
    utilisation: float
    """MACs / (cycles x processing elements). An operator that computes while another is in front
    can have fewer cycles than its array tasks take; it is then rated by those, so that this never
    exceeds 1."""
    dram_read_bytes: int
    dram_write_bytes: int
    sram_read_bytes: int
    sram_write_bytes: int
    stall_cycles: int
    """Cycles of the operator's advance in which neither array nor vector unit runs anything; the
    sum over operators is the time without any computation."""


def busy_cycles(trace: Trace) -> dict[str, int]:
    """Cycles for which each resource works (start to end of its tasks), in rank order."""
    return _busy(trace.graph.resources, _pairs(trace))


def bound_resource(trace: Trace) -> str:
    """The resource that is busy longest; ``none`` when nothing takes time."""
    return _busiest(busy_cycles(trace))


def layer_rows(trace: Trace, *, pes: int) -> tuple[LayerRow, ...]:
    """One row per operator and step, by step and then by first task; ``pes`` > 0 are the
    multiply-accumulate units of the array."""
    if pes <= 0:
        raise AssertionError(f"pes must be positive, not {pes}")
    groups: dict[tuple[int, str], list[tuple[Task, TraceRow]]] = {}
    for task, row in _pairs(trace):
        groups.setdefault((task.step, task.op), []).append((task, row))
    compute = _union(
        (row.start, row.end)
        for task, row in _pairs(trace)
        if any(name in COMPUTE for name in task.resources)
    )
    rows: list[LayerRow] = []
    front = 0
    for key in sorted(groups, key=lambda k: (k[0], groups[k][0][0].id)):
        end = max(row.end for _, row in groups[key])
        after = max(front, end)
        stall = after - front - _covered(compute, front, after)
        rows.append(_layer_row(trace, groups[key], pes, after - front, stall))
        front = after
    return tuple(rows)


def _layer_row(
    trace: Trace, pairs: list[tuple[Task, TraceRow]], pes: int, advance: int, stall: int
) -> LayerRow:
    tasks = [task for task, _ in pairs]
    start = min(row.start for _, row in pairs)
    end = max(row.end for _, row in pairs)
    busy = _busy(trace.graph.resources, pairs)
    macs = sum(task.macs for task in tasks)
    rated = max(advance, busy.get("array", 0))
    return LayerRow(
        op=tasks[0].op,
        step=tasks[0].step,
        start=start,
        end=end,
        cycles=advance,
        advance_cycles=advance,
        span_cycles=end - start,
        array_busy=busy.get("array", 0),
        vector_busy=busy.get("vector", 0),
        dram_busy=busy.get("dram", 0),
        bound=_busiest(busy),
        macs=macs,
        utilisation=macs / (rated * pes) if rated else 0.0,
        dram_read_bytes=sum(task.dram_read_bytes for task in tasks),
        dram_write_bytes=sum(task.dram_write_bytes for task in tasks),
        sram_read_bytes=sum(task.sram_read_bytes for task in tasks),
        sram_write_bytes=sum(task.sram_write_bytes for task in tasks),
        stall_cycles=stall,
    )


def _pairs(trace: Trace) -> list[tuple[Task, TraceRow]]:
    return list(zip(trace.graph.tasks, trace.rows, strict=True))


def _busy(resources: tuple[str, ...], pairs: Iterable[tuple[Task, TraceRow]]) -> dict[str, int]:
    busy = dict.fromkeys(resources, 0)
    for task, row in pairs:
        for name in task.resources:
            busy[name] += row.end - row.start
    return busy


def _busiest(busy: dict[str, int]) -> str:
    # Later rank wins a tie: a channel that only moves bytes is as busy as DRAM, which is the limit.
    best, most = IDLE, 0
    for name, cycles in busy.items():
        if cycles and cycles >= most:
            best, most = name, cycles
    return best


def _union(intervals: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Disjoint ascending intervals that cover the same cycles."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _covered(intervals: list[tuple[int, int]], begin: int, end: int) -> int:
    """Cycles of [begin, end) inside any of the disjoint ascending intervals."""
    first = bisect_right(intervals, begin, key=lambda interval: interval[1])
    total = 0
    for low, high in islice(intervals, first, None):
        if low >= end:
            break
        total += min(high, end) - max(low, begin)
    return total
