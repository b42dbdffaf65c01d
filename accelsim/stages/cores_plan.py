"""Plans and operator rows of several cores in the form of those of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from fractions import Fraction

from accelsim.cost.kinds import kinds_energy
from accelsim.multicore.assign import Part
from accelsim.multicore.kinds import core_kinds
from accelsim.multicore.parts import CoreNetwork
from accelsim.multicore.run import SystemRun, memory_bytes
from accelsim.multicore.text import region_text
from accelsim.plan import MemoryPlan, Step
from accelsim.program import Program
from accelsim.sim.folded import FoldedTrace
from accelsim.sim.idle import idle_gaps
from accelsim.sim.layers import BlockTimes, layer_rows_of
from accelsim.sim.summary import LayerRow

PICO = 10**12


def fullest(run: SystemRun) -> int:
    """The core whose scratchpad is used most, in proportion to its size."""
    shares = [
        Fraction(plan.peak_bytes, core.scratchpad.bytes)
        for plan, core in zip(run.plans, run.system.cores, strict=True)
    ]
    return shares.index(max(shares))


def joint_plan(run: SystemRun, objective: str, notes: tuple[str, ...]) -> MemoryPlan:
    """All cores' plans in one: traffic summed, bytes in use of the fullest core, and a step per
    operator, which names tensors as the network does."""
    steps: dict[str, list[_Planned]] = {}
    for core, (plan, network) in enumerate(zip(run.plans, run.networks, strict=True)):
        for part, step in zip(run.assignment.of(core), plan.steps, strict=True):
            steps.setdefault(part.op, []).append((part, step, network))
    number, plans = fullest(run), run.plans
    full, own = plans[number], run.system.cores[number].weight_sram
    alike = [core.weight_sram == own for core in run.system.cores]
    cost = _cost(run, objective)
    return MemoryPlan(
        steps=tuple(_joint_step(op, parts) for op, parts in steps.items()),
        peak_bytes=full.peak_bytes,
        lower_bound_bytes=full.lower_bound_bytes,
        traffic_bytes=memory_bytes(run),
        spill_bytes=sum(plan.spill_bytes for plan in plans),
        cost=cost,
        cost_lower_bound=max(run.bounds_cycles.values()) if objective == "latency" else 0,
        objective=objective,
        proved=False,
        status="feasible",
        solver=", ".join(sorted({plan.solver for plan in plans})),
        notes=notes,
        weight_peak_bytes=max(
            plan.weight_peak_bytes for plan, same in zip(plans, alike, strict=True) if same
        ),
    )


def _cost(run: SystemRun, objective: str) -> int:
    """In the units of :class:`accelsim.mapping.objective.Objective`, of the simulated run."""
    if objective == "latency":
        return run.cycles
    if objective == "traffic":
        return memory_bytes(run)
    picojoule = round(kinds_energy(core_kinds(run)).total_j * PICO)
    return picojoule if objective == "energy" else picojoule * run.cycles


_Planned = tuple[Part, Step, CoreNetwork]
_TENSORS: tuple[Callable[[Step], Iterable[str]], ...] = (
    lambda step: step.candidate.streamed,
    lambda step: step.loads,
    lambda step: step.stores,
)
"""What moves in a step."""


def _joint_step(op: str, parts: Sequence[_Planned]) -> Step:
    name = "; ".join(
        f"core {p.core}: {region_text(p.region)} {step.candidate.name}" for p, step, _ in parts
    )
    mine = [step.candidate for _, step, _ in parts]
    largest = max(mine, key=lambda candidate: candidate.buffer_bytes)
    named = [
        [net.origin[tensor] for _, step, net in parts for tensor in sorted(of(step))]
        for of in _TENSORS
    ]
    streamed, loads, stores = (dict.fromkeys(names) for names in named)
    return Step(
        op,
        replace(
            largest,
            name=name,
            streamed=frozenset(streamed),
            dram_read_bytes=sum(candidate.dram_read_bytes for candidate in mine),
            dram_write_bytes=sum(candidate.dram_write_bytes for candidate in mine),
            cycles=max(candidate.cycles for candidate in mine),
            compute_cycles=max(candidate.compute_cycles for candidate in mine),
            scratchpad_bytes=sum(candidate.scratchpad_bytes for candidate in mine),
            weight_scratchpad_bytes=sum(candidate.weight_scratchpad_bytes for candidate in mine),
            weight_buffer_bytes=max(candidate.weight_buffer_bytes for candidate in mine),
            accumulator_bytes=sum(candidate.accumulator_bytes for candidate in mine),
            macs=sum(candidate.macs for candidate in mine),
            vector_ops=sum(candidate.vector_ops for candidate in mine),
        ),
        tuple(loads),
        tuple(stores),
    )


def joint_layers(
    folded: FoldedTrace, times: Sequence[BlockTimes], pes: int
) -> tuple[LayerRow, ...]:
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
