"""Who gets a shared resource: the second phase of every simulated instant, free of SimPy.

The rule. Requests of an instant are collected first; grants follow once nothing else of that
instant is left to happen. A free resource goes to the request that comes first in (arrival time,
port rank, task id). The arrival time is when *this* resource was asked for; the port is the
resource the task holds already and asks through (a DMA channel asking for DRAM), tasks that hold
nothing coming before all ports. A task acquires its path in rank order and keeps what it has while
it waits.

Because paths ascend in rank, a grant can only lead to requests for resources of higher rank. One
pass over the resources in ascending rank therefore reaches the fixed point of the instant, and no
two tasks can wait for each other: whoever holds the highest rank in any chain of waits never waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

NO_PORT = -1
"""Port rank of a task that holds nothing yet."""


class Arbiter:
    """Queues and holders of a set of resources, numbered by rank; each carries one task at a time.

    ``paths[task]`` are the ranks a task acquires, strictly ascending. An empty path is a task that
    needs nothing: it starts at the next :meth:`settle`.
    """

    def __init__(self, paths: Sequence[tuple[int, ...]], resources: int) -> None:
        self._paths = paths
        self._granted = [0] * len(paths)
        self._free = [True] * resources
        self._queues: list[list[tuple[int, int, int]]] = [[] for _ in range(resources)]
        self._due: list[int] = []  # heap of ranks that may have become grantable
        self._unbound: list[int] = []  # arrived tasks with an empty path

    def arrive(self, task: int, now: int) -> None:
        """Let ``task`` ask for the first resource of its path at cycle ``now``."""
        path = self._paths[task]
        if path:
            heappush(self._queues[path[0]], (now, NO_PORT, task))
            heappush(self._due, path[0])
        else:
            self._unbound.append(task)

    def leave(self, task: int) -> None:
        """Give back everything ``task`` holds; it must have been granted its whole path."""
        for rank in self._paths[task]:
            self._free[rank] = True
            if self._queues[rank]:
                heappush(self._due, rank)

    def settle(self, now: int) -> list[int]:
        """Grant until nothing changes; return the tasks that now hold their whole path."""
        started, self._unbound = self._unbound, []
        while self._due:
            rank = heappop(self._due)
            if not self._free[rank] or not self._queues[rank]:
                continue
            task = heappop(self._queues[rank])[2]
            self._free[rank] = False
            path = self._paths[task]
            held = self._granted[task] = self._granted[task] + 1
            if held == len(path):
                started.append(task)
            else:
                heappush(self._queues[path[held]], (now, rank, task))
                heappush(self._due, path[held])
        return started
