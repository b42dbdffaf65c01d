"""Tiles on several cores, by policies that decide while time passes (ASPEN, NeurIPS 2023).

Three ways to execute one tile graph:

- ``static``: every operator's tiles in equal contiguous shares, one per core, and a barrier after
  the operator;
- ``dynamic``: a free core takes the next tile of the operator; a barrier after it;
- ``tiles``: no barriers. A core that ends a tile counts down the tile's children; the first child
  that is ready runs next on the same core (depth first), the others go to the core's pool, one FIFO
  queue per depth. A core without such a child takes from its own pool, then from those of others,
  the shallowest tile first. ``tiles-deepest`` takes the deepest instead, for comparison.

Every instant has two phases: first all ends of that instant are counted, then cores that are free
choose, ordered by core: children, then own pools, then others' pools. So nothing depends on the
order in which things were created. All times are whole cycles; a tile takes at least one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from heapq import heappop, heappush
from statistics import NormalDist

import numpy as np

from accelsim.errors import AccelsimError, Mistake
from accelsim.parallel.policies import POLICIES, Policy, PolicyName, Starts
from accelsim.parallel.tile_dag import TileDag

__all__ = [
    "DynamicRun", "Execution", "Overheads", "PolicyName", "drawn_work", "duration", "run",
    "speeds_of",
]  # fmt: skip


@dataclass(frozen=True)
class Overheads:
    """What execution costs besides the tiles' work."""

    jitter: float = 0.0
    """Standard deviation of a tile's time over its mean (log-normal, drawn per tile)."""
    node_cycles: int = 0
    """Scheduling cost of a tile, on the core that runs it."""
    barrier_cycles: int = 0
    """From the last end of an operator to the first start of the next (policies with barriers)."""
    locality: Fraction = Fraction(0)
    """Part of its work that a tile saves on a core that has just run one of its parents."""


@dataclass(frozen=True, slots=True)
class Execution:
    """One tile's turn. Cycles from the start of the run."""

    tile: int
    core: int
    start: int
    end: int
    near: bool
    """The core ran one of the tile's parents just before."""


@dataclass(frozen=True)
class DynamicRun:
    """The emitted log and what follows from it."""

    log: tuple[Execution, ...]
    """By start, then core."""
    work: tuple[int, ...]
    """Cycles of every tile at speed 1 as drawn; of unequal cores, on the fastest one."""
    speeds: tuple[Fraction, ...]
    overheads: Overheads
    policy: PolicyName
    cycles: int
    """Makespan."""
    serial_cycles: int
    """All tiles one after the other on the fastest core, without overheads."""

    @property
    def cores(self) -> Fraction:
        """Cores in units of the fastest one."""
        return sum(self.speeds, Fraction(0)) / max(self.speeds)

    @property
    def ideal_cycles(self) -> int:
        """Cycles of the same work spread over all cores without any loss."""
        return _ceil(Fraction(self.serial_cycles) / self.cores)

    @property
    def speedup(self) -> float:
        """Over the fastest core alone."""
        return self.serial_cycles / self.cycles if self.cycles else 1.0

    @property
    def karp_flatt(self) -> float | None:
        """Serial fraction found by experiment, (1 / S - 1 / p) / (1 - 1 / p), with the speed-up S
        and p cores (Karp and Flatt, CACM 33(5), 1990); None on one core. Below 0 where locality
        saves more than is lost."""
        if self.cores <= 1 or not self.serial_cycles:
            return None
        p = Fraction(self.cores)
        return float((Fraction(self.cycles, self.serial_cycles) - 1 / p) / (1 - 1 / p))

    @property
    def parallel_fraction(self) -> float | None:
        """1 - Karp-Flatt fraction."""
        serial = self.karp_flatt
        return None if serial is None else 1.0 - serial

    @property
    def utilisation(self) -> tuple[float, ...]:
        """Per core: part of the makespan in which it runs a tile."""
        busy = [0] * len(self.speeds)
        for one in self.log:
            busy[one.core] += one.end - one.start
        return tuple(b / self.cycles if self.cycles else 0.0 for b in busy)


def run(
    dag: TileDag,
    speeds: Sequence[int | Fraction],
    policy: PolicyName | str,
    *,
    overheads: Overheads | None = None,
    seed: int = 0,
    own: Sequence[TileDag] | None = None,
) -> DynamicRun:
    """Execute ``dag`` on one core per entry of ``speeds`` (work per cycle, relative).

    The same seed draws the same time for a tile under every policy and number of cores. ``own``:
    the same graph per core with the work that the core itself has with each tile, where cores
    differ by more than a factor; ``speeds`` then only weigh them (:func:`speeds_of`).
    AccelsimError (M351) for no cores, speeds or overheads out of range, or an unknown policy.
    """
    costs = overheads or Overheads()
    rates = tuple(Fraction(speed) for speed in speeds)
    _require(rates, costs, policy, seed)
    chosen = PolicyName(policy)
    works = [drawn_work(one, costs.jitter, seed) for one in own or (dag,) * len(rates)]
    engine = _Engine(
        dag,
        rates if own is None else (Fraction(1),) * len(rates),
        costs,
        works,
        POLICIES[chosen](dag, len(rates), costs.barrier_cycles),
    )
    log = engine.run()
    fastest = rates.index(max(rates))
    work, rate = works[fastest], rates[fastest] if own is None else Fraction(1)
    serial = sum(_ceil(cycles / rate) for cycles in work)
    makespan = max((one.end for one in log), default=0)
    return DynamicRun(log, work, rates, costs, chosen, makespan, serial)


def speeds_of(own: Sequence[TileDag]) -> tuple[Fraction, ...]:
    """How fast cores are over all tiles of a graph, the slowest being 1."""
    slowest = max(1, *(dag.work for dag in own))
    return tuple(Fraction(slowest, max(1, dag.work)) for dag in own)


def drawn_work(dag: TileDag, jitter: float, seed: int) -> tuple[int, ...]:
    """Work of every tile: its own, times a log-normal factor of mean 1 and standard deviation
    ``jitter`` that depends on (seed, tile) only; at least one cycle."""
    if not jitter:
        return tuple(tile.work for tile in dag.tiles)
    normal = NormalDist()
    sigma = float(np.sqrt(np.log1p(jitter * jitter)))
    found = []
    for number, tile in enumerate(dag.tiles):
        bits = int(np.random.Philox(key=seed, counter=[number, 0, 0, 0]).random_raw())
        z = normal.inv_cdf(((bits >> 11) + 0.5) / 2**53)
        found.append(max(1, round(tile.work * float(np.exp(sigma * z - sigma * sigma / 2)))))
    return tuple(found)


def duration(work: int, speed: Fraction, overheads: Overheads, *, near: bool) -> int:
    """Cycles of one tile on a core: its work, less the credit for locality, and its scheduling."""
    kept = 1 - overheads.locality if near else 1
    return max(1, _ceil(work * kept / speed)) + overheads.node_cycles


class _Engine:
    """Time: ends in order, then choices, until nothing is left."""

    def __init__(
        self,
        dag: TileDag,
        speeds: tuple[Fraction, ...],
        costs: Overheads,
        works: Sequence[tuple[int, ...]],
        policy: Policy,
    ) -> None:
        """``works``: per core, cycles of every tile at speed 1."""
        self._dag, self._speeds, self._costs, self._works = dag, speeds, costs, works
        self._policy = policy
        self._ends: list[tuple[int, int, int]] = []  # heap of (end, core, tile)
        self._idle = list(range(len(speeds)))
        self._last: list[int | None] = [None] * len(speeds)
        self._log: list[Execution] = []

    def run(self) -> tuple[Execution, ...]:
        """The log of all tiles."""
        now = 0
        while True:
            self._start(self._policy.choose(self._idle, now), now)
            times = [end for end, _, _ in self._ends[:1]]
            if self._policy.wake is not None:
                times.append(self._policy.wake)
            if not times:
                break
            now = min(times)
            ended: Starts = []
            while self._ends and self._ends[0][0] == now:
                _, core, tile = heappop(self._ends)
                self._last[core] = tile
                ended.append((core, tile))
            if ended:
                self._idle = sorted([*self._idle, *(core for core, _ in ended)])
                self._policy.ended(ended, now)
        assert len(self._log) == len(self._dag.tiles), "tiles that never ran"
        return tuple(sorted(self._log, key=lambda one: (one.start, one.core)))

    def _start(self, chosen: Starts, now: int) -> None:
        for core, tile in chosen:
            near = self._last[core] in self._dag.tiles[tile].parents
            took = duration(self._works[core][tile], self._speeds[core], self._costs, near=near)
            self._log.append(Execution(tile, core, now, now + took, near))
            heappush(self._ends, (now + took, core, tile))
            self._idle.remove(core)


def _require(
    speeds: tuple[Fraction, ...], costs: Overheads, policy: PolicyName | str, seed: int
) -> None:
    wrong = []
    if not speeds or any(speed <= 0 for speed in speeds):
        wrong.append(("cores need speeds above 0", "speeds: (1, 1)"))
    if not 0 <= costs.jitter <= 2:
        wrong.append((f"jitter must be between 0 and 2, is {costs.jitter}", "0.3 for 30 %"))
    if costs.node_cycles < 0 or costs.barrier_cycles < 0:
        wrong.append(("costs in cycles must not be negative", "0 for none"))
    if not 0 <= costs.locality < 1:
        wrong.append((f"locality must be at least 0 and below 1, is {costs.locality}", "0.1"))
    if policy not in set(PolicyName):
        wrong.append((f"unknown policy {str(policy)!r}", "one of: " + ", ".join(PolicyName)))
    if not 0 <= seed < 2**64:
        wrong.append((f"seed must be at least 0 and below 2^64, is {seed}", "0"))
    if wrong:
        raise AccelsimError(Mistake("M351", message, hint) for message, hint in wrong)


def _ceil(value: Fraction) -> int:
    return -(-value.numerator // value.denominator)
