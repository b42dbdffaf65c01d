"""A run on several equal cores (``accelerator.cores``): assigned, simulated and put in the form of
any other simulated design.

All strategies of :mod:`accelsim.multicore.strategies` are simulated with a mapping by rule, and the
best of them again with the mapping and memory plan that search and solver find for every core.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from accelsim.arch.parts import Accelerator
from accelsim.arch.system import System, system_of
from accelsim.config.types import RunConfig
from accelsim.cost.area import area
from accelsim.cost.energy import energy, energy_by_op
from accelsim.errors import AccelsimError, Mistake
from accelsim.execution import MOST_WRITTEN, Execution
from accelsim.figures import Simulated
from accelsim.multicore.assign import Part
from accelsim.multicore.check import check_system
from accelsim.multicore.run import (
    SystemRun,
    expected_macs,
    fastest,
    memory_device,
    planned_bytes,
    run_assignment,
    run_strategies,
    run_system,
)
from accelsim.multicore.text import region_text
from accelsim.plan import Candidate, MemoryPlan, Step, Tiling
from accelsim.program import Program
from accelsim.sim.check import TraceError
from accelsim.sim.engine import simulate
from accelsim.sim.expand import expand, expand_works, unfold
from accelsim.sim.folded import FoldedTrace
from accelsim.sim.idle import idle_gaps
from accelsim.sim.layers import BlockTimes, block_times, busy_of, layer_rows_of
from accelsim.sim.summary import LayerRow
from accelsim.sim.trace import Trace
from accelsim.stages.memory import plan_memory
from accelsim.workload.graph import Workload

RULE = "layer"
"""Mapping rule by which strategies are compared where the config names none."""

PROMISING = 2
"""Strategies that are planned anew by the solver, besides ``single``."""


def check_cores(config: RunConfig) -> None:
    """Refuse what a run on several cores cannot give. AccelsimError (M362), all at once."""
    machine = config.accelerator
    if machine is None or machine.cores == 1 or not config.simulate:
        return
    wrong = []
    if config.mapping.layers:
        wrong.append(("fixed mappings", "mapping.layers", "mapping: {rule: layer}"))
    if config.mapping.objective != "latency":
        what = f"objective {config.mapping.objective}"
        wrong.append((what, "mapping.objective", "objective: latency"))
    if config.safety is not None:
        wrong.append(("safety metrics", "safety", "cores: 1, or leave 'safety' out"))
    if config.faults is not None and config.faults.mode == "exposure":
        wrong.append(("upsets drawn by exposure", "faults.mode", "mode: rate, or cores: 1"))
    if wrong:
        raise AccelsimError(
            Mistake(
                "M362",
                f"{what} are not available with {machine.cores} cores",
                hint,
                config.locations.get(key) or config.locations.get("accelerator.cores"),
            )
            for what, key, hint in wrong
        )


def core_system(config: RunConfig) -> System:
    """The system that a run's accelerator means."""
    assert config.accelerator is not None, "the config reader asks for a machine"
    return system_of(config.accelerator)


def assigned(config: RunConfig, workload: Workload) -> SystemRun:
    """The fastest assignment of a run. Without a mapping rule in the config the most promising
    ones, by rule, are mapped and planned anew by search and solver, core by core, operators in the
    order of the assignment."""
    system, rule = core_system(config), config.mapping.rule
    quick = run_system(workload, system, rule=rule or RULE)
    if rule is not None:
        return quick
    ranked = sorted(quick.tried, key=lambda one: one[1])
    names = ("single", *(name for name, _ in ranked[:PROMISING]))
    schedule = replace(config.schedule, order="given")
    location = config.locations.get("accelerator.scratchpad.size")

    def planner(network: Workload, core: Accelerator) -> MemoryPlan:
        return plan_memory(network, core, objective="latency", schedule=schedule, location=location)

    runs = run_strategies(workload, system, names, planner=planner)
    best = fastest(runs)
    return quick if quick.cycles < best.cycles else best


def simulate_cores(
    config: RunConfig, workload: Workload, *, exact_events: bool = False
) -> Simulated:
    """The design as it ran on its cores; every result is checked on the way. The machine of the
    result has all cores; its plan has a step per operator that says what runs where."""
    machine = config.accelerator
    assert machine is not None, "the config reader asks for a machine"
    run = assigned(config, workload)
    folded = run.trace()
    flat = checked(run, folded, exact_events=exact_events)
    times = block_times(folded)
    program = run.program
    return Simulated(
        workload=workload,
        accelerator=machine,
        plan=_joint_plan(run),
        schedule=Execution(folded, flat),
        layers=_layers(folded, times, run.system.pes),
        busy=busy_of(folded, times),
        exposures=None,
        energy=energy(program, folded.cycles, machine),
        energy_by_op=energy_by_op(program, machine),
        area=area(machine),
        bounds_cycles=run.bounds_cycles,
        unprotected_cycles=_unprotected_cycles(workload, machine, run),
        batch=config.workload.batch,
    )


def checked(run: SystemRun, folded: FoldedTrace, *, exact_events: bool = False) -> Trace | None:
    """The trace written out, after the independent checks; None for more than
    ``accelsim.execution.MOST_WRITTEN`` commands, which are checked in total only (by
    ``run_system``). TraceError where any law is broken, which is a bug of ours.

    ``exact_events``: the reference engine has to agree on every cycle (R503 for a program that is
    too large for it).
    """
    program = run.program
    if exact_events:
        device = memory_device(run.system, run.networks)
        stepped = simulate(expand(program), device, expand_works(program))
        if stepped.rows != unfold(folded).rows:
            raise TraceError(("the stepped and the fast-forwarded run disagree",))
    if program.commands > MOST_WRITTEN:
        return None
    flat = unfold(folded)
    check_system(flat, run.system, traffic_bytes=planned_bytes(run), macs=expected_macs(run))
    return flat


def _unprotected_cycles(workload: Workload, machine: Accelerator, run: SystemRun) -> int:
    """Makespan of the same assignment and plans without the machine's protections."""
    if not machine.protection:
        return run.cycles
    bare = system_of(replace(machine, protection={}))
    plans = iter(run.plans)
    again = run_assignment(workload, bare, run.assignment, planner=lambda net, core: next(plans))
    return again.cycles


def _joint_plan(run: SystemRun) -> MemoryPlan:
    """All cores' plans in one: sums and maxima, and a step per operator."""
    steps: dict[str, list[tuple[Part, Candidate]]] = {}
    for core, plan in enumerate(run.plans):
        for part, step in zip(run.assignment.of(core), plan.steps, strict=True):
            steps.setdefault(part.op, []).append((part, step.candidate))
    plans = run.plans
    return MemoryPlan(
        steps=tuple(_joint_step(op, parts) for op, parts in steps.items()),
        peak_bytes=max(plan.peak_bytes for plan in plans),
        lower_bound_bytes=max(plan.lower_bound_bytes for plan in plans),
        traffic_bytes=sum(plan.traffic_bytes for plan in plans),
        spill_bytes=sum(plan.spill_bytes for plan in plans),
        cost=run.cycles,
        cost_lower_bound=max(run.bounds_cycles.values()),
        objective="latency",
        proved=False,
        status="feasible",
        solver=", ".join(sorted({plan.solver for plan in plans})),
        notes=tuple(_notes(run)),
    )


def _joint_step(op: str, parts: Sequence[tuple[Part, Candidate]]) -> Step:
    name = "; ".join(f"core {p.core}: {region_text(p.region)} {c.name}" for p, c in parts)
    mine = [candidate for _, candidate in parts]
    largest = max(mine, key=lambda candidate: candidate.buffer_bytes)
    streamed: frozenset[str] = frozenset().union(*(candidate.streamed for candidate in mine))
    return Step(
        op,
        Candidate(
            name=name,
            tiling=Tiling(largest.tiling.m, largest.tiling.n, largest.tiling.k),
            streamed=streamed,
            buffer_bytes=largest.buffer_bytes,
            prefetch_bytes=largest.prefetch_bytes,
            dram_read_bytes=sum(candidate.dram_read_bytes for candidate in mine),
            dram_write_bytes=sum(candidate.dram_write_bytes for candidate in mine),
            cycles=max(candidate.cycles for candidate in mine),
            compute_cycles=max(candidate.compute_cycles for candidate in mine),
        ),
    )


def _notes(run: SystemRun) -> Iterator[str]:
    tried = ", ".join(f"{name} {cycles} cycles" for name, cycles in run.tried)
    yield (
        f"operators assigned to {len(run.system.cores)} cores by strategy "
        f"'{run.assignment.strategy}', the fastest of: {tried}"
    )
    yield f"speed-up over one core alone, planned in the same way: {run.speedup:.3f}"
    yield "peak and live bytes are those of the fullest core"


def _layers(folded: FoldedTrace, times: Sequence[BlockTimes], pes: int) -> tuple[LayerRow, ...]:
    """Rows of operators. Array and vector unit are busy as long as those of the busiest core; a
    stall is a cycle in which no core computes."""
    program = folded.program
    units = {unit: _units(program, unit) for unit in ("array", "vector")}
    idle = idle_gaps(folded, [queue for queues in units.values() for queue in queues])
    busy: dict[tuple[int, str], list[int]] = {}
    for block, spent in zip(program.blocks, times, strict=True):
        total = busy.setdefault((block.step, block.op), [0] * len(spent.busy))
        for at, cycles in enumerate(spent.busy):
            total[at] += cycles
    rows, front = [], 0
    for row in layer_rows_of(folded, pes=pes, times=times):
        mine = busy[row.step, row.op]
        array, vector = (max(mine[queue] for queue in units[u]) for u in ("array", "vector"))
        after = front + row.advance_cycles
        rated = max(row.advance_cycles, array)
        rows.append(
            replace(
                row,
                array_busy=array,
                vector_busy=vector,
                utilisation=row.macs / (rated * pes) if rated else 0.0,
                stall_cycles=idle.before(after) - idle.before(front),
            )
        )
        front = after
    return tuple(rows)


def _units(program: Program, unit: str) -> list[int]:
    """Queues of one kind of unit, by core."""
    return [at for at, name in enumerate(program.queues) if name.endswith(f".{unit}")]
