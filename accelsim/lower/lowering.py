"""The plan's steps, one after the other, as a task graph."""

from __future__ import annotations

from accelsim.arch.parts import Accelerator
from accelsim.lower.array import lower_array
from accelsim.lower.builder import GraphBuilder
from accelsim.lower.vector import lower_vector
from accelsim.plan import MemoryPlan, Step
from accelsim.taskgraph import Access, TaskGraph, TaskKind
from accelsim.workload.graph import Workload


def lower(workload: Workload, accelerator: Accelerator, plan: MemoryPlan) -> TaskGraph:
    """Unroll a (checked) plan into tasks.

    Per step: whole-tensor loads, the operator's tile loop, whole-tensor stores. Steps overlap only
    where memory allows it: the next operator's first weights may arrive early if its candidate
    prefetches, and its array tasks may start while the previous step's stores still run. Stores go
    to the last DMA channel, loads take turns on the others; a transfer occupies its channel for
    set-up, latency and bytes, and the DRAM port for the bytes only. Partial sums of one output tile
    are one value, written when its first reduction tile starts; later reduction tiles update it in
    place.
    """
    builder = GraphBuilder(workload, accelerator)
    ops = {op.name: op for op in workload.ops}
    for step in plan.steps:
        op = ops[step.op]
        builder.begin_step(op)
        builder.reloads = tuple(_reload(builder, name, step) for name in step.loads)
        if op.gemm is not None:
            lower_array(builder, op, step)
        else:
            lower_vector(builder, op, step)
        for name in step.stores:
            _spill(builder, name)
        builder.end_step()
    return builder.graph(tuple(step.op for step in plan.steps))


def plan_traffic(workload: Workload, plan: MemoryPlan) -> tuple[int, int]:
    """DRAM bytes (read, written) that the plan implies: its candidates' tile loops, loads, stores.

    Does not look at tasks, so that the simulated traffic can be checked against it.
    """
    read = written = 0
    for step in plan.steps:
        read += step.candidate.dram_read_bytes
        written += step.candidate.dram_write_bytes
        read += sum(workload.tensors[name].bytes for name in step.loads)
        written += sum(workload.tensors[name].bytes for name in step.stores)
    return read, written


def _reload(builder: GraphBuilder, tensor: str, step: Step) -> int:
    value = builder.start_residency(tensor, step)
    size = builder.workload.tensors[tensor].bytes
    return builder.load(TaskKind.RELOAD, 0, builder.barrier(1), [Access(value, size)])


def _spill(builder: GraphBuilder, tensor: str) -> None:
    size = builder.workload.tensors[tensor].bytes
    access = Access(builder.resident[tensor], size)
    builder.store(TaskKind.SPILL, 0, [builder.last_vector], access)
