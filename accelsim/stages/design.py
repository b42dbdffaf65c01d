"""A design on one core: its network read, mapped, planned, lowered, simulated and costed."""

from __future__ import annotations

from dataclasses import replace

from accelsim.arch.parts import Accelerator
from accelsim.arch.protection import without_protections
from accelsim.config.types import RunConfig
from accelsim.cost.area import area
from accelsim.cost.energy import energy_by_op
from accelsim.cost.kinds import CoreKind, kinds_energy
from accelsim.cost.program_activity import ProgramActivity
from accelsim.execution import Execution, bare_cycles, executed
from accelsim.figures import Simulated
from accelsim.mapping import lower_bounds
from accelsim.plan import MemoryPlan
from accelsim.sim.exposure import exposures
from accelsim.sim.layers import block_times, busy_of, layer_rows_of
from accelsim.sim.summary import busy_cycles, layer_rows
from accelsim.sim.trace import Trace
from accelsim.workload.graph import Workload
from accelsim.workload.precision import as_int8, require_precision


def read_workload(config: RunConfig) -> Workload:
    """The network of a variant."""
    from accelsim.workload.reader import read_network

    chosen = config.workload
    workload = read_network(
        chosen.model,
        batch=chosen.batch,
        unsupported=chosen.unsupported,
        recurrent=chosen.recurrent,
    )
    if not config.simulate:
        return workload
    if chosen.precision == "int8":
        workload = as_int8(workload)
    for machine in config.machines:
        require_precision(workload, machine.array, config.locations.get("workload.model"))
    return workload


def simulate_design(
    config: RunConfig, workload: Workload, *, exact_events: bool = False
) -> Simulated:
    """Map, plan, lower, simulate and cost one design; every result is checked on the way."""
    from accelsim.stages.memory import given_mapping, plan_memory

    acc = config.accelerator
    assert acc is not None, "the config reader lets a simulated run through only with a machine"
    plan = plan_memory(
        workload,
        acc,
        objective=config.mapping.objective,
        schedule=config.schedule,
        given=given_mapping(config),
        location=config.locations.get("accelerator.scratchpad.size"),
        weight_location=config.locations.get("accelerator.weight_scratchpad.size"),
    )
    schedule = executed(
        workload, acc, plan, exact_events=exact_events, each_command=config.draws_exposures
    )
    program, flat = schedule.program, schedule.flat
    pes = acc.array.rows * acc.array.cols
    if exact_events and flat is not None:
        layers, busy = layer_rows(flat, pes=pes), busy_cycles(flat)
    else:
        times = block_times(schedule.folded)
        layers = layer_rows_of(schedule.folded, pes=pes, times=times)
        busy = busy_of(schedule.folded, times)
    did = ProgramActivity(acc).program(program)
    by_op = energy_by_op(program, acc)
    kinds = (CoreKind(acc, replace(did, cycles=schedule.cycles), plans=(plan,)),)
    return Simulated(
        workload=workload,
        accelerator=acc,
        kinds=kinds,
        plan=plan,
        schedule=schedule,
        layers=layers,
        busy=busy,
        exposures=None if flat is None else exposures(flat),
        energy=kinds_energy(kinds),
        energy_by_step={row.step: by_op[row.op] for row in layers},
        area=area(acc),
        bounds_cycles=lower_bounds(workload, acc),
        unprotected_cycles=_unprotected_cycles(workload, acc, plan, schedule, exact_events),
        batch=config.workload.batch,
    )


def _unprotected_cycles(
    workload: Workload,
    accelerator: Accelerator,
    plan: MemoryPlan,
    schedule: Execution,
    exact_events: bool,
) -> int:
    """Makespan of the same plan without the machine's protections."""
    bare = without_protections(accelerator)
    if bare == accelerator:
        return schedule.cycles
    return bare_cycles(workload, bare, plan, exact_events=exact_events)


def execute(workload: Workload, accelerator: Accelerator, plan: MemoryPlan) -> Trace:
    """Lower a plan, simulate it and write it out, one row per command; the independent checks
    always run. AccelsimError R504 for more than ``accelsim.execution.MOST_WRITTEN`` commands."""
    return executed(workload, accelerator, plan).trace
