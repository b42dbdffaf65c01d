"""A trace as Chrome trace events, which Perfetto and chrome://tracing open.

One thread per resource with one slice per task, and counters: live bytes of the scratchpad, bytes
moved off chip so far, and the bandwidth of every backing memory. Times are microseconds, as the
format wants; exact cycles are in the arguments of every slice.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from accelsim.report.perfetto_folded import folded_json
from accelsim.report.perfetto_parts import PID, counter, document, micros, names, rate_steps, thin
from accelsim.sim.expand import unfold
from accelsim.sim.exposure import occupancy
from accelsim.sim.folded import FoldedTrace
from accelsim.sim.trace import Trace, TraceRow
from accelsim.taskgraph import Task

DEFAULT_CAP = 200_000
COUNTER_SHARE = 10
"""Each counter may take one tenth of the cap."""

_Pair = tuple[Task, TraceRow]


@dataclass(frozen=True)
class _Slice:
    """Consecutive tasks of one resource drawn as one bar."""

    tasks: tuple[_Pair, ...]


def perfetto_json(trace: Trace | FoldedTrace, clock_hz: int, cap: int = DEFAULT_CAP) -> str:
    """``trace`` as JSON text for a clock of ``clock_hz``; same input, same text.

    At most ``cap`` slices and counter points are written, but at least one slice per busy resource.
    Above that, consecutive tasks of a resource become one slice: first runs of equal operator and
    kind, then runs of equal operator, then blocks of a fixed number of tasks. Such a slice spans
    its gaps; its arguments state how many tasks it holds and their busy cycles. Counters keep the
    largest of neighbouring points and the last one. ``otherData`` says which folding was used.

    A folded trace of more than ``cap`` commands is not written out: see
    :mod:`accelsim.report.perfetto_folded`.
    """
    if clock_hz <= 0 or cap <= 0:
        raise AssertionError(f"clock {clock_hz} Hz and cap {cap} must be positive")
    if isinstance(trace, FoldedTrace):
        if trace.program.commands > cap:
            return folded_json(trace, clock_hz, cap)
        trace = unfold(trace)
    points = max(1, cap // COUNTER_SHARE)
    pads = _scratchpads(trace)
    counters = {
        f"{name} live bytes": thin(occupancy(trace, name), max(1, points // len(pads)))
        for name in pads
    }
    counters["DRAM bytes moved"] = thin(_dram_bytes(trace), points)
    events = names(trace.graph.resources)
    rates = _rates(trace, clock_hz)
    rates = {name: thin(rate, max(1, points // len(rates))) for name, rate in rates.items()}
    used = sum(len(found) for found in (*counters.values(), *rates.values()))
    slices, folded = _fold(trace, cap - used)
    for thread, of_resource in enumerate(slices):
        events += [_slice_event(s, thread, clock_hz) for s in of_resource]
    for name, found in counters.items():
        events += counter(name, found, clock_hz)
    for name, found in rates.items():
        events += counter(f"{name} bandwidth", found, clock_hz, unit="bytes per second")
    return document(events, clock_hz, trace.cycles, len(trace.graph.tasks), folded)


def _scratchpads(trace: Trace) -> list[str]:
    """The scratchpad (both halves of a split one), or those of all cores (``core1.scratchpad``)."""
    kinds = ("scratchpad", "weight_scratchpad")
    structures = {value.structure for value in trace.graph.values}
    found = {name for name in structures if name.rpartition(".")[2] in kinds}
    return sorted(found, key=lambda name: (len(name), name)) or ["scratchpad"]


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
        "pid": PID,
        "tid": thread,
        "ts": micros(row.start, clock_hz),
        "dur": micros(end - row.start, clock_hz),
        "args": args,
    }


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


def _rates(trace: Trace, clock_hz: int) -> dict[str, list[tuple[int, int]]]:
    """Memory -> its bandwidth in bytes per second over time: the points of a step function. A task
    holds the port of its memory last, and moves its bytes evenly."""
    spans: dict[str, list[tuple[int, int, int]]] = {}
    for task, row in zip(trace.graph.tasks, trace.rows, strict=True):
        moved = task.dram_read_bytes + task.dram_write_bytes
        if moved and row.end > row.start:
            spans.setdefault(task.resources[-1], []).append((row.start, row.end, moved))
    order = [name for name in trace.graph.resources if name in spans]
    return {name: rate_steps(sorted(spans[name]), clock_hz) for name in order}
