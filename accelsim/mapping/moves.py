"""What the steps of a plan move of every tensor, and what they cost with tensors kept elsewhere."""

from __future__ import annotations

from collections.abc import Mapping

from accelsim.arch.parts import Accelerator
from accelsim.mapping.array import Nest, loop_nest, realise
from accelsim.mapping.layout import constants_of
from accelsim.mapping.objective import Objective
from accelsim.mapping.search import array_pool_cycles
from accelsim.mapping.tile_counts import block_tiles, pixel_tiles, reduction_tiles
from accelsim.mapping.tiles import ArrayOp, array_op
from accelsim.mapping.timing import Timing
from accelsim.mapping.vector import tile_transfers, vector_candidate
from accelsim.mapping.vector_tiles import tile_kinds
from accelsim.plan import Candidate, Step, Tiling
from accelsim.workload.graph import Op, Workload

Moves = dict[str, tuple[int, int]]
"""Tensor -> bytes (read into, written from) the scratchpad, constants uncompressed."""


class Steps:
    """Figures of steps on one machine; loop nests of equal operators and tilings are counted
    once."""

    def __init__(self, workload: Workload, accelerator: Accelerator) -> None:
        self._workload, self._accelerator = workload, accelerator
        self._timing = Timing(accelerator)
        self._ops = {op.name: op for op in workload.ops}
        self._nests: dict[tuple[int, Tiling], Nest] = {}

    def moves(self, step: Step) -> Moves:
        """Of a whole step: its loads, its tile loop, its stores."""
        found = self.loop_moves(self._ops[step.op], step.candidate)
        for name in step.loads:
            _add(found, name, self._workload.tensors[name].bytes, 0)
        for name in step.stores:
            _add(found, name, 0, self._workload.tensors[name].bytes)
        return {name: moved for name, moved in found.items() if any(moved)}

    def loop_moves(self, op: Op, candidate: Candidate) -> Moves:
        """Of a tile loop."""
        found: Moves = {}
        if op.gemm is None:
            self._vector(op, candidate, found)
        else:
            self._array(op, candidate, found)
        if op.output in candidate.streamed:
            _add(found, op.output, 0, self._workload.tensors[op.output].bytes)
        return found

    def cost(self, step: Step, goal: Objective, homes: Mapping[str, str]) -> int:
        """Cost of a step with its tensors kept so (tensor -> memory level)."""
        op, tensors = self._ops[step.op], self._workload.tensors
        names = (*op.inputs, op.output, op.weight, op.bias)
        mine = {name: homes[name] for name in names if name is not None and name in homes}
        total = goal.column_cost(self._with_homes(op, step.candidate, mine))
        for name in (*step.loads, *step.stores):
            total += goal.transfer_cost(tensors[name].bytes, homes.get(name, ""))
        return total

    def _with_homes(self, op: Op, candidate: Candidate, homes: Mapping[str, str]) -> Candidate:
        """The candidate with the times that these homes mean."""
        timing, streamed = self._timing.with_homes(homes), candidate.streamed
        machine, tiling = self._accelerator, candidate.tiling
        if op.gemm is None:
            return vector_candidate(op, self._workload, tiling, streamed, "", machine, timing)
        operands, nest = self._nest(op, tiling)
        early = candidate.prefetch_bytes > 0
        hidden = array_pool_cycles(op, self._workload, timing) if early else None
        return realise(nest, operands, streamed, "", machine, timing, hidden=hidden)

    def _nest(self, op: Op, tiling: Tiling) -> tuple[ArrayOp, Nest]:
        operands = array_op(op, self._workload, self._accelerator.array, tiling.dataflow)
        key = self._workload.alike[op.name], tiling
        found = self._nests.get(key)
        if found is None:
            found = self._nests[key] = loop_nest(
                operands,
                pixel_tiles(operands, tiling.m),
                block_tiles(operands, tiling.n),
                reduction_tiles(operands, tiling.k),
                tiling.order,
                self._timing,
            )
        return operands, found

    def _array(self, op: Op, candidate: Candidate, found: Moves) -> None:
        operands, nest = self._nest(op, candidate.tiling)
        if operands.a.name in candidate.streamed:
            _add(found, operands.a.name, nest.a_bytes, 0)
        if operands.constant or operands.b.name in candidate.streamed:
            _add(found, operands.b.name, nest.b_bytes, 0)
        if operands.bias is not None:
            _add(found, operands.bias.name, nest.bias_bytes, 0)

    def _vector(self, op: Op, candidate: Candidate, found: Moves) -> None:
        workload = self._workload
        output, kinds = workload.tensors[op.output], tile_kinds(op, workload, candidate.tiling)
        for name in op.inputs:
            if name in candidate.streamed:
                read = tile_transfers(op, workload.tensors[name], output, kinds)[1]
                _add(found, name, read, 0)
        for tensor, tiled in constants_of(op, workload):
            whole = tensor.bytes * (1 if self._timing.reuses else kinds.tiles)
            read = tile_transfers(op, tensor, output, kinds)[1] if tiled else whole
            _add(found, tensor.name, read, 0)


def _add(moves: Moves, name: str, read: int, written: int) -> None:
    before = moves.get(name, (0, 0))
    moves[name] = before[0] + read, before[1] + written
