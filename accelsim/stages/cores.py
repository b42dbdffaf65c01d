"""A run on several cores: assigned, simulated and put in the form of any other simulated design.

All strategies of :mod:`accelsim.multicore.strategies` are simulated with a mapping by rule, and the
best of them again with the mapping and memory plan that search and solver find for every core. The
run's objective says which is best. Fixed mappings hold for every part of an operator; a strategy
whose parts cannot obey them is refused and not chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from glob import escape

from accelsim.arch.parts import Accelerator
from accelsim.arch.system import System
from accelsim.config.types import ParallelConfig, RunConfig
from accelsim.cost.kinds import kinds_area, kinds_energy
from accelsim.errors import AccelsimError, InfeasibleError
from accelsim.execution import MOST_WRITTEN, Execution, require_written
from accelsim.figures import Simulated
from accelsim.mapping.fixed import FixedMapping, fixed_for
from accelsim.multicore.check import check_system
from accelsim.multicore.kinds import core_exposures, core_kinds, energy_by_step
from accelsim.multicore.parts import CoreNetwork
from accelsim.multicore.run import (
    AUTO,
    Attempts,
    SystemRun,
    expected_macs,
    memory_bytes,
    memory_device,
    planned_bytes,
    run_assignment,
    run_strategies,
)
from accelsim.multicore.strategies import STRATEGIES
from accelsim.plan import MemoryPlan
from accelsim.sim.check import TraceError
from accelsim.sim.engine import simulate
from accelsim.sim.expand import expand, expand_works, unfold
from accelsim.sim.folded import FoldedTrace
from accelsim.sim.layers import block_times, busy_of
from accelsim.sim.trace import Trace
from accelsim.stages.cores_check import core_system
from accelsim.stages.cores_plan import fullest, joint_layers, joint_plan
from accelsim.stages.memory import Given, given_mapping, plan_memory
from accelsim.workload.graph import Workload

RULE = "layer"
"""Mapping rule by which strategies are compared where the config names none."""

PROMISING = 2
"""Strategies that are planned anew by the solver, besides ``single``."""

UNITS: Mapping[str, str] = {"latency": "cycles", "traffic": "B", "energy": "J", "edp": "J x cycles"}
"""Objective -> unit of its figure."""


@dataclass(frozen=True)
class Choice:
    """An assignment, and what it was chosen among."""

    run: SystemRun
    objective: str
    stages: tuple[tuple[str, Attempts], ...]
    """(how they were mapped, what was compared), in order; the run is of the last or, where search
    gained nothing, of one before."""


def figure(run: SystemRun, objective: str) -> float:
    """What a run costs in terms of an objective, in :data:`UNITS`."""
    if objective == "latency":
        return run.cycles
    if objective == "traffic":
        return memory_bytes(run)
    joules = kinds_energy(core_kinds(run)).total_j
    return joules if objective == "energy" else joules * run.cycles


def assigned(config: RunConfig, workload: Workload) -> Choice:
    """The best assignment of a run. Without a mapping rule in the config the most promising ones,
    by rule, are mapped and planned anew by search and solver, core by core, operators in the order
    of the assignment. AccelsimError (M360) for a strategy that does not apply, or what keeps it
    from being executed."""
    system, rule, parallel = core_system(config), config.mapping.rule, _parallel(config)
    objective = config.mapping.objective
    only = parallel.strategy != AUTO
    names = ("single", parallel.strategy) if only else tuple(STRATEGIES)
    quick = run_strategies(workload, system, names, images=parallel.images, rule=rule or RULE)
    stages = [(f"by rule '{rule or RULE}'", quick)]
    if rule is None:
        planned = run_strategies(
            workload,
            system,
            names if only or config.mapping.layers else _promising(quick, objective),
            images=parallel.images,
            planner=_planner(config),
        )
        stages.append(("searched and planned", planned))
    return _chosen(config, stages)


def _parallel(config: RunConfig) -> ParallelConfig:
    return config.parallel or ParallelConfig()


def _promising(quick: Attempts, objective: str) -> tuple[str, ...]:
    """``single``, and what was best by rule, or may fit with other tiles."""
    ranked = sorted(quick.runs, key=lambda name: figure(quick.runs[name], objective))
    others = [name for name in (*ranked, *quick.refused) if name != "single"]
    return ("single", *others[:PROMISING])


def _planner(config: RunConfig) -> Callable[[CoreNetwork, Accelerator], MemoryPlan]:
    """Searches and plans one core's network for the run's objective. What the config fixes holds
    for every part of an operator."""
    schedule = replace(config.schedule, order="given")
    location = config.locations.get("accelerator.scratchpad.size")
    weights = config.locations.get("accelerator.weight_scratchpad.size")
    fixed = given_mapping(config).fixed

    def plan(network: CoreNetwork, core: Accelerator) -> MemoryPlan:
        return plan_memory(
            network.workload,
            core,
            objective=config.mapping.objective,
            schedule=schedule,
            given=Given(fixed=part_mappings(network, fixed)),
            location=location,
            weight_location=weights,
        )

    return plan


def part_mappings(network: CoreNetwork, fixed: Sequence[FixedMapping]) -> tuple[FixedMapping, ...]:
    """What is fixed for operators of the whole network, for the parts of them on one core."""
    found = []
    for part in network.workload.ops:
        whole = replace(part, name=network.ops[part.name])
        entry = fixed_for(whole, fixed)
        if entry is None:
            continue
        own = {network.origin[name]: name for name in (*part.inputs, part.output)}
        stream = entry.stream
        if stream is not None:
            stream = tuple(own.get(name, name) for name in stream)
        found.append(replace(entry, pattern=escape(part.name), stream=stream))
    return tuple(found)


def _chosen(config: RunConfig, stages: list[tuple[str, Attempts]]) -> Choice:
    """The best of all that was simulated, or of the one strategy that is asked for."""
    strategy, objective = _parallel(config).strategy, config.mapping.objective
    found: list[SystemRun] = []
    obeying = stages[-1:] if config.mapping.layers else stages
    for _, attempts in reversed(obeying):
        if strategy == AUTO and attempts.runs:
            found.append(attempts.best(lambda run: figure(run, objective)))
        elif strategy in attempts.runs:
            found.append(attempts.the(strategy))
    if not found:
        _refuse(config, stages[-1][1])
    return Choice(min(found, key=lambda run: figure(run, objective)), objective, tuple(stages))


def _refuse(config: RunConfig, attempts: Attempts) -> None:
    """Raise what kept everything that was tried from running, at its place."""
    strategy = _parallel(config).strategy
    try:
        if strategy == AUTO:
            attempts.best(lambda run: run.cycles)
        attempts.the(strategy)
    except InfeasibleError:
        raise
    except AccelsimError as error:
        at = config.locations.get("parallel.strategy")
        parts = "" if strategy in (AUTO, "single") else f" (a part of it, by strategy '{strategy}')"
        raise AccelsimError(
            replace(m, location=at)
            if m.code == "M360"
            else replace(m, message=f"{m.message}{parts}")
            for m in error.mistakes
        ) from None


def simulate_cores(
    config: RunConfig, workload: Workload, *, exact_events: bool = False
) -> Simulated:
    """The design as it ran on its cores; every result is checked on the way. Its plan has a step
    per operator that says what runs where."""
    choice = assigned(config, workload)
    run = choice.run
    if config.draws_exposures:
        require_written(run.program)
    folded = run.trace()
    flat = checked(run, folded, exact_events=exact_events)
    times = block_times(folded)
    kinds = core_kinds(run)
    full = fullest(run)
    return Simulated(
        workload=workload,
        accelerator=next(kind.machine for kind in kinds if full in kind.members),
        kinds=kinds,
        plan=joint_plan(run, choice.objective, _notes(choice)),
        schedule=Execution(folded, flat),
        layers=joint_layers(folded, times, run.system.pes),
        busy=busy_of(folded, times),
        exposures=None if flat is None else core_exposures(run, flat),
        energy=kinds_energy(kinds),
        energy_by_step=energy_by_step(run, kinds),
        area=kinds_area(kinds),
        bounds_cycles=run.bounds_cycles,
        unprotected_cycles=_unprotected_cycles(workload, run),
        batch=config.workload.batch * run.assignment.images,
        images=run.assignment.images,
        speedup=run.speedup,
    )


def checked(run: SystemRun, folded: FoldedTrace, *, exact_events: bool = False) -> Trace | None:
    """The trace written out, after the independent checks; None for more than
    ``accelsim.execution.MOST_WRITTEN`` commands, which are checked in total only (by
    ``run_assignment``). TraceError where any law is broken, which is a bug of ours.

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


def _unprotected_cycles(workload: Workload, run: SystemRun) -> int:
    """Makespan of the same assignment and plans without the machine's protections."""
    system = run.system
    if not any(core.protection for core in system.cores):
        return run.cycles
    cores = tuple(replace(core, protection={}) for core in system.cores)
    bare = System(system.name, cores, system.link, system.sync_cycles)
    plans = iter(run.plans)
    again = run_assignment(workload, bare, run.assignment, planner=lambda net, core: next(plans))
    return again.cycles


def _notes(choice: Choice) -> tuple[str, ...]:
    run, unit = choice.run, UNITS[choice.objective]
    compared = "; ".join(
        f"{how}: "
        + ", ".join(
            f"{name} {figure(other, choice.objective):.6g} {unit}"
            for name, other in attempts.runs.items()
        )
        for how, attempts in choice.stages
        if attempts.runs
    )
    speedup = run.speedup
    alone = "no core can run the network alone"
    if speedup is not None:
        alone = f"speed-up over one core alone, planned in the same way: {speedup:.3f}"
    refused = {
        name: error.mistakes[0].message.splitlines()[0]
        for _, attempts in choice.stages
        for name, error in attempts.refused.items()
    }
    return (
        f"operators assigned to {len(run.system.cores)} cores by strategy "
        f"'{run.assignment.strategy}'; {choice.objective} {compared}",
        *(f"strategy '{name}' could not be executed: {why}" for name, why in refused.items()),
        alone,
        "peak and live bytes are those of the fullest core",
    )
