"""Independent conservation checks on a finished trace.

Nothing here knows how the trace was made: each check states a law that every correct execution of
the task graph obeys, whatever engine or shortcut produced the times.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from heapq import heappop, heappush
from types import MappingProxyType

from accelsim.program import Work
from accelsim.sim.trace import Trace
from accelsim.taskgraph import Task, TaskKind

SHOWN = 20
"""Violations spelt out in the message of a :class:`TraceError`; all are in its attribute."""


class TraceError(AssertionError):
    """A trace breaks its own rules: a bug of ours. ``violations`` lists every breach found."""

    def __init__(self, violations: tuple[str, ...]) -> None:
        self.violations = violations
        shown = list(violations[:SHOWN])
        if len(violations) > SHOWN:
            shown.append(f"... and {len(violations) - SHOWN} more")
        super().__init__("\n".join([f"{len(violations)} violations in the trace:", *shown]))

    def __reduce__(self) -> tuple[type[TraceError], tuple[tuple[str, ...]]]:
        return (type(self), (self.violations,))


def check_trace(
    trace: Trace,
    *,
    pes: int,
    dram_bytes_per_cycle: Fraction,
    weights_bytes_per_cycle: Fraction | None = None,
    lanes: int | None = None,
    scratchpad_bytes_per_cycle: int | None = None,
    weight_scratchpad_bytes_per_cycle: int | None = None,
    accumulator_bytes_per_cycle: int | None = None,
    levels: Mapping[str, Fraction] = MappingProxyType({}),
) -> None:
    """Raise :class:`TraceError` with every breach of these laws:

    - rows, tasks and values are numbered by position, accesses name values and fit into them;
    - times are whole and ordered, a task lasts exactly its cycles;
    - a task is ready when its last dependency ends, and not before;
    - a resource carries one task at a time;
    - no idle waiting: a task that started later than it was ready did so at the very cycle at which
      another task gave back one of its resources;
    - a read finds at least the bytes it takes: as many were written by its start;
    - physics: bytes of a backing memory within time x its rate (``dram_bytes_per_cycle``, where
      weights have a memory of their own ``weights_bytes_per_cycle``) and only with its port
      (``dram``, ``weights``) held, likewise those of memory levels (``levels``: name -> rate); MACs
      within time x ``pes`` (MACs per cycle) and only with ``array`` held; where they are given,
      element operations within time x ``lanes`` and only with ``vector`` held, scratchpad bytes
      (both ways) within time x ``scratchpad_bytes_per_cycle`` (of a split one each half by its own,
      see ``weight_scratchpad_bytes_per_cycle``),
      accumulator bytes (each way) within time x ``accumulator_bytes_per_cycle``. Each task is
      judged on its own: tasks that use one SRAM port at the same time on different resources are
      not added up.
    """
    found = tuple(_numbering(trace))
    if not found:  # the other checks look things up by these numbers
        checks: tuple[Callable[[Trace], Iterator[str]], ...] = (
            _times,
            _dependencies,
            _exclusive,
            _no_idle_waiting,
            _written_before_read,
            lambda t: _physics(t, pes),
            lambda t: _memories(
                t, {"dram": dram_bytes_per_cycle, "weights": weights_bytes_per_cycle}
            ),
            lambda t: _levels(t, levels),
            lambda t: _port_rates(
                t,
                scratchpad_bytes_per_cycle,
                weight_scratchpad_bytes_per_cycle,
                accumulator_bytes_per_cycle,
            ),
            lambda t: _vector_rate(t, lanes) if lanes is not None else iter(()),
        )
        found = tuple(violation for check in checks for violation in check(trace))
    if found:
        raise TraceError(found)


def check_placement(trace: Trace, *, structure: str = "scratchpad", capacity: int) -> None:
    """Raise :class:`TraceError` where two values of ``structure`` share bytes at the same time, or
    one lies outside of [0, ``capacity``) bytes.

    A value holds its buffer from the start of the first task that writes it to the end of the last
    task that touches it. This is the memory plan, judged by simulated time instead of steps.
    """
    values = [value for value in trace.graph.values if value.structure == structure]
    begin: dict[int, int] = {}
    end: dict[int, int] = {}
    for task, row in zip(trace.graph.tasks, trace.rows, strict=True):
        for access in task.reads + task.writes:
            begin[access.value] = min(begin.get(access.value, row.start), row.start)
            end[access.value] = max(end.get(access.value, row.end), row.end)
    found = [
        f"value {v.id} ({v.tensor}): bytes [{v.address}, {v.address + v.bytes}) are outside of "
        f"{structure}, which has {capacity}"
        for v in values
        if v.address < 0 or v.address + v.bytes > capacity
    ]
    holding: list[tuple[int, int, int]] = []  # (address, end of addresses, value), by address
    leaving: list[tuple[int, tuple[int, int, int]]] = []  # heap by end of time
    for value in sorted((v for v in values if v.id in begin), key=lambda v: (begin[v.id], v.id)):
        while leaving and leaving[0][0] <= begin[value.id]:
            del holding[bisect_left(holding, heappop(leaving)[1])]
        if value.bytes and begin[value.id] < end[value.id]:
            place = (value.address, value.address + value.bytes, value.id)
            found += _collisions(holding, place, begin[value.id])
            insort(holding, place)
            heappush(leaving, (end[value.id], place))
    if found:
        raise TraceError(tuple(found))


def _collisions(
    holding: list[tuple[int, int, int]], place: tuple[int, int, int], cycle: int
) -> Iterator[str]:
    # Walk down from the last place that begins below the end of the new one. As long as nothing
    # collides only the direct neighbour can reach into it, so one look is enough.
    at = bisect_left(holding, (place[1],)) - 1
    if at >= 0 and holding[at][1] > place[0]:
        yield (
            f"values {holding[at][2]} and {place[2]} overlap at cycle {cycle}: bytes "
            f"[{holding[at][0]}, {holding[at][1]}) and [{place[0]}, {place[1]})"
        )


def _numbering(trace: Trace) -> Iterator[str]:
    tasks, values = trace.graph.tasks, trace.graph.values
    if len(trace.rows) != len(tasks):
        yield f"{len(trace.rows)} rows for {len(tasks)} tasks"
        return
    for position, value in enumerate(values):
        if value.id != position:
            yield f"value at position {position} has id {value.id}"
        if value.bytes < 0:
            yield f"value {position}: {value.bytes} bytes"
    for position, (task, row) in enumerate(zip(tasks, trace.rows, strict=True)):
        if task.id != position or row.task != position:
            yield f"position {position} holds task {task.id} and the row of task {row.task}"
        for name in task.resources:
            if name not in trace.graph.resources:
                yield f"task {position}: unknown resource {name!r}"
        for dep in task.deps:
            if not 0 <= dep < position:
                yield f"task {position}: depends on task {dep}, which is not an earlier one"
        for access in task.reads + task.writes:
            if not 0 <= access.value < len(values):
                yield f"task {position}: unknown value {access.value}"
            elif not 0 <= access.bytes <= values[access.value].bytes:
                yield (
                    f"task {position}: touches {access.bytes} bytes of value {access.value}, "
                    f"which has {values[access.value].bytes}"
                )


def _times(trace: Trace) -> Iterator[str]:
    for task, row in zip(trace.graph.tasks, trace.rows, strict=True):
        if any(type(time) is not int for time in (row.ready, row.start, row.end)):
            yield f"task {task.id}: times {row.ready!r}, {row.start!r}, {row.end!r} must be int"
        if not 0 <= row.ready <= row.start <= row.end:
            yield f"task {task.id}: ready {row.ready}, start {row.start}, end {row.end} disagree"
        if row.end - row.start != task.cycles:
            yield f"task {task.id}: lasts {row.end - row.start} cycles instead of {task.cycles}"


def _dependencies(trace: Trace) -> Iterator[str]:
    for task, row in zip(trace.graph.tasks, trace.rows, strict=True):
        for dep in task.deps:
            if row.start < trace.rows[dep].end:
                yield (
                    f"task {task.id}: starts at {row.start}, before its dependency {dep} "
                    f"ends at {trace.rows[dep].end}"
                )
        latest = max((trace.rows[dep].end for dep in task.deps), default=0)
        if row.ready != latest:
            yield f"task {task.id}: ready at {row.ready}, but its dependencies end at {latest}"


def _exclusive(trace: Trace) -> Iterator[str]:
    users: dict[str, list[tuple[int, int, int]]] = {name: [] for name in trace.graph.resources}
    for task, row in zip(trace.graph.tasks, trace.rows, strict=True):
        for name in task.resources:
            users[name].append((row.start, row.end, task.id))
    for name, intervals in users.items():
        taken_until, holder = 0, -1
        for start, end, task_id in sorted(intervals):
            if start < taken_until:
                yield (
                    f"{name}: task {task_id} starts at {start} while task {holder} holds it "
                    f"until {taken_until}"
                )
            if end >= taken_until:
                taken_until, holder = end, task_id


def _no_idle_waiting(trace: Trace) -> Iterator[str]:
    given_back = Counter(
        (name, row.end)
        for task, row in zip(trace.graph.tasks, trace.rows, strict=True)
        for name in task.resources
    )
    for task, row in zip(trace.graph.tasks, trace.rows, strict=True):
        if row.start > row.ready:
            own = 1 if row.end == row.start else 0
            if all(given_back[name, row.start] <= own for name in task.resources):
                yield (
                    f"task {task.id}: ready at {row.ready} but started at {row.start}, although "
                    f"nothing it needs was given back then"
                )


def _written_before_read(trace: Trace) -> Iterator[str]:
    writes: list[list[tuple[int, int]]] = [[] for _ in trace.graph.values]
    for task, row in zip(trace.graph.tasks, trace.rows, strict=True):
        for access in task.writes:
            there = row.start if access.from_start else row.end
            writes[access.value].append((there, access.bytes))
    totals: list[list[int]] = []
    for of_value in writes:
        of_value.sort()
        running = [0]
        for _, size in of_value:
            running.append(running[-1] + size)
        totals.append(running)
    for task, row in zip(trace.graph.tasks, trace.rows, strict=True):
        for access in task.reads:
            done = bisect_left(writes[access.value], (row.start + 1,))
            there = totals[access.value][done]
            if there < access.bytes:
                yield (
                    f"task {task.id}: reads {access.bytes} bytes of value {access.value} at "
                    f"{row.start}, when {there} have been written"
                )


def _memories(trace: Trace, rates: Mapping[str, Fraction | None]) -> Iterator[str]:
    """Every transfer holds the port of one memory, and its bytes fit through."""
    for task, row in zip(trace.graph.tasks, trace.rows, strict=True):
        moved = task.dram_read_bytes + task.dram_write_bytes
        if not moved:
            continue
        time = row.end - row.start
        held = [name for name in task.resources if rates.get(name) is not None]
        if not held:
            yield f"task {task.id}: moves {moved} DRAM bytes without holding dram"
        for name in held:
            rate = rates[name]
            if rate is not None and moved > time * rate:
                yield (
                    f"task {task.id}: moves {moved} {name.upper()} bytes in {time} cycles, above "
                    f"{rate} bytes per cycle"
                )


def _levels(trace: Trace, rates: Mapping[str, Fraction]) -> Iterator[str]:
    """What goes to and from a memory level holds its port, and fits through."""
    for task, row in zip(trace.graph.tasks, trace.rows, strict=True):
        moved, time = task.level_read_bytes + task.level_write_bytes, row.end - row.start
        if not moved:
            continue
        if task.level not in task.resources or task.level not in rates:
            yield f"task {task.id}: moves {moved} bytes of level {task.level!r} without its port"
        elif moved > time * rates[task.level]:
            yield (
                f"task {task.id}: moves {moved} bytes of {task.level} in {time} cycles, above "
                f"{rates[task.level]} bytes per cycle"
            )


def _physics(trace: Trace, pes: int) -> Iterator[str]:
    for task, row in zip(trace.graph.tasks, trace.rows, strict=True):
        time = row.end - row.start
        if task.macs > time * pes:
            yield f"task {task.id}: {task.macs} MACs in {time} cycles on {pes} elements"
        if task.macs and "array" not in task.resources:
            yield f"task {task.id}: {task.macs} MACs without holding array"


def weight_scratchpad_bytes(work: Task | Work) -> int:
    """Bytes that a task moves through the port of the weight scratchpad, where there is one."""
    written = work.sram_write_bytes if work.kind is TaskKind.LOAD_WEIGHT else 0
    return work.weight_read_bytes + written


def _vector_rate(trace: Trace, lanes: int) -> Iterator[str]:
    for task, row in zip(trace.graph.tasks, trace.rows, strict=True):
        time = row.end - row.start
        if task.vector_ops > time * lanes:
            yield f"task {task.id}: {task.vector_ops} operations in {time} cycles on {lanes} lanes"
        if task.vector_ops and "vector" not in task.resources:
            yield f"task {task.id}: {task.vector_ops} operations without holding vector"


def _port_rates(
    trace: Trace, scratchpad: int | None, weights: int | None, accumulators: int | None
) -> Iterator[str]:
    for task, row in zip(trace.graph.tasks, trace.rows, strict=True):
        time = row.end - row.start
        pad = task.sram_read_bytes + task.sram_write_bytes
        side = 0 if weights is None else weight_scratchpad_bytes(task)
        sums = max(task.accumulator_read_bytes, task.accumulator_write_bytes)
        for name, moved, width in (
            ("scratchpad", pad - side, scratchpad),
            ("weight scratchpad", side, weights),
            ("accumulator", sums, accumulators),
        ):
            if width is not None and moved > time * width:
                yield (
                    f"task {task.id}: moves {moved} {name} bytes in {time} cycles through a port "
                    f"of {width} bytes"
                )
