"""What repeats between two states that agree, and how often it may be repeated.

The reasons are in :mod:`accelsim.sim.steady_jump`; the rules here are those numbered there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from accelsim.sim.steady_code import Code, View, largest_need, unmet_needs
from accelsim.sim.steady_machine import OFF, WAITING, RawItem, State

FOR_EVER = 1 << 200
"""More periods than any loop has."""


@dataclass(slots=True)
class Shift:
    """What changes with every period between two states that agree."""

    past: State
    cycles: int
    advance: tuple[int, ...]
    """Per queue: commands."""
    moving: list[tuple[int, View, int]]
    """(queue, its level, iterations)."""
    loose: list[tuple[View, int, int]]
    """(level of a queue, another queue, rise of the needs on it beyond its advance): rule 2."""
    waiting: list[list[tuple[int, int]]]
    """Per waiting queue that does not move, its unmet needs: rule 3."""
    running: list[int]
    """Ends of long commands: rule 4."""

    @classmethod
    def between(cls, code: Code, past: State, state: State, depth: int) -> Shift:
        """The shift from ``past`` to ``state``, which agree at the levels of ``depth``."""
        advance = tuple([b - a for a, b in zip(past.done, state.done, strict=True)])
        shift = cls(past, state.now - past.now, advance, [], [], [], [])
        for queue, moved in enumerate(advance):
            if moved:
                view = level_of(code.nests[queue][state.pc[queue]], depth)
                turns = state.turn[view.slot] - past.turn[view.slot]
                shift.moving.append((queue, view, turns))
                for other in view.needs:
                    drift = turns * view.loop.holds[other] - advance[other]
                    if drift:
                        shift.loose.append((view, other, drift))
            elif state.stage[queue] == WAITING:
                if state.pc[queue] < len(code.cycles[queue]):
                    needs = unmet_needs(code, state.pc, state.turn, state.done, queue)
                    shift.waiting.append(needs)
            elif state.end[queue] != OFF:
                shift.running.append(state.end[queue])
        return shift

    def reach(self, until: State) -> int:
        """For how many shifts j = 1, 2, ... the replay up to ``until`` is exact; -1: not even what
        was recorded (j = 0) shows that it would be."""
        periods = FOR_EVER
        for _, view, turns in self.moving:
            periods = min(periods, (view.count - 1 - until.turn[view.slot]) // turns)
        for view, other, drift in self.loose:
            slack = self.past.done[other] - largest_need(
                view, other, until.turn, until.turn[view.slot]
            )
            if slack < 0:
                return -1
            if drift > 0:
                periods = min(periods, slack // drift)
        for needs in self.waiting:
            periods = min(periods, max(self._unmet_for(need, until) for need in needs))
        if self.cycles:
            for end in self.running:
                periods = min(periods, (end - 1 - until.now) // self.cycles)
        return periods

    def _unmet_for(self, need: tuple[int, int], until: State) -> int:
        other, amount = need
        left = amount - 1 - until.done[other]
        if left < 0:
            return -1
        return left // self.advance[other] if self.advance[other] else FOR_EVER

    def applied(self, state: State, periods: int) -> State:
        """``state`` so many periods later."""
        late = periods * self.cycles
        done, turn = list(state.done), list(state.turn)
        ready, asked, end = list(state.ready), list(state.asked), list(state.end)
        for queue, view, turns in self.moving:
            done[queue] += periods * self.advance[queue]
            turn[view.slot] += periods * turns
            ready[queue] += late
            asked[queue] += late
            if end[queue] != OFF:
                end[queue] += late
        return state._replace(
            now=state.now + late, done=tuple(done), turn=tuple(turn),
            ready=tuple(ready), asked=tuple(asked), end=tuple(end),
        )  # fmt: skip


def level_of(nest: tuple[View, ...], depth: int) -> View:
    """The loop at ``depth``, or the innermost one of a nest that is not that deep."""
    return nest[depth] if depth < len(nest) else nest[-1]


def moved_items(
    items: Sequence[RawItem], advance: tuple[int, ...], periods: int, cycles: int
) -> list[RawItem]:
    """The items so many periods later."""
    late = periods * cycles
    found: list[RawItem] = []
    for item in items:
        if len(item) == 6:
            queue, index, ready, start, end, pc = item
            index += periods * advance[queue]
            found.append((queue, index, ready + late, start + late, end + late, pc))
        else:
            count, step, inner, body = item
            found.append((count, step, inner, tuple(moved_items(body, advance, periods, cycles))))
    return found


def placed_items(items: Sequence[RawItem], offset: tuple[int, ...], late: int) -> list[RawItem]:
    """Items of a stretch that begins after ``offset`` commands per queue and ``late`` cycles."""
    return moved_items(items, offset, 1, late)
