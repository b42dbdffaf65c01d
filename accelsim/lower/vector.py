"""An operator on the vector unit as commands: per tile load what streams, compute, store.

Small constants are loaded whole before the first tile (without a cache with every tile); constants
as large as the output stream with it. With everything resident the operator is a single command.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from accelsim.arch.parts import Accelerator
from accelsim.lower.buffers import At, Buffers, Slots, as_planned, offsets
from accelsim.lower.builder import CLEAR, ProgramBuilder, Recipe, Transfer
from accelsim.lower.streams import Stream
from accelsim.mapping.layout import constants_of, vector_workspace
from accelsim.mapping.runs import Runs
from accelsim.mapping.vector_runs import VectorShape, vector_runs
from accelsim.plan import Step
from accelsim.program import Touch, Work
from accelsim.taskgraph import TaskKind
from accelsim.workload.graph import Op, Tensor, Workload


@dataclass(frozen=True)
class VectorShapes:
    """What operators of equal sizes, tiling and residency share."""

    tiles: Runs[VectorShape]
    operands: tuple[Slots, ...]
    """Tile buffer of each operand; likewise below."""
    whole: tuple[Slots, ...]
    out: Slots


@dataclass(frozen=True)
class VectorOp:
    """A vector operator with its operands resolved."""

    op: Op
    operands: tuple[Tensor, ...]
    """Tensors that every tile reads its part of: inputs, then constants as large as the output."""
    whole: tuple[Tensor, ...]
    """Constants loaded whole before the first tile."""
    output: Tensor

    @property
    def inputs(self) -> int:
        """How many of the operands are activations."""
        return len(self.op.inputs)


def vector_op(op: Op, workload: Workload) -> VectorOp:
    """Resolve the operands of an operator of the vector unit."""
    constants = constants_of(op, workload)
    return VectorOp(
        op,
        (
            *(workload.tensors[name] for name in op.inputs),
            *(tensor for tensor, tiled in constants if tiled),
        ),
        tuple(tensor for tensor, tiled in constants if not tiled),
        workload.tensors[op.output],
    )


def vector_shapes(
    resolved: VectorOp, workload: Workload, step: Step, accelerator: Accelerator
) -> VectorShapes:
    """Tiles and buffers of an operator. The latter must be what the plan reckoned with."""
    candidate, pad, op = step.candidate, accelerator.scratchpad, resolved.op
    own = accelerator.weight_sram
    tiles = vector_runs(op, resolved.operands, resolved.output, candidate.tiling)
    if candidate.buffer_bytes == candidate.weight_buffer_bytes == 0:
        return VectorShapes(tiles, ((),) * len(resolved.operands), (), ())
    layout = vector_workspace(
        op, workload, candidate.tiling, candidate.streamed, pad.alignment_bytes, pad.buffering,
        own, reuse=not pad.cacheless,
    )  # fmt: skip
    layout = as_planned(layout, step, accelerator)
    roles = [f"in:{name}" for name in op.inputs]
    roles += [f"const:{tensor.name}" for tensor in resolved.operands[resolved.inputs :]]
    return VectorShapes(
        tiles,
        tuple(offsets(layout, role) for role in roles),
        tuple(offsets(layout, f"const:{tensor.name}") for tensor in resolved.whole),
        offsets(layout, "out"),
    )


@dataclass(frozen=True)
class VectorRoles:
    """Numbers of the buffers in their block."""

    operands: tuple[int, ...]
    whole: tuple[int, ...]
    out: int
    homes: tuple[At | None, ...] = ()
    """Of the operands, where each is kept if that is a memory level; likewise below."""
    out_home: At | None = None


def vector_roles(resolved: VectorOp, shapes: VectorShapes, buffers: Buffers) -> VectorRoles:
    """The buffers of a block, in a fixed order."""
    kinds = ["activation" if i < resolved.inputs else "weight" for i in range(len(shapes.operands))]
    homes = tuple(buffers.home(tensor.name) for tensor in resolved.operands)
    out_home = buffers.home(resolved.output.name)
    return VectorRoles(
        operands=tuple(
            buffers.tiles(slots, kind, tensor.name)
            for slots, kind, tensor in zip(shapes.operands, kinds, resolved.operands, strict=True)
        ),
        whole=tuple(
            buffers.tiles(slots, "weight", tensor.name)
            for slots, tensor in zip(shapes.whole, resolved.whole, strict=True)
        ),
        out=buffers.output(shapes.out, resolved.output.name),
        homes=homes,
        out_home=out_home,
    )


def emit_vector(
    builder: ProgramBuilder, resolved: VectorOp, shapes: VectorShapes, roles: VectorRoles
) -> None:
    """Issue the commands of one run of an operator."""
    loop = _Loop(builder, resolved, shapes, roles)
    loop.prepare()
    loop.walk(shapes.tiles)


class _Loop:
    """One operator's tile loop."""

    def __init__(
        self,
        builder: ProgramBuilder,
        resolved: VectorOp,
        shapes: VectorShapes,
        roles: VectorRoles,
    ) -> None:
        self._builder, self._resolved, self._roles = builder, resolved, roles
        self._moved = [
            (index, Stream(builder, len(slots), builder.vector_queue))
            for index, slots in enumerate(shapes.operands)
            if slots
        ]
        self._whole = [Stream(builder, len(slots), builder.vector_queue) for slots in shapes.whole]
        out = shapes.out
        self._out = Stream(builder, len(out), builder.store_queue) if out else None
        self._loads: dict[tuple[int, int], Transfer] = {}
        self._constants: list[Transfer] = []
        self._tiles: dict[VectorShape, tuple[Recipe, Transfer | None]] = {}

    def prepare(self) -> None:
        """Constants smaller than the output: loaded once, unless every tile has to."""
        for tensor, number in zip(self._resolved.whole, self._roles.whole, strict=True):
            writes = (Touch(number, tensor.bytes, fresh=True),)
            kind = TaskKind.LOAD_WEIGHT
            transfer = self._builder.loading(kind, writes, tensor.name, constant=True)
            self._constants.append(transfer)
        if self._builder.timing.reuses:
            self._load_whole_constants()

    def _load_whole_constants(self) -> None:
        for transfer, stream in zip(self._constants, self._whole, strict=True):
            user = stream.advance()
            self._builder.load(transfer, fresh=stream.fresh(user), vector=max(0, user))

    def walk(self, runs: Runs[VectorShape]) -> None:
        """All tiles in order."""
        repeat = self._builder.repeat
        for run in runs:
            if run.leaf is not None:
                repeat(run.count, partial(self._tile, run.leaf))
            else:
                repeat(run.count, partial(self.walk, run.inner))

    def _tile(self, shape: VectorShape) -> None:
        """Loads, compute and store of one tile."""
        builder, out = self._builder, self._out
        reloads = not builder.timing.reuses
        if reloads:
            self._load_whole_constants()
        for index, stream in self._moved:
            if shape.operands[index]:
                self._load(index, stream, shape.operands[index])
        recipes = self._tiles.get(shape)
        if recipes is None:
            recipes = self._tiles[shape] = self._recipes(shape)
        compute, store = recipes
        user = out.advance() if out is not None else CLEAR
        done = builder.vector(compute, store=max(0, user))
        for _, stream in self._moved:
            stream.used_by(done)
        for stream in self._whole if reloads else ():
            stream.used_by(done)
        if out is not None and store is not None:
            out.used_by(builder.store(store))

    def _load(self, index: int, stream: Stream, size: int) -> None:
        transfer = self._loads.get((index, size))
        if transfer is None:
            constant = index >= self._resolved.inputs
            transfer = self._loads[index, size] = self._builder.loading(
                TaskKind.LOAD_WEIGHT if constant else TaskKind.LOAD_INPUT,
                (Touch(self._roles.operands[index], size, fresh=True),),
                self._resolved.operands[index].name,
                constant=constant,
                homes=(self._roles.homes[index],),
            )
        user = stream.advance()
        self._builder.load(transfer, fresh=stream.fresh(user), vector=max(0, user))

    def _recipes(self, shape: VectorShape) -> tuple[Recipe, Transfer | None]:
        op, roles, size = self._resolved.op, self._roles, shape.out
        whole = [tensor.bytes for tensor in self._resolved.whole]
        parts = [*zip(roles.whole, whole, strict=True)]
        parts += zip(roles.operands, shape.operands, strict=True)
        reads = tuple(Touch(number, amount) for number, amount in parts if amount)
        read, timing = sum(touch.bytes for touch in reads), self._builder.timing
        constants = sum(whole) + sum(shape.operands[self._resolved.inputs :])
        work = Work(
            TaskKind.VECTOR, reads, (Touch(roles.out, size, fresh=self._out is not None),),
            sram_read_bytes=read, sram_write_bytes=size, vector_ops=shape.ops,
            weight_read_bytes=constants if timing.split else 0,
        )  # fmt: skip
        compute = Recipe(timing.vector(op.kind, shape.ops, read + size, constants), work)
        if self._out is None:
            return compute, None
        kind, kept = TaskKind.STORE_OUTPUT, Touch(roles.out, size)
        home = roles.out_home
        return compute, self._builder.storing(kind, kept, op.output, home=home)
