"""How cores find their next tile: the decisions of :mod:`accelsim.sim.dynamic`, without the time.

A policy is told which tiles ended at an instant, all at once, and then asked what the idle cores
begin. It knows the graph, the number of cores and the cost of a barrier.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from itertools import pairwise
from types import MappingProxyType
from typing import Protocol

from accelsim.parallel.tile_dag import TileDag


class PolicyName(StrEnum):
    """How cores find their next tile."""

    STATIC = "static"
    DYNAMIC = "dynamic"
    TILES = "tiles"
    TILES_DEEPEST = "tiles-deepest"


Starts = list[tuple[int, int]]
"""(core, tile) that begin now."""


class Policy(Protocol):
    """Decides; the engine keeps the time."""

    wake: int | None
    """Cycle at which there is something to choose although nothing ends."""

    def ended(self, pairs: Starts, now: int) -> None:
        """Tiles that ended at ``now``, by core."""

    def choose(self, idle: Sequence[int], now: int) -> Starts:
        """What idle cores (ascending) begin."""


class Barriers:
    """One operator after the other."""

    def __init__(self, dag: TileDag, cores: int, barrier: int) -> None:
        self.wake: int | None = None
        self._ops = [mine for mine in dag.by_op if mine]
        self._cores = cores
        self._barrier = barrier
        self._op = -1
        self._running = 0
        self._lists: list[deque[int]] = []
        self._next()

    def ended(self, pairs: Starts, now: int) -> None:
        """The last end of an operator sets the clock for the next."""
        self._running -= len(pairs)
        if not self._running and self._op + 1 < len(self._ops):
            self.wake = now + self._barrier

    def choose(self, idle: Sequence[int], now: int) -> Starts:
        """Tiles of the current operator, none while the barrier takes its time."""
        if self.wake is not None:
            if now < self.wake:
                return []
            self.wake = None
            self._next()
        return [
            (core, queue.popleft())
            for core in sorted(idle)
            if (queue := self._queue(core)) is not None
        ]

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


class Static(Barriers):
    """One operator after the other, its tiles shared out beforehand."""

    def _split(self, tiles: tuple[int, ...]) -> list[deque[int]]:
        """A list per core, sizes as equal as can be."""
        edges = [len(tiles) * core // self._cores for core in range(self._cores + 1)]
        return [deque(tiles[a:b]) for a, b in pairwise(edges)]


class Pools:
    """Children first, then the core's own pool, then those of others."""

    wake: int | None = None

    def __init__(self, dag: TileDag, cores: int, *, deepest: bool) -> None:
        self._dag, self._cores = dag, cores
        self._sign = -1 if deepest else 1
        self._waits = [len(tile.parents) for tile in dag.tiles]
        self._next: list[int | None] = [None] * cores
        self._pools: list[dict[int, deque[int]]] = [{} for _ in range(cores)]
        roots = [number for number, waits in enumerate(self._waits) if not waits]
        for turn, tile in enumerate(roots):
            self._put(turn % cores, tile)

    def ended(self, pairs: Starts, now: int) -> None:
        """Count down all children first; then every core, in order, claims its ready ones."""
        children = self._dag.children
        for _, tile in pairs:
            for child in children[tile]:
                self._waits[child] -= 1
        for core, tile in sorted(pairs):
            for child in children[tile]:
                if self._waits[child]:
                    continue
                self._waits[child] = -1  # taken
                if self._next[core] is None:
                    self._next[core] = child
                else:
                    self._put(core, child)

    def choose(self, idle: Sequence[int], now: int) -> Starts:
        """Children, then own pools, and only when all of these are served, pools of others."""
        found: Starts = []
        rest: list[int] = []
        for core in sorted(idle):
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


class Shallow(Pools):
    """Pools that give the tile nearest to the beginning of the graph."""

    def __init__(self, dag: TileDag, cores: int, barrier: int) -> None:
        super().__init__(dag, cores, deepest=False)


class Deepest(Pools):
    """Pools that give the tile farthest from the beginning of the graph."""

    def __init__(self, dag: TileDag, cores: int, barrier: int) -> None:
        super().__init__(dag, cores, deepest=True)


POLICIES: Mapping[PolicyName, Callable[[TileDag, int, int], Policy]] = MappingProxyType(
    {
        PolicyName.STATIC: Static,
        PolicyName.DYNAMIC: Barriers,
        PolicyName.TILES: Shallow,
        PolicyName.TILES_DEEPEST: Deepest,
    }
)
"""Name -> policy, from (graph, cores, cycles of a barrier)."""
