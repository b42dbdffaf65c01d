"""Without a cache every operand of every tile comes for that tile, and nothing stays."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from accelsim.arch.parts import Accelerator, AccumulatorSram, Dma, Dram, Scratchpad, SystolicArray
from accelsim.config.types import ScheduleConfig
from accelsim.errors import AccelsimError, InfeasibleError
from accelsim.execution import executed
from accelsim.lower import lower, plan_traffic
from accelsim.mapping import Objective, candidates
from accelsim.mapping.fixed import FixedMapping, fixed_candidates
from accelsim.mapping.orders import ORDERS
from accelsim.mapping.quick_plan import quick_plan
from accelsim.mapping.search import exhaustive
from accelsim.plan import MemoryPlan, Step, Tiling
from accelsim.program import Command, commands_of
from accelsim.stages.memory import plan_memory
from accelsim.taskgraph import TaskKind
from accelsim.workload.graph import Op, OpKind, Role, Tensor, Workload

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "mapping"))
from hardware_samples import candidate_of, edge_npu, one_conv, random_network
from loop_nest import commands

STORES = (TaskKind.STORE_OUTPUT,)
LOADS = (TaskKind.LOAD_INPUT, TaskKind.LOAD_WEIGHT)


def cacheless(size: int = 1 << 16, buffering: int = 2, **changes: object) -> Accelerator:
    return edge_npu(scratchpad=Scratchpad(size, buffering=buffering, cacheless=True), **changes)


def _plan(step: Step) -> MemoryPlan:
    return MemoryPlan((step,), 0, 0, 0, 0, 0, 0, "latency", False, "feasible", "hand")


def _moved(workload: Workload, machine: Accelerator, plan: MemoryPlan) -> list[Command]:
    program = lower(workload, machine, plan)
    return [command for block in program.blocks for command in commands_of(block.body)]


def test_bytes_are_those_of_every_tile_by_hand():
    """4 x 4 pixels of 8 channels, 12 filters of 1 x 1; tiles of 8 pixels, 4 filters, 4 channels:
    2 x 3 x 2 = 12 tiles of 32 B of inputs and 16 B of weights, 6 output tiles of 16 B of bias and
    32 B of results. A machine that keeps what it has moves less."""
    workload = one_conv(c_in=8, size=4, c_out=12, kernel=1)
    everything = frozenset(("x", "y"))
    tiling = Tiling(8, 4, 4)
    machine = cacheless(array=SystolicArray(4, 4))
    chosen = candidate_of(workload.ops[0], workload, machine, tiling, everything)
    assert chosen.dram_read_bytes == 12 * (32 + 16) + 6 * 16
    assert chosen.dram_write_bytes == 6 * 32
    done = executed(workload, machine, _plan(Step("conv", chosen)), exact_events=True)
    works = [command.work for b in done.program.blocks for command in commands_of(b.body)]
    assert sum(work.dram_read_bytes for work in works) == 672
    assert sum(work.dram_write_bytes for work in works) == 192
    keeps = replace(machine, scratchpad=Scratchpad(1 << 16))
    kept = candidate_of(workload.ops[0], workload, keeps, Tiling(16, 12, 8), everything)
    assert kept.dram_read_bytes == 128 + 96 + 48


def test_the_order_of_loops_does_not_matter():
    workload = one_conv(c_in=8, size=4, c_out=12, kernel=3)
    machine = cacheless(array=SystolicArray(4, 4))
    nmk, *others = (
        candidate_of(workload.ops[0], workload, machine, Tiling(8, 4, 36, o), frozenset(("x", "y")))
        for o in ORDERS
    )
    for other in others:
        same = {"name": "", "tiling": nmk.tiling, "cycles": 0, "compute_cycles": 0}
        assert replace(other, **same) == replace(nmk, name="", cycles=0, compute_cycles=0)
        assert other.cycles >= nmk.cycles
    found = candidates(workload.ops[0], workload, machine)
    assert {candidate.tiling.order for candidate in found} == {"nmk"}


@given(
    channels=st.integers(1, 5), size=st.integers(3, 9), filters=st.integers(1, 9),
    kernel=st.integers(1, 3), grouped=st.booleans(), pad=st.integers(0, 3),
    m=st.integers(1, 90), n=st.integers(1, 12), k=st.integers(1, 60),
    order=st.sampled_from(ORDERS), slots=st.integers(1, 4),
)  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_commands_are_those_of_the_loop_nest_walked_tile_by_tile(
    channels, size, filters, kernel, grouped, pad, m, n, k, order, slots
):
    groups = channels if grouped else 1
    workload = one_conv(
        c_in=channels, size=size, c_out=groups * filters, kernel=kernel, groups=groups, pad=pad
    )
    machine = cacheless(
        1 << 20, slots, array=SystolicArray(4, 4), accumulators=AccumulatorSram(1 << 17),
        dma=Dma(1 + slots, 16),
    )  # fmt: skip
    chosen = candidate_of(
        workload.ops[0], workload, machine, Tiling(m, n, k, order), frozenset(("x", "y"))
    )
    plan = _plan(Step("conv", chosen))
    found = [
        (w.kind, w.sram_write_bytes * (w.kind in LOADS) + w.sram_read_bytes * (w.kind in STORES),
         w.macs)
        for w in (command.work for command in _moved(workload, machine, plan))
        if w.kind is not TaskKind.DMA_SETUP
    ]  # fmt: skip
    assert found == list(commands(workload.ops[0], workload, plan.steps[0], cacheless=True))
    works = [command.work for command in _moved(workload, machine, plan)]
    assert sum(w.dram_read_bytes for w in works) == chosen.dram_read_bytes
    assert sum(w.dram_write_bytes for w in works) == chosen.dram_write_bytes


MACHINES = st.builds(
    cacheless,
    st.sampled_from([9_000, 60_000]),
    st.integers(1, 3),
    array=st.sampled_from([SystolicArray(16, 16), SystolicArray(8, 32, "os")]),
    dram=st.sampled_from([Dram("LPDDR4", 3_200_000_000, 50), Dram("DDR4", 333_333_333, 7)]),
    dma=st.builds(Dma, st.integers(1, 4), st.just(16)),
)


@given(st.integers(0, 200), MACHINES, st.sampled_from(["latency", "energy", "traffic"]))
@settings(max_examples=15, deadline=None)
def test_the_search_is_as_the_exhaustive_one_and_offers_nothing_resident(seed, machine, objective):
    workload = random_network(seed)
    goal = Objective(machine, objective)
    for op in workload.ops:
        found = candidates(op, workload, machine, objective)
        assert all(c.streamed == {*op.inputs, op.output} for c in found)
        if op.gemm is not None:
            assert found == exhaustive(op, workload, machine, goal)


@given(st.integers(0, 200), MACHINES, st.sampled_from(["fold", "layer", None]))
@settings(max_examples=15, deadline=None)
def test_networks_run_exactly_and_keep_nothing(seed, machine, rule):
    workload = random_network(seed)
    if rule is None:
        plan = plan_memory(workload, machine, objective="latency", schedule=ScheduleConfig())
    else:
        try:
            plan = quick_plan(workload, machine, rule)
        except InfeasibleError:
            reject()  # a rule takes its tiles as they are, whether they fit or not
    assert not any(step.loads or step.stores or step.addresses for step in plan.steps)
    executed(workload, machine, plan, exact_events=True)  # with all checks
    assert plan.traffic_bytes == sum(plan_traffic(workload, plan))


def test_a_small_constant_of_the_vector_unit_comes_with_every_tile():
    """256 elements, a scale of 16 values: eight tiles of 32."""
    tensors = {
        "x": Tensor("x", (1, 16, 4, 4), "int8", Role.INPUT),
        "s": Tensor("s", (16,), "int8", Role.WEIGHT),
        "y": Tensor("y", (1, 16, 4, 4), "int8", Role.OUTPUT),
    }
    op = Op("mul", OpKind.MUL, ("x",), "y", "s", vector_ops=256)
    workload = Workload("mul", tensors, (op,), ("x",), ("y",))
    reads = {}
    for name, machine in (("fifo", cacheless()), ("cache", edge_npu())):
        fixed = FixedMapping("mul", m=32, stream=("inputs", "output"))
        (chosen,) = fixed_candidates(op, fixed, workload, machine, "latency")
        executed(workload, machine, _plan(Step("mul", chosen)), exact_events=True)
        reads[name] = chosen.dram_read_bytes
    assert reads == {"fifo": 256 + 8 * 16, "cache": 256 + 16}


def test_what_should_stay_is_refused():
    workload = one_conv()
    fixed = FixedMapping("conv", stream=("inputs",))
    with pytest.raises(AccelsimError, match="without a cache everything streams, 'y' too"):
        fixed_candidates(workload.ops[0], fixed, workload, cacheless(), "latency")
