"""Execution of a :class:`~accelsim.program.Program` with exact fast-forward.

Same times as :mod:`accelsim.sim.engine` on the expanded graph, without SimPy, without expanding:
:mod:`~accelsim.sim.steady_gates` cuts a program where nothing reaches across,
:mod:`~accelsim.sim.steady_fold` finds what is equal in time, :mod:`~accelsim.sim.steady_code`
compiles it, :mod:`~accelsim.sim.steady_machine` steps it, and :mod:`~accelsim.sim.steady_jump` and
:mod:`~accelsim.sim.steady_twin` skip what would only repeat. The cost is that of the distinct parts
of a program, not of its tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from accelsim.program import Program
from accelsim.sim.devices import PortDevice
from accelsim.sim.folded import Event, FoldedTrace, Item, Recurrence
from accelsim.sim.steady_code import compile_code
from accelsim.sim.steady_fold import Part, Skeletons
from accelsim.sim.steady_gates import gates
from accelsim.sim.steady_jump import FastForward
from accelsim.sim.steady_machine import Machine, RawItem
from accelsim.sim.steady_shift import placed_items
from accelsim.sim.steady_summary import Summary, joined, summarise

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
    items: list[RawItem] = []
    cycles = 0
    stretches = _stretches(program, fold, device, state_cap)
    for stretch in stretches:
        found = stretch.machine.items
        offset = program.starts[stretch.first]
        items += found if stretch.first == 0 else placed_items(found, offset, cycles)
        cycles += stretch.machine.now
    return FoldedTrace(program, _items(items), cycles, _steps(stretches))


def run_cycles(
    program: Program, *, device: PortDevice | None = None, state_cap: int = STATE_CAP
) -> tuple[int, int]:
    """Makespan of :func:`run_program` and the commands stepped for it, and nothing else."""
    stretches = _stretches(program, True, device, state_cap)
    return sum(stretch.machine.now for stretch in stretches), _steps(stretches)


def makespan(
    program: Program, *, device: PortDevice | None = None, state_cap: int = STATE_CAP
) -> Summary:
    """Totals of :func:`run_program`, for design sweeps: nothing of the trace is kept."""
    known: dict[int, Summary] = {}
    parts: list[Summary] = []
    stretches = _stretches(program, True, device, state_cap)
    for stretch in stretches:
        machine = stretch.machine
        part = known.get(id(machine))
        if part is None:
            blocks = program.blocks[stretch.first : stretch.last]
            alone = Program(program.queues, program.ports, blocks)
            part = summarise(alone, machine.code, machine.items, machine.now, machine.steps)
            known[id(machine)] = part
        parts.append(part)
    return joined(parts, _steps(stretches), len(program.queues), len(program.ports))


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Blocks [first, last) between two gates, executed on ``machine`` from cycle 0."""

    first: int
    last: int
    machine: Machine


def _stretches(
    program: Program, fold: bool, device: PortDevice | None, state_cap: int
) -> list[_Stretch]:
    """The program cut at its gates; stretches that are equal in time share a machine. A device
    remembers, so a program with one is not cut."""
    skeletons = Skeletons(device.content if device is not None else None)
    bodies = skeletons.bodies(program)
    cut = fold and device is None and state_cap > 0
    first = gates(program) if cut else (0,)
    known: dict[tuple[Part, ...], Machine] = {}
    found = []
    for start, end in zip(first, (*first[1:], len(bodies)), strict=True):
        key = tuple(bodies[start:end])
        machine = known.get(key)
        if machine is None:
            # Looking for twins does not pay in a single block: its loops are all different.
            code = compile_code(
                skeletons.sequence(bodies[start:end]), len(program.queues), len(program.ports),
                twins=end - start > 1,
            )  # fmt: skip
            port = program.ports.index(device.port) if device is not None else -1
            machine = known[key] = Machine(code, device, port)
            _run(machine, fold, state_cap)
            ended = tuple(
                b - a for a, b in zip(program.starts[start], program.starts[end], strict=True)
            )
            if tuple(machine.done) != ended:
                raise AssertionError(f"commands that never ran: {machine.done} of {ended}")
        found.append(_Stretch(start, end, machine))
    return found


def _run(machine: Machine, fold: bool, state_cap: int) -> None:
    """Step ``machine`` to its end, skipping what only repeats."""
    machine.looking = fold and state_cap > 0
    forward = FastForward(machine, state_cap)
    machine.start()
    while machine.ends:
        machine.advance()
        for loop in machine.crossed:
            if forward.look(loop):
                break
        machine.crossed.clear()


def _steps(stretches: Sequence[_Stretch]) -> int:
    """Commands that were really stepped, equal stretches once."""
    return sum({id(s.machine): s.machine.steps for s in stretches}.values())


def _items(raw: Sequence[RawItem]) -> tuple[Item, ...]:
    return tuple(
        [
            Event(*item[:5])
            if len(item) == 6
            else Recurrence(item[0], item[1], item[2], _items(item[3]))
            for item in raw
        ]
    )
