"""Workload x Accelerator -> MemoryPlan: order, residency, tilings and addresses in one problem.

Every operator offers its candidate tilings as columns (modes); ``ilp.schedule`` chooses among them
together with order, residency, spills and reloads, and places what is resident exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import ceil

import ilp
from accelsim.arch.parts import Accelerator
from accelsim.config.types import ScheduleConfig
from accelsim.cost.energy import dram_pj_per_byte, static_pj_per_cycle
from accelsim.errors import InfeasibleError, Location
from accelsim.lower import plan_traffic
from accelsim.mapping import candidates, require_legal
from accelsim.plan import Candidate, MemoryPlan, Step
from accelsim.workload.graph import Workload

Columns = dict[str, dict[str, Candidate]]
"""Operator -> candidate name -> candidate."""


def plan_memory(
    workload: Workload,
    accelerator: Accelerator,
    *,
    objective: str,
    schedule: ScheduleConfig,
    location: Location | None = None,
) -> MemoryPlan:
    """The cheapest plan in terms of ``objective`` (``latency``: cycles; ``traffic``: DRAM bytes;
    ``energy``: picojoule of DRAM transfers and leakage).

    Raises :class:`InfeasibleError` when the smallest legal tile of an operator does not fit, or no
    plan fits, or the solver stopped without one. ``location`` is where the size was configured.
    """
    columns = candidate_columns(workload, accelerator, objective, location)
    problem = build_problem(workload, accelerator, columns, objective, schedule.order)
    solved = ilp.schedule(problem, solver=schedule.solver, effort=schedule.effort)
    if solved.infeasibility is not None:
        raise InfeasibleError(solved.infeasibility, location)
    steps = plan_steps(columns, solved)
    drafted = MemoryPlan(
        steps=steps,
        peak_bytes=solved.peak_bytes,
        lower_bound_bytes=solved.max_live_bytes,
        traffic_bytes=0,
        spill_bytes=spill_bytes(workload, steps),
        cost=solved.cost,
        cost_lower_bound=solved.lower_bound,
        objective=objective,
        proved=solved.status == "optimal",
        status=solved.status,
        solver=solved.solver,
        notes=solved.notes,
    )
    read, write = plan_traffic(workload, drafted)
    return MemoryPlan(**{**drafted.__dict__, "traffic_bytes": read + write})


def candidate_columns(
    workload: Workload, accelerator: Accelerator, objective: str, location: Location | None
) -> Columns:
    """All legal tilings of every operator; the first operator without one is infeasible."""
    capacity = accelerator.scratchpad.bytes
    columns: Columns = {}
    for op in workload.ops:
        found = candidates(op, workload, accelerator, objective)
        try:
            require_legal(op, found, workload, accelerator)
        except InfeasibleError as error:
            raise InfeasibleError(error.infeasibility, location) from None
        columns[op.name] = {c.name: c for c in found if c.buffer_bytes <= capacity}
    return columns


def build_problem(
    workload: Workload,
    accelerator: Accelerator,
    columns: Columns,
    objective: str,
    order: str,
) -> ilp.Problem:
    """The scheduling problem whose cost is the objective. Graph inputs start in DRAM, so every
    load of them costs, the first one too."""
    move = transfer_cost(accelerator, objective)
    sizes = {
        name: tensor.bytes
        for name, tensor in workload.tensors.items()
        if name in workload.producer or name in workload.consumers or name in workload.inputs
    }
    transfers = {name: move(size) for name, size in sizes.items()}
    ops = tuple(
        ilp.Op(
            id=op.name,
            inputs=op.inputs,
            outputs=(op.output,),
            modes=tuple(
                ilp.Mode(
                    name=c.name,
                    workspace_bytes=c.buffer_bytes,
                    prefetch_bytes=c.prefetch_bytes,
                    cost=column_cost(c, accelerator, objective),
                    streamed=c.streamed,
                )
                for c in columns[op.name].values()
            ),
        )
        for op in workload.ops
    )
    return ilp.Problem(
        sizes=sizes,
        ops=ops,
        graph_inputs=workload.inputs,
        graph_outputs=workload.outputs,
        capacity=accelerator.scratchpad.bytes,
        order=order,
        inputs_clean=True,
        charge_inputs=True,
        charge_outputs=True,
        alignment=accelerator.scratchpad.alignment_bytes,
        store_cost=transfers,
        load_cost=transfers,
    )


def _picojoule(dram_bytes: int, cycles: int, accelerator: Accelerator) -> int:
    return round(
        dram_pj_per_byte(accelerator) * dram_bytes + static_pj_per_cycle(accelerator) * cycles
    )


def dma_cycles(size: int, accelerator: Accelerator) -> int:
    """Cycles of one uncontended transfer of ``size`` bytes."""
    bytes_per_cycle: Fraction = accelerator.dram_bytes_per_cycle
    fixed = accelerator.dma.setup_cycles + accelerator.dram.latency_cycles
    return fixed + ceil(size / bytes_per_cycle) if size else 0


def transfer_cost(accelerator: Accelerator, objective: str) -> Callable[[int], int]:
    """Function bytes -> cost of moving a whole tensor once, in units of the objective."""

    def cost(size: int) -> int:
        if objective == "traffic":
            return size
        cycles = dma_cycles(size, accelerator)
        return cycles if objective == "latency" else _picojoule(size, cycles, accelerator)

    return cost


def column_cost(candidate: Candidate, accelerator: Accelerator, objective: str) -> int:
    """Cost of one run of an operator in this tiling, in units of the objective."""
    moved = candidate.dram_read_bytes + candidate.dram_write_bytes
    if objective == "traffic":
        return moved
    if objective == "latency":
        return candidate.cycles
    return _picojoule(moved, candidate.cycles, accelerator)


def plan_steps(columns: Columns, solved: ilp.Schedule) -> tuple[Step, ...]:
    """Translate the solver's steps."""
    steps = []
    for step in solved.steps:
        op = str(step.op)
        candidate = columns[op][step.mode]
        steps.append(
            Step(
                op,
                candidate,
                step.loads,
                step.stores,
                dict(step.resident),
                step.workspace_address,
            )
        )
    return tuple(steps)


def spill_bytes(workload: Workload, steps: tuple[Step, ...]) -> int:
    """Stores and reloads beyond the first load of an input and the store of an output."""
    total = 0
    seen: set[str] = set()
    for step in steps:
        for name in step.loads:
            if name not in workload.inputs or name in seen:
                total += workload.tensors[name].bytes
            seen.add(name)
        total += sum(workload.tensors[n].bytes for n in step.stores if n not in workload.outputs)
    return total
