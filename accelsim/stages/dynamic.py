"""A run whose cores take tiles while time passes: compute only, no tensor has a place.

The policies of :mod:`accelsim.sim.dynamic` decide and keep the time; the log that comes of it is
checked by its own laws, and then executed as a program by the simulator, which must find the same
times.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from accelsim.arch.system import System
from accelsim.config.types import DynamicConfig, RunConfig
from accelsim.cost.activity import Activity
from accelsim.cost.kinds import CoreKind
from accelsim.errors import AccelsimError, Mistake
from accelsim.execution import MOST_WRITTEN, Execution
from accelsim.multicore.kinds import equal_cores, kind_labels
from accelsim.parallel.check import check_log
from accelsim.parallel.replay import log_program
from accelsim.parallel.tile_dag import TileDag, tile_dag
from accelsim.sim.check import TraceError
from accelsim.sim.dynamic import DynamicRun, Overheads, PolicyName, drawn_work, run, speeds_of
from accelsim.sim.engine import simulate
from accelsim.sim.expand import expand, expand_works, unfold
from accelsim.sim.folded import FoldedTrace
from accelsim.sim.steady import run_program
from accelsim.sim.trace import Trace
from accelsim.stages.cores_check import core_system
from accelsim.workload.graph import Workload

AUTO = (PolicyName.STATIC, PolicyName.DYNAMIC, PolicyName.TILES)
"""Policies that ``auto`` compares, the first wins a tie."""

MOST_TILES = 100_000
"""Tiles of one run, images together: every policy looks at each, and so does the replay."""

BARRIERS = (PolicyName.STATIC, PolicyName.DYNAMIC)


@dataclass(frozen=True)
class TileRun:
    """A network's tiles as they ran."""

    workload: Workload
    system: System
    dag: TileDag
    """With the work of the core that is fastest over all."""
    chosen: DynamicRun
    compared: tuple[DynamicRun, ...]
    schedule: Execution
    batch: int
    """Inferences that one run makes."""
    images: int

    @property
    def cycles(self) -> int:
        """Makespan."""
        return self.chosen.cycles

    @property
    def kinds(self) -> tuple[CoreKind, ...]:
        """The cores by kind; what they move is not known."""
        groups = equal_cores(self.system)
        labels = kind_labels(groups)
        return tuple(
            CoreKind(
                replace(core, cores=len(numbers)), Activity(), tuple(numbers), label, joined=True
            )
            for (core, numbers), label in zip(groups, labels, strict=True)
        )


def simulate_tiles(config: RunConfig, workload: Workload, *, exact_events: bool = False) -> TileRun:
    """Cut the network, execute it by every policy that is asked for, and keep the fastest.

    AccelsimError (M350) for more tiles than a graph may have; LogError or TraceError where a log
    breaks a law or the simulator disagrees, which is a bug of ours. ``exact_events``: the reference
    engine has to agree as well.
    """
    assert config.parallel is not None, "strategy dynamic is written there"
    asked, images = config.parallel.dynamic or DynamicConfig(), config.parallel.images
    system = core_system(config)
    try:
        own = _graphs(workload, system, asked, images)
    except AccelsimError as error:
        at = config.locations.get("parallel.dynamic.tiles") or config.locations.get("parallel")
        raise AccelsimError(replace(m, location=at) for m in error.mistakes) from None
    speeds = speeds_of(own)
    dag = own[speeds.index(max(speeds))]
    costs = Overheads(asked.jitter, asked.node_cycles, asked.barrier_cycles, asked.locality)
    names = AUTO if asked.policy == "auto" else (PolicyName(asked.policy),)
    runs = tuple(
        run(dag, speeds, name, overheads=costs, seed=asked.seed, own=own) for name in names
    )
    works = [drawn_work(one, asked.jitter, asked.seed) for one in own]
    for found in runs:
        check_log(
            dag, found.log, found.work, speeds,
            saved=costs.locality, barriers=found.policy in BARRIERS, own=works,
        )  # fmt: skip
    chosen = min(runs, key=lambda found: found.cycles)
    folded = replayed(workload, dag, chosen, exact_events=exact_events)
    flat = unfold(folded) if folded.program.commands <= MOST_WRITTEN else None
    batch = config.workload.batch * images
    return TileRun(workload, system, dag, chosen, runs, Execution(folded, flat), batch, images)


def _graphs(workload: Workload, system: System, asked: DynamicConfig, images: int) -> list[TileDag]:
    """The tile graph as every core times it; equal cores share one."""
    found: dict[int, TileDag] = {}
    for core, numbers in equal_cores(system):
        dag = tile_dag(workload, core, tiles=asked.tiles)
        if len(dag.tiles) * images > MOST_TILES:
            message = f"{images} images of {len(dag.tiles)} tiles are more than {MOST_TILES} tiles"
            raise AccelsimError(Mistake("M350", message, "fewer tiles per operator, or images"))
        found |= dict.fromkeys(numbers, dag.repeated(images) if images > 1 else dag)
    return [found[number] for number in range(len(system.cores))]


def replayed(
    workload: Workload, dag: TileDag, found: DynamicRun, *, exact_events: bool = False
) -> FoldedTrace:
    """The log executed by the simulator. TraceError unless it finds the same times."""
    program = log_program(
        dag,
        found.log,
        len(found.speeds),
        array_ops=frozenset(op.name for op in workload.ops if op.gemm is not None),
        barrier_cycles=found.overheads.barrier_cycles if found.policy in BARRIERS else None,
    )
    folded = run_program(program)
    flat = unfold(folded)
    if exact_events and simulate(expand(program), None, expand_works(program)).rows != flat.rows:
        raise TraceError(("the stepped and the fast-forwarded run disagree",))
    _require_same(found, flat)
    return folded


def _require_same(found: DynamicRun, flat: Trace) -> None:
    tiles = [
        (row.start, row.end)
        for task, row in zip(flat.graph.tasks, flat.rows, strict=True)
        if task.resources[0] != "barrier"
    ]
    for one, times in zip(found.log, tiles, strict=True):
        if (one.start, one.end) != times:
            text = (
                f"tile {one.tile} ran {one.start} to {one.end}, replayed {times[0]} to {times[1]}"
            )
            raise TraceError((text,))
