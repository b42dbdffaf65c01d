"""DMA channels, memory order between steps, and byte counts of single tasks."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.arch.parts import AccumulatorSram, Dma, SystolicArray
from accelsim.lower import lower
from accelsim.mapping import candidates
from accelsim.plan import MemoryPlan, Step, Tiling
from accelsim.sim.check import TraceError, check_placement
from accelsim.sim.engine import simulate
from accelsim.sim.expand import expand
from accelsim.sim.trace import Trace
from accelsim.taskgraph import Task, TaskKind

sys.path.insert(0, str(Path(__file__).parents[1] / "mapping"))
from hardware_samples import (
    REGION,
    add_op,
    candidate_of,
    conv_op,
    edge_npu,
    image,
    one_conv,
    random_network,
    random_plan,
    workload_of,
)

LOADS = (TaskKind.LOAD_WEIGHT, TaskKind.LOAD_INPUT, TaskKind.RELOAD)
STORES = (TaskKind.STORE_OUTPUT, TaskKind.SPILL)


def _plan(*steps: Step) -> MemoryPlan:
    return MemoryPlan(steps, 0, 0, 0, 0, 0, 0, "latency", False, "feasible", "hand")


def _of(trace: Trace, kinds: tuple[TaskKind, ...]) -> list[Task]:
    return [task for task in trace.graph.tasks if task.kind in kinds]


@given(seed=st.integers(0, 500), channels=st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_channels_carry_one_transfer_at_a_time_and_dram_only_bytes(seed, channels):
    workload, machine = random_network(seed % 7), edge_npu(dma=Dma(channels, 16))
    trace = simulate(expand(lower(workload, machine, random_plan(workload, machine, seed))))
    loads, stores = _of(trace, LOADS), _of(trace, STORES)
    inbound = max(1, channels - 1)
    names = [f"dma.{channel}" for channel in range(channels)]
    # A single channel has a queue for each direction, which share it as a port.
    queues = names if channels > 1 else ["dma.0.load", "dma.0.store"]
    assert [task.resources[0] for task in loads] == [
        queues[turn % inbound] for turn in range(len(loads))
    ]
    assert {task.resources[0] for task in stores} <= {queues[-1]}
    for task in trace.graph.tasks:
        moves = task.kind in (*LOADS, *STORES)
        assert ("dram" in task.resources) == moves
        if moves:
            moved = task.dram_read_bytes + task.dram_write_bytes
            assert task.cycles == -(-moved * 5 // 32)
            assert ("dma.0" in task.resources[1:]) == (channels == 1)
            setup = trace.graph.tasks[task.id - 1]
            assert setup.kind is TaskKind.DMA_SETUP
            assert (setup.cycles, setup.resources) == (66, task.resources[:-1])
    # Bytes of loads arrive in the order of issue: no prefetch overtakes.
    ends = [trace.rows[task.id].end for task in loads]
    assert ends == sorted(ends)
    starts = [trace.rows[task.id].start for task in loads]
    assert all(start >= end for end, start in zip(ends, starts[1:], strict=False))
    if channels > 1:
        for channel in range(channels):
            _assert_whole_transfers(trace, f"dma.{channel}")


def _assert_whole_transfers(trace: Trace, channel: str) -> None:
    """In order of time: set-up, its own bytes, the next set-up, ..."""
    held = [task for task, _ in trace.on(channel)]
    pairs = list(zip(held[::2], held[1::2], strict=True))
    assert all(a.kind is TaskKind.DMA_SETUP and b.id == a.id + 1 for a, b in pairs)


def test_one_channel_may_set_up_one_direction_between_the_others_set_up_and_bytes():
    """The stated semantics of a single channel; nothing is ever carried twice at a time."""
    shape = (1, 8, 16, 16)
    parts = [conv_op("c", "x", "t", 8, 16, 8), add_op("a", "x", "t", "y", shape)]
    workload, machine = workload_of("add", image(8, 16), parts), edge_npu(dma=Dma(1, 16))
    conv = candidate_of(workload.ops[0], workload, machine, Tiling(256, 8, 72))
    add = min(
        (c for c in candidates(workload.ops[1], workload, machine) if len(c.streamed) == 3),
        key=lambda c: c.tiling.m,
    )
    step = Step("c", conv, ("x",), ("t",), {"x": REGION, "t": 2 * REGION}, 0)
    trace = simulate(
        expand(lower(workload, machine, _plan(step, Step("a", add, (), (), {}, 8192))))
    )
    held = [task for task, _ in trace.on("dma.0")]
    assert any(a.kind is b.kind is TaskKind.DMA_SETUP for a, b in pairwise(held))


def test_set_up_overlaps_with_bytes_of_another_channel():
    """Two loads of 64 B: one channel pays 2 (66 + 10), two channels 66 + 10 + 10."""
    workload = one_conv(c_in=8, size=12, c_out=24)
    ends = {}
    for channels in (2, 3):
        machine = edge_npu(dma=Dma(channels, 16))
        c = candidate_of(workload.ops[0], workload, machine, Tiling(144, 8, 72))
        step = Step("conv", c, ("x",), (), {"x": REGION, "y": 2 * REGION}, 0)
        trace = simulate(expand(lower(workload, machine, _plan(step))))
        second = _of(trace, LOADS)[1]
        ends[channels] = trace.rows[second.id].end
    weights = (8 * 72 + 8 * 4) * 5 // 32
    assert ends == {2: 66 + 180 + 66 + weights, 3: 66 + 180 + weights}


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_streamed_inputs_wait_for_the_step_before(channels):
    """Both steps use the same workspace bytes: without the barrier they would overlap."""
    parts = [conv_op("a", "x", "t", 8, 12, 8), conv_op("b", "x", "u", 8, 12, 8)]
    workload = workload_of("two", image(8, 12), parts)
    machine = edge_npu(dma=Dma(channels, 16))
    streamed = frozenset(("x",))
    tiling = Tiling(24, 8, 72)
    chosen = [
        candidate_of(op, workload, machine, tiling, streamed, hidden=None) for op in workload.ops
    ]
    places = {"t": REGION, "u": 2 * REGION}
    plan = _plan(Step("a", chosen[0], (), (), places, 0), Step("b", chosen[1], (), (), places, 0))
    trace = simulate(expand(lower(workload, machine, plan)))
    check_placement(trace, capacity=3 * REGION)
    over = max(trace.rows[t.id].end for t in trace.graph.tasks if t.op == "a")
    loads = [t for t in trace.graph.tasks if t.op == "b" and t.dram_read_bytes]
    assert min(trace.rows[t.id].start for t in loads) >= over
    # The check would notice: drop what the first input load of b waits for.
    first = next(t for t in loads if t.kind is TaskKind.LOAD_INPUT)
    tasks = list(trace.graph.tasks)
    for victim in (first.id - 1, first.id):
        tasks[victim] = replace(tasks[victim], deps=())
    with pytest.raises(TraceError, match="overlap"):
        check_placement(simulate(replace(trace.graph, tasks=tuple(tasks))), capacity=3 * REGION)


def test_first_input_of_a_prefetching_step_waits_for_the_step_before():
    """Weights may come early, activations may not: their slots lie beyond the prefetched part."""
    parts = [conv_op("a", "x", "t", 8, 12, 8), conv_op("b", "x", "u", 8, 12, 8)]
    workload, machine = workload_of("two", image(8, 12), parts), edge_npu(dma=Dma(3, 16))
    chosen = [
        candidate_of(op, workload, machine, Tiling(24, 8, 72), frozenset(("x",)), hidden=0)
        for op in workload.ops
    ]
    places = {"t": REGION, "u": 2 * REGION}
    steps = [Step("a", chosen[0], (), (), places, 0), Step("b", chosen[1], (), (), places, 8192)]
    trace = simulate(expand(lower(workload, machine, _plan(*steps))))
    over = max(trace.rows[t.id].end for t in trace.graph.tasks if t.op == "a")
    weights, inputs = (
        min(trace.rows[t.id].start for t in trace.graph.tasks if t.op == "b" and t.kind is kind)
        for kind in (TaskKind.LOAD_WEIGHT, TaskKind.LOAD_INPUT)
    )
    assert weights < over <= inputs


def test_reduction_split_by_hand():
    """K = 72 in tiles of 48 and 24 on an 8 x 4 ws array, 144 pixels, 4 channels, one output tile.

    First tile: 6 folds, sums written 6 times, read back 5 times. Second: 3 folds, written 3 times,
    read back twice for its own folds and once for what the first tile left.
    """
    workload = one_conv(c_in=8, size=12, c_out=4)
    machine = edge_npu(array=SystolicArray(8, 4), accumulators=AccumulatorSram(1 << 14))
    c = candidate_of(workload.ops[0], workload, machine, Tiling(144, 4, 48))
    step = Step("conv", c, ("x",), (), {"x": REGION, "y": 2 * REGION}, 0)
    graph = expand(lower(workload, machine, _plan(step)))
    first, second = (task for task in graph.tasks if task.kind is TaskKind.ARRAY)
    sums = 144 * 4 * 4
    assert first.accumulator_write_bytes == 6 * sums
    assert first.accumulator_read_bytes == 5 * sums
    assert second.accumulator_write_bytes == 3 * sums
    assert second.accumulator_read_bytes == (2 + 1) * sums
    assert first.sram_read_bytes == 144 * 48 + 48 * 4 + 4 * 4  # pixels, weights, bias
    assert second.sram_read_bytes == 144 * 24 + 24 * 4
    (drain,) = (task for task in graph.tasks if task.kind is TaskKind.VECTOR)
    assert drain.accumulator_read_bytes == sums
    assert c.accumulator_bytes == (6 + 5 + 3 + 3 + 1) * sums


def test_an_addition_reads_both_operands_and_writes_its_result():
    shape = (1, 8, 16, 16)
    parts = [conv_op("c", "x", "t", 8, 16, 8), add_op("a", "x", "t", "y", shape)]
    workload, machine = workload_of("add", image(8, 16), parts), edge_npu()
    conv = candidate_of(workload.ops[0], workload, machine, Tiling(256, 8, 72))
    add = next(c for c in candidates(workload.ops[1], workload, machine) if not c.streamed)
    places = {"x": REGION, "t": 2 * REGION, "y": 3 * REGION}
    plan = _plan(Step("c", conv, ("x",), (), places, 0), Step("a", add, (), (), places, 8192))
    (task,) = (t for t in expand(lower(workload, machine, plan)).tasks if t.op == "a")
    assert (task.sram_read_bytes, task.sram_write_bytes) == (2 * 2048, 2048)
    assert task.cycles == 8 + 3 * 2048 // 32  # the port, not the 16 lanes, is the limit
