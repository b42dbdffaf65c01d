"""Loops met again elsewhere: what happened in one occurrence, repeated in an equal one.

Equal loops that do not follow each other (the same layer again later) are one object in the
skeleton of the program; its occurrences are *twins*. **Why a replay is exact:** let every queue,
at ``past`` and again at ``now``, be either *inside* an occurrence (all that are inside: the same
one, in the same iterations around it) or wait *outside*, or have finished. Let those inside be at
the same command and iteration counted from the beginning of their occurrence, do the same, and have
the same times relative to ``past`` and ``now``; the device has the same signature. Then what
happened from ``past`` to a later recorded state ``until`` happens again, if

1. up to ``until`` every queue inside has stayed in its occurrence: its commands are the same;
2. every need of queues inside compares equal. Among them both sides count from the beginning of the
   occurrence. A need on a queue outside is met, then and now: it is on a command before the
   occurrence or in it, and the waiting command of that queue comes after. For else, of all waiting
   commands outside, take the first in program order: it is before the occurrence, and what it waits
   for is earlier still, so it has ended, whether its queue is inside, finished or waits outside;
3. up to ``until`` no queue outside has done anything, and now each still has a need unmet at the
   end of the replay. Waiting queues hold no ports, so they have no influence.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from accelsim.sim.steady_code import Code, LoopInfo, unmet_needs
from accelsim.sim.steady_machine import OFF, WAITING, State


def twin_key(code: Code, state: State, loop: LoopInfo) -> Hashable | None:
    """What has to be equal for a replay, apart from the device; None: no replay from here."""
    depth, around = loop.depth, None
    parts: list[Hashable] = []
    for queue, stage in enumerate(state.stage):
        if not _inside(code, state, queue, loop):
            if stage != WAITING:
                return None
            parts.append(None)
            continue
        turns = state.turn[queue * code.depth : (queue + 1) * code.depth]
        if around is None:
            around = turns[:depth]
        elif around != turns[:depth]:
            return None
        view = loop.views[queue]
        assert view is not None
        end, ready, asked = state.end[queue], state.ready[queue], state.asked[queue]
        times: tuple[int, ...] = ()
        if end != OFF:
            times = (end - state.now,)
        elif stage != WAITING:
            times = (state.now - ready, state.now - asked)
        inner = turns[depth : depth + loop.height]
        parts.append((state.pc[queue] - view.first, inner, stage, times))
    return (loop.node, tuple(parts))


def _inside(code: Code, state: State, queue: int, loop: LoopInfo) -> bool:
    nest = code.nests[queue][state.pc[queue]]
    return len(nest) > loop.depth and nest[loop.depth].loop is loop


@dataclass(slots=True)
class Replay:
    """From ``past``, inside of ``there``, to ``state``, inside of its twin ``here``."""

    code: Code
    past: State
    there: LoopInfo
    state: State
    here: LoopInfo

    @property
    def late(self) -> int:
        """Cycles from ``past`` to ``state``."""
        return self.state.now - self.past.now

    @property
    def advance(self) -> tuple[int, ...]:
        """Per queue: commands from ``past`` to ``state``."""
        return tuple([b - a for a, b in zip(self.past.done, self.state.done, strict=True)])

    def allows(self, until: State) -> bool:
        """Whether what happened up to ``until`` happens again; weaker for an earlier one."""
        for queue in range(self.code.queues):
            if not _inside(self.code, self.state, queue, self.here):
                if not self._idle(queue, until):
                    return False
            elif not self._stays(queue, until):
                return False
        return True

    def _idle(self, queue: int, until: State) -> bool:
        """Rule 3."""
        if until.stage[queue] != WAITING or until.done[queue] != self.past.done[queue]:
            return False
        if self.state.pc[queue] == len(self.code.cycles[queue]):
            return True
        ended = self.applied(until).done
        needs = unmet_needs(self.code, self.state.pc, self.state.turn, self.state.done, queue)
        return any(ended[other] < need for other, need in needs)

    def _stays(self, queue: int, until: State) -> bool:
        """Rule 1."""
        low = queue * self.code.depth
        around = slice(low, low + self.there.depth)
        return (
            _inside(self.code, until, queue, self.there)
            and until.turn[around] == self.past.turn[around]
        )

    def applied(self, until: State) -> State:
        """``until``, moved into the twin."""
        code, late = self.code, self.late
        done, pc, turn = list(self.state.done), list(self.state.pc), list(self.state.turn)
        stage, ready, asked = list(self.state.stage), list(self.state.ready), list(self.state.asked)
        end = list(self.state.end)
        for queue, advance in enumerate(self.advance):
            there, here = self.there.views[queue], self.here.views[queue]
            if there is None or here is None:
                continue
            if not _inside(code, self.state, queue, self.here):
                continue
            done[queue] = until.done[queue] + advance
            pc[queue] = until.pc[queue] - there.first + here.first
            turn[here.slot : here.slot + self.here.height] = until.turn[
                there.slot : there.slot + self.there.height
            ]
            stage[queue] = until.stage[queue]
            ready[queue], asked[queue] = until.ready[queue] + late, until.asked[queue] + late
            end[queue] = OFF if until.end[queue] == OFF else until.end[queue] + late
        return State(
            until.now + late, tuple(done), tuple(pc), tuple(turn), tuple(stage),
            tuple(ready), tuple(asked), tuple(end), until.device,
        )  # fmt: skip
