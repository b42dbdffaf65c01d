"""Which commands may fill on-chip memory before the blocks ahead of theirs have ended.

Read off the dependencies of a program alone. All that a block computes is awaited by its vector
commands, and what leaves it by its stores; so a command comes after a block that waited, itself or
through others, for the last of both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from accelsim.program import Block, Command, Node, Program, queue_counts

Known = tuple[int, int]
"""Numbers of the last vector command and of the last store that are over; -1: of none."""


@dataclass(frozen=True)
class Early:
    """A value that a command may write while an earlier block still runs."""

    structure: str
    address: int
    bytes: int
    tensor: str
    behind: int
    """Blocks ahead of its own that may not be over: 1 is the one just before."""


class Overtaking:
    """Goes through the blocks of a program in order."""

    def __init__(self, program: Program) -> None:
        self._program = program
        stores = [at for at, name in enumerate(program.queues) if name.startswith("dma")]
        known = "vector" in program.queues and stores
        self._vector = program.queues.index("vector") if known else -1
        self._store = stores[-1] if known else -1
        self._reached: list[Known] = [(-1, -1)] * len(program.queues)
        self._counts = [0] * len(program.queues)
        self._seen: dict[tuple[int, int], Known] = {}
        self._slots: dict[int, int] = {}

    def block(self, number: int) -> list[Early]:
        """Of the block, which has to be the next one. Nothing is known, and none found, of programs
        without vector commands or transfers."""
        if self._vector < 0:
            return []
        self._seen, self._slots = {}, {}
        block = self._program.blocks[number]
        return [*self._walk(number, block, block.body)]

    def _walk(self, number: int, block: Block, body: tuple[Node, ...]) -> Iterator[Early]:
        """Of a loop the first iteration: a later one waits for more."""
        for node in body:
            if isinstance(node, Command):
                yield from self._command(number, block, node)
                continue
            yield from self._walk(number, block, node.body)
            for queue, count in queue_counts(node.body).items():
                self._counts[queue] += (node.count - 1) * count

    def _command(self, number: int, block: Block, command: Command) -> Iterator[Early]:
        queue = command.queue
        known = self._reached[queue]
        for other, back in command.deps:
            at = self._counts[other] - back
            known = _later(known, self._seen.get((other, at), (-1, -1)))
            known = _later(known, self._own(other, at))
        at = self._counts[queue]
        self._counts[queue] += 1
        known = _later(known, self._own(queue, at - 1))
        self._seen[queue, at] = self._reached[queue] = known
        for touch in command.work.writes:
            buffer = block.buffers[touch.buffer]
            if buffer.resident_bytes:
                address = buffer.addresses[0]
            elif touch.fresh:
                slot = self._slots.get(touch.buffer, 0)
                self._slots[touch.buffer] = slot + 1
                address = buffer.addresses[slot % len(buffer.addresses)]
            else:
                continue
            behind = self._behind(number, known, buffer.structure)
            if behind:
                yield Early(buffer.structure, address, touch.bytes, buffer.tensor, behind)

    def _own(self, queue: int, at: int) -> Known:
        """What the end of a command says by itself: queues are in order."""
        return (at if queue == self._vector else -1), (at if queue == self._store else -1)

    def _behind(self, number: int, known: Known, structure: str) -> int:
        """How many blocks ahead may still run; stores only read the scratchpad."""
        starts = self._program.starts
        behind = 0
        while behind < number:
            ahead = starts[number - behind]
            over = known[0] >= ahead[self._vector] - 1
            if over and (structure != "scratchpad" or known[1] >= ahead[self._store] - 1):
                break
            behind += 1
        return behind


def _later(one: Known, other: Known) -> Known:
    return max(one[0], other[0]), max(one[1], other[1])
