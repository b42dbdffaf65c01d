"""The tile loop of an array operator walked one tile at a time: the slow twin of the lowering."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from accelsim.mapping.tiles import (
    Block,
    Range,
    array_op,
    channel_blocks,
    pixel_ranges,
    split,
)
from accelsim.plan import Step, Tiling
from accelsim.taskgraph import TaskKind
from accelsim.workload.graph import Op, Workload


@dataclass(frozen=True)
class ArrayTile:
    """One iteration of the loop nest."""

    block: Block
    m: Range
    k: Range
    output: int
    """Which output tile the sums belong to, in order of beginning."""
    first: bool
    """First reduction tile of the output tile."""
    last: bool


def array_tiles(op: Op, workload: Workload, tiling: Tiling) -> Iterator[ArrayTile]:
    """The loop nest in execution order: groups, then n, m and k as the tiling says."""
    gemm = array_op(op, workload).gemm
    pixels = pixel_ranges(op.window, gemm.m, tiling.m)
    reductions = split(gemm.k, tiling.k)
    groups: dict[int, list[Block]] = {}
    for block in channel_blocks(gemm, tiling.n):
        groups.setdefault(block.group, []).append(block)
    outputs: dict[tuple[Block, Range], int] = {}
    for blocks in groups.values():
        walked = {"n": blocks, "m": pixels, "k": reductions}
        for found in product(*(walked[loop] for loop in tiling.order)):
            at = dict(zip(tiling.order, found, strict=True))
            block, m, k = at["n"], at["m"], at["k"]
            output = outputs.setdefault((block, m), len(outputs))
            yield ArrayTile(block, m, k, output, k is reductions[0], k is reductions[-1])


Moved = tuple[TaskKind, int, int]
"""(kind of a command, scratchpad bytes that it moves by DMA, MACs)."""


def commands(op: Op, workload: Workload, step: Step, *, cacheless: bool = False) -> Iterator[Moved]:
    """What an array operator's commands must be, set-ups apart: a buffer is filled whenever the
    tile that it should hold is another one than it does hold (without a cache: for every tile, the
    bias for every output tile)."""
    operands, streamed = array_op(op, workload), step.candidate.streamed
    has_b = operands.constant or operands.b.name in streamed
    held: dict[str, object] = {}

    def changes(role: str, identity: object) -> bool:
        known = held.get(role)
        held[role] = identity
        return known != identity

    for tile in array_tiles(op, workload, step.candidate.tiling):
        b = bias = 0
        if cacheless:
            held = {} if tile.first else {"bias": tile.block}
        if has_b and changes("b", (tile.block, tile.k)):
            b = operands.b_bytes(tile.k, tile.block)
        if operands.bias is not None and tile.first and changes("bias", tile.block):
            bias = operands.bias_bytes(tile.block)
        if operands.constant and b + bias:
            yield TaskKind.LOAD_WEIGHT, b + bias, 0
        elif b + bias:
            kinds = (TaskKind.LOAD_INPUT, b), (TaskKind.LOAD_WEIGHT, bias)
            yield from ((kind, size, 0) for kind, size in kinds if size)
        if operands.a.name in streamed and changes("a", (tile.block.group, tile.m, tile.k)):
            size = operands.a_bytes(tile.m, tile.k, tile.block)
            if size:
                yield TaskKind.LOAD_INPUT, size, 0
        yield TaskKind.ARRAY, 0, tile.m[1] * tile.block.channels * tile.k[1]
        if tile.last:
            yield TaskKind.VECTOR, 0, 0
            if operands.output.name in streamed:
                yield TaskKind.STORE_OUTPUT, operands.out_bytes(tile.m, tile.block), 0
