"""Loops inside the reduction loop: the sums of several output tiles at once, in half of the
accumulators."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.arch.parts import Accelerator, AccumulatorSram, Dma, Dram, Scratchpad, SystolicArray
from accelsim.lower import lower, plan_traffic
from accelsim.mapping.orders import ORDERS, live_sums, live_tiles
from accelsim.plan import MemoryPlan, Step, Tiling
from accelsim.program import Command, Program, commands_of, distinct
from accelsim.sim.addresses import check_addresses
from accelsim.sim.check import TraceError, check_placement, check_trace
from accelsim.sim.engine import simulate
from accelsim.sim.expand import expand, unfold
from accelsim.sim.exposure import live_spans
from accelsim.sim.steady import run_program
from accelsim.sim.written import check_written
from accelsim.taskgraph import TaskKind
from accelsim.workload.graph import Workload

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "mapping"))
from hardware_samples import REGION, candidate_of, edge_npu, one_conv

SEVERAL = tuple(order for order in ORDERS if order[-1] != "k")


def _plan(
    workload: Workload, machine: Accelerator, tiling: Tiling, streamed: frozenset[str]
) -> MemoryPlan:
    chosen = candidate_of(workload.ops[0], workload, machine, tiling, streamed)
    loads = () if "x" in streamed else ("x",)
    step = Step("conv", chosen, loads, (), {"x": REGION, "y": 2 * REGION}, 0)
    return MemoryPlan((step,), 0, 0, 0, 0, 0, 0, "latency", False, "feasible", "hand")


def _flat(program: Program) -> list[Command]:
    return [command for block in program.blocks for command in commands_of(block.body)]


@given(
    channels=st.integers(1, 5), size=st.integers(3, 9), filters=st.integers(1, 9),
    kernel=st.integers(1, 3), stride=st.integers(1, 2), grouped=st.booleans(),
    m=st.integers(1, 30), n=st.integers(1, 6), k=st.integers(1, 12),
    order=st.sampled_from(ORDERS), stream=st.tuples(st.booleans(), st.booleans()),
    slots=st.integers(1, 3), channel=st.integers(1, 4), flash=st.booleans(),
)  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_any_order_is_executed_exactly_and_keeps_within_its_memory(
    channels, size, filters, kernel, stride, grouped, m, n, k, order, stream, slots, channel, flash
):
    """Loops as written out, fast-forward as the reference engine, traffic and MACs as planned, all
    checks; accumulators of exactly twice the sums that the order keeps."""
    groups = channels if grouped else 1
    workload = one_conv(
        c_in=channels, size=size, c_out=groups * filters, kernel=kernel, stride=stride,
        groups=groups,
    )  # fmt: skip
    gemm = workload.ops[0].gemm
    assert gemm is not None
    wide = min(n, gemm.n) if n <= gemm.n else min(n // gemm.n, groups) * gemm.n
    window = workload.ops[0].window
    assert window is not None
    rows = m // window.out_width * window.out_width or m
    sums = live_sums(gemm, min(rows, gemm.m), wide, order, -(-gemm.k // k))
    machine = edge_npu(
        array=SystolicArray(4, 4), accumulators=AccumulatorSram(2 * 4 * sums),
        scratchpad=Scratchpad(1 << 22, buffering=slots), dma=Dma(channel, 16),
        weight_memory=Dram("flash", 500_000_000, 9) if flash else None,
    )  # fmt: skip
    streamed = frozenset(name for name, moved in zip(("x", "y"), stream, strict=True) if moved)
    plan = _plan(workload, machine, Tiling(m, n, k, order), streamed)
    program = lower(workload, machine, plan)
    assert _flat(program) == _flat(lower(workload, machine, plan, fold=False))
    capacities = {"scratchpad": 4 * REGION, "accumulators": machine.accumulators.bytes}
    check_addresses(program, capacities)
    check_written(program)
    graph = expand(program)
    trace = simulate(graph)
    assert unfold(run_program(program), graph).rows == trace.rows
    for structure, capacity in capacities.items():
        check_placement(trace, structure=structure, capacity=capacity)
    check_trace(
        trace, pes=16, dram_bytes_per_cycle=machine.dram_bytes_per_cycle,
        weights_bytes_per_cycle=machine.weight_bytes_per_cycle,
    )  # fmt: skip
    read, written = plan_traffic(workload, plan)
    assert sum(task.dram_read_bytes for task in graph.tasks) == read
    assert sum(task.dram_write_bytes for task in graph.tasks) == written
    assert sum(task.macs for task in graph.tasks) == workload.macs
    assert sum(task.vector_ops for task in graph.tasks) == workload.ops[0].vector_ops


def _tiles(order: str) -> list[str]:
    """Commands of 16 pixels (two tiles), 8 channels (two) and 8 reductions (two), 1 x 1, that
    stream: L load of a weight, with its bias B; I of an input; A array; V vector; S store."""
    workload = one_conv(c_in=8, size=4, c_out=8, kernel=1)
    machine = edge_npu(array=SystolicArray(4, 4))
    plan = _plan(workload, machine, Tiling(8, 4, 4, order), frozenset(("x", "y")))
    names = {
        TaskKind.LOAD_INPUT: "I",
        TaskKind.ARRAY: "A",
        TaskKind.VECTOR: "V",
        TaskKind.STORE_OUTPUT: "S",
    }
    found = []
    for work in (command.work for command in _flat(lower(workload, machine, plan))):
        if work.kind is TaskKind.LOAD_WEIGHT:
            found.append("B" if len(work.writes) == 2 else "L")
        elif work.kind is not TaskKind.DMA_SETUP:
            found.append(names[work.kind])
    return "".join(found).replace("VS", "V").split("V")


@pytest.mark.parametrize(
    ("order", "tiles"),
    [
        # Every tile of k brings both operands; the bias comes once per block, or with every output.
        ("nmk", ["BIALIA", "LIALIA", "BIALIA", "LIALIA", ""]),
        ("mnk", ["BIALIA", "BIALIA", "BIALIA", "BIALIA", ""]),
        # One weight tile for both pixel tiles; then both outputs are done one after the other.
        ("nkm", ["BIAIALIA", "IA", "BIAIALIA", "IA", ""]),
        # One input tile for both channel blocks.
        ("mkn", ["BIABALIA", "LA", "BIABALIA", "LA", ""]),
        # All four outputs at once.
        ("knm", ["BIAIABIAIALIA", "IA", "LIA", "IA", ""]),
        ("kmn", ["BIABABIABALIA", "LA", "LIA", "LA", ""]),
    ],
)
def test_the_commands_of_every_order_by_hand(order, tiles):
    assert _tiles(order) == tiles


def test_a_set_waits_for_the_last_drain_of_the_set_before_the_previous_one():
    """Four channel blocks, two pixel tiles, two reductions: sets of two outputs, two per half."""
    workload = one_conv(c_in=8, size=4, c_out=16, kernel=1)
    machine = edge_npu(array=SystolicArray(4, 4))
    plan = _plan(workload, machine, Tiling(8, 4, 4, "nkm"), frozenset())
    program = lower(workload, machine, plan)
    vector = program.queues.index("vector")
    arrays = [c for c in _flat(program) if c.work.kind is TaskKind.ARRAY]
    waits = [dict(c.deps).get(vector, 0) for c in arrays]
    # Per set: two first tiles, two last ones. Of the third set on, the first array command waits
    # for the third last drain: that of the second output of the set before the previous one.
    assert waits == [0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0]
    (sums,) = (b for b in program.blocks[0].buffers if b.structure == "accumulators")
    assert len(sums.addresses) == 2
    begun = [c.work.writes for c in arrays]
    assert [bool(writes) for writes in begun] == [True, False, False, False] * 4
    assert {touch.bytes for writes in begun for touch in writes} == {16 * 4 * 4}


def test_the_check_sees_a_set_that_does_not_wait():
    workload = one_conv(c_in=8, size=4, c_out=16, kernel=1)
    machine = edge_npu(array=SystolicArray(4, 4), accumulators=AccumulatorSram(2 * 16 * 4 * 4))
    plan = _plan(workload, machine, Tiling(8, 4, 4, "nkm"), frozenset(("y",)))
    graph = expand(lower(workload, machine, plan))
    check_placement(simulate(graph), structure="accumulators", capacity=512)
    vectors = {task.id for task in graph.tasks if task.kind is TaskKind.VECTOR}
    tasks = tuple(
        replace(task, deps=tuple(d for d in task.deps if d not in vectors))
        if task.kind is TaskKind.ARRAY
        else replace(task, cycles=1000)
        if task.kind is TaskKind.VECTOR
        else task
        for task in graph.tasks
    )
    with pytest.raises(TraceError, match="overlap"):
        check_placement(
            simulate(replace(graph, tasks=tasks)), structure="accumulators", capacity=512
        )


@pytest.mark.parametrize("order", SEVERAL)
@pytest.mark.parametrize("loop", "nmk")
@pytest.mark.parametrize("channels", [1, 3])
def test_size_does_not_grow_with_the_number_of_tiles(order, loop, channels):
    """20, 200 and 2,000 tiles of one of the loops."""
    sizes, counts = [], []
    for many in (20, 200, 2_000):
        geometry = {"c_in": 8 * 4, "size": 4, "c_out": 4 * 4, "kernel": 1, "batch": 4}
        geometry[{"k": "c_in", "n": "c_out", "m": "batch"}[loop]] = (
            many if loop == "m" else 4 * many
        )
        workload = one_conv(**geometry)
        machine = edge_npu(
            array=SystolicArray(4, 4), accumulators=AccumulatorSram(1 << 26), dma=Dma(channels, 16)
        )
        plan = _plan(workload, machine, Tiling(16, 4, 4, order), frozenset(("x", "y")))
        program = lower(workload, machine, plan)
        sizes.append(sum(1 for block in program.blocks for _ in distinct(block.body)))
        counts.append(program.commands)
    assert sizes[0] == sizes[1] == sizes[2]
    assert counts[2] > 9 * counts[1] > 80 * counts[0]


@pytest.mark.parametrize("order", SEVERAL)
def test_sums_of_a_set_count_as_live_from_its_first_command_to_its_last_drain(order):
    workload = one_conv(c_in=8, size=4, c_out=8, kernel=1)
    machine = edge_npu(array=SystolicArray(4, 4))
    plan = _plan(workload, machine, Tiling(8, 4, 4, order), frozenset())
    trace = simulate(expand(lower(workload, machine, plan)))
    values = trace.graph.values
    spans = [s for s in live_spans(trace) if values[s.value].structure == "accumulators"]
    kept = live_tiles(order, 2, 2, 2)
    assert [span.bytes for span in spans] == [kept * 8 * 4 * 4] * (4 // kept)
    arrays = [trace.rows[t.id].start for t in trace.graph.tasks if t.kind is TaskKind.ARRAY]
    drains = [trace.rows[t.id].end for t in trace.graph.tasks if t.kind is TaskKind.VECTOR]
    assert [span.start for span in spans] == arrays[:: 2 * kept]
    assert [span.end for span in spans] == drains[kept - 1 :: kept]
