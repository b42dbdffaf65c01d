"""Candidate search: legal, small, exact where it must be, close where it estimates."""

from __future__ import annotations

import pytest
from hardware_samples import (
    REGION,
    candidate_of,
    conv_op,
    edge_npu,
    image,
    one_conv,
    random_network,
    resnet20,
    workload_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.arch.parts import AccumulatorSram, Scratchpad
from accelsim.errors import AccelsimError
from accelsim.lower import lower
from accelsim.mapping import candidates, lower_bounds, require_legal
from accelsim.mapping.array import channel_sizes, reduction_sizes, row_sizes
from accelsim.mapping.layout import align
from accelsim.mapping.orders import count_fills
from accelsim.mapping.tiles import array_op
from accelsim.plan import MemoryPlan, Step, Tiling
from accelsim.sim.engine import simulate
from accelsim.sim.expand import expand
from accelsim.taskgraph import TaskKind


def _demand(op, workload, candidate):
    resident = [n for n in (*op.inputs, op.output) if n not in candidate.streamed]
    return candidate.buffer_bytes + sum(align(workload.tensors[n].bytes, 16) for n in resident)


@given(seed=st.integers(0, 50), capacity=st.sampled_from([3000, 8000, 60_000]))
@settings(max_examples=30, deadline=None)
def test_candidates_fit_are_few_and_have_distinct_names(seed, capacity):
    workload, machine = random_network(seed), edge_npu(scratchpad=Scratchpad(capacity))
    for op in workload.ops:
        found = candidates(op, workload, machine)
        require_legal(op, found, workload, machine)
        assert len({c.name for c in found}) == len(found)
        per_variant: dict[frozenset[str], int] = {}
        for c in found:
            per_variant[c.streamed] = per_variant.get(c.streamed, 0) + 1
            assert _demand(op, workload, c) <= capacity
            assert 0 <= c.prefetch_bytes <= c.buffer_bytes
            assert c.buffer_bytes % 16 == c.prefetch_bytes % 16 == 0
            assert c.cycles >= c.compute_cycles
            if op.gemm is not None:
                assert c.compute_cycles * 256 >= op.macs
                widest = max(c.tiling.n, 1) * c.tiling.m * 4
                assert widest <= machine.accumulators.bytes // 2
        assert max(per_variant.values()) <= 7
        assert all(c.streamed <= {*op.inputs, op.output} for c in found)


def test_resnet20_estimates_are_close_to_simulated_single_operators():
    workload, machine = resnet20(), edge_npu()
    for op in (workload.ops[0], workload.ops[1], workload.ops[10], workload.ops[-5]):
        for c in candidates(op, workload, machine):
            if c.prefetch_bytes:
                continue
            names = [n for n in (*op.inputs, op.output) if n not in c.streamed]
            places = {n: REGION * (i + 1) for i, n in enumerate(names)}
            loads = tuple(n for n in op.inputs if n not in c.streamed)
            steps = (Step(op.name, c, loads, (), places, 0),)
            plan = MemoryPlan(steps, 0, 0, 0, 0, 0, 0, "latency", False, "feasible", "")
            trace = simulate(expand(lower(workload, machine, plan)))
            ends = [trace.rows[t.id].end for t in trace.graph.tasks if t.kind is TaskKind.RELOAD]
            assert 0.85 <= (trace.cycles - max(ends, default=0)) / c.cycles <= 1.1, c


def test_loop_orders_refetch_what_they_must():
    # 3 channel blocks, 4 pixel tiles, 2 reduction tiles.
    whole, cut = (3, 1, 4, 1), (3, 1, 4, 2)
    fills = [count_fills(*shape, order) for shape in (whole, cut) for order in ("nmk", "mnk")]
    assert [(f.weights, f.inputs, f.biases, f.outputs) for f in fills] == [
        (3, 12, 3, 12), (12, 4, 12, 12), (24, 24, 3, 12), (24, 24, 12, 12),
    ]  # fmt: skip
    # One pixel tile of whole k: neither operand is ever fetched twice.
    assert count_fills(3, 1, 1, 1, "nmk").inputs == 1
    # Groups: every group has its own channels and its own pixels.
    assert count_fills(6, 3, 2, 1, "mnk").inputs == 6


def test_traffic_of_a_tiling_by_hand():
    """12 x 12 x 8 -> 24 channels, 3 x 3, streamed in two halves of six rows with one halo row."""
    workload, machine = one_conv(), edge_npu()
    op = workload.ops[0]
    streamed = frozenset(("x", "y"))
    c = candidate_of(op, workload, machine, Tiling(72, 16, 72), streamed)
    halves = 2 * 7 * 12 * 8
    assert c.dram_read_bytes == 2 * halves + 24 * 72 + 24 * 4  # the input twice: two blocks
    assert c.dram_write_bytes == 24 * 144
    assert c.buffer_bytes == 2 * (16 * 72 + 64 + 7 * 12 * 8 + 72 * 16)
    assert c.prefetch_bytes == 16 * 72 + 64
    held = candidate_of(op, workload, machine, Tiling(72, 16, 72, "mnk"), streamed)
    assert held.dram_read_bytes == halves + 2 * (24 * 72 + 24 * 4)


def test_tile_sizes():
    operands = array_op(
        one_conv(c_in=16, size=10, c_out=40).ops[0], one_conv(c_in=16, size=10, c_out=40)
    )
    assert row_sizes(operands) == (100, 50, 40, 30, 20, 10)
    assert channel_sizes(operands, 16) == (40, 32, 16)
    assert reduction_sizes(operands, 16) == (144, 80, 48, 32, 16)
    deep = one_conv(c_in=12, size=10, c_out=12, groups=12)
    assert channel_sizes(array_op(deep.ops[0], deep), 16) == (12, 6, 3, 2, 1)


def test_depthwise_spans_groups_in_one_tile():
    workload, machine = one_conv(c_in=32, size=8, c_out=32, groups=32), edge_npu()
    found = candidates(workload.ops[0], workload, machine, "latency")
    best = min(found, key=lambda c: c.cycles)
    assert best.tiling.n > 1
    assert best.tiling.k == 9
    # 32 folds of 64 pixels each: one channel of the array works at a time.
    assert best.compute_cycles >= 32 * 64


def test_rows_that_do_not_fit_are_cut():
    """One row of 40 x 32 sums needs 5 KiB; 1 KiB of accumulators holds 32 x 4 of them a half."""
    workload = one_conv(size=40, c_out=32)
    machine = edge_npu(accumulators=AccumulatorSram(1024))
    found = candidates(workload.ops[0], workload, machine)
    assert found
    assert all(c.tiling.m < 40 for c in found)


def test_objective_is_checked_and_traffic_prefers_less_traffic():
    workload, machine = resnet20(), edge_npu(scratchpad=Scratchpad(20 * 1024))
    op = workload.ops[1]
    with pytest.raises(AccelsimError):
        candidates(op, workload, machine, "speed")
    least = min(c.dram_read_bytes + c.dram_write_bytes for c in candidates(op, workload, machine))
    frugal = candidates(op, workload, machine, "traffic")
    assert min(c.dram_read_bytes + c.dram_write_bytes for c in frugal) <= least


def test_lower_bounds_by_hand():
    workload, machine = one_conv(), edge_npu()
    moved = 8 * 144 + 24 * 72 + 24 * 4 + 24 * 144
    assert lower_bounds(workload, machine) == {
        "compute": -(-144 * 72 * 24 // 256),
        "vector": 24 * 144 // 16,
        "dram": -(-moved * 5 // 32),
    }


def test_determinism():
    parts = [conv_op("a", "x", "t", 8, 12, 8), conv_op("b", "t", "y", 8, 12, 8)]
    workload = workload_of("two", image(8, 12), parts)
    for op in workload.ops:
        assert candidates(op, workload, edge_npu()) == candidates(op, workload, edge_npu())
