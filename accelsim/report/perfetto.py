"""A trace as Chrome trace events, which Perfetto and chrome://tracing open.

One thread per resource with one slice per task, and two counters: live bytes of the scratchpad and
bytes moved over DRAM so far. Times are microseconds, as the format wants; exact cycles are in the
arguments of every slice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from typing import Any

from accelsim.sim.exposure import occupancy
from accelsim.sim.trace import Trace, TraceRow
from accelsim.taskgraph import Task

DEFAULT_CAP = 200_000
COUNTER_SHARE = 10
"""Each counter may take one tenth of the cap."""

_PID = 1
_Pair = tuple[Task, TraceRow]


@dataclass(frozen=True)
class _Slice:
    """Consecutive tasks of one resource drawn as one bar."""

    tasks: tuple[_Pair, ...]


def perfetto_json(trace: Trace, clock_hz: int, cap: int = DEFAULT_CAP) -> str:
    """``trace`` as JSON text for a clock of ``clock_hz``; same input, same text.

    At most ``cap`` slices and counter points are written, but at least one slice per busy resource.
    Above that, consecutive tasks of a resource become one slice: first runs of equal operator and
    kind, then runs of equal operator, then blocks of a fixed number of tasks. Such a slice spans
    its gaps; its arguments state how many tasks it holds and their busy cycles. Counters keep the
    largest of neighbouring points and the last one. ``otherData`` says which folding was used.
    """
    if clock_hz <= 0 or cap <= 0:
        raise AssertionError(f"clock {clock_hz} Hz and cap {cap} must be positive")
    points = max(1, cap // COUNTER_SHARE)
    live = _thin(occupancy(trace, "scratchpad"), points)
    moved = _thin(_dram_bytes(trace), points)
    slices, folded = _fold(trace, cap - len(live) - len(moved))
    events = _names(trace)
    for thread, of_resource in enumerate(slices):
        events += [_slice_event(s, thread, clock_hz) for s in of_resource]
    events += _counter("scratchpad live bytes", live, clock_hz)
    events += _counter("DRAM bytes moved", moved, clock_hz)
    document = {
        "traceEvents": events,
        "displayTimeUnit": "ns",
        "otherData": {
            "clock_hz": clock_hz,
            "cycles": trace.cycles,
            "tasks": len(trace.graph.tasks),
            "folded": folded,
        },
    }
    return json.dumps(document, separators=(",", ":"))


def _fold(trace: Trace, budget: int) -> tuple[list[list[_Slice]], str]:
    """Slices per resource, and in words how they were folded."""
    lanes = [trace.on(name) for name in trace.graph.resources]
    tasks = sum(len(lane) for lane in lanes)
    if tasks <= budget:
        return [[_Slice((pair,)) for pair in lane] for lane in lanes], "no"
    by_kind = [_runs(lane, lambda t: (t.op, t.step, t.kind)) for lane in lanes]
    if sum(len(lane) for lane in by_kind) <= budget:
        return by_kind, "consecutive tasks of equal operator and kind are one slice"
    by_op = [_runs(lane, lambda t: (t.op, t.step)) for lane in lanes]
    if sum(len(lane) for lane in by_op) <= budget:
        return by_op, "consecutive tasks of equal operator are one slice"
    # Rounding up costs at most one slice per lane.
    size = -(-tasks // max(1, budget - len(lanes)))
    blocks = [
        [_Slice(tuple(lane[i : i + size])) for i in range(0, len(lane), size)] for lane in lanes
    ]
    return blocks, f"blocks of {size} consecutive tasks are one slice"


def _runs(lane: Sequence[_Pair], key: Callable[[Task], Hashable]) -> list[_Slice]:
    return [_Slice(tuple(run)) for _, run in groupby(lane, key=lambda pair: key(pair[0]))]


def _slice_event(piece: _Slice, thread: int, clock_hz: int) -> dict[str, Any]:
    first, row = piece.tasks[0]
    tasks = [task for task, _ in piece.tasks]
    end = max(r.end for _, r in piece.tasks)
    args: dict[str, Any] = {
        "op": first.op,
        "tile": first.tile,
        "start_cycle": row.start,
        "busy_cycles": sum(r.end - r.start for _, r in piece.tasks),
        "dram_bytes": sum(t.dram_read_bytes + t.dram_write_bytes for t in tasks),
        "sram_bytes": sum(t.sram_read_bytes + t.sram_write_bytes for t in tasks),
        "macs": sum(t.macs for t in tasks),
    }
    if len(tasks) == 1:
        args["waited_cycles"] = row.start - row.ready
    else:
        args["tasks"] = len(tasks)
    return {
        "name": f"{first.op} {first.kind.value}" + (f" x{len(tasks)}" if len(tasks) > 1 else ""),
        "cat": first.kind.value,
        "ph": "X",
        "pid": _PID,
        "tid": thread,
        "ts": _micros(row.start, clock_hz),
        "dur": _micros(end - row.start, clock_hz),
        "args": args,
    }


def _names(trace: Trace) -> list[dict[str, Any]]:
    """Metadata events: what process and threads are called and how they are sorted."""
    rows: list[tuple[str, int, dict[str, Any]]] = [("process_name", 0, {"name": "accelerator"})]
    for thread, name in enumerate(trace.graph.resources):
        rows.append(("thread_name", thread, {"name": name}))
        rows.append(("thread_sort_index", thread, {"sort_index": thread}))
    return [{"name": n, "ph": "M", "pid": _PID, "tid": t, "args": a} for n, t, a in rows]


def _dram_bytes(trace: Trace) -> list[tuple[int, int]]:
    """Points (cycle, bytes read and written by then), at the ends of transfers."""
    at: dict[int, int] = {}
    for task, row in zip(trace.graph.tasks, trace.rows, strict=True):
        moved = task.dram_read_bytes + task.dram_write_bytes
        if moved:
            at[row.end] = at.get(row.end, 0) + moved
    points: list[tuple[int, int]] = []
    total = 0
    for cycle in sorted(at):
        total += at[cycle]
        points.append((cycle, total))
    return points


def _thin(points: Sequence[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    """At most ``most`` points: the largest of each block of neighbours, so that peaks stay, and
    the last one, so that the counter ends where it should (``most`` = 1: the peak alone)."""
    if len(points) <= most:
        return list(points)
    body, last = (points[:-1], [points[-1]]) if most > 1 else (points, [])
    size = -(-len(body) // max(1, most - 1))
    blocks = (body[i : i + size] for i in range(0, len(body), size))
    return [max(block, key=lambda point: (point[1], point[0])) for block in blocks] + last


def _counter(name: str, points: Sequence[tuple[int, int]], clock_hz: int) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "ph": "C",
            "pid": _PID,
            "ts": _micros(cycle, clock_hz),
            "args": {"bytes": level},
        }
        for cycle, level in points
    ]


def _micros(cycles: int, clock_hz: int) -> float | int:
    """Nearest double of the exact time in microseconds; a plain int where it is whole."""
    exact = Fraction(cycles * 10**6, clock_hz)
    return exact.numerator if exact.denominator == 1 else float(exact)
