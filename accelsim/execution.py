"""One plan executed: lowered, simulated with exact fast-forward, and checked.

Programs of at most :data:`MOST_WRITTEN` commands are also written out, one row per command, for
what looks at every single one: exposures, the curve of live bytes, the placement check. All other
figures come from the folded trace, at any size.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from accelsim.arch.parts import Accelerator
from accelsim.cost.program_activity import ProgramActivity
from accelsim.design_point import memory_device, require_conserved
from accelsim.errors import AccelsimError, Mistake
from accelsim.lower import lower
from accelsim.mapping.slots import most_bytes
from accelsim.plan import MemoryPlan
from accelsim.program import Program
from accelsim.sim.addresses import check_addresses
from accelsim.sim.check import TraceError, check_placement, check_trace
from accelsim.sim.check_folded import Rates, check_folded
from accelsim.sim.check_homes import check_homes
from accelsim.sim.engine import simulate
from accelsim.sim.expand import expand, expand_works, unfold
from accelsim.sim.folded import FoldedTrace
from accelsim.sim.steady import makespan, run_program
from accelsim.sim.trace import Trace
from accelsim.sim.written import check_written
from accelsim.workload.graph import Workload

MOST_WRITTEN = 400_000
"""Commands of the largest program that is written out, about 2 kB each."""


@dataclass(frozen=True)
class Execution:
    """The executed schedule of one inference."""

    folded: FoldedTrace
    flat: Trace | None
    """The same, one row per command; None for more than :data:`MOST_WRITTEN` commands."""

    @property
    def program(self) -> Program:
        """What was executed."""
        return self.folded.program

    @property
    def cycles(self) -> int:
        """Makespan in cycles."""
        return self.folded.cycles

    @property
    def trace(self) -> Trace:
        """The trace with one row per command. AccelsimError R504 where it is not written out."""
        if self.flat is None:
            raise _too_many(self.program)
        return self.flat


def _too_many(program: Program) -> AccelsimError:
    return AccelsimError(
        Mistake(
            "R504",
            f"a schedule of {program.commands} commands is not written out one by one, which is "
            f"done up to {MOST_WRITTEN}",
            "use its folded form, or larger tiles (mapping.rule: layer)",
        )
    )


def require_written(program: Program, most_written: int = MOST_WRITTEN) -> None:
    """Refuse a program that will not be written out, before it is executed. AccelsimError R504."""
    if program.commands > most_written:
        raise _too_many(program)


def executed(
    workload: Workload,
    accelerator: Accelerator,
    plan: MemoryPlan,
    *,
    exact_events: bool = False,
    most_written: int = MOST_WRITTEN,
    each_command: bool = False,
) -> Execution:
    """Lower a plan and simulate it; the independent checks always run.

    ``exact_events``: the reference engine steps every command as well, and both have to agree on
    every cycle. ``each_command``: somebody needs the schedule written out, so one that is too large
    for that is refused before it is simulated. Raises AccelsimError R503 or R504 if the program is
    too large for the one or the other, TraceError where any law is broken, which is a bug of ours.
    """
    program = lower(workload, accelerator, plan)
    if each_command:
        require_written(program, most_written)
    device = memory_device(workload, accelerator)
    folded = run_program(program, device=device)
    did = ProgramActivity(accelerator).program(program)
    require_conserved(folded.cycles, workload, accelerator, plan, did.dram_bytes, did.macs)
    check_homes(program, plan.homes)
    check_folded(folded, machine_rates(accelerator))
    check_addresses(program, capacities(accelerator))
    check_written(program)
    flat = None
    if exact_events:
        graph = expand(program)
        flat = simulate(graph, memory_device(workload, accelerator), expand_works(program))
        _require_same(flat, unfold(folded, graph))
    if program.commands > most_written:
        return Execution(folded, None)
    if flat is None:
        flat = unfold(folded)
    _check_flat(flat, accelerator)
    return Execution(folded, flat)


def bare_cycles(
    workload: Workload, accelerator: Accelerator, plan: MemoryPlan, *, exact_events: bool = False
) -> int:
    """Makespan of a plan, when nothing else is asked for."""
    if exact_events:
        return executed(workload, accelerator, plan, exact_events=True, most_written=0).cycles
    program = lower(workload, accelerator, plan)
    check_homes(program, plan.homes)
    ran = makespan(program, device=memory_device(workload, accelerator))
    did = ProgramActivity(accelerator).program(program)
    require_conserved(ran.cycles, workload, accelerator, plan, did.dram_bytes, did.macs)
    return ran.cycles


def machine_rates(accelerator: Accelerator) -> Rates:
    """How fast the resources of a machine are at most."""
    array, weights = accelerator.array, accelerator.weight_sram
    memories = {"dram": accelerator.dram_bytes_per_cycle}
    if accelerator.weight_memory is not None:
        memories["weights"] = Fraction(
            accelerator.weight_memory.bytes_per_second, accelerator.clock_hz
        )
    return Rates(
        memories=memories,
        pes=array.rows * array.cols,
        lanes=accelerator.vector.lanes,
        scratchpad=most_bytes(accelerator.scratchpad),
        accumulators=accelerator.accumulator_port_bytes,
        levels=_level_rates(accelerator),
        varying=("dram",) if accelerator.dram.model == "banked" else (),
        weight_scratchpad=None if weights is None else most_bytes(weights),
    )


def _level_rates(accelerator: Accelerator) -> dict[str, Fraction]:
    """Memory level -> bytes per cycle."""
    return {level.name: accelerator.level_bytes_per_cycle(level) for level in accelerator.levels}


def _check_flat(trace: Trace, accelerator: Accelerator) -> None:
    """Laws that look at every single command."""
    array, weights = accelerator.array, accelerator.weight_sram
    check_trace(
        trace,
        pes=array.rows * array.cols,
        dram_bytes_per_cycle=accelerator.dram_bytes_per_cycle,
        weights_bytes_per_cycle=accelerator.weight_bytes_per_cycle,
        lanes=accelerator.vector.lanes,
        scratchpad_bytes_per_cycle=most_bytes(accelerator.scratchpad),
        weight_scratchpad_bytes_per_cycle=None if weights is None else most_bytes(weights),
        accumulator_bytes_per_cycle=accelerator.accumulator_port_bytes,
        levels=_level_rates(accelerator),
    )
    for structure, capacity in capacities(accelerator).items():
        check_placement(trace, structure=structure, capacity=capacity)


def capacities(accelerator: Accelerator) -> dict[str, int]:
    """On-chip memory of one core -> bytes; each has addresses of its own, from 0."""
    found = {
        "accumulators": accelerator.accumulators.bytes,
        "scratchpad": accelerator.scratchpad.bytes,
    }
    found |= {level.name: level.bytes for level in accelerator.levels}
    if accelerator.weight_sram is not None:
        found["weight_scratchpad"] = accelerator.weight_sram.bytes
    return found


def _require_same(stepped: Trace, folded: Trace) -> None:
    """Both engines agree. TraceError names the first command on which they do not."""
    if stepped == folded:
        return
    for mine, other in zip(stepped.rows, folded.rows, strict=True):
        if mine != other:
            text = f"stepped: {mine}, fast-forwarded: {other}"
            raise TraceError((f"the engines disagree on command {mine.task}: {text}",))
    raise TraceError(("the engines disagree on what the commands are",))
