"""What a folded trace from a file must fulfil before anything works with it.

Structure only: numbers within bounds, references that lead somewhere, every command executed once
and in order, so that writing the trace out cannot fail and takes no more than it says. Whether its
times obey physics is the affair of :mod:`accelsim.sim.check_folded`.
"""

from __future__ import annotations

from itertools import pairwise

from accelsim.program import Block, Command, Program, Touch, distinct
from accelsim.sim.check import TraceError
from accelsim.sim.folded import FoldedTrace
from accelsim.sim.order import require_order
from accelsim.sim.trace_text import bad


def require_sound(trace: FoldedTrace) -> None:
    """AccelsimError R501 for a trace that no run can have made."""
    program = trace.program
    if len(set(program.queues + program.ports)) != len(program.queues + program.ports):
        bad("the names of queues and ports repeat")
    known: set[tuple[str, str]] = set()
    checked: set[int] = set()
    for block in program.blocks:
        for command, _ in distinct(block.body):
            if id(command) not in checked:
                _require_command(command, program)
                checked.add(id(command))
        _require_buffers(block, known)
    if trace.cycles < 0 or trace.steps < 0:
        bad("a time is negative")
    try:
        require_order(trace)
    except TraceError as error:
        bad(error.violations[0])


def _require_command(command: Command, program: Program) -> None:
    queues = len(program.queues)
    if not 0 <= command.queue < queues or command.cycles < 0:
        bad("a command has no queue or a negative duration")
    if any(not 0 <= queue < queues or back < 1 for queue, back in command.deps):
        bad("a command waits for something that is not there")
    if any(not 0 <= port < len(program.ports) for port in command.ports):
        bad("a command uses an unknown port")
    if command.work.level and command.work.level not in program.ports:
        bad("a command uses an unknown memory level")
    if any(low >= high for low, high in pairwise(command.ports)):
        bad("the ports of a command do not ascend")


def _require_buffers(block: Block, known: set[tuple[str, str]]) -> None:
    """Every touched value was begun before; commands as written come in program order."""
    for buffer in block.buffers:
        if not buffer.addresses or buffer.resident_bytes < 0:
            bad("a buffer has no address or a negative size")
    if any(not 0 <= at < len(block.buffers) for at in block.starts):
        bad("a block begins a value of no buffer")
    known |= {(block.buffers[at].structure, block.buffers[at].tensor) for at in block.starts}
    begun: set[int] = set()
    for command, _ in distinct(block.body):
        for touch in command.work.reads + command.work.writes:
            if touch.buffer not in begun or touch.fresh:
                _require_touch(touch, block, known, begun)
            if touch.bytes < 0:
                bad("a command touches fewer than no bytes")


def _require_touch(
    touch: Touch, block: Block, known: set[tuple[str, str]], begun: set[int]
) -> None:
    if not 0 <= touch.buffer < len(block.buffers):
        bad("a command touches no buffer")
    buffer = block.buffers[touch.buffer]
    resident = buffer.resident_bytes > 0
    if not (touch.fresh or resident) or (
        resident and (buffer.structure, buffer.tensor) not in known
    ):
        bad(f"{buffer.tensor!r} is touched before there is a value of it")
    begun.add(touch.buffer)
