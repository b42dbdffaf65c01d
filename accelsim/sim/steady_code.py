"""Timing skeletons compiled per queue: flat lists of commands, and where loops close.

A queue sees only its own commands: sub-trees without any are skipped. Loops are shared by all
queues, and the depth of a loop is its depth in the whole tree, so the position of every queue can
be put down as the number of its command in the list (*pc*) and one iteration per depth.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from accelsim.program import Work
from accelsim.sim.steady_fold import Loop, Part, Step, height_of

Need = tuple[int, int]
"""(queue, constant): so many commands of the queue must have ended, in the first iteration of all
loops around; later iterations need as many more as the iterations hold."""


LONG = 32
"""Commands below which a loop is simply stepped: a look costs as much as about ten of them, and it
takes a few until a jump."""


@dataclass(slots=True, eq=False)
class LoopInfo:
    """One loop of the tree. The lower fields belong to the run: who looks for repetition here."""

    node: Loop
    depth: int
    height: int
    """Levels of loops from this one inwards, itself included."""
    twin: LoopInfo | None
    """The outermost loop around (or this one) that the program contains elsewhere, too."""
    count: int
    holds: list[int]
    """Per queue: commands in one iteration."""
    views: list[View | None]
    """Per queue: how it sees the loop, None when it has no commands in it."""
    lead: int = -1
    """Queue at whose iterations repetition is looked for."""
    crossed: int = 0
    """Bit mask of other queues that began an iteration since the lead last did."""
    long: bool = True
    """Whether it is worth a look: stepping all of it would cost more than looking."""
    looked: int = 0
    """Cycle of the last look."""
    misses: int = 0
    """Looks in a row that found nothing."""
    since: int = 1
    """Iteration from which on it is worth a look: after a first short one nothing has settled."""


@dataclass(slots=True, eq=False)
class View:
    """A loop as one queue sees it."""

    loop: LoopInfo
    outer: tuple[View, ...]
    """The loops around it, outer ones first."""
    slot: int
    """Of the iteration in the list of iterations of all queues."""
    first: int
    """pc at which an iteration begins."""
    count: int
    needs: dict[int, int] = field(default_factory=dict)
    """Other queue -> the largest constant of a need on it, inner loops in their last iteration."""
    adds: tuple[tuple[int, int], ...] = ()
    """(other queue, how much more of it is needed per iteration)."""


@dataclass(slots=True)
class Code:
    """A compiled program; lists are per queue, then per pc."""

    queues: int
    ports: int
    depth: int
    """Deepest nesting of loops; iterations of queue q are slots [q * depth, (q + 1) * depth)."""
    cycles: list[list[int]] = field(default_factory=list)
    paths: list[list[tuple[int, ...]]] = field(default_factory=list)
    works: list[list[Work]] = field(default_factory=list)
    needs: list[list[tuple[Need, ...]]] = field(default_factory=list)
    closes: list[list[tuple[View, ...]]] = field(default_factory=list)
    """Loops that end an iteration with the command, inner ones first."""
    nests: list[list[tuple[View, ...]]] = field(default_factory=list)
    """Loops around the command, outer ones first. One entry more, for the end of the queue."""

    def __post_init__(self) -> None:
        for _ in range(self.queues):
            self.cycles.append([])
            self.paths.append([])
            self.works.append([])
            self.needs.append([])
            self.closes.append([])
            self.nests.append([])


def compile_code(tree: Part, queues: int, ports: int, *, twins: bool = True) -> Code:
    """Compile a skeleton of a program with so many queues and ports. ``twins``: note which loops it
    contains more than once."""
    code = Code(queues, ports, height_of(tree))
    written: dict[Loop, int] = {}
    if twins:
        _count_loops(tree, written)
    _Compiler(code, written).walk(tree)
    for nests in code.nests:
        nests.append(())
    return code


def _count_loops(tree: Part, found: dict[Loop, int]) -> None:
    """Add how often each loop is written in the tree."""
    for node in tree:
        if isinstance(node, Loop):
            found[node] = found.get(node, 0) + 1
            _count_loops(node.body, found)


class _Compiler:
    def __init__(self, code: Code, written: Mapping[Loop, int]) -> None:
        self._code = code
        self._written = written
        self._before = [0] * code.queues  # commands of each queue so far, loops counted in full
        self._stack: list[LoopInfo] = []
        self._nests: list[list[tuple[View, ...]]] = [[()] * code.queues]  # per depth and queue

    def walk(self, body: Part) -> None:
        for node in body:
            if isinstance(node, Step):
                self._step(node)
            else:
                self._loop(node)

    def _step(self, step: Step) -> None:
        code, queue, before = self._code, step.queue, self._before
        needs = tuple([(other, before[other] - back + 1) for other, back in step.deps])
        code.cycles[queue].append(step.cycles)
        code.paths[queue].append(step.ports)
        code.works[queue].append(step.work)
        code.needs[queue].append(needs)
        code.closes[queue].append(())
        code.nests[queue].append(self._nest(queue))
        before[queue] += 1
        if self._stack:
            view = self._stack[-1].views[queue]
            if view is not None:
                _raise_needs(view.needs, needs)

    def _nest(self, queue: int) -> tuple[View, ...]:
        """Views of the loops around; those in which the queue appears for the first time begin."""
        nest = self._nests[len(self._stack)][queue]
        if len(nest) == len(self._stack):
            return nest
        here = len(self._code.cycles[queue]) - 1
        nest = ()
        for level, loop in enumerate(self._stack):
            view = loop.views[queue]
            if view is None:
                slot = queue * self._code.depth + loop.depth
                view = loop.views[queue] = View(loop, nest, slot, here, loop.count)
            nest = (*nest, view)
            self._nests[level + 1][queue] = nest
        return nest

    def _loop(self, node: Loop) -> None:
        queues = self._code.queues
        before = list(self._before)
        twin = self._stack[-1].twin if self._stack else None
        loop = LoopInfo(node, len(self._stack), node.height, twin, node.count, [], [None] * queues)
        if twin is None and self._written.get(node, 1) > 1:
            loop.twin = loop
        self._stack.append(loop)
        self._nests.append([()] * queues)
        self.walk(node.body)
        self._stack.pop()
        self._nests.pop()
        loop.holds = [now - then for now, then in zip(self._before, before, strict=True)]
        once = sum(loop.holds)
        loop.long = node.count * once >= LONG
        loop.since = 2 if once < 4 * LONG else 1
        self._before = [
            then + node.count * holds for then, holds in zip(before, loop.holds, strict=True)
        ]
        for queue, view in enumerate(loop.views):
            if view is not None:
                self._close(queue, loop, view)

    def _close(self, queue: int, loop: LoopInfo, view: View) -> None:
        view.adds = tuple([(q, loop.holds[q]) for q in view.needs if loop.holds[q]])
        self._code.closes[queue][-1] += (view,)
        if self._stack:
            outer = self._stack[-1].views[queue]
            assert outer is not None
            more = loop.count - 1
            _raise_needs(
                outer.needs, [(q, n + more * loop.holds[q]) for q, n in view.needs.items()]
            )


def _raise_needs(largest: dict[int, int], needs: Sequence[Need]) -> None:
    for queue, constant in needs:
        largest[queue] = max(largest.get(queue, constant), constant)


def unmet_needs(
    code: Code, pc: Sequence[int], turn: Sequence[int], done: Sequence[int], queue: int
) -> list[Need]:
    """(other queue, need) for every unmet need of the current command of ``queue``, which is not at
    its end, given command, iterations and ended commands of all queues."""
    found = []
    nest = code.nests[queue][pc[queue]]
    for other, constant in code.needs[queue][pc[queue]]:
        need = constant + added_need(nest, other, turn)
        if done[other] < need:
            found.append((other, need))
    return found


def largest_need(view: View, other: int, turn: Sequence[int], nth: int) -> int:
    """No command up to the ``nth`` iteration of a loop needs more of ``other``; ``turn`` gives the
    iterations of the loops around it."""
    return view.needs[other] + added_need(view.outer, other, turn) + nth * view.loop.holds[other]


def added_need(nest: Iterable[View], other: int, turn: Sequence[int]) -> int:
    """What the iterations of the loops around a command add to its need of ``other``."""
    return sum([turn[view.slot] * view.loop.holds[other] for view in nest])
