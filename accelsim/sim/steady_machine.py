"""The engine of :mod:`accelsim.sim.steady` without its shortcut: compiled commands, stepped.

The rules are those of :mod:`accelsim.sim.engine`. Every round of an instant has two phases: first
all ends (with the arrivals that they cause), then the grants, ports in ascending rank. Commands of
zero cycles end in another round of the same instant. All that is left over between two rounds is in
a few lists of integers, one entry per queue, so the state can be compared, kept and put back.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import NamedTuple

from accelsim.sim.devices import PortDevice
from accelsim.sim.steady_code import Code, LoopInfo

WAITING, RUNNING = -1, -2
"""Stages of a command; from 0 on: how many ports it holds while it asks for the next one."""

OFF = -1
"""End of what is not running."""

PATIENCE = 64
"""Looks in vain after which only every second iteration of a loop is looked at, then every fourth
and so on."""

RawEvent = tuple[int, int, int, int, int, int]
"""(queue, index, ready, start, end, pc)"""

RawRecurrence = tuple[int, int, tuple[int, ...], "tuple[RawItem, ...]"]
"""(count, cycles, advance, items)"""

RawItem = RawEvent | RawRecurrence


class State(NamedTuple):
    """Everything between two rounds, one entry per queue; see the lists of :class:`Machine`."""

    now: int
    done: tuple[int, ...]
    pc: tuple[int, ...]
    turn: tuple[int, ...]
    stage: tuple[int, ...]
    ready: tuple[int, ...]
    asked: tuple[int, ...]
    end: tuple[int, ...]
    device: object


class Machine:
    """One run. Between two rounds, ``crossed`` names the loops worth a look for repetition."""

    def __init__(self, code: Code, device: PortDevice | None = None, device_port: int = -1) -> None:
        queues = code.queues
        self.code = code
        self.now = 0
        """Cycle of the last round; once all is done, the makespan."""
        self.steps = 0
        self.items: list[RawItem] = []
        self.device = device
        self.device_port = device_port
        self.done = [0] * queues
        """Commands that have ended; also the index of the current one."""
        self.pc = [0] * queues
        """Current command in the lists of the code."""
        self.turn = [0] * (queues * code.depth)
        """Iteration of every loop around it."""
        self.stage = [WAITING] * queues
        self.ready = [0] * queues
        """Arrival, from then on."""
        self.asked = [0] * queues
        """When the port it waits for was asked for."""
        self.end = [OFF] * queues
        """End of the command while it runs, else OFF."""
        self.crossed: list[LoopInfo] = []
        self.looking = False
        # Derived from the lists above:
        self.extra = [[0] * queues for _ in range(queues)]
        """What the iterations add to the needs of a queue on another."""
        self.ends: list[tuple[int, int]] = []
        self.waiters: list[list[tuple[int, int]]] = [[] for _ in range(queues)]
        """Per queue: (need, queue that waits for it)."""
        self.asking: list[list[tuple[int, int, int]]] = [[] for _ in range(code.ports)]
        """Heap per port: (cycle of the request, port held before or -1, queue)."""
        self.free = [True] * code.ports
        self._begin: list[int] = []
        self._rows = [
            list(zip(*columns, strict=True))
            for columns in zip(code.cycles, code.paths, code.needs, code.closes, strict=True)
        ]
        """Per queue and pc: cycles, ports, needs, loops that close."""

    def start(self) -> None:
        """The first round, at cycle 0."""
        if self.device is not None:
            self.device.reset()
        for queue, cycles in enumerate(self.code.cycles):
            if cycles:
                self._attempt(queue)
        self._settle()

    def advance(self) -> None:
        """Rounds (all ends of the next instant at which there are any, then the grants) until loops
        have been crossed or everything is done."""
        ends, crossed, finish, settle = self.ends, self.crossed, self._finish, self._settle
        while ends and not crossed:
            now = self.now = ends[0][0]
            finish(heappop(ends)[1])
            while ends and ends[0][0] == now:
                finish(heappop(ends)[1])
            settle()

    def state(self) -> State:
        """The state, between two rounds."""
        return State(
            self.now, tuple(self.done), tuple(self.pc), tuple(self.turn), tuple(self.stage),
            tuple(self.ready), tuple(self.asked), tuple(self.end),
            None if self.device is None else self.device.snapshot(),
        )  # fmt: skip

    def put(self, state: State, late: int) -> None:
        """Continue from ``state``, whose device is to be shifted by ``late`` cycles; all else in it
        is taken as it is."""
        self.now = state.now
        for mine, other in zip(
            (self.done, self.pc, self.turn, self.stage, self.ready, self.asked, self.end),
            state[1:8],
            strict=True,
        ):
            mine[:] = other
        if self.device is not None:
            self.device.restore(state.device, late)
        self._derive()

    def _finish(self, queue: int) -> None:
        """The command of ``queue`` ends: give back, advance, wake whoever waits for it."""
        pc = self.pc
        at = pc[queue]
        done = self.done[queue] = self.done[queue] + 1
        self.end[queue] = OFF
        self.stage[queue] = WAITING
        row = self._rows[queue]
        _, path, _, closes = row[at]
        for port in path:
            self.free[port] = True
        if closes:
            self._close(queue, at)
            at = pc[queue]
        else:
            at = pc[queue] = at + 1
        if at < len(row):
            self._attempt(queue)
        waiting = self.waiters[queue]
        if not waiting:
            return
        if len(waiting) == 1:
            need, waiter = waiting[0]
            if need <= done:
                del waiting[0]
                self._attempt(waiter)
            return
        self.waiters[queue] = [entry for entry in waiting if entry[0] > done]
        for need, waiter in waiting:
            if need <= done:
                self._attempt(waiter)

    def _close(self, queue: int, at: int) -> None:
        """Begin the next iteration of the innermost loop that has one left."""
        turn, extra = self.turn, self.extra[queue]
        for view in self.code.closes[queue][at]:
            nth = turn[view.slot] + 1
            if nth < view.count:
                turn[view.slot] = nth
                for other, more in view.adds:
                    extra[other] += more
                self.pc[queue] = view.first
                if self.looking and view.loop.long:
                    self._cross(queue, view.loop, nth)
                return
            turn[view.slot] = 0
            for other, more in view.adds:
                extra[other] -= more * (nth - 1)
        self.pc[queue] = at + 1

    def _cross(self, queue: int, loop: LoopInfo, nth: int) -> None:
        """One look per iteration is enough: when the lead begins one. Another queue takes the lead
        when it begins two before the lead begins any."""
        if loop.lead != queue and loop.lead >= 0 and not loop.crossed >> queue & 1:
            loop.crossed |= 1 << queue
            return
        loop.lead = queue
        loop.crossed = 0
        if nth < loop.since:
            return
        if loop.misses < PATIENCE or not nth & ((1 << loop.misses // PATIENCE) - 1):
            self.crossed.append(loop)

    def _attempt(self, queue: int) -> None:
        """Let the next command of ``queue`` arrive, or wait for the first of its unmet needs."""
        _, path, needs, _ = self._rows[queue][self.pc[queue]]
        if needs:
            extra, done = self.extra[queue], self.done
            for other, constant in needs:
                need = constant + extra[other]
                if done[other] < need:
                    self.waiters[other].append((need, queue))
                    return
        now = self.ready[queue] = self.asked[queue] = self.now
        self.stage[queue] = 0
        if path:
            heappush(self.asking[path[0]], (now, -1, queue))
        else:
            self._begin.append(queue)

    def _settle(self) -> None:
        """Grant until nothing changes. A grant leads only to requests for ports of higher rank, so
        one pass in ascending order is enough."""
        begin, now, stage = self._begin, self.now, self.stage
        for port, asking in enumerate(self.asking):
            if asking and self.free[port]:
                queue = heappop(asking)[2]
                self.free[port] = False
                path = self._rows[queue][self.pc[queue]][1]
                held = stage[queue] = stage[queue] + 1
                if held == len(path):
                    begin.append(queue)
                else:
                    self.asked[queue] = now
                    heappush(self.asking[path[held]], (now, port, queue))
        if not begin:
            return
        if len(begin) > 1:
            begin.sort()
        for queue in begin:
            at = self.pc[queue]
            cycles, path, _, _ = self._rows[queue][at]
            if self.device is not None and self.device_port in path:
                cycles = self.device.serve(self.code.works[queue][at], cycles, now)
            end = self.end[queue] = now + cycles
            stage[queue] = RUNNING
            heappush(self.ends, (end, queue))
            self.items.append((queue, self.done[queue], self.ready[queue], now, end, at))
        self.steps += len(begin)
        begin.clear()

    def _derive(self) -> None:
        """Everything that follows from the state: holders, requests, waiters, what is added."""
        code = self.code
        self.free = [True] * code.ports
        self.asking = [[] for _ in range(code.ports)]
        self.waiters = [[] for _ in range(code.queues)]
        self.ends = [(end, queue) for queue, end in enumerate(self.end) if end != OFF]
        heapify(self.ends)
        for queue in range(code.queues):
            self._derive_extra(queue)
        for queue, stage in enumerate(self.stage):
            at = self.pc[queue]
            if stage == WAITING:
                if at < len(code.cycles[queue]):
                    self._attempt(queue)
                    assert self.stage[queue] == WAITING, (
                        "a command that waited has nothing to do so"
                    )
                continue
            path = code.paths[queue][at]
            for port in path if stage == RUNNING else path[:stage]:
                self.free[port] = False
            if stage >= 0:
                held = path[stage - 1] if stage else -1
                heappush(self.asking[path[stage]], (self.asked[queue], held, queue))

    def _derive_extra(self, queue: int) -> None:
        extra = self.extra[queue] = [0] * self.code.queues
        for view in self.code.nests[queue][self.pc[queue]]:
            turn = self.turn[view.slot]
            if turn:
                for other, more in view.adds:
                    extra[other] += more * turn
