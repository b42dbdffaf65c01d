"""Conservation checks on the written-out trace of several cores.

The laws of :mod:`accelsim.sim.check` hold for the whole trace (dependences, exclusive resources, no
idle waiting, reads after writes); how fast a task may be is judged by the core that runs it, and
every core's memories are placed on their own. Knows nothing of how the program was made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from accelsim.arch.parts import Accelerator
from accelsim.arch.system import System
from accelsim.mapping.slots import most_bytes
from accelsim.sim.check import (
    TraceError,
    check_placement,
    check_trace,
    weight_scratchpad_bytes,
)
from accelsim.sim.trace import Trace
from accelsim.taskgraph import Task

_COUNTS = {
    "dram_read_bytes": 0, "dram_write_bytes": 0, "sram_read_bytes": 0, "sram_write_bytes": 0,
    "accumulator_read_bytes": 0, "accumulator_write_bytes": 0, "macs": 0, "vector_ops": 0,
    "weight_read_bytes": 0,
}  # fmt: skip


def check_system(trace: Trace, system: System, *, traffic_bytes: int, macs: int) -> None:
    """Raise :class:`TraceError` with every breach.

    ``traffic_bytes``: to and from backing memories and over the link, as planned; ``macs`` of all
    images. A value of the scratchpad is only touched by its own core.
    """
    silent = tuple(replace(task, **_COUNTS) for task in trace.graph.tasks)  # type: ignore[arg-type]
    bare = replace(trace, graph=replace(trace.graph, tasks=silent))
    check_trace(bare, pes=1, dram_bytes_per_cycle=Fraction(1))
    for number, core in enumerate(system.cores):
        sizes = {
            "accumulators": core.accumulators.bytes,
            "scratchpad": core.scratchpad.bytes,
            "weight_scratchpad": core.weight_sram.bytes if core.weight_sram else 0,
        }
        for name, size in sizes.items():
            check_placement(trace, structure=f"core{number}.{name}", capacity=size)
    found = [
        *_totals(trace, traffic_bytes, macs),
        *(breach for task in trace.graph.tasks for breach in _task(task, trace, system)),
    ]
    if found:
        raise TraceError(tuple(found))


def _totals(trace: Trace, traffic_bytes: int, macs: int) -> Iterator[str]:
    tasks = trace.graph.tasks
    moved = sum(t.dram_read_bytes + t.dram_write_bytes for t in tasks)
    linked = sum(t.sram_read_bytes + t.sram_write_bytes for t in tasks if "link" in t.resources)
    if moved + linked != traffic_bytes:
        yield f"moved {moved} B and {linked} B over the link, planned {traffic_bytes} B"
    done = sum(task.macs for task in tasks)
    if done != macs:
        yield f"executed {done} MACs of {macs}"


def _task(task: Task, trace: Trace, system: System) -> Iterator[str]:
    """What one task may do in its time, on its core."""
    number, time = _core_of(task), trace.rows[task.id].end - trace.rows[task.id].start
    if not 0 <= number < len(system.cores):
        yield f"task {task.id} runs on {task.resources[0]}, which is no core's"
        return
    core, prefix = system.cores[number], f"core{number}."
    for access in task.reads + task.writes:
        if not trace.graph.values[access.value].structure.startswith(prefix):
            yield f"task {task.id} of core {number} touches a value of another core"
    held = {name.removeprefix(prefix) for name in task.resources}
    for what, amount, rate, holder in _rates(task, core, system):
        if amount > time * rate:
            yield f"task {task.id}: {amount} {what} in {time} cycles at {float(rate):g} per cycle"
        if amount and holder and not held & set(holder):
            yield f"task {task.id}: {amount} {what} without holding {' or '.join(holder)}"


def _rates(
    task: Task, core: Accelerator, system: System
) -> Iterator[tuple[str, int, Fraction, tuple[str, ...]]]:
    """(what, how much, most per cycle, resources of which one must be held)."""
    pes = core.array.rows * core.array.cols
    dense = core.array.sparsity is None
    moved = task.dram_read_bytes + task.dram_write_bytes
    pad = task.sram_read_bytes + task.sram_write_bytes
    sums = max(task.accumulator_read_bytes, task.accumulator_write_bytes)
    if dense:
        yield "MACs", task.macs, Fraction(pes), ("array",)
    yield "operations", task.vector_ops, Fraction(core.vector.lanes), ("vector",)
    flash = core.weight_bytes_per_cycle
    if flash is not None and "weights" in task.resources:
        yield "bytes", moved, flash, ("weights",)
    else:
        yield "DRAM bytes", moved, core.dram_bytes_per_cycle, ("dram",)
    if "link" in task.resources:
        yield "link bytes", pad, system.link_bytes_per_cycle, ("link",)
    own = core.weight_sram
    side = 0 if own is None else weight_scratchpad_bytes(task)
    if own is not None:
        yield "weight scratchpad bytes", side, Fraction(most_bytes(own)), ()
    yield "scratchpad bytes", pad - side, Fraction(most_bytes(core.scratchpad)), ()
    yield "accumulator bytes", sums, Fraction(core.accumulator_port_bytes), ()


def _core_of(task: Task) -> int:
    name = task.resources[0].partition(".")[0]
    digits = name.removeprefix("core")
    return int(digits) if digits.isdecimal() else -1
