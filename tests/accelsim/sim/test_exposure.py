from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from simgraphs import graph, pipeline, random_graphs, task

from accelsim.sim.engine import simulate
from accelsim.sim.exposure import Exposure, LiveSpan, exposures, live_spans, occupancy, peak_live
from accelsim.sim.trace import Trace
from accelsim.taskgraph import Access, TaskGraph, Value

STRUCTURES = ("scratchpad", "accumulators")


def weight_and_input(reader_delay: int) -> Trace:
    """Weight and input are loaded, the array uses both; ``reader_delay`` holds the array back."""
    values = (
        Value(0, "scratchpad", "weight", "w", "conv", 16),
        Value(1, "scratchpad", "activation", "x", "input", 8),
        Value(2, "accumulators", "accumulator", "y", "conv", 12),
        Value(3, "scratchpad", "activation", "y", "conv", 4),
    )
    tasks = [
        task(0, ("dma.0", "dram"), 4, writes=(Access(0, 16),)),
        task(1, ("dma.0", "dram"), 2, writes=(Access(1, 8),)),
        task(2, ("vector",), reader_delay),
        task(
            3, ("array",), 5, (0, 1, 2),
            reads=(Access(0, 16), Access(1, 8)), writes=(Access(2, 12, True),),
        ),
        task(4, ("vector",), 3, (3,), reads=(Access(2, 12),), writes=(Access(3, 4),)),
    ]  # fmt: skip
    return simulate(graph(*tasks, values=values))


def test_hand_computed_example() -> None:
    trace = weight_and_input(reader_delay=0)
    assert [(r.start, r.end) for r in trace.rows] == [(0, 4), (4, 6), (0, 0), (6, 11), (11, 14)]
    assert exposures(trace) == (
        Exposure("scratchpad", "weight", "w", "conv", 128, 128 * (11 - 4)),
        Exposure("scratchpad", "activation", "x", "input", 64, 64 * (11 - 6)),
        Exposure("accumulators", "accumulator", "y", "conv", 96, 96 * (14 - 6)),
        Exposure("scratchpad", "activation", "y", "conv", 0, 0),  # nobody reads it
    )
    assert occupancy(trace, "scratchpad") == ((4, 16), (6, 24), (11, 0))
    assert occupancy(trace, "accumulators") == ((6, 12), (14, 0))
    assert peak_live(trace, "scratchpad") == 24
    assert occupancy(trace, "nowhere") == ()
    assert peak_live(trace, "nowhere") == 0


def test_doubling_the_residency_of_a_tensor_doubles_its_exposure() -> None:
    plain = {e.tensor: e for e in exposures(weight_and_input(6)) if e.kind == "weight"}["w"]
    delayed = {e.tensor: e for e in exposures(weight_and_input(6 + 7)) if e.kind == "weight"}["w"]
    assert delayed.bit_cycles == 2 * plain.bit_cycles
    assert delayed.bits == plain.bits


def test_folds_of_one_accumulator_count_once_from_the_first() -> None:
    trace = simulate(pipeline(1, load=7, compute=5, folds=3))
    (accumulators,) = [e for e in exposures(trace) if e.structure == "accumulators"]
    assert accumulators == Exposure("accumulators", "accumulator", "y", "conv", 256, 256 * (15 + 2))


def test_a_tensor_written_tile_by_tile_fills_up() -> None:
    values = (Value(0, "scratchpad", "activation", "y", "conv", 30),)
    tasks = [task(i, ("vector",), 4, writes=(Access(0, 10),)) for i in range(3)]
    tasks.append(task(3, ("array",), 6, (0, 1, 2), reads=(Access(0, 30),)))
    trace = simulate(graph(*tasks, values=values))
    assert live_spans(trace) == (
        LiveSpan(0, 10, 4, 18),
        LiveSpan(0, 10, 8, 18),
        LiveSpan(0, 10, 12, 18),
    )
    assert occupancy(trace, "scratchpad") == ((4, 10), (8, 20), (12, 30), (18, 0))


def test_a_write_after_the_last_read_is_never_negative() -> None:
    values = (Value(0, "scratchpad", "weight", "w", "op", 8),)
    tasks = [
        task(0, ("dram",), 2, writes=(Access(0, 4),)),
        task(1, ("array",), 2, (0,), reads=(Access(0, 4),)),
        task(2, ("dram",), 9, (1,), writes=(Access(0, 4),)),
    ]
    (only,) = exposures(simulate(graph(*tasks, values=values)))
    assert only == Exposure("scratchpad", "weight", "w", "op", 32, 32 * 2)


@settings(max_examples=150, deadline=None)
@given(random_graphs())
def test_sum_is_the_area_under_the_occupancy_curve(graph: TaskGraph) -> None:
    trace = simulate(graph)
    rows = exposures(trace)
    for structure in STRUCTURES:
        curve = occupancy(trace, structure)
        area = sum(level * (after - now) for (now, level), (after, _) in pairwise(curve))
        assert sum(e.bit_cycles for e in rows if e.structure == structure) == 8 * area
        assert not curve or curve[-1][1] == 0
        assert all(a[0] < b[0] and a[1] != b[1] for a, b in pairwise(curve))


@settings(max_examples=150, deadline=None)
@given(random_graphs())
def test_agrees_with_counting_cycle_by_cycle(graph: TaskGraph) -> None:
    """Exposure by looking at each value in each cycle, from the definition."""
    trace = simulate(graph)
    bits: dict[tuple[str, str, str, str], int] = {}
    area: dict[tuple[str, str, str, str], int] = {}
    for now in range(trace.cycles):
        live: dict[tuple[str, str, str, str], int] = {}
        for value in graph.values:
            written = sum(
                access.bytes
                for task, row in zip(graph.tasks, trace.rows, strict=True)
                for access in task.writes
                if access.value == value.id and (row.start if access.from_start else row.end) <= now
            )
            used_later = any(
                access.value == value.id and row.end > now
                for task, row in zip(graph.tasks, trace.rows, strict=True)
                for access in task.reads
            )
            key = (value.structure, value.kind, value.tensor, value.op)
            live[key] = live.get(key, 0) + (8 * min(written, value.bytes) if used_later else 0)
        for key, amount in live.items():
            bits[key] = max(bits.get(key, 0), amount)
            area[key] = area.get(key, 0) + amount
    for e in exposures(trace):
        key = (e.structure, e.kind, e.tensor, e.op)
        assert (e.bits, e.bit_cycles) == (bits.get(key, 0), area.get(key, 0))
        assert 0 <= e.bit_cycles <= e.bits * trace.cycles
