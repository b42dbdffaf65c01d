"""One design point, fast: a network on a machine with a mapping rule, without solver or files.

The same mapping code, lowering, timing and energy as a whole run (``accelsim.pipeline``), but with
a plan by rule (:func:`accelsim.mapping.quick_plan.quick_plan`) in place of the exact one, and only
the figures that a sweep over designs compares. Cost grows with the distinct tiles of the network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from accelsim.arch.parts import Accelerator
from accelsim.cost.area import area
from accelsim.cost.breakdown import EnergyBreakdown
from accelsim.cost.energy import energy_of
from accelsim.cost.program_activity import ProgramActivity
from accelsim.lower import lower, plan_traffic
from accelsim.mapping.bounds import lower_bounds
from accelsim.mapping.quick_plan import quick_plan
from accelsim.mapping.tiles import executed_macs
from accelsim.mapping.timing import Timing
from accelsim.plan import MemoryPlan
from accelsim.sim.check import TraceError
from accelsim.sim.check_homes import check_homes
from accelsim.sim.devices import PortDevice
from accelsim.sim.dram import BankedDram
from accelsim.sim.steady import run_cycles
from accelsim.workload.graph import Workload
from accelsim.workload.precision import require_precision


@dataclass(frozen=True)
class Evaluation:
    """What one design point costs, for one inference (of the workload's batch)."""

    cycles: int
    seconds: float
    energy: EnergyBreakdown
    area_mm2: float
    dram_bytes: int
    """Both ways, weights included."""
    utilisation: float
    """MACs carried out / (cycles x processing elements)."""
    commands: int
    """Commands executed: transfers, set-ups, array and vector tiles."""
    steps: int
    """Of these, how many were stepped; the others were recognised as recurring."""
    bounds_cycles: dict[str, int]
    """Cycles that no mapping can beat, by resource."""


def evaluate(workload: Workload, accelerator: Accelerator, *, rule: str = "layer") -> Evaluation:
    """Plan by ``rule`` (``accelsim.mapping.rules``), simulate and cost one design.

    Raises AccelsimError for an unknown rule, energies that are not known, or a network in another
    number format than the array's (W110), InfeasibleError when the tile buffers of an operator do
    not fit. Several cores share the work in the fastest of the
    ways that ``accelsim.multicore`` knows.
    """
    require_precision(workload, accelerator.array)
    if accelerator.cores > 1:
        from accelsim.multicore.evaluation import evaluate_cores

        return evaluate_cores(workload, accelerator, rule)
    timing = Timing(accelerator)
    plan = quick_plan(workload, accelerator, rule, timing=timing)
    program = lower(workload, accelerator, plan, timing=timing)
    cycles, steps = run_cycles(program, device=memory_device(workload, accelerator))
    did = ProgramActivity(accelerator).program(program)
    bounds = lower_bounds(workload, accelerator)
    require_conserved(cycles, workload, accelerator, plan, did.dram_bytes, did.macs)
    if plan.homes:
        check_homes(program, plan.homes)
    pes = accelerator.array.rows * accelerator.array.cols
    return Evaluation(
        cycles=cycles,
        seconds=cycles / accelerator.clock_hz,
        energy=energy_of(replace(did, cycles=cycles), accelerator),
        area_mm2=area(accelerator).total_mm2,
        dram_bytes=did.dram_bytes,
        utilisation=did.macs / (cycles * pes) if cycles else 0.0,
        commands=program.commands,
        steps=steps,
        bounds_cycles=bounds,
    )


def memory_device(workload: Workload, accelerator: Accelerator) -> PortDevice | None:
    """The banked model of the DRAM if the machine asks for it; None: plain bandwidth."""
    if accelerator.dram.model != "banked":
        return None
    sizes = {name: tensor.bytes for name, tensor in workload.tensors.items()}
    return BankedDram(accelerator.dram, accelerator.clock_hz, sizes)


def require_conserved(
    cycles: int,
    workload: Workload,
    accelerator: Accelerator,
    plan: MemoryPlan,
    moved_bytes: int,
    macs: int,
) -> None:
    """Laws that every execution of a plan obeys: TraceError names each that is broken.

    Bytes moved are the bytes planned (counted without looking at commands), MACs are the network's,
    and no resource works faster than it can.
    """
    wrong = []
    planned = sum(plan_traffic(workload, plan))
    if moved_bytes != planned:
        wrong.append(f"moved {moved_bytes} B to and from backing memories, planned {planned} B")
    expected = executed_macs(workload, accelerator.array)
    if macs != expected:
        wrong.append(f"executed {macs} MACs of {expected}")
    pes = accelerator.array.rows * accelerator.array.cols * accelerator.cores
    if macs > cycles * pes:
        wrong.append(f"{macs} MACs in {cycles} cycles on {pes} processing elements")
    if accelerator.weight_memory is None:
        rate = accelerator.dram_bytes_per_cycle
        if moved_bytes > cycles * rate:
            wrong.append(f"{moved_bytes} B in {cycles} cycles at {float(rate):g} B/cycle")
    if wrong:
        raise TraceError(tuple(wrong))
