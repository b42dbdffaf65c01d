"""Chrome trace events: what all Perfetto traces of accelsim are made of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

PID = 1
"""All threads and counters belong to one process."""

Points = list[tuple[int, int]]
"""(cycle, level) of a step function."""


def document(events: list[dict[str, Any]], clock_hz: int, cycles: int, tasks: int, how: str) -> str:
    """The whole file as JSON text."""
    tree = {
        "traceEvents": events,
        "displayTimeUnit": "ns",
        "otherData": {"clock_hz": clock_hz, "cycles": cycles, "tasks": tasks, "folded": how},
    }
    return json.dumps(tree, separators=(",", ":"))


def names(resources: Sequence[str]) -> list[dict[str, Any]]:
    """Metadata events: what process and threads are called and how they are sorted."""
    rows: list[tuple[str, int, dict[str, Any]]] = [("process_name", 0, {"name": "accelerator"})]
    for thread, name in enumerate(resources):
        rows.append(("thread_name", thread, {"name": name}))
        rows.append(("thread_sort_index", thread, {"sort_index": thread}))
    return [{"name": n, "ph": "M", "pid": PID, "tid": t, "args": a} for n, t, a in rows]


def thin(points: Sequence[tuple[int, int]], most: int) -> Points:
    """At most ``most`` points: the largest of each block of neighbours, so that peaks stay, and
    the last one, so that the counter ends where it should (``most`` = 1: the peak alone)."""
    if len(points) <= most:
        return list(points)
    body, last = (points[:-1], [points[-1]]) if most > 1 else (points, [])
    size = -(-len(body) // max(1, most - 1))
    blocks = (body[i : i + size] for i in range(0, len(body), size))
    return [max(block, key=lambda point: (point[1], point[0])) for block in blocks] + list(last)


def rate_steps(spans: Sequence[tuple[int, int, int]], clock_hz: int) -> Points:
    """Bytes per second over time of transfers (start, end, bytes), which follow each other."""
    points: Points = []
    for start, end, moved in spans:
        if points and points[-1][0] == start:
            points.pop()  # no pause
        points += [(start, moved * clock_hz // (end - start)), (end, 0)]
    return points


def counter(
    name: str, points: Sequence[tuple[int, int]], clock_hz: int, unit: str = "bytes"
) -> list[dict[str, Any]]:
    """A counter track."""
    return [
        {"name": name, "ph": "C", "pid": PID, "ts": micros(cycle, clock_hz), "args": {unit: level}}
        for cycle, level in points
    ]


def micros(cycles: int, clock_hz: int) -> float | int:
    """Nearest double of the exact time in microseconds; a plain int where it is whole."""
    exact = Fraction(cycles * 10**6, clock_hz)
    return exact.numerator if exact.denominator == 1 else float(exact)
