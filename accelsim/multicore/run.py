"""A network on several cores: assigned, planned, joined, simulated, and checked on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from accelsim.arch.parts import Accelerator
from accelsim.arch.system import System
from accelsim.errors import AccelsimError, Mistake, suggest
from accelsim.lower import lower, plan_traffic
from accelsim.mapping.quick_plan import quick_plan
from accelsim.mapping.tiles import executed_macs
from accelsim.multicore.assign import Assignment, flaws
from accelsim.multicore.bounds import system_bounds
from accelsim.multicore.join import Joined, join
from accelsim.multicore.parts import CoreNetwork, core_networks
from accelsim.multicore.strategies import STRATEGIES, Situation
from accelsim.plan import MemoryPlan
from accelsim.program import Program, distinct
from accelsim.sim.check import TraceError
from accelsim.sim.devices import PortDevice
from accelsim.sim.dram import BankedDram
from accelsim.sim.folded import FoldedTrace
from accelsim.sim.steady import makespan, run_program
from accelsim.sim.steady_summary import Summary
from accelsim.workload.graph import Workload

AUTO = "auto"
"""Try all strategies and keep the fastest."""

MOST_IMAGES = 4096

Planner = Callable[[CoreNetwork, Accelerator], MemoryPlan]
"""Maps one core's network, operators in its order."""


@dataclass(frozen=True)
class SystemRun:
    """A simulated system. Cycles from the start of the run."""

    system: System
    assignment: Assignment
    networks: tuple[CoreNetwork, ...]
    plans: tuple[MemoryPlan, ...]
    """One per core."""
    joined: Joined
    summary: Summary
    single_cycles: int | None
    """The same images on the fastest core alone; None where no core can run them alone."""
    tried: tuple[tuple[str, int], ...]
    """(strategy, makespan) of all that were simulated, in order."""
    bounds_cycles: dict[str, int]
    """Cycles that no assignment can beat, by resource."""

    @property
    def program(self) -> Program:
        """All cores' commands."""
        return self.joined.program

    @property
    def cycles(self) -> int:
        """Makespan."""
        return self.summary.cycles

    @property
    def speedup(self) -> float | None:
        """Over the fastest core alone; None where no core can run the network alone."""
        if self.single_cycles is None:
            return None
        return self.single_cycles / self.cycles if self.cycles else 1.0

    @property
    def busy(self) -> dict[str, int]:
        """Queue or port -> cycles in which it works."""
        names = (*self.program.queues, *self.program.ports)
        return dict(zip(names, self.summary.queue_busy + self.summary.port_busy, strict=True))

    @property
    def utilisation(self) -> tuple[float, ...]:
        """Per core: MACs / (makespan x its processing elements)."""
        found = []
        for network, core in zip(self.networks, self.system.cores, strict=True):
            pes = core.array.rows * core.array.cols
            found.append(network.workload.macs / (self.cycles * pes) if self.cycles else 0.0)
        return tuple(found)

    def trace(self, *, fold: bool = True) -> FoldedTrace:
        """When every command ran."""
        device = memory_device(self.system, self.networks)
        return run_program(self.program, fold=fold, device=device)


def run_system(
    workload: Workload,
    system: System,
    *,
    images: int = 1,
    strategy: str = AUTO,
    rule: str = "layer",
    planner: Planner | None = None,
) -> SystemRun:
    """Run ``images`` independent inferences of a network (each of the network's own batch).

    ``strategy``: a name of :data:`~accelsim.multicore.strategies.STRATEGIES`, or ``auto``: all that
    apply are simulated and the fastest is kept. ``rule``: the mapping of every part
    (``accelsim.mapping.rules``); ``planner`` plans the cores' networks instead of
    :func:`~accelsim.mapping.quick_plan.quick_plan` with that rule. Raises AccelsimError (M360) for
    an unknown strategy or one that does not apply, or images out of range; InfeasibleError where a
    core's buffers do not fit.
    """
    if strategy != AUTO and strategy not in STRATEGIES:
        hint = suggest(strategy, (AUTO, *STRATEGIES))
        raise AccelsimError(Mistake("M360", f"no strategy is called '{strategy}'", hint))
    if not 1 <= images <= MOST_IMAGES:
        raise AccelsimError(Mistake("M360", f"{images} images", f"1 to {MOST_IMAGES}"))
    names = tuple(STRATEGIES) if strategy == AUTO else ("single", strategy)
    tried = run_strategies(workload, system, names, images=images, rule=rule, planner=planner)
    if strategy == AUTO:
        return tried.best(lambda run: run.cycles)
    return tried.the(strategy)


@dataclass(frozen=True)
class Attempts:
    """What came of several strategies."""

    runs: Mapping[str, SystemRun]
    """Those that ran, in the order in which they were tried."""
    refused: Mapping[str, AccelsimError]
    """Those that apply but cannot be executed, and why."""
    what: str
    """What was to be spread, in words."""

    def best(self, merit: Callable[[SystemRun], float]) -> SystemRun:
        """The run of least ``merit`` (the first on a tie), which then knows of all. Raises the
        error of the first strategy where none could be executed."""
        if not self.runs:
            raise next(iter(self.refused.values()))
        return self._knowing(min(self.runs.values(), key=merit))

    def the(self, strategy: str) -> SystemRun:
        """The run of one strategy, which then knows of all. Raises what kept it from running, or
        AccelsimError (M360) if it does not apply."""
        if strategy in self.refused:
            raise self.refused[strategy]
        if strategy not in self.runs:
            message = f"strategy '{strategy}' does not apply to {self.what}"
            raise AccelsimError(Mistake("M360", message, "possible: " + ", ".join(self.runs)))
        return self._knowing(self.runs[strategy])

    def _knowing(self, run: SystemRun) -> SystemRun:
        tried = tuple((name, other.cycles) for name, other in self.runs.items())
        single = self.runs.get("single")
        return replace(run, tried=tried, single_cycles=None if single is None else single.cycles)


def run_strategies(
    workload: Workload,
    system: System,
    names: Sequence[str],
    *,
    images: int = 1,
    rule: str = "layer",
    planner: Planner | None = None,
) -> Attempts:
    """Run those strategies among ``names`` that apply, as for :func:`run_system`. One that cannot
    be executed (its parts do not fit a core, or a fixed mapping does not fit them) is refused."""
    here = Situation(workload, system, images, rule)
    runs: dict[str, SystemRun] = {}
    refused: dict[str, AccelsimError] = {}
    for name in dict.fromkeys(names):
        assignment = STRATEGIES[name](here)
        if assignment is None:
            continue
        try:
            runs[name] = run_assignment(workload, system, assignment, rule=rule, planner=planner)
        except AccelsimError as error:
            refused[name] = error
    return Attempts(runs, refused, f"{workload.name} with {images} images")


def run_assignment(
    workload: Workload,
    system: System,
    assignment: Assignment,
    *,
    rule: str = "layer",
    planner: Planner | None = None,
) -> SystemRun:
    """Simulate one given assignment; ``single_cycles`` is its own makespan. AccelsimError (M361)
    when it does not compute the network."""
    wrong = tuple(flaws(assignment, workload, len(system.cores)))
    if wrong:
        raise AccelsimError(Mistake("M361", message) for message in wrong)
    networks = core_networks(workload, assignment, len(system.cores))
    plan = planner or (lambda network, core: quick_plan(network.workload, core, rule=rule))
    plans = tuple(
        stored_early(plan(network, core), network.workload)
        for network, core in zip(networks, system.cores, strict=True)
    )
    programs = [
        lower(network.workload, core, made)
        for network, core, made in zip(networks, system.cores, plans, strict=True)
    ]
    joined = join(workload, system, assignment, networks, programs)
    summary = makespan(joined.program, device=memory_device(system, networks))
    bounds = system_bounds(workload, system, assignment.images)
    run = SystemRun(
        system, assignment, networks, plans, joined, summary, summary.cycles,
        ((assignment.strategy, summary.cycles),), bounds,
    )  # fmt: skip
    require_conserved(workload, run)
    return run


def stored_early(plan: MemoryPlan, workload: Workload) -> MemoryPlan:
    """The plan with every network output written in the step that makes it, since other cores wait
    for it. It lies whole in the scratchpad then, so this needs no room and moves no more bytes."""
    made = {op.output: op.name for op in workload.ops if op.output in workload.outputs}
    stored = {name for step in plan.steps for name in step.stores if name in made}
    steps = []
    for step in plan.steps:
        late = tuple(name for name in step.stores if name not in stored)
        own = tuple(name for name in sorted(stored) if made[name] == step.op)
        steps.append(replace(step, stores=(*own, *late)))
    return replace(plan, steps=tuple(steps))


def memory_device(system: System, networks: Sequence[CoreNetwork]) -> PortDevice | None:
    """The banked model of the shared DRAM if the system has one; None: plain bandwidth."""
    shared = system.shared
    if shared.dram.model != "banked":
        return None
    sizes: dict[str, int] = {}
    for network in networks:
        sizes |= {name: tensor.bytes for name, tensor in network.workload.tensors.items()}
    return BankedDram(shared.dram, shared.clock_hz, sizes)


def require_conserved(workload: Workload, run: SystemRun) -> None:
    """Laws that every run obeys: TraceError names each that is broken.

    Bytes moved to and from backing memories and over the link are the bytes planned (counted
    without looking at commands), MACs are the network's, nothing is faster than it can be.
    """
    planned = planned_bytes(run)
    moved, linked, macs = _done(run.program)
    wrong = []
    if moved + linked != planned:
        wrong.append(f"moved {moved} B and {linked} B over the link, planned {planned} B")
    expected = expected_macs(run)
    if macs != expected:
        wrong.append(f"executed {macs} MACs of {expected}")
    whole = sum(network.workload.macs for network in run.networks)
    if whole != workload.macs * run.assignment.images:
        wrong.append(f"the parts have {whole} MACs, not {workload.macs} per image")
    wrong += _too_fast(run, moved, linked)
    if wrong:
        raise TraceError(tuple(wrong))


def _done(program: Program) -> tuple[int, int, int]:
    """(bytes to and from backing memories, bytes over the link, MACs) of all commands."""
    moved = linked = macs = 0
    link = program.ports.index("link") if "link" in program.ports else -1
    for block in program.blocks:
        for command, times in distinct(block.body):
            work = command.work
            moved += (work.dram_read_bytes + work.dram_write_bytes) * times
            macs += work.macs * times
            if link in command.ports:
                linked += (work.sram_read_bytes + work.sram_write_bytes) * times
    return moved, linked, macs


def memory_bytes(run: SystemRun) -> int:
    """Bytes to and from backing memories: those planned, less what the link carries."""
    return planned_bytes(run) - _done(run.program)[1]


def expected_macs(run: SystemRun) -> int:
    """Multiply-accumulates that all cores carry out (of sparse weights those that are stored)."""
    return sum(
        executed_macs(network.workload, core.array)
        for network, core in zip(run.networks, run.system.cores, strict=True)
    )


def planned_bytes(run: SystemRun) -> int:
    """Bytes to and from backing memories and over the link that the plans imply."""
    return sum(
        sum(plan_traffic(network.workload, plan))
        for network, plan in zip(run.networks, run.plans, strict=True)
    )


def _too_fast(run: SystemRun, moved: int, linked: int) -> list[str]:
    system, cycles = run.system, run.cycles
    found = []
    for name, least in run.bounds_cycles.items():
        if cycles < least:
            found.append(f"{cycles} cycles, but {name} needs {least}")
    rates = [("link", linked, system.link_bytes_per_cycle)]
    if system.shared.weight_memory is None:
        rates.append(("dram", moved, system.shared.dram_bytes_per_cycle))
    for name, size, rate in rates:
        if size > cycles * Fraction(rate):
            found.append(f"{size} B in {cycles} cycles through {name}, which has {rate} B/cycle")
    return found
