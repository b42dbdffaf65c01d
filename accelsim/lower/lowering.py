"""The plan's steps, one after the other, as a program."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from accelsim.arch.parts import Accelerator
from accelsim.lower.array import emit_array
from accelsim.lower.buffers import CONSTANTS, Buffers, Kept
from accelsim.lower.builder import ProgramBuilder, State
from accelsim.lower.nest import HALVES, ArrayShape, array_roles, array_shape
from accelsim.lower.relabel import relabelled
from accelsim.lower.vector import (
    VectorOp,
    VectorShapes,
    emit_vector,
    vector_op,
    vector_roles,
    vector_shapes,
)
from accelsim.mapping.tiles import ArrayOp, array_op
from accelsim.mapping.timing import Timing
from accelsim.plan import Home, MemoryPlan, Step, relief
from accelsim.program import Block, Buffer, Command, Node, Program, Touch
from accelsim.taskgraph import TaskKind
from accelsim.workload.graph import Op, Workload


def lower(
    workload: Workload,
    accelerator: Accelerator,
    plan: MemoryPlan,
    *,
    fold: bool = True,
    timing: Timing | None = None,
) -> Program:
    """A (checked) plan as a program, with loops over equal tiles kept as loops: size and cost grow
    with the number of different tiles.

    Per step: whole-tensor loads, the operator's tile loop, whole-tensor stores. Steps overlap only
    where memory allows it: the next operator's first weights may arrive early if its candidate
    prefetches, and its array commands may start while the previous step's stores still run. Loads
    take turns on all DMA channels but the last, which has the stores; a single channel has a queue
    for each direction, which share it as a port. A transfer occupies its channel for set-up,
    latency and bytes, and the port of its backing memory for the bytes only.

    ``fold=False`` writes every tile out instead: the same commands, without any loop. ``timing``:
    of the accelerator, if there is one that knows some tiles already.
    """
    lowering = _Lowering(workload, accelerator, plan.homes, fold=fold, timing=timing)
    ops = {op.name: op for op in workload.ops}
    blocks = tuple(
        lowering.block(number, ops[step.op], step) for number, step in enumerate(plan.steps)
    )
    builder = lowering.builder
    return Program(builder.queues, builder.ports, blocks, tuple(step.op for step in plan.steps))


def plan_traffic(workload: Workload, plan: MemoryPlan) -> tuple[int, int]:
    """DRAM bytes (read, written) that the plan implies: its candidates' tile loops, loads, stores,
    less what goes to and from homes in memory levels, and copies between those and DRAM.

    Does not look at commands, so that the simulated traffic can be checked against it.
    """
    read = written = 0
    for step in plan.steps:
        read += step.candidate.dram_read_bytes
        written += step.candidate.dram_write_bytes
        read += sum(workload.tensors[name].bytes for name in step.loads)
        written += sum(workload.tensors[name].bytes for name in step.stores)
    spared_read, spared_write = relief(plan.homes)
    return read - spared_read, written - spared_write


@dataclass(frozen=True)
class _Emitted:
    """The commands of an operator, to be used again for an equal one."""

    nodes: tuple[Node, ...]
    after: State


class _Lowering:
    """One program under construction. Equal operators that meet equal circumstances get the same
    commands, so these are made once, with the tensors' names put in."""

    def __init__(
        self,
        workload: Workload,
        accelerator: Accelerator,
        homes: Sequence[Home],
        *,
        fold: bool,
        timing: Timing | None = None,
    ) -> None:
        self.builder = ProgramBuilder(accelerator, fold=fold, timing=timing)
        self._workload = workload
        self._accelerator = accelerator
        self._half = accelerator.accumulators.bytes // HALVES
        self._residents: dict[str, Buffer] = {}
        self._constants = {
            name for name, tensor in workload.tensors.items() if tensor.role in CONSTANTS
        }
        self._kept = Kept({home.tensor: home for home in homes})
        self._arrays: dict[Hashable, ArrayShape] = {}
        self._vectors: dict[Hashable, VectorShapes] = {}
        self._emitted: dict[Hashable, _Emitted] = {}
        self._last: tuple[_Emitted | None, int] = None, 0
        """The operator's commands in the current block, and where they begin."""
        self._bodies: dict[Hashable, tuple[Node, ...]] = {}

    def block(self, number: int, op: Op, step: Step) -> Block:
        """The next step."""
        self.builder.begin()
        split = self._accelerator.weight_sram is not None
        buffers = Buffers(
            self._workload, self._residents, op, step, number, self._kept, split=split
        )
        for name in step.loads:
            buffers.start(name)
        if op.gemm is not None:
            self._array(op, step, buffers)
        else:
            self._vector(op, step, buffers)
        for name in step.stores:
            self._spill(name, buffers)
        for home in self._kept.beginning(number):
            if home.copied_out:
                self.builder.store(self.builder.copying(buffers.home(home.tensor), home.tensor))
        body = self.builder.end()
        return Block(
            op.name, number, body, tuple(buffers.all), tuple(buffers.starts), self._alike(body)
        )

    def _alike(self, body: tuple[Node, ...]) -> tuple[Node, ...]:
        """The first body that differs from this one in names at most: made around the same
        operator's commands, with equal ones (whole tensors, a first load that waits for longer)
        before, after and at its beginning."""
        emitted, first = self._last
        if emitted is None:
            return ()
        around = (*body[: first + 1], *body[first + len(emitted.nodes) :])
        timing = tuple(_essence(n) if isinstance(n, Command) else id(n) for n in around)
        return self._bodies.setdefault((id(emitted), timing), body)

    def _array(self, op: Op, step: Step, buffers: Buffers) -> None:
        candidate, array = step.candidate, self._accelerator.array
        operands = array_op(op, self._workload, array, candidate.tiling.dataflow)
        key = _array_key(operands, step), self._kept.levels(op, buffers.number)
        placed = key, step.weights_downward
        shape = self._arrays.get(placed)
        if shape is None:
            shape = self._arrays[placed] = array_shape(operands, step, self._accelerator)
        roles = array_roles(operands, shape, buffers, self._half)
        self._reload(step, buffers)
        early = candidate.early and not self.builder.synced

        def emit() -> None:
            order = candidate.tiling.order
            emit_array(self.builder, operands, shape, roles, order, early=early)

        first = len(self.builder.nodes)
        self._once((key, early), emit, buffers)
        if early:
            self.builder.postpone(first)

    def _vector(self, op: Op, step: Step, buffers: Buffers) -> None:
        resolved = vector_op(op, self._workload)
        key = _vector_key(resolved, step), self._kept.levels(op, buffers.number)
        placed = key, step.weights_downward
        shapes = self._vectors.get(placed)
        if shapes is None:
            shapes = vector_shapes(resolved, self._workload, step, self._accelerator)
            self._vectors[placed] = shapes
        roles = vector_roles(resolved, shapes, buffers)
        self._reload(step, buffers)
        self._once(key, lambda: emit_vector(self.builder, resolved, shapes, roles), buffers)

    def _once(self, key: Hashable, emit: Callable[[], None], buffers: Buffers) -> None:
        """What ``emit`` issues, or, if that is known from an equal operator, the same again."""
        builder = self.builder
        key = (key, builder.entry)
        known = self._emitted.get(key)
        if known is not None:
            self._last = known, len(builder.nodes)
            builder.resume(relabelled(known.nodes, buffers.all), known.after)
            return
        first, before = len(builder.nodes), tuple(builder.counts)
        emit()
        made = _Emitted(tuple(builder.nodes[first:]), builder.since(before))
        self._emitted[key] = made
        self._last = made, first

    def _reload(self, step: Step, buffers: Buffers) -> None:
        """Tensors that come whole before the operator, into a memory level or the scratchpad."""
        for home in self._kept.beginning(buffers.number):
            if home.copied_in:
                at, constant = buffers.home(home.tensor), home.tensor in self._constants
                copy = self.builder.copying(at, home.tensor, inward=True, constant=constant)
                self.builder.load(copy, fresh=True)
        for name in step.loads:
            writes = (Touch(buffers.started(name), self._workload.tensors[name].bytes),)
            homes = (buffers.home(name),)
            load = self.builder.loading(TaskKind.RELOAD, writes, name, homes=homes)
            self.builder.load(load, fresh=True)

    def _spill(self, name: str, buffers: Buffers) -> None:
        read = Touch(buffers.resident(name), self._workload.tensors[name].bytes)
        home = buffers.home(name)
        self.builder.store(self.builder.storing(TaskKind.SPILL, read, name, home=home))


def _essence(command: Command) -> Hashable:
    """What a command is, apart from names."""
    work = command.work
    return (
        command.queue, command.cycles, command.deps, command.ports, work.kind,
        work.dram_read_bytes, work.dram_write_bytes, work.sram_read_bytes, work.sram_write_bytes,
        work.level, work.level_read_bytes, work.level_write_bytes,
    )  # fmt: skip


def _array_key(operands: ArrayOp, step: Step) -> Hashable:
    """All that decides about loops, tile buffers and commands of an array operator, but names."""
    op, candidate = operands.op, step.candidate
    tensors = (operands.a, operands.b, operands.output)
    return (
        op.kind, op.gemm, op.window, op.vector_ops, candidate.tiling, operands.constant,
        operands.a is operands.b, None if operands.bias is None else operands.bias.dtype,
        *((tensor.dtype, tensor.shape, tensor.name in candidate.streamed) for tensor in tensors),
    )  # fmt: skip


def _vector_key(resolved: VectorOp, step: Step) -> Hashable:
    """The same for an operator of the vector unit."""
    op, candidate = resolved.op, step.candidate
    tensors = (*resolved.operands, *resolved.whole, resolved.output)
    return (
        op.kind, op.window, op.vector_ops, op.picks, candidate.tiling, resolved.inputs,
        len(resolved.operands),
        *((tensor.dtype, tensor.shape, tensor.name in candidate.streamed) for tensor in tensors),
    )  # fmt: skip
