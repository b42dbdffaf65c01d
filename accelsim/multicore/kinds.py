"""The cores of a simulated system by kind, with what each kind did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from accelsim.arch.parts import Accelerator
from accelsim.arch.system import System
from accelsim.cost.breakdown import EnergyBreakdown
from accelsim.cost.energy import energy_of
from accelsim.cost.kinds import CoreKind, summed_energy
from accelsim.cost.program_activity import ProgramActivity
from accelsim.multicore.run import SystemRun
from accelsim.program import Block, Program
from accelsim.sim.exposure import Exposure, exposures
from accelsim.sim.trace import Trace


def core_kinds(run: SystemRun) -> tuple[CoreKind, ...]:
    """Equal cores together, in the order of the first of each. A machine of the result has as many
    ``cores`` as there are of its kind."""
    groups, program = equal_cores(run.system), run.program
    labels = kind_labels(groups)
    owner = core_of_blocks(program)
    found = []
    for (machine, numbers), label in zip(groups, labels, strict=True):
        mine = tuple(b for b, core in zip(program.blocks, owner, strict=True) if core in numbers)
        did = ProgramActivity(machine).program(replace(program, blocks=mine))
        whole = replace(machine, cores=len(numbers))
        found.append(
            CoreKind(
                machine=whole,
                activity=replace(did, cycles=run.cycles),
                members=tuple(numbers),
                label=label,
                plans=tuple(run.plans[number] for number in numbers),
                joined=True,
            )
        )
    return tuple(found)


def core_exposures(run: SystemRun, trace: Trace) -> tuple[Exposure, ...]:
    """Exposures core by core (``core1.scratchpad``), tensors and operators named as the network
    does: parts of one tensor in one core count as one, copies in several cores in each."""
    values = []
    for value in trace.graph.values:
        core = int(value.structure.partition(".")[0].removeprefix("core"))
        values.append(replace(value, tensor=run.networks[core].origin[value.tensor]))
    return exposures(replace(trace, graph=replace(trace.graph, values=tuple(values))))


def equal_cores(system: System) -> list[tuple[Accelerator, list[int]]]:
    """(core, numbers of all that are equal to it)."""
    groups: list[tuple[Accelerator, list[int]]] = []
    for number, core in enumerate(system.cores):
        for machine, numbers in groups:
            if machine == core:
                numbers.append(number)
                break
        else:
            groups.append((core, [number]))
    return groups


def kind_labels(groups: Sequence[tuple[Accelerator, Sequence[int]]]) -> list[str]:
    """Names of :func:`equal_cores`, made distinct by their first core; none for a single kind."""
    if len(groups) == 1:
        return [""]
    names = [machine.name for machine, _ in groups]
    return [
        machine.name if names.count(machine.name) == 1 else f"{machine.name} {numbers[0]}"
        for machine, numbers in groups
    ]


def core_of_blocks(program: Program) -> list[int]:
    """The core of every block of a joined program."""
    cores = [int(name.partition(".")[0].removeprefix("core")) for name in program.queues]
    return [cores[next(iter(block.counts))] if block.counts else -1 for block in program.blocks]


def energy_by_step(run: SystemRun, kinds: Sequence[CoreKind]) -> dict[int, EnergyBreakdown]:
    """Step of the joined program -> its energy on all cores, without static and clock energy."""
    machines = {number: kind.machine for kind in kinds for number in kind.members}
    counted = {id(kind.machine): ProgramActivity(kind.machine) for kind in kinds}
    parts: dict[int, list[EnergyBreakdown]] = {}
    blocks: list[tuple[Block, int]] = list(
        zip(run.program.blocks, core_of_blocks(run.program), strict=True)
    )
    for block, core in blocks:
        if block.counts:
            machine = machines[core]
            did = counted[id(machine)].block(block)
            parts.setdefault(block.step, []).append(energy_of(did, machine))
    return {step: summed_energy(found) for step, found in parts.items()}
