from __future__ import annotations

import pytest
from hypothesis import given, settings
from simgraphs import PES, graph, pipeline, random_graphs, task

from accelsim.sim.engine import simulate
from accelsim.sim.summary import LayerRow, bound_resource, busy_cycles, layer_rows
from accelsim.taskgraph import TaskGraph


def two_layers() -> TaskGraph:
    return graph(
        task(0, ("dma.0", "dram"), 10, op="a", dram_read_bytes=20, sram_write_bytes=20),
        task(1, ("array",), 4, (0,), op="a", macs=12, sram_read_bytes=8),
        task(2, ("dma.0", "dram"), 3, op="b", step=1, dram_read_bytes=6),  # prefetch
        task(3, ("array",), 9, (1, 2), op="b", step=1, macs=30),
        task(4, ("vector",), 2, (3,), op="b", step=1),
        task(5, ("dma.1", "dram"), 5, (4,), op="b", step=1, dram_write_bytes=7),
    )


def test_hand_computed_rows() -> None:
    trace = simulate(two_layers())
    assert busy_cycles(trace) == {"dma.0": 13, "dma.1": 5, "dram": 18, "array": 13, "vector": 2}
    assert bound_resource(trace) == "dram"
    assert layer_rows(trace, pes=4) == (
        LayerRow("a", 0, 0, 14, 14, 14, 14, 4, 0, 10, "dram", 12, 12 / 56, 20, 0, 8, 20, 10),
        LayerRow("b", 1, 10, 30, 16, 16, 20, 9, 2, 8, "array", 30, 30 / 64, 6, 7, 0, 0, 5),
    )


def test_a_prefetch_does_not_dilute_the_layer_that_waits_for_it() -> None:
    """Weights of b arrive at once, long before its turn: b is still rated by its own share."""
    trace = simulate(
        graph(
            task(0, ("dma.0", "dram"), 2, op="b", step=1),
            task(1, ("array",), 90, op="a", macs=360),
            task(2, ("array",), 10, (0, 1), op="b", step=1, macs=40),
        )
    )
    a, b = layer_rows(trace, pes=4)
    assert (a.cycles, b.cycles, b.span_cycles) == (90, 10, 100)
    assert (a.utilisation, b.utilisation) == (1.0, 1.0)


def test_work_under_another_layers_front_is_rated_by_its_array_time() -> None:
    """b computes while the store of a is still in front, and moves the front by one cycle only."""
    trace = simulate(
        graph(
            task(0, ("array",), 5, op="a", macs=20),
            task(1, ("dma.1", "dram"), 19, (0,), op="a", dram_write_bytes=4),
            task(2, ("array",), 20, (0,), op="b", step=1, macs=60),
        )
    )
    a, b = layer_rows(trace, pes=4)
    assert (a.cycles, b.cycles, b.span_cycles) == (24, 1, 20)
    assert b.utilisation == 60 / (20 * 4)


def test_empty_and_instant_traces() -> None:
    assert layer_rows(simulate(graph()), pes=4) == ()
    instant = simulate(graph(task(0, ("array",), 0)))
    (row,) = layer_rows(instant, pes=4)
    assert (row.bound, row.utilisation, row.cycles) == ("none", 0.0, 0)
    assert bound_resource(instant) == "none"


def test_array_bound_pipeline() -> None:
    trace = simulate(pipeline(20, load=3, compute=9, store=2))
    (row,) = layer_rows(trace, pes=PES)
    assert row.bound == bound_resource(trace) == "array"
    assert row.utilisation == pytest.approx(20 * 9 / trace.cycles)
    assert row.stall_cycles == 3 + 2  # the first load and the last store


def test_pes_must_be_positive() -> None:
    with pytest.raises(AssertionError, match="positive"):
        layer_rows(simulate(graph()), pes=0)


@settings(max_examples=100, deadline=None)
@given(random_graphs())
def test_totals(graph: TaskGraph) -> None:
    trace = simulate(graph)
    rows = layer_rows(trace, pes=PES)
    busy = busy_cycles(trace)
    assert sum(r.advance_cycles for r in rows) == sum(r.cycles for r in rows) == trace.cycles
    assert all(r.span_cycles == r.end - r.start for r in rows)
    assert sum(r.array_busy for r in rows) == busy["array"]
    assert sum(r.dram_busy for r in rows) == busy["dram"] <= trace.cycles
    assert sum(r.macs for r in rows) == sum(t.macs for t in graph.tasks)
    computing = {
        cycle
        for t, row in zip(graph.tasks, trace.rows, strict=True)
        if {"array", "vector"} & set(t.resources)
        for cycle in range(row.start, row.end)
    }
    assert sum(r.stall_cycles for r in rows) == trace.cycles - len(computing)
    assert all(0 <= r.stall_cycles <= r.advance_cycles for r in rows)
    assert all(r.utilisation <= 1 for r in rows)
