"""Operators of one network on one array in different dataflows: commands, time, energy, trace."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.arch.parts import AccumulatorSram, Dma, EnergyOptions, Scratchpad, SystolicArray
from accelsim.cost.activity import graph_activity
from accelsim.cost.area import area
from accelsim.cost.energy import energy, energy_by_op, unit_energies
from accelsim.cost.program_activity import ProgramActivity, activity_by_op
from accelsim.cost.registers import pe_register_bits
from accelsim.lower import lower
from accelsim.plan import Candidate, MemoryPlan, Step, Tiling
from accelsim.program import Command, commands_of
from accelsim.sim.engine import simulate
from accelsim.sim.expand import expand, unfold
from accelsim.sim.rle import dump_trace
from accelsim.sim.steady import run_program
from accelsim.sim.trace_file import dump_folded, load_folded, read_trace
from accelsim.taskgraph import TaskKind

sys.path.insert(0, str(Path(__file__).parents[1] / "mapping"))
from hardware_samples import (
    REGION,
    candidate_of,
    conv_op,
    edge_npu,
    image,
    random_network,
    random_plan,
    workload_of,
)

FLOWS = st.lists(st.sampled_from(["ws", "os", "is"]), min_size=1, max_size=3, unique=True)
REGISTERS = EnergyOptions(fill_from=("aladdin_40nm",), scale=True)


def _machine(flows: list[str], seed: int):
    overlap = ["full", "none", "column"][seed % 3]
    return edge_npu(
        array=SystolicArray(8, 4, flows[0], overlap, alternatives=tuple(flows[1:])),
        accumulators=AccumulatorSram([1 << 10, 1 << 14][seed % 2]),
        scratchpad=Scratchpad(1 << 20, buffering=1 + seed % 3), dma=Dma(1 + seed % 3, 16),
        energy_options=REGISTERS,
    )  # fmt: skip


@given(seed=st.integers(0, 100_000), flows=FLOWS)
@settings(max_examples=12, deadline=None)
def test_folded_written_out_and_stepped_are_one(seed, flows):
    """Loops against commands written out, fast-forward against the reference engine, totals of the
    program against those of its tasks, files against what they hold."""
    workload, machine = random_network(seed % 11), _machine(flows, seed)
    plan = random_plan(workload, machine, seed)
    program, flat = (lower(workload, machine, plan, fold=fold) for fold in (True, False))
    for short, long in zip(program.blocks, flat.blocks, strict=True):
        assert list(commands_of(short.body)) == list(long.body)
    folded, graph = run_program(program), expand(program)
    stepped = simulate(graph)
    assert unfold(folded) == stepped
    assert ProgramActivity(machine).program(program) == graph_activity(graph, machine)
    assert load_folded(dump_folded(folded)) == folded
    assert read_trace(dump_trace(stepped)) == stepped
    assert {task.dataflow for task in graph.tasks if task.kind is not TaskKind.ARRAY} <= {""}
    for step in plan.steps:
        ran = {task.dataflow for task in graph.tasks if task.op == step.op and task.macs}
        assert ran <= {step.candidate.tiling.dataflow}
        assert ran <= set(machine.array.choices)


@given(seed=st.integers(0, 1_000), flows=st.permutations(["ws", "os", "is"]))
@settings(max_examples=10, deadline=None)
def test_a_choice_changes_nothing_for_an_operator_but_the_choice(seed, flows):
    """Times, traffic and energy of events are those of an array that has this dataflow only."""
    workload, machine = random_network(seed % 11), _machine(flows, seed)
    plan = random_plan(workload, machine, seed)
    program = lower(workload, machine, plan)
    for flow in flows:
        alone = replace(machine, array=machine.array.running(flow))
        same = tuple(replace(s, candidate=_without_choice(s)) for s in plan.steps)
        single = lower(workload, alone, replace(plan, steps=same))
        mixed_by_op, single_by_op = activity_by_op(program, machine), activity_by_op(single, alone)
        for step in plan.steps:
            if step.candidate.tiling.dataflow == flow:
                assert mixed_by_op[step.op] == single_by_op[step.op]


def _without_choice(step: Step) -> Candidate:
    """The step's candidate, as an array of one dataflow would have it."""
    return replace(step.candidate, tiling=replace(step.candidate.tiling, dataflow=""))


def _pointwise(flows: tuple[str, str]):
    """Two 1 x 1 convolutions of 16 channels on 4 x 4 pixels, a fold each on 16 x 16."""
    parts = [conv_op(f"c{i}", f"t{i}" if i else "x", f"t{i + 1}", 16, 4, 16, 1) for i in range(2)]
    workload = workload_of("two", image(16, 4), parts)
    machine = edge_npu(
        array=SystolicArray(16, 16, "ws", "full", alternatives=("os",)), energy_options=REGISTERS
    )
    places = {name: REGION * (2 + i) for i, name in enumerate(workload.tensors)}
    steps = [
        Step(
            op.name, candidate_of(op, workload, machine, Tiling(16, 16, 16, dataflow=flow)),
            ("x",) if op.name == "c0" else (), (op.output,), places,
        )
        for op, flow in zip(workload.ops, flows, strict=True)
    ]  # fmt: skip
    plan = MemoryPlan(tuple(steps), 0, 0, 0, 0, 0, 0, "latency", False, "feasible", "hand")
    return workload, machine, lower(workload, machine, plan)


def test_two_operators_by_hand():
    """Products of 16 x 16 x 16: cycles and register bits of each dataflow, one after the other."""
    _, machine, program = _pointwise(("ws", "os"))
    arrays = [
        command
        for block in program.blocks
        for command in commands_of(block.body)
        if isinstance(command, Command) and command.work.kind is TaskKind.ARRAY
    ]
    assert [(c.work.dataflow, c.cycles) for c in arrays] == [
        ("ws", 16 + 2 * 16 + 16 - 1),  # M + 2R + C - 1
        ("os", 16 + 2 * 16 + 16 - 2),  # K + 2R + C - 2
    ]
    did = activity_by_op(program, machine)
    macs, sums, weights = 16**3, 256, 256
    ws_hops = macs * 8 + sums * 16 * 32 + weights * 17 // 2 * 8
    os_hops = macs * 16 + sums * 17 // 2 * 32 - sums * 32
    assert (did["c0"].hop_bits, did["c1"].hop_bits) == (ws_hops, os_hops)
    assert did["c0"].register_bits == ws_hops + weights * 8
    assert did["c1"].register_bits == os_hops + macs * 32 + sums * 32
    by_op = energy_by_op(program, machine)
    per_bit = by_op["c0"].registers_j - by_op["c1"].registers_j
    bits = did["c0"].register_bits - did["c1"].register_bits
    total = energy(program, 10_000, machine)
    lanes = 64 * (did["c0"].vector_ops + did["c1"].vector_ops)
    both = did["c0"].register_bits + did["c1"].register_bits + lanes
    assert abs(per_bit / bits * both - total.registers_j) < 1e-9 * total.registers_j


def test_order_of_the_operators_does_not_matter_to_their_energy():
    _, machine, program = _pointwise(("ws", "os"))
    _, _, swapped = _pointwise(("os", "ws"))
    first, second = activity_by_op(program, machine), activity_by_op(swapped, machine)
    assert first["c0"].register_bits == second["c1"].register_bits
    assert first["c1"].register_bits == second["c0"].register_bits


def test_a_reconfigurable_pe_has_the_registers_of_all_its_dataflows():
    """Operand, weight, sum; shadow of the held operand (ws, is); drain register (os)."""

    def bits(*flows: str, **more: object) -> int:
        array = SystolicArray(
            16, 16, flows[0], **{"overlap": "full", **more}, alternatives=flows[1:]
        )
        return pe_register_bits(array)

    assert (bits("ws"), bits("os"), bits("is")) == (56, 80, 56)
    assert bits("ws", "os") == bits("os", "ws") == 8 + 8 + 32 + 8 + 32
    assert bits("ws", "is") == 56
    assert bits("ws", "os", "is") == 88
    assert bits("ws", "os", overlap="none") == 48
    # Wider operands: whatever is held takes the register on the way down, so it fits both.
    assert bits("ws", "is", operand_bits=16) == 16 + 16 + 32 + 16
    assert bits("ws", operand_bits=16) == 16 + 8 + 32 + 8
    # Gemmini's two ping-pong registers are shadow weight or drain.
    assert bits("ws", "os", microarchitecture="gemmini") == 8 + 8 + 32 + 32

    def silicon(*flows: str) -> float:
        array = SystolicArray(16, 16, flows[0], alternatives=flows[1:])
        return area(edge_npu(array=array)).blocks["array"]

    assert silicon("ws", "os") > max(silicon("ws"), silicon("os"))


def test_registers_that_a_dataflow_leaves_idle_are_clocked_all_the_same():
    """The same work in the same dataflow costs more clock energy on the array that has more."""
    _, machine, program = _pointwise(("ws", "ws"))
    alone = replace(machine, array=machine.array.running("ws"))
    more, less = (energy(program, 10_000, m).clock_j for m in (machine, alone))
    extra = 10_000 * 256 * 32  # a drain register of 32 bits in 256 PEs that takes no word
    assert more - less > 0
    held = unit_energies(machine).clock["array"] * 1e-12  # joules per flip-flop and cycle
    assert abs((more - less) - extra * held) < 1e-9 * more
