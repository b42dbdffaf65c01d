"""How many bits hold a value that will still be used, and for how long.

A bit is exposed from the write that fills it to the end of the last read of its value: an upset in
between reaches a computation, an upset outside of it does not. Whatever is written and never read
again is not exposed. Bytes of one value that are read for the last time early still count until the
last read of the whole value, which errs on the safe side.

A value is never live in more bytes than its buffer has: where a task writes over what an earlier
one wrote (the folds of a reduction adding into one accumulator tile), the bits count once, from the
first write on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from accelsim.sim.trace import Trace


@dataclass(frozen=True)
class LiveSpan:
    """``bytes`` of one value that are live in the half-open cycles [``start``, ``end``)."""

    value: int
    bytes: int
    start: int
    end: int


@dataclass(frozen=True)
class Exposure:
    """Exposed bits x time of one tensor of one operator in one structure, over one inference."""

    structure: str
    kind: str
    tensor: str
    op: str
    bits: int
    """8 x the most bytes that are live at the same time; 0 when nothing is ever read."""
    bit_cycles: int
    """Sum over bits of the cycles they are live; at most ``bits`` x makespan."""


def live_spans(trace: Trace) -> tuple[LiveSpan, ...]:
    """Every stretch of live bytes, by value id and then by start.

    One span per write that adds live bytes; it begins when the writing task ends (when it starts,
    for ``Access.from_start``) and ends with the last read of the value. Spans are never empty.
    """
    writes: list[list[tuple[int, int]]] = [[] for _ in trace.graph.values]
    last_read = [-1] * len(trace.graph.values)
    for task, row in zip(trace.graph.tasks, trace.rows, strict=True):
        for access in task.writes:
            begin = row.start if access.from_start else row.end
            writes[access.value].append((begin, access.bytes))
        for access in task.reads:
            last_read[access.value] = max(last_read[access.value], row.end)
    spans: list[LiveSpan] = []
    for value in trace.graph.values:
        room = value.bytes
        for begin, size in sorted(writes[value.id]):
            added = min(size, room)
            if added > 0 and begin < last_read[value.id]:
                spans.append(LiveSpan(value.id, added, begin, last_read[value.id]))
                room -= added
    return tuple(spans)


def exposures(trace: Trace) -> tuple[Exposure, ...]:
    """Exposure per (structure, kind, tensor, op), in the order in which their first value appears.

    The bit-cycles of a structure sum to 8 x the area under its :func:`occupancy` curve.
    """
    groups: dict[tuple[str, str, str, str], list[LiveSpan]] = {}
    for value in trace.graph.values:
        groups.setdefault((value.structure, value.kind, value.tensor, value.op), [])
    for span in live_spans(trace):
        value = trace.graph.values[span.value]
        groups[value.structure, value.kind, value.tensor, value.op].append(span)
    return tuple(
        Exposure(
            *key,
            bits=8 * _peak(_steps(spans)),
            bit_cycles=8 * sum(span.bytes * (span.end - span.start) for span in spans),
        )
        for key, spans in groups.items()
    )


def occupancy(trace: Trace, structure: str) -> tuple[tuple[int, int], ...]:
    """Live bytes of ``structure`` over time, as the points (cycle, bytes) of a step function.

    Each figure holds until the next point. Cycles ascend strictly, neighbouring figures differ,
    the last one is 0. Empty when nothing is ever live there.
    """
    values = trace.graph.values
    return _steps(s for s in live_spans(trace) if values[s.value].structure == structure)


def peak_live(trace: Trace, structure: str) -> int:
    """The most bytes of ``structure`` that are live at the same time."""
    return _peak(occupancy(trace, structure))


def _steps(spans: Iterable[LiveSpan]) -> tuple[tuple[int, int], ...]:
    changes: dict[int, int] = {}
    for span in spans:
        changes[span.start] = changes.get(span.start, 0) + span.bytes
        changes[span.end] = changes.get(span.end, 0) - span.bytes
    points: list[tuple[int, int]] = []
    level = 0
    for cycle in sorted(changes):
        if changes[cycle]:
            level += changes[cycle]
            points.append((cycle, level))
    return tuple(points)


def _peak(points: Iterable[tuple[int, int]]) -> int:
    return max((level for _, level in points), default=0)
