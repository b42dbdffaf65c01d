"""Ways to spread a network over cores, each a function from a situation to an assignment.

- ``single``: everything on the core that is fastest alone;
- ``layers``: whole operators, each to the core where it ends first, parallel branches and images
  side by side (list scheduling by longest remaining path, HEFT);
- ``pipeline``: consecutive operators form one stage per core, stages as equal as can be, and images
  go through them;
- ``images``: every image as a whole on one core;
- ``channels``, ``rows``: every operator that can be is split over all cores by output channels
  (groups) or output rows, in proportion to how fast each core is at it;
- ``mixed``: per operator whichever of one core, channels and rows is cheapest by the estimate of
  the mapping, waiting for other cores and the shared memory included.

Estimates only choose; what comes of it is simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from itertools import pairwise
from types import MappingProxyType

from accelsim.arch.system import System
from accelsim.mapping.rules import ruled_candidate
from accelsim.mapping.timing import Timing
from accelsim.mapping.weight_places import weights_fit
from accelsim.multicore.assign import Assignment, Part
from accelsim.multicore.parts import Cutter
from accelsim.parallel.regions import Region, everything
from accelsim.plan import Candidate
from accelsim.workload.graph import Op, Workload

Cut = tuple[tuple[int, Region], ...]
"""(core, region of the output) of every part of an operator."""

UNABLE = 10**18
"""Estimated cycles of an operator whose tiles do not fit the core: any other core is faster."""


class Situation:
    """A network, a system and the time that parts of operators are estimated to take."""

    def __init__(self, workload: Workload, system: System, images: int, rule: str) -> None:
        self.workload, self.system, self.images = workload, system, images
        self.cores = len(system.cores)
        self._rule = rule
        self._cutter = Cutter(workload)
        self._timings = [Timing(core) for core in system.cores]
        kinds: list[int] = []  # core -> first core that is equal to it
        for number, core in enumerate(system.cores):
            kinds.append(system.cores.index(core) if core in system.cores[:number] else number)
        self._kinds = kinds
        self._known: dict[tuple[int, Region, int, tuple[int, ...]], Candidate] = {}

    def whole(self, op: Op) -> Region:
        """All of the output of ``op``."""
        return everything(self._cutter.grids.of(op.output))

    def candidate(
        self, op: Op, region: Region, core: int, near: frozenset[str] = frozenset()
    ) -> Candidate:
        """A part of ``op`` on a core, everything streamed but the inputs ``near``."""
        places = tuple(at for at, name in enumerate(op.inputs) if name in near)
        key = self.workload.alike[op.name], region, self._kinds[core], places
        found = self._known.get(key)
        if found is None:
            alone, part = self._cutter.alone(op, region)
            moved = [name for at, name in enumerate(part.inputs) if at not in places]
            machine, timing = self.system.cores[core], self._timings[core]
            streamed = frozenset((*moved, part.output))
            found = ruled_candidate(self._rule, part, alone, streamed, machine, timing)
            self._known[key] = found
        return found

    def near(self, op: Op, region: Region, core: int, made: Mapping[str, Cut]) -> frozenset[str]:
        """Inputs that the core has made itself, in the region that it needs."""
        return frozenset(
            name
            for name, need in self._cutter.needs(op, region).items()
            if (core, need) in made.get(name, ())
        )

    def cycles(self, op: Op, core: int) -> int:
        """Estimate of a whole operator on one core; :data:`UNABLE` where it does not fit."""
        found, machine = self.candidate(op, self.whole(op), core), self.system.cores[core]
        fits = found.buffer_bytes <= machine.scratchpad.bytes and weights_fit(found, machine)
        return found.cycles if fits else UNABLE

    def fastest(self) -> int:
        """The core on which the whole network takes least, the first of them."""
        totals = [
            sum(self.cycles(op, core) for op in self.workload.ops) for core in range(self.cores)
        ]
        return totals.index(min(totals))

    def memory_cycles(self, candidates: list[Candidate]) -> int:
        """Cycles for which the traffic of several parts holds the shared memory."""
        moved = sum(c.dram_read_bytes + c.dram_write_bytes for c in candidates)
        return self._timings[0].transfer_bytes(moved)

    def split(self, op: Op, axis: str) -> Cut | None:
        """(core, region) of an operator cut along ``rows`` or ``cols``, in proportion to the cores'
        speeds; None when it cannot be cut so."""
        whole = self.whole(op)
        unit = self._cutter.grids.unit(op, axis)
        if unit is None:
            return None
        total = getattr(whole.grid, axis) // unit
        speeds = [Fraction(1, max(1, self.cycles(op, core))) for core in range(self.cores)]
        edges, passed = [0], Fraction(0)
        for speed in speeds:
            passed += speed
            edges.append(round(total * passed / sum(speeds)))
        found = []
        for core, (low, high) in enumerate(pairwise(edges)):
            if high > low:
                span = unit * low, unit * (high - low)
                rows, cols = (span, whole.cols) if axis == "rows" else (whole.rows, span)
                found.append((core, Region(whole.grid, rows, cols)))
        return tuple(found) if len(found) > 1 else None


def single(here: Situation) -> Assignment:
    """Everything on one core, image by image."""
    core = here.fastest()
    return _assignment(here, "single", lambda op, image: core)


def images(here: Situation) -> Assignment | None:
    """Each image goes to the core that would end first with it."""
    if here.images == 1:
        return None
    times = [sum(here.cycles(op, core) for op in here.workload.ops) for core in range(here.cores)]
    busy = [0] * here.cores
    chosen = []
    for _ in range(here.images):
        core = min(range(here.cores), key=lambda c: (busy[c] + times[c], c))
        busy[core] += times[core]
        chosen.append(core)
    return _assignment(here, "images", lambda op, image: chosen[image])


def pipeline(here: Situation) -> Assignment | None:
    """Contiguous stages with the smallest largest one, by dynamic programming; stage s is on core
    s. Without several images there is nothing to overlap."""
    ops = here.workload.ops
    if here.images == 1 or len(ops) < 2:
        return None
    sums = [[0] for _ in range(here.cores)]
    for core in range(here.cores):
        for op in ops:
            sums[core].append(sums[core][-1] + here.cycles(op, core))
    # best[i]: smallest largest stage of the first i operators on the cores so far; cuts[core][i]:
    # where the stage of that core begins then (a core may have none).
    best = [0 if end == 0 else sums[0][end] for end in range(len(ops) + 1)]
    cuts = [[0] * (len(ops) + 1)]
    for core in range(1, here.cores):
        stage, before = sums[core], best
        choice = [
            min(range(end + 1), key=lambda a: (max(before[a], stage[end] - stage[a]), a))
            for end in range(len(ops) + 1)
        ]
        best = [max(before[a], stage[end] - stage[a]) for end, a in enumerate(choice)]
        cuts.append(choice)
    owner: dict[str, int] = {}
    end = len(ops)
    for core in reversed(range(here.cores)):
        begin = cuts[core][end]
        owner |= {op.name: core for op in ops[begin:end]}
        end = begin
    return _assignment(here, "pipeline", lambda op, image: owner[op.name])


def layers(here: Situation) -> Assignment | None:
    """List scheduling of whole operators."""
    workload = here.workload
    rank = _ranks(here)
    order = sorted(
        ((op, image) for op in workload.ops for image in range(here.images)),
        key=lambda pair: (-rank[pair[0].name], pair[1], workload.position[pair[0].name]),
    )
    free = [0] * here.cores
    ends: dict[tuple[str, int], tuple[int, int]] = {}  # (end, core)
    parts = []
    for op, image in order:
        makers = [workload.producer[name].name for name in op.inputs if name in workload.producer]

        def end_on(core: int, op: Op = op, image: int = image, makers: list[str] = makers) -> int:
            ready = free[core]
            for maker in makers:
                end, where = ends[maker, image]
                ready = max(ready, end + (here.system.sync_cycles if where != core else 0))
            return ready + here.cycles(op, core)

        core = min(range(here.cores), key=lambda c: (end_on(c), c))
        free[core] = end_on(core)
        ends[op.name, image] = free[core], core
        parts.append(Part(op.name, image, core, here.whole(op)))
    return Assignment("layers", here.images, tuple(parts))


def _ranks(here: Situation) -> dict[str, int]:
    """Operator -> mean cycles of the longest path from its beginning to the end."""
    rank: dict[str, int] = {}
    for op in reversed(here.workload.ops):
        times = [here.cycles(op, core) for core in range(here.cores)]
        able = [cycles for cycles in times if cycles < UNABLE] or times
        mean = sum(able) // len(able)
        after = [rank[reader.name] for reader in here.workload.consumers.get(op.output, ())]
        rank[op.name] = max(1, mean) + max(after, default=0)
    return rank


def channels(here: Situation) -> Assignment | None:
    """Output channels of every operator that has them to split."""
    return _split_all(here, "channels", ("cols",))


def rows(here: Situation) -> Assignment | None:
    """Output rows of every operator that has them to split."""
    return _split_all(here, "rows", ("rows",))


def mixed(here: Situation) -> Assignment | None:
    """The cheapest way for every operator."""
    return _split_all(here, "mixed", ("cols", "rows"), choose=True)


def _split_all(
    here: Situation, name: str, axes: tuple[str, ...], *, choose: bool = False
) -> Assignment | None:
    home = here.fastest()
    ways: dict[str, Cut] = {}
    made: dict[str, Cut] = {}
    for op in here.workload.ops:
        options = [cut for axis in axes if (cut := here.split(op, axis)) is not None]
        if choose or not options:
            options.append(((home, here.whole(op)),))
        best = min(options, key=lambda cut: _cost(here, op, cut, made))
        ways[op.name] = made[op.output] = best
    if all(len(cut) == 1 for cut in ways.values()):
        return None
    parts = tuple(
        Part(op.name, image, core, region)
        for image in range(here.images)
        for op in here.workload.ops
        for core, region in ways[op.name]
    )
    return Assignment(name, here.images, parts)


def _cost(here: Situation, op: Op, cut: Cut, made: Mapping[str, Cut]) -> int:
    """The slowest part, or the shared memory if that takes longer, and the wait for others. What a
    core has made itself is taken to be still there."""
    near = [here.near(op, region, core, made) for core, region in cut]
    candidates = [
        here.candidate(op, region, core, own) for (core, region), own in zip(cut, near, strict=True)
    ]
    slowest = max(candidate.cycles for candidate in candidates)
    alone = all(set(op.inputs) - set(here.workload.inputs) <= own for own in near)
    wait = 0 if alone else here.system.sync_cycles
    return max(slowest, here.memory_cycles(candidates)) + wait


def _assignment(here: Situation, name: str, core: Callable[[Op, int], int]) -> Assignment:
    """Whole operators, image by image."""
    parts = tuple(
        Part(op.name, image, core(op, image), here.whole(op))
        for image in range(here.images)
        for op in here.workload.ops
    )
    return Assignment(name, here.images, parts)


Strategy = Callable[[Situation], Assignment | None]
"""None: it does not apply."""

STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {
        "single": single, "images": images, "pipeline": pipeline, "layers": layers,
        "channels": channels, "rows": rows, "mixed": mixed,
    }
)  # fmt: skip
"""Name -> strategy, in the order in which they are tried (the first wins a tie)."""
