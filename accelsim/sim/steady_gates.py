"""Where a program can be cut: blocks that nothing reaches into from before.

A block is *gated* when none of its commands, nor any later one, can start before every command of
the blocks before it has ended. What follows a gate then happens as if the run began there: all
queues and ports are idle, and every dependency on something earlier is met. So the stretches
between gates can be executed one by one, each from cycle 0, and equal stretches only once.

The proof looks at the first command of every queue from the block on (the others of its queue come
after it). That command waits for its own queue, for its dependencies, and with them for what these
waited for. If that covers all commands before the block, it is gated; so it is if it waits for a
command of the block or later that belongs to a gated queue. All first commands that wait for
earlier commands only arrive at the same cycle, the last end before the gate. Commands without
duration could put them into different rounds of that cycle: a program that has any is not cut.
"""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.program import Command, Dependency, Node, Program


@dataclass(frozen=True, slots=True)
class _Head:
    """The first command of a queue in a block."""

    before: dict[int, int]
    """Per queue: commands of the block before it."""
    deps: tuple[Dependency, ...]


class _Outline:
    """What of a block's body the proof needs."""

    def __init__(self, body: tuple[Node, ...]) -> None:
        self.heads: dict[int, _Head] = {}
        self.waits: dict[tuple[int, int], int] = {}
        """(queue, other): how many commands of ``other`` have ended, counted from the block's
        start, when all of ``queue`` in this block have ended; the largest that is certain."""
        self.timeless = False
        self._walk(body, {})

    def _walk(self, body: tuple[Node, ...], at: dict[int, int]) -> None:
        """Go through a body once; ``at``: commands per queue so far, advanced by its last turn."""
        for node in body:
            if isinstance(node, Command):
                self._command(node, at)
                continue
            if node.count > 1:
                if not node.counts.keys() <= self.heads.keys():
                    self._walk(node.body, dict(at))
                for queue, count in node.counts.items():
                    at[queue] = at.get(queue, 0) + (node.count - 1) * count
            # Needs grow from turn to turn: the last one decides.
            self._walk(node.body, at)

    def _command(self, command: Command, at: dict[int, int]) -> None:
        queue = command.queue
        if command.cycles == 0:
            self.timeless = True
        if queue not in self.heads:
            self.heads[queue] = _Head(dict(at), command.deps)
        for other, back in command.deps:
            need = at.get(other, 0) - back + 1
            known = self.waits.get((queue, other))
            if known is None or need > known:
                self.waits[queue, other] = need
        at[queue] = at.get(queue, 0) + 1


def gates(program: Program) -> tuple[int, ...]:
    """Positions of gated blocks, ascending; the first block always is one."""
    outlines: dict[int, _Outline] = {}
    blocks = []
    for block in program.blocks:
        found = outlines.get(id(block.timing))
        if found is None:
            found = outlines[id(block.timing)] = _Outline(block.timing)
        if found.timeless:
            return (0,)
        blocks.append(found)
    return _Gates(program, blocks).found()


class _Gates:
    def __init__(self, program: Program, blocks: list[_Outline]) -> None:
        self._starts = program.starts
        self._blocks = blocks
        self._queues = range(len(program.queues))
        self._next = self._next_heads()

    def _next_heads(self) -> list[dict[int, int]]:
        """Per block: queue -> the first block from there on that has commands of it."""
        found: list[dict[int, int]] = []
        coming: dict[int, int] = {}
        for position in range(len(self._blocks) - 1, -1, -1):
            coming = {**coming, **dict.fromkeys(self._blocks[position].heads, position)}
            found.append(coming)
        return found[::-1]

    def found(self) -> tuple[int, ...]:
        """All gates."""
        if not self._blocks:
            return (0,)
        positions = [0]
        ended: dict[tuple[int, int], int] = {}
        for position, outline in enumerate(self._blocks):
            if position and self._gated(position, ended):
                positions.append(position)
            start = self._starts[position]
            for (queue, other), need in outline.waits.items():
                ended[queue, other] = max(ended.get((queue, other), 0), start[other] + need)
        return tuple(positions)

    def _gated(self, position: int, ended: dict[tuple[int, int], int]) -> bool:
        """``ended``: (queue, other) -> commands of ``other`` that have ended, from the beginning,
        once all of ``queue`` before the block have."""
        start, coming = self._starts[position], self._next[position]
        implied = [1 << queue for queue in self._queues]
        for (queue, other), need in ended.items():
            if need >= start[other]:
                implied[queue] |= 1 << other
        safe = {queue for queue in self._queues if queue not in coming}
        open_ = {queue: self._needs(position, queue) for queue in coming}
        while open_:
            proved = [
                queue
                for queue, needs in open_.items()
                if any(need > start[other] and other in safe for other, need in needs.items())
                or self._covers(queue, needs, start, implied)
            ]
            if not proved:
                return False
            for queue in proved:
                del open_[queue]
                safe.add(queue)
        return True

    def _needs(self, position: int, queue: int) -> dict[int, int]:
        """Queue -> commands, from the beginning, that the first command of ``queue`` waits for."""
        at = self._next[position][queue]
        head, start = self._blocks[at].heads[queue], self._starts[at]
        return {
            other: start[other] + head.before.get(other, 0) - back + 1 for other, back in head.deps
        }

    def _covers(
        self, queue: int, needs: dict[int, int], start: tuple[int, ...], implied: list[int]
    ) -> bool:
        """Whether everything before the block has ended once ``needs`` and the own queue have.
        Sets of queues are bit masks; ``implied``: per queue, those that have all ended with it."""
        over = 1 << queue
        for other, begin in enumerate(start):
            if needs.get(other, 0) >= begin:
                over |= 1 << other
        known = 0
        while over != known:
            known = over
            for other in self._queues:
                if known >> other & 1:
                    over |= implied[other]
        return over == (1 << len(start)) - 1
