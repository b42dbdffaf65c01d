"""Execution of a :class:`~accelsim.program.Program` with exact fast-forward.

Same times as :mod:`accelsim.sim.engine` on the expanded graph, without SimPy and without expanding:
:mod:`~accelsim.sim.steady_fold` finds what is equal in time, :mod:`~accelsim.sim.steady_code`
compiles it, :mod:`~accelsim.sim.steady_machine` steps it, and :mod:`~accelsim.sim.steady_jump` skips
what would only repeat. The cost is that of the distinct parts of a program, not of its tiles.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from accelsim.program import Program, distinct
from accelsim.sim.devices import PortDevice
from accelsim.sim.folded import Event, FoldedTrace, Item, Recurrence
from accelsim.sim.steady_code import compile_code
from accelsim.sim.steady_fold import Skeletons
from accelsim.sim.steady_jump import FastForward
from accelsim.sim.steady_machine import Machine, RawItem

STATE_CAP = 4096
"""States remembered at a time, about a kilobyte each."""


def run_program(
    program: Program,
    *,
    fold: bool = True,
    device: PortDevice | None = None,
    state_cap: int = STATE_CAP,
) -> FoldedTrace:
    """Execute ``program`` from cycle 0 and return when every command arrived, started and ended.

    ``fold=False`` steps every command; the result is the same. ``device`` decides the service time
    of its port. ``state_cap`` bounds the table of states (and the memory); 0: no fast-forward.
    A malformed program is a bug of whoever built it: AssertionError.
    """
    machine = _run(program, fold, device, state_cap)
    cycles = _end(machine.items)
    return FoldedTrace(program, _items(machine.items), cycles, machine.steps)


def _run(program: Program, fold: bool, device: PortDevice | None, state_cap: int) -> Machine:
    skeletons = Skeletons(device.content if device is not None else None)
    code = compile_code(skeletons.of(program), len(program.queues), len(program.ports))
    port = program.ports.index(device.port) if device is not None else -1
    machine = Machine(code, device, port)
    machine.looking = fold and state_cap > 0
    forward = FastForward(machine, state_cap)
    machine.start()
    while machine.ends:
        machine.round()
        if machine.crossed:
            for loop in machine.crossed:
                if forward.look(loop):
                    break
            machine.crossed.clear()
    if tuple(machine.done) != program.starts[-1]:
        raise AssertionError(f"commands that never ran: {machine.done} of {program.starts[-1]}")
    return machine


def _items(raw: Sequence[RawItem]) -> tuple[Item, ...]:
    return tuple(
        Event(*item)
        if len(item) == 5
        else Recurrence(item[0], item[1], item[2], _items(item[3]))
        for item in raw
    )


def _end(raw: Sequence[RawItem]) -> int:
    """Latest end of the items, in cycles."""
    return max(
        (
            item[4] if len(item) == 5 else _end(item[3]) + (item[0] - 1) * item[1]
            for item in raw
        ),
        default=0,
    )
