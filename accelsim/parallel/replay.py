"""An executed tile graph as a program: who ran what in which order, as commands with dependences.

Every tile is a command on its core's array or vector unit, after the core's previous tile and the
last of its parents on every core; a barrier is a command that all tiles of the operator before it
have to end for. The policies leave no core idle while a tile is ready for it, so the simulator,
which knows nothing of policies, has to find the very times of the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from accelsim.parallel.check import Turn
from accelsim.parallel.tile_dag import TileDag
from accelsim.program import Block, Command, Dependency, Program, Work
from accelsim.taskgraph import TaskKind

UNITS = ("array", "vector")


def log_program(
    dag: TileDag,
    log: Sequence[Turn],
    cores: int,
    *,
    array_ops: frozenset[str],
    barrier_cycles: int | None = None,
) -> Program:
    """The program of a log by start. ``array_ops``: operators whose tiles run on the array.
    ``barrier_cycles``: of the barrier between two operators; None: there are none."""
    names = tuple(f"core{core}.{unit}" for core in range(cores) for unit in UNITS)
    writer = _Writer(dag, len(names), array_ops)
    left = [len(mine) for mine in dag.by_op]
    blocks = []
    for turn, after in zip_longest(log, log[1:]):
        blocks.append(writer.tile(turn))
        op = dag.tiles[turn.tile].op
        left[op] -= 1
        if barrier_cycles is not None and not left[op] and after is not None:
            blocks.append(writer.barrier(op, barrier_cycles))
    return Program((*names, "barrier"), (), tuple(blocks), dag.ops)


class _Writer:
    """Commands in the order of the log; counts those of every queue."""

    def __init__(self, dag: TileDag, barrier: int, array_ops: frozenset[str]) -> None:
        self._dag, self._barrier = dag, barrier
        self._on_array = [name in array_ops for name in dag.ops]
        self._counts = [0] * (barrier + 1)
        self._place: dict[int, tuple[int, int]] = {}  # tile -> (queue, position on it)

    def tile(self, turn: Turn) -> Block:
        """One tile as a block."""
        tile = self._dag.tiles[turn.tile]
        on_array = self._on_array[tile.op]
        queue = 2 * turn.core + (0 if on_array else 1)
        last = {}
        other = queue ^ 1
        if self._counts[other]:
            last[other] = self._counts[other]
        if self._counts[self._barrier]:
            last[self._barrier] = self._counts[self._barrier]
        for parent in tile.parents:
            where, position = self._place[parent]
            if where != queue:
                last[where] = max(last.get(where, 0), position)
        kind = TaskKind.ARRAY if on_array else TaskKind.VECTOR
        work = Work(kind, macs=tile.macs)
        command = Command(queue, turn.end - turn.start, work, self._deps(last))
        self._counts[queue] += 1
        self._place[turn.tile] = queue, self._counts[queue]
        return Block(self._dag.ops[tile.op], tile.op, (command,))

    def barrier(self, op: int, cycles: int) -> Block:
        """The barrier after an operator."""
        last = {at: count for at, count in enumerate(self._counts[: self._barrier]) if count}
        command = Command(self._barrier, cycles, Work(TaskKind.DMA_SETUP), self._deps(last))
        self._counts[self._barrier] += 1
        return Block(self._dag.ops[op], op, (command,))

    def _deps(self, last: dict[int, int]) -> tuple[Dependency, ...]:
        """Positions on queues as distances from here."""
        return tuple((queue, self._counts[queue] - last[queue] + 1) for queue in sorted(last))
