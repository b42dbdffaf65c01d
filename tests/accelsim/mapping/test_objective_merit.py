"""Candidates by objective, and the closed-form moves that the energy cost is made of."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hardware_samples import (
    REGION,
    candidate_of,
    edge_npu,
    one_conv,
    random_network,
    random_plan,
    resnet20,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.arch.parts import AccumulatorSram, Scratchpad, SystolicArray
from accelsim.cost.energy import unit_energies
from accelsim.dataflow.counts import ceil_div
from accelsim.lower import lower
from accelsim.mapping import Objective, candidates
from accelsim.mapping.objective import traffic
from accelsim.plan import MemoryPlan, Step, Tiling
from accelsim.sim.expand import expand
from accelsim.taskgraph import TaskKind


def test_objectives_disagree_where_they_should():
    """6 KiB: refetching is faster here, moving least is slower."""
    workload, machine = resnet20(), edge_npu(scratchpad=Scratchpad(6 * 1024))
    op = workload.ops[1]
    found = {name: candidates(op, workload, machine, name) for name in ("latency", "traffic")}
    fastest = {name: min(c.cycles for c in cs) for name, cs in found.items()}
    frugal = {name: min(traffic(c) for c in cs) for name, cs in found.items()}
    assert frugal["traffic"] < frugal["latency"]
    assert fastest["latency"] < fastest["traffic"]


@pytest.mark.parametrize("objective", ["latency", "energy", "traffic"])
def test_the_best_candidate_of_every_variant_is_kept(objective, monkeypatch):
    """Of equal costs the one with the fewest cycles: compared with keeping everything."""
    from accelsim.mapping import thinning

    workload, machine = resnet20(), edge_npu(scratchpad=Scratchpad(16 * 1024))
    goal = Objective(machine, objective)
    kept = {op.name: candidates(op, workload, machine, objective) for op in workload.ops[:6]}
    monkeypatch.setattr(thinning, "_thin", lambda pool, *_: list(pool))
    for op in workload.ops[:6]:
        everything = candidates(op, workload, machine, objective)
        for streamed in {c.streamed for c in everything}:
            best, found = (
                min(
                    (goal.column_cost(c), c.cycles, traffic(c))
                    for c in pool
                    if c.streamed == streamed
                )
                for pool in (everything, kept[op.name])
            )
            assert best == found


def test_energy_cost_by_hand():
    machine = edge_npu()
    units = unit_energies(machine)
    c = replace(
        candidates(one_conv().ops[0], one_conv(), machine)[0],
        dram_read_bytes=100, dram_write_bytes=10, scratchpad_bytes=7, accumulator_bytes=5,
        macs=3, vector_ops=2, cycles=11,
    )  # fmt: skip
    expected = (
        110 * units.dram_byte + 7 * units.scratchpad_byte + 5 * units.accumulator_byte
        + 3 * units.mac + 2 * units.vector_op + 11 * units.static_cycle
    )  # fmt: skip
    assert Objective(machine, "energy").column_cost(c) == round(expected)
    assert Objective(machine, "traffic").column_cost(c) == 110
    assert Objective(machine, "latency").column_cost(c) == 11
    assert Objective(machine, "latency").transfer_cost(64) == 16 + 50 + 10
    moved = 64 * (units.dram_byte + units.scratchpad_byte) + 76 * units.static_cycle
    assert Objective(machine, "energy").transfer_cost(64) == round(moved)


@given(
    channels=st.integers(1, 6), size=st.integers(3, 9), filters=st.integers(1, 9),
    kernel=st.integers(1, 3), grouped=st.booleans(), m=st.integers(1, 90), n=st.integers(1, 12),
    k=st.integers(1, 60), flow=st.sampled_from(["ws", "os", "is"]), stream=st.booleans(),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_closed_form_moves_equal_the_unrolled_loop(
    channels, size, filters, kernel, grouped, m, n, k, flow, stream
):
    groups = channels if grouped else 1
    workload = one_conv(
        c_in=channels, size=size, c_out=groups * filters, kernel=kernel, groups=groups
    )
    machine = edge_npu(
        array=SystolicArray(4, 4, flow, "none"), accumulators=AccumulatorSram(1 << 17)
    )
    streamed = frozenset(("x", "y")) if stream else frozenset()
    chosen = candidate_of(workload.ops[0], workload, machine, Tiling(m, n, k), streamed)
    loads = () if stream else ("x",)
    step = Step("conv", chosen, loads, (), {"x": REGION, "y": 2 * REGION}, 0)
    plan = MemoryPlan((step,), 0, 0, 0, 0, 0, 0, "latency", False, "feasible", "hand")
    _compare(expand(lower(workload, machine, plan)).tasks, chosen, machine)


@given(seed=st.integers(0, 200))
@settings(max_examples=15, deadline=None)
def test_moves_of_whole_networks_equal_their_tasks(seed):
    split = Scratchpad(1 << 16, width_bytes=[4, 24][seed % 2]) if seed % 3 else None
    workload, machine = random_network(seed % 5), edge_npu(weight_sram=split)
    plan = random_plan(workload, machine, seed)
    graph = expand(lower(workload, machine, plan))
    for step in plan.steps:
        _compare([t for t in graph.tasks if t.op == step.op], step.candidate, machine)


def _compare(tasks, chosen, machine):
    """Loads and stores of whole tensors are not the candidate's."""
    width, own = machine.scratchpad.width_bytes, machine.weight_sram
    mine = [t for t in tasks if t.kind not in (TaskKind.RELOAD, TaskKind.SPILL)]
    pad = side = 0
    for t in mine:
        moves = bool(t.dram_read_bytes + t.dram_write_bytes)
        unit = 1 if moves else width
        weights = t.weight_read_bytes
        if own is not None and t.kind is TaskKind.LOAD_WEIGHT:
            side += t.sram_write_bytes
            continue
        side += 0 if own is None else ceil_div(weights, own.width_bytes) * own.width_bytes
        pad += ceil_div(t.sram_read_bytes - weights, unit) * unit
        pad += ceil_div(t.sram_write_bytes, unit) * unit
    assert (chosen.scratchpad_bytes, chosen.weight_scratchpad_bytes) == (pad, side)
    sums = sum(t.accumulator_read_bytes + t.accumulator_write_bytes for t in mine)
    assert chosen.accumulator_bytes == sums
    assert chosen.macs == sum(t.macs for t in mine)
    assert chosen.vector_ops == sum(t.vector_ops for t in mine)
