from __future__ import annotations

import json
from typing import Any

import pytest

from accelsim.report.perfetto import perfetto_json
from accelsim.sim.engine import simulate
from accelsim.sim.exposure import peak_live
from accelsim.sim.summary import busy_cycles
from accelsim.sim.trace import Trace
from accelsim.taskgraph import Access, Task, TaskGraph, TaskKind, Value

RESOURCES = ("dma.0", "dram", "array")


def network(tiles: int, ops: int = 3) -> Trace:
    """Operators of ``tiles`` double-buffered tiles each; a name needs escaping."""
    tasks: list[Task] = []
    values: list[Value] = []
    for tile in range(tiles * ops):
        op = f'op"{tile // tiles}</script>'
        value = Value(len(values), "scratchpad", "weight", "w", op, 16 + tile % 3)
        values.append(value)
        used = Access(value.id, value.bytes)
        load = Task(
            len(tasks), op, tile // tiles, tile, TaskKind.LOAD_WEIGHT, ("dma.0", "dram"), 7,
            writes=(used,), dram_read_bytes=value.bytes,
        )  # fmt: skip
        tasks.append(load)
        tasks.append(
            Task(
                len(tasks), op, tile // tiles, tile, TaskKind.ARRAY, ("array",), 5, (load.id,),
                reads=(used,), macs=3,
            )
        )  # fmt: skip
    return simulate(TaskGraph(tuple(tasks), tuple(values), RESOURCES, ()))


def events(trace: Trace, **more: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    document = json.loads(perfetto_json(trace, 500_000_000, **more))
    return document["traceEvents"], document["otherData"]


def of_phase(found: list[dict[str, Any]], phase: str) -> list[dict[str, Any]]:
    return [e for e in found if e["ph"] == phase]


def test_durations_add_up_to_busy_cycles() -> None:
    trace = network(10)
    found, about = events(trace)
    busy = busy_cycles(trace)
    names = {e["tid"]: e["args"]["name"] for e in found if e["name"] == "thread_name"}
    assert tuple(names.values()) == RESOURCES
    for thread, name in names.items():
        slices = [e for e in of_phase(found, "X") if e["tid"] == thread]
        assert sum(e["dur"] for e in slices) == pytest.approx(busy[name] * 0.002)
        assert sum(e["args"]["busy_cycles"] for e in slices) == busy[name]
    assert about == {"clock_hz": 500_000_000, "cycles": trace.cycles, "tasks": 60, "folded": "no"}


def test_one_slice_in_detail() -> None:
    found, _ = events(network(10))
    array = [e for e in of_phase(found, "X") if e["tid"] == 2]
    assert array[1] == {
        "name": 'op"0</script> array',
        "cat": "array",
        "ph": "X",
        "pid": 1,
        "tid": 2,
        "ts": 0.028,
        "dur": 0.01,
        "args": {
            "op": 'op"0</script>', "tile": 1, "start_cycle": 14, "busy_cycles": 5,
            "dram_bytes": 0, "sram_bytes": 0, "macs": 3, "waited_cycles": 0,
        },
    }  # fmt: skip


def test_counters() -> None:
    trace = network(10)
    counters = of_phase(events(trace)[0], "C")
    live = [e["args"]["bytes"] for e in counters if e["name"] == "scratchpad live bytes"]
    assert max(live) == peak_live(trace, "scratchpad")
    assert live[-1] == 0
    moved = [e["args"]["bytes"] for e in counters if e["name"] == "DRAM bytes moved"]
    assert moved == sorted(moved)
    assert moved[-1] == sum(t.dram_read_bytes for t in trace.graph.tasks)


@pytest.mark.parametrize(
    ("cap", "folded"),
    [(1000, "no"), (100, "kind"), (24, "kind"), (10, "blocks"), (4, "blocks"), (1, "blocks")],
)
def test_folding_above_the_cap_loses_no_cycle(cap: int, folded: str) -> None:
    trace = network(30)
    found, about = events(trace, cap=cap)
    drawn = of_phase(found, "X") + of_phase(found, "C")
    assert len(drawn) <= max(cap, len(RESOURCES) + 3)
    assert folded in about["folded"]
    busy = busy_cycles(trace)
    for thread, name in enumerate(RESOURCES):
        slices = [e for e in of_phase(found, "X") if e["tid"] == thread]
        assert sum(e["args"]["busy_cycles"] for e in slices) == busy[name]
        assert sum(e["args"]["dram_bytes"] for e in slices) == sum(
            t.dram_read_bytes for t in trace.graph.tasks if name in t.resources
        )
        assert slices == sorted(slices, key=lambda e: e["ts"])
    live = [e["args"]["bytes"] for e in drawn if e["name"] == "scratchpad live bytes"]
    assert max(live) == peak_live(trace, "scratchpad")


def test_mixed_kinds_fold_by_operator() -> None:
    kinds = (TaskKind.LOAD_WEIGHT, TaskKind.LOAD_INPUT)
    tasks = tuple(
        Task(i, f"op{i // 40}", i // 40, i, kinds[i % 2], ("dram",), 1) for i in range(120)
    )
    trace = simulate(TaskGraph(tasks, (), ("dram",), ()))
    found, about = events(trace, cap=20)
    assert [e["args"]["tasks"] for e in of_phase(found, "X")] == [40, 40, 40]
    assert "equal operator are" in about["folded"]


def test_deterministic_and_valid_for_awkward_clocks_and_empty_traces() -> None:
    trace = network(3)
    assert perfetto_json(trace, 650_000_001) == perfetto_json(network(3), 650_000_001)
    empty = simulate(TaskGraph((), (), RESOURCES, ()))
    assert of_phase(events(empty)[0], "X") == []
    with pytest.raises(AssertionError, match="positive"):
        perfetto_json(trace, 0)
