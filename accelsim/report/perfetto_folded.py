"""A folded trace as Chrome trace events, without writing it out.

Of every recurrence the first turn is drawn task by task, and all further turns are one slice per
resource, named with their number; its arguments state how many tasks it stands for, their busy
cycles and amounts. Counters: the bandwidth of every backing memory, averaged over each slice. Live
bytes need every single task and are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from accelsim.program import Program, distinct
from accelsim.report.perfetto_parts import PID, counter, document, micros, names, rate_steps, thin
from accelsim.sim.folded import FoldedTrace
from accelsim.sim.slices import Slice, slices

COUNTER_SHARE = 5
"""All counters together may take one fifth of the cap."""


def folded_json(trace: FoldedTrace, clock_hz: int, cap: int) -> str:
    """The trace as JSON text with at most ``cap`` slices and counter points (at least one slice per
    busy resource); same input, same text."""
    program = trace.program
    resources = (*program.queues, *program.ports)
    points = max(1, cap // COUNTER_SHARE)
    found, how = slices(trace, max(1, cap - points))
    events = names(resources)
    events += [_slice_event(piece, clock_hz) for piece in found]
    memories = _memories(program)
    for resource in memories:
        rates = _rates(found, resource, clock_hz)
        name = f"{resources[resource]} bandwidth"
        kept = thin(rates, max(1, points // len(memories)))
        events += counter(name, kept, clock_hz, unit="bytes per second")
    return document(events, clock_hz, trace.cycles, program.commands, how)


def _slice_event(piece: Slice, clock_hz: int) -> dict[str, Any]:
    turns = f" x {piece.turns} turns" if piece.turns > 1 else ""
    args: dict[str, Any] = {
        "op": piece.op,
        "start_cycle": piece.start,
        "busy_cycles": piece.busy,
        "dram_bytes": piece.did.dram_bytes,
        "sram_bytes": piece.did.sram_bytes,
        "macs": piece.did.macs,
        "tasks": piece.did.commands,
    }
    if piece.did.commands == 1:
        args["waited_cycles"] = piece.start - piece.ready
    return {
        "name": f"{piece.op} {piece.kind.value}{turns}",
        "cat": piece.kind.value,
        "ph": "X",
        "pid": PID,
        "tid": piece.resource,
        "ts": micros(piece.start, clock_hz),
        "dur": micros(piece.end - piece.start, clock_hz),
        "args": args,
    }


def _memories(program: Program) -> list[int]:
    """Resources that are ports of backing memories: what off-chip bytes hold last."""
    return sorted(
        {
            len(program.queues) + command.ports[-1]
            for block in program.blocks
            for command, _ in distinct(block.body)
            if command.ports and command.work.dram_read_bytes + command.work.dram_write_bytes
        }
    )


def _rates(found: Sequence[Slice], resource: int, clock_hz: int) -> list[tuple[int, int]]:
    spans = [
        (piece.start, piece.end, piece.did.dram_bytes)
        for piece in found
        if piece.resource == resource and piece.end > piece.start
    ]
    return rate_steps(spans, clock_hz)
