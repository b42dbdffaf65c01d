"""One design point of several equal cores, fast: the counterpart of ``accelsim.design_point``."""

from __future__ import annotations

from dataclasses import replace

from accelsim.arch.parts import Accelerator
from accelsim.arch.system import system_of
from accelsim.cost.area import area
from accelsim.cost.energy import energy_of
from accelsim.cost.program_activity import ProgramActivity
from accelsim.design_point import Evaluation
from accelsim.multicore.run import run_system
from accelsim.workload.graph import Workload


def evaluate_cores(workload: Workload, accelerator: Accelerator, rule: str) -> Evaluation:
    """The design with the fastest of all assignments to its ``Accelerator.cores`` (which
    :func:`~accelsim.multicore.run.run_system` simulates). Raises as ``design_point.evaluate``."""
    run = run_system(workload, system_of(accelerator), rule=rule)
    did = ProgramActivity(accelerator).program(run.program)
    cycles = run.cycles
    return Evaluation(
        cycles=cycles,
        seconds=cycles / accelerator.clock_hz,
        energy=energy_of(replace(did, cycles=cycles), accelerator),
        area_mm2=area(accelerator).total_mm2,
        dram_bytes=did.dram_bytes,
        utilisation=did.macs / (cycles * run.system.pes) if cycles else 0.0,
        commands=run.program.commands,
        steps=run.summary.steps,
        bounds_cycles=run.bounds_cycles,
    )
