"""Memory levels between scratchpad and DRAM: who is kept where, what moves, and when."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.arch.parts import (
    Accelerator,
    Compression,
    Dma,
    Dram,
    Level,
    Scratchpad,
    SystolicArray,
)
from accelsim.arch.system import System
from accelsim.config.types import ScheduleConfig
from accelsim.design_point import evaluate
from accelsim.errors import AccelsimError
from accelsim.execution import Execution, executed, machine_rates
from accelsim.lower import lower, plan_traffic
from accelsim.mapping import Objective, candidates
from accelsim.mapping.homes import expected_homes, settled_homes
from accelsim.mapping.moves import Steps
from accelsim.mapping.quick_plan import quick_plan
from accelsim.mapping.search import exhaustive
from accelsim.plan import Home, MemoryPlan, Step, Tiling
from accelsim.program import Command, commands_of
from accelsim.sim.addresses import check_addresses
from accelsim.sim.check import TraceError
from accelsim.sim.check_folded import check_folded
from accelsim.sim.check_homes import check_homes
from accelsim.sim.layers import work_totals
from accelsim.sim.trace_file import dump_folded, load_folded
from accelsim.stages.memory import plan_memory
from accelsim.taskgraph import TaskKind
from accelsim.workload.graph import Workload

sys.path.insert(0, str(Path(__file__).parents[1] / "mapping"))
from hardware_samples import (
    candidate_of,
    conv_op,
    edge_npu,
    image,
    random_network,
    workload_of,
)

L2 = Level("l2", 1024, 4_000_000_000, latency_cycles=5)
"""8 bytes per cycle of the sample machine."""


def two_convs(**changes: object) -> Workload:
    """64 pixels: x has 4 channels, t 8, y 4."""
    parts = [conv_op("c0", "x", "t", 4, 8, 8, 1), conv_op("c1", "t", "y", 8, 8, 4, 1)]
    return replace(workload_of("two", image(4, 8), parts), **changes)  # type: ignore[arg-type]


def streaming(
    workload: Workload, machine: Accelerator, *tilings: Tiling, goal: str = "latency"
) -> MemoryPlan:
    """Everything streams, with these tilings, and is kept where it should be."""
    steps = []
    for op, tiling in zip(workload.ops, tilings, strict=True):
        moved = frozenset((*op.inputs, op.output))
        chosen = candidate_of(op, workload, machine, tiling, moved, hidden=None)
        steps.append(Step(op.name, chosen))
    homes = settled_homes(workload, machine, steps, Objective(machine, goal))
    plan = MemoryPlan(
        tuple(steps), 0, 0, 0, 0, 0, 0, "latency", False, "feasible", "hand", homes=homes
    )
    return replace(plan, traffic_bytes=sum(plan_traffic(workload, plan)))


def commands(execution: Execution) -> list[Command]:
    return [c for block in execution.program.blocks for c in commands_of(block.body)]


WHOLE = (Tiling(64, 8, 4), Tiling(64, 4, 8))


def test_what_goes_from_operator_to_operator_stays_in_the_level():
    """DRAM has the rest: weights of 32 B each, biases of 32 and 16 B, x and y of 256 B."""
    workload, machine = two_convs(), edge_npu(levels=(L2,))
    plan = streaming(workload, machine, *WHOLE)
    assert plan.homes == (Home("t", "l2", 0, 512, 0, 1, 512, 512),)
    assert plan_traffic(workload, plan) == (32 + 32 + 256 + 32 + 16, 256)
    assert plan.level_bytes == {"l2": (512, 512)}
    done = executed(workload, machine, plan, exact_events=True)
    did = work_totals(done.program)
    assert (did.dram_read, did.dram_write) == (368, 256)
    assert did.levels == {"l2": (512, 512)}
    # 512 bytes at 8 per cycle on the level's port, after set-up (16) and latency (5).
    near = [c for c in commands(done) if c.work.level]
    assert [(c.work.kind, c.cycles, c.ports) for c in near] == [
        (TaskKind.STORE_OUTPUT, 64, (1,)), (TaskKind.LOAD_INPUT, 64, (1,)),
    ]  # fmt: skip
    assert done.program.ports == ("dram", "l2")
    setups = [c.cycles for c in commands(done) if c.work.kind is TaskKind.DMA_SETUP]
    assert sorted(setups) == [21, 21, 66, 66, 66, 66]
    without = executed(workload, edge_npu(), streaming(workload, edge_npu(), *WHOLE))
    assert done.cycles < without.cycles


def test_an_input_that_is_read_again_and_again_is_copied_in_once():
    """Four blocks of two filters read both halves of x: 1,024 B. DRAM has 0.2 B per cycle."""
    slow = Dram("LPDDR4", 100_000_000, 50)
    workload, machine = two_convs(), edge_npu(levels=(L2,), dram=slow)
    plan = streaming(workload, machine, Tiling(32, 2, 4), Tiling(64, 4, 8))
    assert plan.homes == (
        Home("x", "l2", 0, 256, 0, 0, 1024, 0, copied_in=True),
        Home("t", "l2", 256, 512, 0, 1, 512, 512),
    )
    done = executed(workload, machine, plan, exact_events=True)
    did = work_totals(done.program)
    assert did.levels == {"l2": (1024 + 512, 256 + 512)}
    assert did.dram_read == 32 + 32 + 256 + 32 + 16
    # Set-up and both latencies, then DRAM is the slower one of the two ports.
    copies = [c for c in commands(done) if c.work.kind is TaskKind.COPY]
    assert [(c.cycles, c.ports) for c in copies] == [(1280, (0, 1))]
    assert commands(done)[0].cycles == 16 + 50 + 5
    fast = edge_npu(levels=(replace(L2, bytes_per_second=10**9),))
    assert [home.tensor for home in streaming(workload, fast, *WHOLE).homes] == ["t"]


def test_an_output_that_is_read_again_is_copied_out():
    workload = two_convs(outputs=("t", "y"))
    machine = edge_npu(levels=(L2,), dram=Dram("LPDDR4", 100_000_000, 50))
    plan = streaming(workload, machine, *WHOLE)
    assert plan.homes == (Home("t", "l2", 0, 512, 0, 1, 512, 512, copied_out=True),)
    done = executed(workload, machine, plan, exact_events=True)
    did = work_totals(done.program)
    assert did.levels == {"l2": (1024, 512)}
    assert (did.dram_read, did.dram_write) == (368, 512 + 256)


def test_weights_that_are_fetched_again_are_copied_with_their_bias():
    """A cut reduction fetches the weights of c1 for each of 8 pixel tiles: 8 x 32 B."""
    workload = two_convs()
    machine = edge_npu(levels=(L2,), dram=Dram("LPDDR4", 10_000_000, 0), dma=Dma(2, 0))
    plan = streaming(workload, machine, Tiling(64, 8, 4), Tiling(8, 4, 4))
    staged = {home.tensor: home for home in plan.homes if home.copied_in}
    assert set(staged) == {"c1.w", "c1.b"}
    assert (staged["c1.w"].read_bytes, staged["c1.w"].bytes) == (256, 32)
    done = executed(workload, machine, plan, exact_events=True)
    assert work_totals(done.program).dram_read == 368
    packed = replace(machine, compression=Compression(ratio=1, decode_bytes_per_cycle=8))
    plan = streaming(workload, packed, Tiling(64, 8, 4), Tiling(8, 4, 4))
    assert [home.tensor for home in plan.homes] == ["t"]


def test_the_nearest_level_with_room_and_who_moves_most_first():
    workload = two_convs()
    near = Level("l2", 511, 8 * 500_000_000)
    far = Level("l3", 600, 4 * 500_000_000)
    plan = streaming(workload, edge_npu(levels=(near, far)), *WHOLE)
    assert [(home.tensor, home.level) for home in plan.homes] == [("t", "l3")]
    none = streaming(workload, edge_npu(levels=(near,)), *WHOLE)
    assert none.homes == ()
    assert plan.traffic_bytes == none.traffic_bytes - 1024
    three = workload_of(
        "three", image(4, 8),
        [conv_op("a", "x", "t", 4, 8, 8, 1), conv_op("b", "t", "u", 8, 8, 4, 1),
         conv_op("c", "u", "y", 4, 8, 4, 1)],
    )  # fmt: skip
    # t (512 B) comes before u (256 B): there is no room for both at the same time.
    assert expected_homes(three, edge_npu(levels=(replace(L2, bytes=700),))) == {"t": "l2"}
    assert expected_homes(three, edge_npu(levels=(replace(L2, bytes=768),))) == {
        "t": "l2", "u": "l2",
    }  # fmt: skip


LEVELS = st.lists(
    st.builds(
        Level,
        st.sampled_from(["l2", "l3"]),
        st.sampled_from([500, 3_000, 20_000]),
        st.sampled_from([1_000_000_000, 7_777_777_777, 40_000_000_000]),
        st.integers(0, 30),
        protection=st.sampled_from(["none", "secded"]),
    ),
    max_size=2,
    unique_by=lambda level: level.name,
).map(tuple)
MACHINES = st.builds(
    edge_npu,
    levels=LEVELS,
    scratchpad=st.builds(
        Scratchpad,
        st.sampled_from([3_000, 6_000, 60_000]),
        buffering=st.integers(1, 3),
        ports=st.integers(1, 3),
        cacheless=st.sampled_from([False, False, True]),
    ),
    dram=st.sampled_from([Dram("LPDDR4", 400_000_000, 50), Dram("DDR4", 3_333_333_333, 7)]),
    dma=st.builds(Dma, st.integers(1, 4), st.sampled_from([0, 16])),
    weight_memory=st.sampled_from([None, None, Dram("FLASH", 100_000_000, 9)]),
    weight_sram=st.sampled_from([None, None, Scratchpad(200_000, width_bytes=16)]),
    array=st.sampled_from([SystolicArray(16, 16), SystolicArray(8, 8, alternatives=("os",))]),
)


@given(st.integers(0, 60), MACHINES, st.sampled_from(["fold", "layer"]))
@settings(max_examples=40, deadline=None)
def test_any_network_on_any_levels_runs_exactly_with_all_checks(seed, machine, rule):
    workload = random_network(seed)
    plan = quick_plan(workload, replace(machine, scratchpad=_roomy(machine)), rule)
    machine = replace(machine, scratchpad=_roomy(machine))
    done = executed(workload, machine, plan, exact_events=True)
    _counted(workload, machine, plan, done)
    flat = lower(workload, machine, plan, fold=False)
    for short, long in zip(done.program.blocks, flat.blocks, strict=True):
        assert list(commands_of(short.body)) == list(long.body)
        assert replace(short, body=()) == replace(long, body=())
    assert load_folded(dump_folded(done.folded)) == done.folded


def _roomy(machine: Accelerator) -> Scratchpad:
    """Rules need more room than the search."""
    return replace(machine.scratchpad, bytes=10 * machine.scratchpad.bytes)


@given(
    st.integers(0, 60), MACHINES.filter(lambda m: m.scratchpad.bytes > 3_000),
    st.sampled_from(["latency", "energy", "traffic"]),
)  # fmt: skip
@settings(max_examples=15, deadline=None)
def test_planned_networks_too_and_the_search_is_the_exhaustive_one(seed, machine, objective):
    workload = random_network(seed)
    homes, goal = expected_homes(workload, machine), Objective(machine, objective)
    for op in workload.ops:
        if op.gemm is not None:
            found = candidates(op, workload, machine, objective, homes)
            assert found == exhaustive(op, workload, machine, goal, homes)
    plan = plan_memory(workload, machine, objective=objective, schedule=ScheduleConfig(effort=1))
    _counted(workload, machine, plan, executed(workload, machine, plan, exact_events=True))


def _counted(workload: Workload, machine: Accelerator, plan: MemoryPlan, done: Execution) -> None:
    """Bytes by memory, counted three times; homes that share no bytes."""
    did = work_totals(done.program)
    assert (did.dram_read, did.dram_write) == plan_traffic(workload, plan)
    assert sum(plan_traffic(workload, plan)) == plan.traffic_bytes
    assert did.levels == plan.level_bytes
    figures = Steps(workload, machine)
    read = sum(r for step in plan.steps for r, _ in figures.moves(step).values())
    written = sum(w for step in plan.steps for _, w in figures.moves(step).values())
    levels = plan.level_bytes.values()
    copied_in = sum(home.bytes for home in plan.homes if home.copied_in)
    copied_out = sum(home.bytes for home in plan.homes if home.copied_out)
    assert read == did.dram_read - copied_in + sum(r for r, _ in levels) - copied_out
    assert written == did.dram_write - copied_out + sum(w for _, w in levels) - copied_in
    sizes = {level.name: level.bytes for level in machine.levels}
    for home in plan.homes:
        assert home.address + home.bytes <= sizes[home.level]
        for other in plan.homes:
            apart = other.address + other.bytes <= home.address
            apart |= home.address + home.bytes <= other.address
            never = home.last < other.first or other.last < home.first
            assert home is other or home.level != other.level or apart or never


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"level": "l3"}, "does not use its home, level l3"),
        ({"first": 1}, "outside of its life in l2"),
        ({"read_bytes": 511}, "512 B read and 512 B written, planned 511 B and 512 B"),
        ({"copied_out": True}, "t is copied 0 times, not 1"),
        ({"tensor": "x"}, "uses level l2, but that is no home of it"),
    ],
)
def test_the_checker_does_not_believe_the_plan(change, wrong):
    workload, machine = two_convs(), edge_npu(levels=(L2, replace(L2, name="l3")))
    plan = streaming(workload, machine, *WHOLE)
    program = lower(workload, machine, plan)
    check_homes(program, plan.homes)
    (home,) = plan.homes
    with pytest.raises(TraceError, match=wrong):
        check_homes(program, (replace(home, **change),))


def test_places_and_rates_of_levels_are_checked():
    workload, machine = two_convs(), edge_npu(levels=(L2,))
    plan = streaming(workload, machine, *WHOLE)
    program = lower(workload, machine, plan)
    with pytest.raises(TraceError, match="is outside of l2, which has 500"):
        check_addresses(program, {"l2": 500})
    done = executed(workload, machine, plan)
    slower = machine_rates(replace(machine, levels=(replace(L2, bytes_per_second=10**9),)))
    with pytest.raises(TraceError, match="moves 512 bytes through l2 in 64 cycles"):
        check_folded(done.folded, slower)


def test_cacheless_machines_have_levels_too():
    """Every tile fetches its operands, but from the level what was made there."""
    pad = Scratchpad(1 << 16, cacheless=True)
    workload, machine = two_convs(), edge_npu(levels=(L2,), scratchpad=pad)
    plan = streaming(workload, machine, Tiling(32, 8, 4), Tiling(32, 4, 4))
    assert [home.tensor for home in plan.homes] == ["t"]
    executed(workload, machine, plan, exact_events=True)
    assert plan.level_bytes == {"l2": (512, 512)}


def test_several_cores_have_no_levels():
    machine = edge_npu(levels=(L2,))
    with pytest.raises(AccelsimError, match=r"A150 .*memory levels, which no core of a system"):
        System("two", (machine, machine))
    with pytest.raises(AccelsimError, match="A150"):
        evaluate(two_convs(), replace(machine, cores=2))
