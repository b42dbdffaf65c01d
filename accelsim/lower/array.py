"""The tile loop of an array operator as tasks.

Per tile: fill the weight (and bias) buffer if its tile changed, fill the input buffer if the input
streams and its tile changed, run the array, and after the last reduction tile let the vector unit
drain the accumulators into the output. Loads wait for the last reader of their slot, array tasks
for the vector task that drained their accumulator half, vector tasks for the store of their slot.

Scratchpad reads of an array task are counted at the array's edge (im2col, so a pixel is read once
per window it is in): see ``moves`` of each dataflow; the bias initialises the accumulators in the
first reduction tile. Partial sums beyond the first fold are read from and written to the
accumulators; reading back those of an earlier tile adds one read per sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from accelsim.lower.builder import GraphBuilder
from accelsim.lower.streams import Stream
from accelsim.mapping.layout import array_workspace
from accelsim.mapping.tiles import (
    ArrayOp,
    Block,
    Range,
    array_op,
    channel_blocks,
    pixel_ranges,
    share,
    split,
)
from accelsim.plan import Step, Tiling
from accelsim.taskgraph import Access, TaskKind
from accelsim.workload.graph import Op, Workload


@dataclass(frozen=True)
class ArrayTile:
    """One iteration of the loop nest."""

    index: int
    block: Block
    m: Range
    k: Range
    output: int
    """Which output tile the sums belong to, in order of completion."""
    first: bool
    """First reduction tile of the output tile."""
    last: bool


def array_tiles(op: Op, workload: Workload, tiling: Tiling) -> Iterator[ArrayTile]:
    """The loop nest in execution order: groups, then n and m as the tiling says, then k."""
    gemm = array_op(op, workload).gemm
    blocks = channel_blocks(gemm, tiling.n)
    pixels = pixel_ranges(op.window, gemm.m, tiling.m)
    reductions = split(gemm.k, tiling.k)
    runs: dict[int, list[Block]] = {}
    for block in blocks:
        runs.setdefault(block.group, []).append(block)
    index = output = 0
    for run in runs.values():
        if tiling.order == "nmk":
            pairs = [(block, m) for block in run for m in pixels]
        else:
            pairs = [(block, m) for m in pixels for block in run]
        for block, m in pairs:
            for position, k in enumerate(reductions):
                first, last = position == 0, position == len(reductions) - 1
                yield ArrayTile(index, block, m, k, output, first, last)
                index += 1
            output += 1


def lower_array(builder: GraphBuilder, op: Op, step: Step) -> None:
    """Append the tasks of one run of ``op``."""
    loop = _Loop(builder, op, step)
    for tile in array_tiles(op, builder.workload, step.candidate.tiling):
        loop.load_constants(tile)
        loop.load_input(tile)
        loop.compute(tile)
        if tile.last:
            loop.drain(tile)


@dataclass
class _Operand:
    """What currently lies in a tile buffer, or the resident tensor that needs none."""

    stream: Stream
    value: int = -1
    tile: object = None
    task: int | None = None
    """The transfer that filled it."""

    def fill(self, value: int, tile: object) -> None:
        self.value, self.tile = value, tile


@dataclass
class _Loop:
    """State of one unrolled loop nest."""

    builder: GraphBuilder
    op: Op
    step: Step
    operands: ArrayOp = field(init=False)

    def __post_init__(self) -> None:
        builder, step = self.builder, self.step
        alignment = builder.accelerator.scratchpad.alignment_bytes
        self.operands = array_op(self.op, builder.workload)
        candidate = step.candidate
        layout = array_workspace(self.operands, candidate.tiling, candidate.streamed, alignment)
        assert layout.bytes == candidate.buffer_bytes, f"{self.op.name}: buffers differ from plan"
        base = step.buffer_address
        self.a, self.b, self.bias, self.out = (
            _Operand(Stream(layout, role, base)) for role in ("a", "b", "bias", "out")
        )
        self.previous_array: int | None = None
        self.accumulator = -1
        self.drains: list[int] = []
        self.done = 0
        if not self.a.stream and self.operands.a.name not in candidate.streamed:
            self.a.value = builder.resident[self.operands.a.name]
        if not self.operands.constant and self.operands.b.name not in candidate.streamed:
            self.b.value = builder.resident[self.operands.b.name]
        self.result = -1
        name = self.operands.output.name
        if name not in candidate.streamed:
            self.result = builder.start_residency(name, step)

    def load_constants(self, tile: ArrayTile) -> None:
        """Weights and, with the first weights of an output channel block, its bias."""
        operands = self.operands
        writes: list[Access] = []
        waits: list[int | None] = []
        # Slot 0 of the constants may lie in the prefetched part of the workspace.
        early = self.step.candidate.prefetch_bytes > 0 and self.b.stream.first
        wanted = (
            (self.b, operands.b.name, operands.b_bytes(tile.k, tile.block), (tile.block, tile.k)),
            (self.bias, self.op.bias or "", operands.bias_bytes(tile.block), tile.block),
        )
        kinds = ("weight" if operands.constant else "activation", "bias")
        for (operand, name, size, identity), kind in zip(wanted, kinds, strict=True):
            if not operand.stream or operand.tile == identity:
                continue
            if operand.stream.fresh:
                waits += self.builder.barrier(2 if early else 1)
            address, user = operand.stream.advance()
            waits.append(user)
            operand.fill(self._value(kind, name, size, address), identity)
            access = Access(operand.value, size)
            if kind == "activation":
                operand.task = self.builder.load(TaskKind.LOAD_INPUT, tile.index, waits, [access])
                waits = []
            else:
                writes.append(access)
        if writes:
            task = self.builder.load(TaskKind.LOAD_WEIGHT, tile.index, waits, writes)
            self.bias.task = task
            if operands.constant:
                self.b.task = task

    def load_input(self, tile: ArrayTile) -> None:
        """The streamed input tile, unless it is already there or lies in the padding."""
        # Blocks of the same group read the same channels.
        identity = (tile.block.group, tile.m, tile.k)
        size = self.operands.a_bytes(tile.m, tile.k, tile.block)
        if not self.a.stream or self.a.tile == identity:
            return
        if size == 0:
            self.a.tile = identity
            return
        waits = self.builder.barrier(1) if self.a.stream.fresh else ()
        address, user = self.a.stream.advance()
        self.a.fill(self._value("activation", self.operands.a.name, size, address), identity)
        access = Access(self.a.value, size)
        self.a.task = self.builder.load(TaskKind.LOAD_INPUT, tile.index, (*waits, user), [access])

    def compute(self, tile: ArrayTile) -> None:
        """The array task, after its operands, its accumulator half and the task before it."""
        builder, block = self.builder, tile.block
        sums = tile.m[1] * block.channels * self._sum_bytes
        waits: list[int | None] = [self.previous_array, self.a.task, self.b.task, self.bias.task]
        if self.previous_array is None:
            waits += [builder.last_vector, *builder.reloads]
        reads = self._operand_reads(tile)
        writes: list[Access] = []
        if tile.first:
            half = builder.accelerator.accumulators.bytes // 2 * (tile.output % 2)
            self.accumulator = builder.value(
                "accumulators", "accumulator", self.operands.output.name, sums, half
            )
            writes.append(Access(self.accumulator, sums, from_start=True))
            if tile.output >= 2:
                waits.append(self.drains[tile.output - 2])
        else:
            reads.append(Access(self.accumulator, sums))
        shape = self.operands.shape(tile.m[1], block, tile.k[1], first=tile.first)
        work = builder.timing.array(shape)
        self.previous_array = builder.array(
            tile.index, work.cycles, waits, reads, writes,
            macs=tile.m[1] * block.channels * tile.k[1],
            sram_read_bytes=work.sram_read_bytes,
            accumulator_read_bytes=work.accumulator_read_bytes,
            accumulator_write_bytes=work.accumulator_write_bytes,
        )  # fmt: skip
        for operand in (self.a, self.b, self.bias):
            if operand.stream and not operand.stream.first:
                operand.stream.used_by(self.previous_array)

    def drain(self, tile: ArrayTile) -> None:
        """The vector task that requantises an output tile, and its store if the output streams."""
        builder, operands = self.builder, self.operands
        sums = tile.m[1] * tile.block.channels
        size = operands.out_bytes(tile.m, tile.block)
        outputs = operands.gemm.m * operands.gemm.n * operands.gemm.groups
        element_ops = share(self.op.vector_ops, self.done, sums, outputs)
        self.done += sums
        waits: list[int | None] = [self.previous_array]
        if not self.drains:
            waits += builder.barrier(1)
        target = self.result
        if self.out.stream:
            address, user = self.out.stream.advance()
            waits.append(user)
            target = self._value("activation", operands.output.name, size, address)
        task = builder.vector(
            tile.output, builder.timing.epilogue(self.op.kind, element_ops, size, sums), waits,
            [Access(self.accumulator, sums * self._sum_bytes)], [Access(target, size)],
            accumulator_read_bytes=sums * self._sum_bytes, sram_write_bytes=size,
            vector_ops=element_ops,
        )  # fmt: skip
        self.drains.append(task)
        if self.out.stream:
            store = builder.store(TaskKind.STORE_OUTPUT, tile.output, [task], Access(target, size))
            self.out.stream.used_by(store)

    @property
    def _sum_bytes(self) -> int:
        return self.builder.timing.sum_bytes

    def _value(self, kind: str, tensor: str, size: int, address: int) -> int:
        return self.builder.value("scratchpad", kind, tensor, size, address)

    def _operand_reads(self, tile: ArrayTile) -> list[Access]:
        """Distinct bytes of each operand that the tile reads."""
        operands = self.operands
        # No more than there is, should a batched product share one operand.
        a_bytes = min(operands.a_bytes(tile.m, tile.k, tile.block), operands.a.bytes)
        b_bytes = min(operands.b_bytes(tile.k, tile.block), operands.b.bytes)
        reads = [Access(self.a.value, a_bytes)] if a_bytes else []
        reads.append(Access(self.b.value, b_bytes))
        if self.op.bias is not None and tile.first:
            reads.append(Access(self.bias.value, operands.bias_bytes(tile.block)))
        return reads
