"""Timing skeletons of programs: what is equal in time is one object, and repetition is a loop.

Two commands are the same *step* when they agree in everything that time depends on: queue, cycles,
dependencies, ports (and, behind a :class:`~accelsim.sim.devices.PortDevice`, what the device sees).
Steps and loops are interned, so equality is identity, and sequences of equal nodes, for example 32
decoder layers, become loops. That only writes the same sequence of commands in another way.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from itertools import chain, pairwise

from accelsim.program import Command, Dependency, Node, Program, Work

CANDIDATES = 3
"""Periods tried per position: the distances to so many next occurrences of the same node."""

WORTH_FOLDING = 16
"""Nodes of a body below which it is taken as it is written."""

LONGEST_PERIOD = 4096
"""Nodes in the longest sequence that is recognised as repeated."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One command without its meaning; see :class:`~accelsim.program.Command` for the fields."""

    queue: int
    cycles: int
    deps: tuple[Dependency, ...]
    ports: tuple[int, ...]
    work: Work
    """Of one of the commands that are this step: for a device, equal to that of all others."""


@dataclass(frozen=True, slots=True, eq=False)
class Loop:
    """``body`` executed ``count`` >= 2 times."""

    count: int
    body: tuple[Timed, ...]
    height: int
    """Levels of loops, this one included."""


Timed = Step | Loop


Part = tuple[Timed, ...]
"""Nodes in a row; parts of identical nodes are equal."""


class Skeletons:
    """Makes steps and loops, one object for equal ones.

    ``content`` says what of a command's work its time depends on (None: nothing).
    """

    def __init__(self, content: Callable[[Work], Hashable] | None = None) -> None:
        self._content = content
        self._steps: dict[Hashable, Step] = {}
        self._loops: dict[tuple[int, Part], Loop] = {}
        self._bodies: dict[int, Part] = {}  # id of a tuple of nodes -> its skeleton

    def of(self, program: Program) -> Part:
        """Skeleton of a whole program, equal consecutive sequences of blocks folded into loops."""
        return self.sequence(self.bodies(program))

    def bodies(self, program: Program) -> list[Part]:
        """Skeletons of the blocks; those of blocks that are equal in time are equal."""
        shared = self._content is None
        return [self._body(b.timing if shared else b.body) for b in program.blocks]

    def sequence(self, parts: list[Part]) -> Part:
        """Skeletons of blocks in a row as one, with equal sequences of them as loops."""
        return tuple(chain(*self.fold(parts)))

    def loop(self, count: int, body: Part) -> Part:
        """``body`` ``count`` times; a loop around nothing but a loop becomes a single one."""
        if count == 1 or not body:
            return body
        if len(body) == 1 and isinstance(body[0], Loop):
            return self.loop(count * body[0].count, body[0].body)
        key = (count, body)
        found = self._loops.get(key)
        if found is None:
            found = self._loops[key] = Loop(count, body, 1 + height_of(body))
        return (found,)

    def fold(self, parts: list[Part]) -> list[Part]:
        """``parts`` with equal consecutive stretches replaced by loops.

        Short periods fold first, and what was folded counts as one part of the next pass, so nested
        repetition is found from the inside out. Cost: a few comparisons per part and pass.
        """
        longest = 1
        while longest <= min(len(parts) // 2, LONGEST_PERIOD):
            following = _next_occurrences(parts)
            if min(following) == len(parts):
                break
            shorter = self._fold_once(parts, following, longest)
            longest = 2 * longest if len(shorter) == len(parts) else 1
            parts = shorter
        return parts

    def _fold_once(self, parts: list[Part], following: list[int], longest: int) -> list[Part]:
        folded: list[Part] = []
        at = 0
        while at < len(parts):
            period = _period(parts, following, at, longest)
            if not period:
                folded.append(parts[at])
                at += 1
                continue
            stretch = parts[at : at + period]
            end = at + 2 * period
            while parts[end : end + period] == stretch:
                end += period
            folded.append(self.loop((end - at) // period, tuple(chain(*stretch))))
            at = end
        return folded

    def _body(self, nodes: tuple[Node, ...]) -> Part:
        known = self._bodies.get(id(nodes))
        if known is None:
            parts = [part for node in nodes if (part := self._node(node))]
            if len(parts) >= WORTH_FOLDING:
                parts = self.fold(parts)
            known = self._bodies[id(nodes)] = tuple(chain(*parts))
        return known

    def _node(self, node: Node) -> Part:
        if isinstance(node, Command):
            return (self._step(node),)
        return self.loop(node.count, self._body(node.body))

    def _step(self, command: Command) -> Step:
        seen = self._content(command.work) if self._content else None
        key = (command.queue, command.cycles, command.deps, command.ports, seen)
        found = self._steps.get(key)
        if found is None:
            _require_well_formed(command)
            found = self._steps[key] = Step(
                command.queue, command.cycles, command.deps, command.ports, command.work
            )
        return found


def height_of(body: Part) -> int:
    """Levels of loops in a row of nodes."""
    height = 0
    for node in body:
        if isinstance(node, Loop) and node.height > height:
            height = node.height
    return height


def _require_well_formed(command: Command) -> None:
    """Ascending ports rule out deadlock; whoever built the program has to see to it."""
    if type(command.cycles) is not int or command.cycles < 0:
        raise AssertionError(f"cycles must be a non-negative int, not {command.cycles!r}")
    if any(low >= high for low, high in pairwise(command.ports)):
        raise AssertionError(f"ports {command.ports} must ascend, or commands could deadlock")
    if any(low[0] >= high[0] for low, high in pairwise(command.deps)):
        raise AssertionError(f"dependencies {command.deps} must name each queue once, ascending")
    if any(queue == command.queue or back < 1 for queue, back in command.deps):
        raise AssertionError(f"dependencies {command.deps} must be on earlier, other commands")


def _next_occurrences(parts: list[Part]) -> list[int]:
    """Per position the next one with an equal part, or the length where there is none."""
    following = [len(parts)] * len(parts)
    seen: dict[Part, int] = {}
    for at in range(len(parts) - 1, -1, -1):
        following[at] = seen.get(parts[at], len(parts))
        seen[parts[at]] = at
    return following


def _period(parts: list[Part], following: list[int], at: int, longest: int) -> int:
    """The shortest period, at most ``longest``, of a repetition that begins here; 0: none."""
    again = at
    for _ in range(CANDIDATES):
        again = following[again]
        period = again - at
        if again + period > len(parts) or period > longest:
            return 0
        if parts[again - 1] == parts[again + period - 1] and (
            parts[at:again] == parts[again : again + period]
        ):
            return period
    return 0
