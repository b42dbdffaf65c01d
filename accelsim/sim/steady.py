"""Execution of a :class:`~accelsim.program.Program` with exact fast-forward.

Same times as :mod:`accelsim.sim.engine` on the expanded graph, without SimPy, without expanding:
:mod:`~accelsim.sim.steady_fold` finds what is equal in time, :mod:`~accelsim.sim.steady_code`
compiles it, :mod:`~accelsim.sim.steady_machine` steps it, and :mod:`~accelsim.sim.steady_jump` and
:mod:`~accelsim.sim.steady_twin` skip what would only repeat. The cost is that of the distinct parts
of a program, not of its tiles.
"""

from __future__ import annotations

from collections.abc import Sequence

from accelsim.program import Program
from accelsim.sim.devices import PortDevice
from accelsim.sim.folded import Event, FoldedTrace, Item, Recurrence
from accelsim.sim.steady_code import compile_code
from accelsim.sim.steady_fold import Skeletons
from accelsim.sim.steady_jump import FastForward
from accelsim.sim.steady_machine import Machine, RawItem
from accelsim.sim.steady_summary import Summary, summarise

STATE_CAP = 4096
"""States remembered at a time, a few kilobytes each."""


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
    return FoldedTrace(program, _items(machine.items), machine.now, machine.steps)


def makespan(
    program: Program, *, device: PortDevice | None = None, state_cap: int = STATE_CAP
) -> Summary:
    """Totals of :func:`run_program`, for design sweeps: nothing of the trace is kept."""
    machine = _run(program, True, device, state_cap)
    return summarise(program, machine.code, machine.items, machine.now, machine.steps)


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
        [
            Event(*item[:5])
            if len(item) == 6
            else Recurrence(item[0], item[1], item[2], _items(item[3]))
            for item in raw
        ]
    )
