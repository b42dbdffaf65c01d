"""Where in a program a command stands: from its number in its queue to the command itself."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from accelsim.program import Command, Node, Program, Repeat, queue_counts


@dataclass(frozen=True, slots=True)
class Level:
    """A loop around a command."""

    per_turn: tuple[int, ...]
    """Commands of every queue in one iteration."""
    loop: Repeat
    before: int
    """Commands of the queue in the loop before the command."""


@dataclass(frozen=True, slots=True)
class Place:
    """A command with its surroundings."""

    block: int
    command: Command
    before: tuple[int, ...]
    """Commands of every queue before it in program order."""
    levels: tuple[Level, ...]
    """Loops around it, outer ones first."""


class Places:
    """Looks commands of a program up; every body is indexed once, and only when it is needed."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._queues = len(program.queues)
        self._blocks = [[start[q] for start in program.starts] for q in range(self._queues)]
        self._bodies: dict[int, _Index] = {}
        self._counts: dict[int, tuple[int, ...]] = {}

    def block(self, queue: int, index: int) -> int:
        """Number of the block of the ``index``-th command of the queue."""
        return bisect_right(self._blocks[queue], index) - 1

    def command(self, queue: int, index: int) -> tuple[int, Command]:
        """(block, command) of the ``index``-th command of the queue, which there has to be: faster
        than :meth:`find`."""
        number = self.block(queue, index)
        left = index - self._blocks[queue][number]
        body = self._program.blocks[number].body
        while True:
            node, ahead = self._index(body).find(queue, left)
            if isinstance(node, Command):
                return number, node
            left = (left - ahead[queue]) % self._per_turn(node)[queue]
            body = node.body

    def find(self, queue: int, index: int) -> Place:
        """The ``index``-th command of the queue; AssertionError where there is none."""
        if not 0 <= index < self._blocks[queue][-1]:
            raise AssertionError(f"queue {queue} has no command {index}")
        number = self.block(queue, index)
        before = list(self._program.starts[number])
        left = index - before[queue]
        body = self._program.blocks[number].body
        levels: list[Level] = []
        while True:
            node, ahead = self._index(body).find(queue, left)
            _add(before, ahead)
            left -= ahead[queue]
            if isinstance(node, Command):
                return Place(number, node, tuple(before), tuple(levels))
            turn = self._per_turn(node)
            levels.append(Level(turn, node, left))
            done, left = divmod(left, turn[queue])
            _add(before, turn, done)
            body = node.body

    def _index(self, body: tuple[Node, ...]) -> _Index:
        found = self._bodies.get(id(body))
        if found is None:
            totals = [
                _only(node.queue, self._queues)
                if isinstance(node, Command)
                else tuple([node.count * n for n in self._per_turn(node)])
                for node in body
            ]
            found = self._bodies[id(body)] = _Index(body, totals, self._queues)
        return found

    def _per_turn(self, node: Repeat) -> tuple[int, ...]:
        found = self._counts.get(id(node))
        if found is None:
            counts = queue_counts(node.body)
            found = tuple([counts.get(queue, 0) for queue in range(self._queues)])
            self._counts[id(node)] = found
        return found


class _Index:
    """The nodes of a body by the commands of a queue before them."""

    def __init__(self, body: tuple[Node, ...], totals: list[tuple[int, ...]], queues: int) -> None:
        self._body = body
        self._totals = totals
        self._ahead: list[tuple[int, ...]] = [(0,) * queues]
        for total in totals:
            self._ahead.append(tuple([a + t for a, t in zip(self._ahead[-1], total, strict=True)]))
        self._of_queue: dict[int, tuple[list[int], list[int]]] = {}

    def find(self, queue: int, left: int) -> tuple[Node, tuple[int, ...]]:
        """The node with the ``left``-th command of the queue in the body, and how many commands of
        every queue come before the node."""
        known = self._of_queue.get(queue)
        if known is None:
            nodes = [at for at, total in enumerate(self._totals) if total[queue]]
            known = self._of_queue[queue] = nodes, [self._ahead[at][queue] for at in nodes]
        at = known[0][bisect_right(known[1], left) - 1]
        return self._body[at], self._ahead[at]


def _only(queue: int, queues: int) -> tuple[int, ...]:
    return tuple([int(q == queue) for q in range(queues)])


def _add(totals: list[int], more: tuple[int, ...], times: int = 1) -> None:
    for at, n in enumerate(more):
        totals[at] += times * n
