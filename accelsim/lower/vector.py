"""An operator on the vector unit as tasks: per tile load what streams, compute, store.

Small constants are loaded whole before the first tile; constants as large as the output stream
with it. With everything resident the operator is a single task.
"""

from __future__ import annotations

from accelsim.lower.builder import GraphBuilder
from accelsim.lower.streams import Stream
from accelsim.mapping.layout import Layout, constants_of, vector_workspace
from accelsim.mapping.tiles import share
from accelsim.mapping.vector_tiles import VectorTile, vector_input_bytes, vector_tiles
from accelsim.plan import Step
from accelsim.taskgraph import Access, TaskKind
from accelsim.workload.graph import Op, Tensor


def lower_vector(builder: GraphBuilder, op: Op, step: Step) -> None:
    """Append the tasks of one run of ``op``."""
    loop = _Loop(builder, op, step)
    loop.load_whole_constants()
    output = builder.workload.tensors[op.output]
    for index, tile in enumerate(vector_tiles(op, output, step.candidate.tiling)):
        loop.run(index, tile)


class _Loop:
    """State of one operator's tile loop."""

    def __init__(self, builder: GraphBuilder, op: Op, step: Step) -> None:
        candidate = step.candidate
        alignment = builder.accelerator.scratchpad.alignment_bytes
        layout = vector_workspace(
            op, builder.workload, candidate.tiling, candidate.streamed, alignment
        )
        assert layout.bytes == candidate.buffer_bytes, f"{op.name}: buffers differ from plan"
        self.builder, self.op, self.step, self.layout = builder, op, step, layout
        tensors = builder.workload.tensors
        self.output = tensors[op.output]
        self.resident = [
            (tensors[name], builder.resident[name])
            for name in op.inputs
            if name not in candidate.streamed
        ]
        self.moved = [
            (tensors[name], self._stream(f"in:{name}", layout), TaskKind.LOAD_INPUT)
            for name in op.inputs
            if name in candidate.streamed
        ]
        self.whole: list[tuple[Tensor, int]] = []
        for tensor, tiled in constants_of(op, builder.workload):
            if tiled:
                stream = self._stream(f"const:{tensor.name}", layout)
                self.moved.append((tensor, stream, TaskKind.LOAD_WEIGHT))
        self.out = self._stream("out", layout)
        self.result = -1 if self.out else builder.start_residency(op.output, step)
        self.waits: list[int | None] = [*builder.barrier(1), *builder.reloads]
        """What the first compute task waits for besides its tile."""

    def load_whole_constants(self) -> None:
        """Constants smaller than the output, once."""
        for tensor, tiled in constants_of(self.op, self.builder.workload):
            if tiled:
                continue
            address, _ = self._stream(f"const:{tensor.name}", self.layout).advance()
            value = self._value(tensor, tensor.bytes, address, TaskKind.LOAD_WEIGHT)
            self.whole.append((tensor, value))
            self.waits.append(
                self.builder.load(
                    TaskKind.LOAD_WEIGHT, 0, self.builder.barrier(1), [Access(value, tensor.bytes)]
                )
            )

    def run(self, index: int, tile: VectorTile) -> None:
        """Loads, compute and store of one tile."""
        builder, op = self.builder, self.op
        waits, self.waits = self.waits, []
        reads = [Access(value, tensor.bytes) for tensor, value in self.whole]
        for tensor, value in self.resident:
            reads.append(Access(value, self._bytes(tensor, tile)))
        for tensor, stream, kind in self.moved:
            access, task = self._load(index, tensor, stream, kind, self._bytes(tensor, tile))
            if access is not None:
                reads.append(access)
                waits.append(task)
        reads = [access for access in reads if access.bytes]
        total = self.output.elements
        size = share(self.output.bytes, tile.start, tile.count, total)
        element_ops = share(op.vector_ops, tile.start, tile.count, total)
        target = self.result
        if self.out:
            address, user = self.out.advance()
            waits.append(user)
            target = self._value(self.output, size, address, TaskKind.STORE_OUTPUT)
        read = sum(access.bytes for access in reads)
        task = builder.vector(
            index, builder.timing.vector(op.kind, element_ops, read + size), waits, reads,
            [Access(target, size)], sram_read_bytes=read, sram_write_bytes=size,
            vector_ops=element_ops,
        )  # fmt: skip
        for _, stream, _ in self.moved:
            if not stream.first:
                stream.used_by(task)
        if self.out:
            store = builder.store(TaskKind.STORE_OUTPUT, index, [task], Access(target, size))
            self.out.used_by(store)

    def _load(
        self, index: int, tensor: Tensor, stream: Stream, kind: TaskKind, size: int
    ) -> tuple[Access | None, int | None]:
        if size == 0:
            return None, None
        waits = self.builder.barrier(1) if stream.fresh else ()
        address, user = stream.advance()
        access = Access(self._value(tensor, size, address, kind), size)
        return access, self.builder.load(kind, index, (*waits, user), [access])

    def _bytes(self, tensor: Tensor, tile: VectorTile) -> int:
        return vector_input_bytes(self.op, tensor, self.output, tile)

    def _value(self, tensor: Tensor, size: int, address: int, kind: TaskKind) -> int:
        meaning = "weight" if kind is TaskKind.LOAD_WEIGHT else "activation"
        return self.builder.value("scratchpad", meaning, tensor.name, size, address)

    def _stream(self, role: str, layout: Layout) -> Stream:
        return Stream(layout, role, self.step.buffer_address)
