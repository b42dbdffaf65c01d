from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from simgraphs import BANDWIDTH, PES, graph, pipeline, random_graphs, task

from accelsim.sim.check import TraceError, check_placement, check_trace
from accelsim.sim.engine import simulate
from accelsim.sim.trace import Trace
from accelsim.taskgraph import Access, Task, TaskGraph, Value

PIPELINE_BANDWIDTH = Fraction(16, 5)


def check(trace: Trace) -> None:
    check_trace(
        trace, pes=PES, dram_bytes_per_cycle=PIPELINE_BANDWIDTH, lanes=3,
        scratchpad_bytes_per_cycle=8, accumulator_bytes_per_cycle=16,
    )  # fmt: skip


def with_row(trace: Trace, at: int, **changes: int) -> Trace:
    rows = list(trace.rows)
    rows[at] = replace(rows[at], **changes)  # type: ignore[arg-type]
    return replace(trace, rows=tuple(rows))


def with_task(trace: Trace, at: int, change: Callable[[Task], Task]) -> Trace:
    tasks = list(trace.graph.tasks)
    tasks[at] = change(tasks[at])
    return replace(trace, graph=replace(trace.graph, tasks=tuple(tasks)))


@settings(max_examples=150, deadline=None)
@given(random_graphs())
def test_every_simulated_trace_passes(graph: TaskGraph) -> None:
    check_trace(simulate(graph), pes=PES, dram_bytes_per_cycle=BANDWIDTH)


def shift(trace: Trace, at: int, by: int) -> Trace:
    row = trace.rows[at]
    return with_row(trace, at, start=row.start + by, end=row.end + by)


# Pipeline of 4 tasks per tile: 4i load, 4i+1 array, 4i+2 vector, 4i+3 store.
MUTATIONS: dict[str, tuple[Callable[[Trace], Trace], str]] = {
    "a row is missing": (lambda t: replace(t, rows=t.rows[:-1]), "rows for"),
    "two rows are swapped": (
        lambda t: replace(t, rows=(t.rows[1], t.rows[0], *t.rows[2:])),
        "holds task",
    ),
    "a task is too short": (lambda t: with_row(t, 5, end=t.rows[5].end - 1), "lasts"),
    "a task is too long": (lambda t: with_row(t, 19, end=t.rows[19].end + 1), "lasts"),
    "a task starts before its dependency ends": (lambda t: shift(t, 5, -1), "before its depend"),
    "a task overlaps the next on its resource": (lambda t: shift(t, 4, 2), "while task"),
    "a task dawdles": (lambda t: shift(t, 19, 1), "nothing it needs"),
    "a task is ready too early": (lambda t: with_row(t, 5, ready=0), "its dependencies end"),
    "a task starts before it is ready": (
        lambda t: with_row(t, 5, ready=t.rows[5].start + 1),
        "disagree",
    ),
    "a time is a float": (
        lambda t: with_row(t, 5, end=float(t.rows[5].end)),  # type: ignore[arg-type]
        "must be int",
    ),
    "a writer lost its write": (
        lambda t: with_task(t, 4, lambda k: replace(k, writes=())),
        "reads 16 bytes of value 3",
    ),
    "a writer wrote too little": (
        lambda t: with_task(t, 4, lambda k: replace(k, writes=(Access(3, 15),))),
        "when 15 have been written",
    ),
    "an access outgrows its value": (
        lambda t: with_task(t, 5, lambda k: replace(k, reads=(Access(3, 17),))),
        "which has 16",
    ),
    "an unknown value": (
        lambda t: with_task(t, 5, lambda k: replace(k, reads=(Access(99, 1),))),
        "unknown value",
    ),
    "an unknown resource": (
        lambda t: with_task(t, 5, lambda k: replace(k, resources=("noc",))),
        "unknown resource",
    ),
    "a dependency on a later task": (
        lambda t: with_task(t, 5, lambda k: replace(k, deps=(6,))),
        "not an earlier one",
    ),
    "bytes out of nowhere": (
        lambda t: with_task(t, 4, lambda k: replace(k, dram_read_bytes=17)),
        "above 16/5 bytes",
    ),
    "DRAM bytes without DRAM": (
        lambda t: with_task(t, 5, lambda k: replace(k, dram_read_bytes=1)),
        "without holding dram",
    ),
    "more MACs than the array has": (
        lambda t: with_task(t, 5, lambda k: replace(k, macs=k.cycles * PES + 1)),
        "MACs in",
    ),
    "MACs on the vector unit": (
        lambda t: with_task(t, 6, lambda k: replace(k, macs=1)),
        "without holding array",
    ),
    "more operations than lanes": (
        lambda t: with_task(t, 6, lambda k: replace(k, vector_ops=k.cycles * 3 + 1)),
        "operations in",
    ),
    "operations on the array": (
        lambda t: with_task(t, 5, lambda k: replace(k, vector_ops=1)),
        "without holding vector",
    ),
    "reads and writes beyond the scratchpad's port": (
        lambda t: with_task(
            t, 5, lambda k: replace(k, sram_read_bytes=k.cycles * 8, sram_write_bytes=1)
        ),
        "scratchpad bytes",
    ),
    "sums beyond the accumulators' port": (
        lambda t: with_task(t, 5, lambda k: replace(k, accumulator_write_bytes=k.cycles * 16 + 1)),
        "accumulator bytes",
    ),
    "a value with the wrong number": (
        lambda t: replace(t, graph=replace(t.graph, values=t.graph.values[1:])),
        "has id",
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_corruption_is_caught(name: str) -> None:
    trace = simulate(pipeline(5, load=5, compute=5, store=3))
    check(trace)
    corrupt, message = MUTATIONS[name]
    with pytest.raises(TraceError, match=message):
        check(corrupt(trace))


def test_all_violations_are_reported_and_survive_copying() -> None:
    trace = simulate(pipeline(40, load=5))
    late = replace(trace, rows=tuple(replace(r, end=r.end + 1) for r in trace.rows))
    with pytest.raises(TraceError) as caught:
        check(late)
    assert len(caught.value.violations) >= len(trace.rows)
    assert "more" in str(caught.value)
    again = copy.deepcopy(caught.value)
    assert again.violations == caught.value.violations


def placed(*addresses: int) -> Trace:
    """Values of 16 bytes written one after the other, all read by one last task."""
    values = tuple(
        Value(i, "scratchpad", "weight", f"w{i}", "op", 16, a) for i, a in enumerate(addresses)
    )
    writers = [task(i, ("dram",), 2, writes=(Access(i, 16),)) for i in range(len(addresses))]
    reader = task(
        len(writers), ("array",), 2, tuple(range(len(writers))),
        reads=tuple(Access(v.id, 16) for v in values),
    )  # fmt: skip
    return simulate(graph(*writers, reader, values=values))


def test_placement_accepts_neighbours_and_refuses_overlap() -> None:
    check_placement(placed(0, 16, 32), capacity=48)
    with pytest.raises(TraceError, match="overlap"):
        check_placement(placed(0, 16, 31), capacity=48)
    with pytest.raises(TraceError, match="outside"):
        check_placement(placed(0, 16, 32), capacity=47)
    with pytest.raises(TraceError, match="outside"):
        check_placement(placed(-1), capacity=47)


def test_placement_lets_a_buffer_be_reused_once_it_is_read() -> None:
    trace = simulate(pipeline(6, load=2, compute=9))
    check_placement(trace, capacity=48)
    # Without its dependency on the reader of two tiles before, a load overwrites a live buffer.
    eager = with_task(trace, 8, lambda k: replace(k, deps=()))
    with pytest.raises(TraceError, match="overlap"):
        check_placement(simulate(eager.graph), capacity=48)
