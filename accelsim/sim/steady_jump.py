"""Exact fast-forward: find a state again, and repeat what followed it.

**Why it is exact.** Between two rounds of an instant the machine is determined by its
:class:`~accelsim.sim.steady_machine.State`; what happens next depends on it and on the commands
ahead, nothing else. Let the state at ``now`` agree with an earlier one, ``past``, in this sense:

(a) every queue is at the same command, in the same iterations of all loops around it but one; in
    that one, its *level*, it is ``k`` >= 0 iterations further (k > 0: the queue *moves*);
(b) every queue waits, asks for the same port or runs as it did, and times relative to ``now`` are
    the same: ends of what runs, arrivals and requests of what asks;
(c) queues may instead still be at the very same command, which runs or waits for a port longer than
    all those of (b): then their times are the same absolutely;
(d) the device behind a port has the same signature.

Replay, that is, repeat every event from ``past`` to some later recorded state ``until``, shifted by
j periods: times by j (now - past), indices and iterations of moving queues by j times what they
moved. By induction over the rounds the machine would do exactly this, as long as, for that j:

1. every moving queue stays in the loop of its level, so the commands ahead of it are the same;
2. every comparison of a need with what has ended comes out the same. If queue q moves k iterations
   of a loop with h commands of queue r, its needs on r rise by k h a period, and r advances by d.
   Where k h = d, both sides shift by the same: nothing changes. Otherwise we require that the
   comparisons are true throughout: the largest need of any command in the iterations of q up to
   ``until`` is not above what had ended of r at ``past``, both shifted j times, for j from 0 on;
3. a queue that does not move and waits still has a need unmet at ``until``, shifted;
4. a running command as in (c) ends after ``until``, shifted.

A port that is waited for as in (c) is not given to anyone in the whole period: it would go to the
oldest request, which is one of those that were there before ``past`` and are there still.

All four are linear in j, and weaker for an earlier ``until``. So we take as many whole periods as
they allow, and of one period more the longest recorded beginning that they allow.

The search for ``past`` is a table from the relative state to the recorded one. What is found there
only decides how much is saved; conditions 1 to 4 are checked for every jump.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable
from dataclasses import dataclass, field

from accelsim.sim.steady_code import LoopInfo
from accelsim.sim.steady_machine import WAITING, Machine, State
from accelsim.sim.steady_shift import Shift, moved_items
from accelsim.sim.steady_twin import Replay, twin_key

EARLY = 4
"""Iterations of a loop in which repetition of the loops around it is looked for, too: long before
they begin their next iteration."""

SHORT = 16
"""Commands stepped in a period below which its part after the last whole one is stepped again."""

Key = tuple[int, Hashable, Hashable]
"""(depth of the levels, relative state, iterations)"""


@dataclass(slots=True, eq=False)
class Record:
    """A state of the past: what had been recorded until then, and where to find it again."""

    state: State
    items: int
    """Items before it."""
    steps: int
    """Commands stepped before it."""
    index: int
    """Its place among the records."""
    inside: LoopInfo | None
    """The loop with twins that it is in."""
    keys: list[Key] = field(default_factory=list)
    twin_key: Hashable = None


class FastForward:
    """The table of one run. At most ``cap`` states are remembered; then all are forgotten."""

    def __init__(self, machine: Machine, cap: int) -> None:
        self._machine = machine
        self._cap = cap
        self._table: dict[Hashable, Record] = {}
        self._records: list[Record] = []

    def look(self, loop: LoopInfo) -> bool:
        """Jump if the present state is known at the level of ``loop``, or, early in the loop, of
        one around it; else remember it. Returns whether the state has changed."""
        machine = self._machine
        state = machine.state()
        before, loop.looked = loop.looked, machine.now
        record = Record(state, len(machine.items), machine.steps, len(self._records), loop.twin)
        if loop.twin is not None and self._replay(record, loop.twin):
            loop.looked = machine.now
            return True
        for key in self._keys(state, loop, before):
            past = self._table.get(key)
            if past is not None and past.state.done == state.done:
                return False  # looked at for another loop in this very round
            if past is not None and self._jump(past, state, key[0]):
                loop.misses = 0
                loop.looked = machine.now
                return True
            record.keys.append(key)
        loop.misses += 1
        self._remember(record)
        return False

    def _remember(self, record: Record) -> None:
        if len(self._records) >= self._cap:
            self._table.clear()
            self._records.clear()
            record.index = 0
        self._records.append(record)
        for key in record.keys:
            self._table[key] = record
        if record.twin_key is not None:
            self._table[record.twin_key] = record

    def _replay(self, record: Record, here: LoopInfo) -> bool:
        """Repeat what happened in a twin of ``here``; if there is nothing, be what is repeated."""
        machine, state = self._machine, record.state
        key = twin_key(machine.code, state, here)
        if key is None:
            return False
        device = machine.device
        key = (key, None if device is None else device.signature(state.now))
        past = self._table.get(key)
        if past is None or past.inside is None:
            record.twin_key = key
            return False
        replay = Replay(machine.code, past.state, past.inside, state, here)
        later = self._records[past.index + 1 :]
        known = bisect_left(later, True, key=lambda r: not replay.allows(r.state))
        if not known:
            return False
        until = later[known - 1]
        happened = machine.items[past.items : until.items]
        machine.items += moved_items(happened, replay.advance, 1, replay.late)
        machine.put(replay.applied(until.state), replay.late)
        return True

    def _keys(self, state: State, loop: LoopInfo, before: int) -> list[Key]:
        """The relative state with (the depth of) the levels, the widest first; a second time with
        absolute times of what is older than ``before``, if there is such a thing."""
        machine, now, depth = self._machine, state.now, loop.depth
        times: list[Hashable] = [end - now if end >= 0 else None for end in state.end]
        if max(state.stage) >= 0:
            for q, stage in enumerate(state.stage):
                if stage >= 0:
                    times[q] = (now - state.ready[q], now - state.asked[q])
        signature = None if machine.device is None else machine.device.signature(now)
        relative = (state.pc, state.stage, tuple(times), signature)
        view = loop.views[loop.lead]
        early = view is not None and state.turn[view.slot] <= EARLY
        keys: list[Key] = [
            (level, relative, self._turns(state, level))
            for level in range(0 if early else depth, depth + 1)
        ]
        if min(state.asked) >= before:
            return keys
        old = [
            q for q, stage in enumerate(state.stage) if stage != WAITING and state.asked[q] < before
        ]
        if old:
            for q in old:
                times[q] = (state.done[q],)  # this very command, whose times are what they are
            partly = (state.pc, state.stage, tuple(times), signature)
            keys.append((depth, partly, keys[-1][2]))
        return keys

    def _turns(self, state: State, depth: int) -> tuple[int, ...]:
        """The iterations of all loops, but not those of the levels."""
        turn = list(state.turn)
        for nest, at in zip(self._machine.code.nests, state.pc, strict=True):
            views = nest[at]
            if views:
                turn[views[depth if depth < len(views) else -1].slot] = -1
        return tuple(turn)

    def _jump(self, past: Record, state: State, depth: int) -> bool:
        shift = Shift.between(self._machine.code, past.state, state, depth)
        periods = shift.reach(state)
        if periods < 0:
            return False
        machine, partial = self._machine, 0
        later = self._records[past.index + 1 :]
        if machine.steps - past.steps >= SHORT:
            partial = bisect_left(later, True, key=lambda r: shift.reach(r.state) <= periods)
        if not periods and not partial:
            return False
        happened = machine.items[past.items :]
        if periods:
            machine.items[past.items :] = [
                (periods + 1, shift.cycles, shift.advance, tuple(happened))
            ]
        target, times = state, periods
        if partial:
            until, times = later[partial - 1], periods + 1
            target = until.state
            machine.items += moved_items(
                happened[: until.items - past.items], shift.advance, times, shift.cycles
            )
        machine.put(shift.applied(target, times), times * shift.cycles)
        if periods:
            self._forget(past.index, depth)
        return True

    def _forget(self, index: int, depth: int) -> None:
        """Drop the records after ``index``: what has happened since is one recurrence now. The
        record itself stays, as the beginning of a longer period or of what a twin repeats."""
        for record in self._records[index + 1 :]:
            self._remove(record, record.twin_key)
            for key in record.keys:
                self._remove(record, key)
        for key in self._records[index].keys:
            if key[0] >= depth:
                self._remove(self._records[index], key)
        del self._records[index + 1 :]

    def _remove(self, record: Record, key: Hashable) -> None:
        if self._table.get(key) is record:
            del self._table[key]
