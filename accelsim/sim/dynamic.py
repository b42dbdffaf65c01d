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

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from heapq import heappop, heappush
from itertools import pairwise
from statistics import NormalDist
from typing import Protocol

import numpy as np

from accelsim.errors import AccelsimError, Mistake
from accelsim.parallel.tile_dag import TileDag


class PolicyName(StrEnum):
    """How cores find their next tile."""

    STATIC = "static"
    DYNAMIC = "dynamic"
    TILES = "tiles"
    TILES_DEEPEST = "tiles-deepest"


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
    """Cycles of every tile at speed 1 as drawn."""
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
) -> DynamicRun:
    """Execute ``dag`` on one core per entry of ``speeds`` (work per cycle, relative).

    The same seed draws the same time for a tile under every policy and number of cores.
    AccelsimError (M351) for no cores, speeds or overheads out of range, or an unknown policy.
    """
    costs = overheads or Overheads()
    rates = tuple(Fraction(speed) for speed in speeds)
    _require(rates, costs, policy, seed)
    chosen = PolicyName(policy)
    work = drawn_work(dag, costs.jitter, seed)
    engine = _Engine(dag, rates, costs, work, _POLICIES[chosen](dag, len(rates), costs))
    log = engine.run()
    fastest = max(rates)
    serial = sum(_ceil(cycles / fastest) for cycles in work)
    makespan = max((one.end for one in log), default=0)
    return DynamicRun(log, work, rates, costs, chosen, makespan, serial)


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


Starts = list[tuple[int, int]]
"""(core, tile) that begin now."""


class _Policy(Protocol):
    """Decides; the engine keeps the time."""

    wake: int | None
    """Cycle at which there is something to choose although nothing ends."""

    def ended(self, pairs: Starts, now: int) -> None:
        """Tiles that ended at ``now``, by core."""

    def choose(self, idle: Sequence[int], now: int) -> Starts:
        """What idle cores (ascending) begin."""


class _Engine:
    """Time: ends in order, then choices, until nothing is left."""

    def __init__(
        self,
        dag: TileDag,
        speeds: tuple[Fraction, ...],
        costs: Overheads,
        work: tuple[int, ...],
        policy: _Policy,
    ) -> None:
        self._dag, self._speeds, self._costs, self._work = dag, speeds, costs, work
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
            took = duration(self._work[tile], self._speeds[core], self._costs, near=near)
            self._log.append(Execution(tile, core, now, now + took, near))
            heappush(self._ends, (now + took, core, tile))
            self._idle.remove(core)


class _Barriers:
    """One operator after the other."""

    def __init__(self, dag: TileDag, cores: int, costs: Overheads) -> None:
        self.wake: int | None = None
        self._ops = [mine for mine in dag.by_op if mine]
        self._cores = cores
        self._barrier = costs.barrier_cycles
        self._op = -1
        self._running = 0
        self._lists: list[deque[int]] = []
        self._next()

    def ended(self, pairs: Starts, now: int) -> None:
        self._running -= len(pairs)
        if not self._running and self._op + 1 < len(self._ops):
            self.wake = now + self._barrier

    def choose(self, idle: Sequence[int], now: int) -> Starts:
        if self.wake is not None:
            if now < self.wake:
                return []
            self.wake = None
            self._next()
        found = [
            (core, queue.popleft()) for core in idle if (queue := self._queue(core)) is not None
        ]
        return found

    def _queue(self, core: int) -> deque[int] | None:
        """Where a core takes its next tile of the operator from, if there is one."""
        queue = self._lists[core % len(self._lists)] if self._lists else None
        return queue or None

    def _next(self) -> None:
        self._op += 1
        if self._op < len(self._ops):
            mine = self._ops[self._op]
            self._running = len(mine)
            self._lists = self._split(mine)

    def _split(self, tiles: tuple[int, ...]) -> list[deque[int]]:
        """One list that all cores take from."""
        return [deque(tiles)]


class _Static(_Barriers):
    def _split(self, tiles: tuple[int, ...]) -> list[deque[int]]:
        """A list per core, sizes as equal as can be."""
        edges = [len(tiles) * core // self._cores for core in range(self._cores + 1)]
        return [deque(tiles[a:b]) for a, b in pairwise(edges)]


class _Pools:
    """Children first, then the core's own pool, then those of others."""

    wake: int | None = None

    def __init__(self, dag: TileDag, cores: int, costs: Overheads, *, deepest: bool) -> None:
        self._dag, self._cores = dag, cores
        self._sign = -1 if deepest else 1
        self._waits = [len(tile.parents) for tile in dag.tiles]
        self._next: list[int | None] = [None] * cores
        self._pools: list[dict[int, deque[int]]] = [{} for _ in range(cores)]
        roots = [number for number, waits in enumerate(self._waits) if not waits]
        for turn, tile in enumerate(roots):
            self._put(turn % cores, tile)

    def ended(self, pairs: Starts, now: int) -> None:
        children = self._dag.children
        for _, tile in pairs:
            for child in children[tile]:
                self._waits[child] -= 1
        for core, tile in pairs:
            for child in children[tile]:
                if self._waits[child]:
                    continue
                self._waits[child] = -1  # taken
                if self._next[core] is None:
                    self._next[core] = child
                else:
                    self._put(core, child)

    def choose(self, idle: Sequence[int], now: int) -> Starts:
        found: Starts = []
        rest: list[int] = []
        for core in idle:
            tile = self._next[core]
            if tile is None:
                rest.append(core)
                continue
            self._next[core] = None
            found.append((core, tile))
        poor = []
        for core in rest:
            if self._pools[core]:
                found.append((core, self._take(core)))
            else:
                poor.append(core)
        for core in poor:
            victim = self._victim(core)
            if victim is not None:
                found.append((core, self._take(victim)))
        return found

    def _put(self, core: int, tile: int) -> None:
        key = self._sign * self._dag.depths[tile]
        self._pools[core].setdefault(key, deque()).append(tile)

    def _take(self, core: int) -> int:
        pool = self._pools[core]
        key = min(pool)
        tile = pool[key].popleft()
        if not pool[key]:
            del pool[key]
        return tile

    def _victim(self, thief: int) -> int | None:
        """The pool with the first tile in order; on a tie the next core after the thief."""
        rich = [core for core in range(self._cores) if self._pools[core]]
        if not rich:
            return None
        return min(rich, key=lambda core: (min(self._pools[core]), (core - thief) % self._cores))


class _Shallow(_Pools):
    def __init__(self, dag: TileDag, cores: int, costs: Overheads) -> None:
        super().__init__(dag, cores, costs, deepest=False)


class _Deepest(_Pools):
    def __init__(self, dag: TileDag, cores: int, costs: Overheads) -> None:
        super().__init__(dag, cores, costs, deepest=True)


_POLICIES: dict[PolicyName, type[_Barriers] | type[_Shallow] | type[_Deepest]] = {
    PolicyName.STATIC: _Static,
    PolicyName.DYNAMIC: _Barriers,
    PolicyName.TILES: _Shallow,
    PolicyName.TILES_DEEPEST: _Deepest,
}


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
