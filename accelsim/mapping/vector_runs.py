"""The tiles of an operator on the vector unit, in runs of equal ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import gcd, lcm

from accelsim.mapping.runs import Run, Runs, even_split, pixel_runs, recurring, run_lengths
from accelsim.mapping.tiles import element_bytes, share
from accelsim.mapping.vector_tiles import (
    VectorTile,
    pool_pixels,
    pool_window,
    vector_input_bytes,
    vector_tiles,
)
from accelsim.plan import Tiling
from accelsim.workload.graph import Op, Tensor, Window


@dataclass(frozen=True)
class VectorShape:
    """What the tasks of one tile depend on."""

    operands: tuple[int, ...]
    """Bytes of each operand."""
    out: int
    """Bytes of the output."""
    ops: int
    """Element operations."""


def vector_runs(
    op: Op, operands: Sequence[Tensor], output: Tensor, tiling: Tiling
) -> Runs[VectorShape]:
    """The tiles of :func:`vector_tiles` in runs of equal ones; ``operands``: tensors that every
    tile reads its part of.

    Shares that come out uneven recur: of an amount A over T outputs, tiles of m get a whole number
    every T / gcd(T, A m) tiles.
    """
    total = output.elements
    window = pool_window(op)
    if window is not None:
        return _pool_runs(op, window, operands, output, tiling)
    if total == 0:
        return ()
    shape = partial(_shape, op, operands, output)
    whole = shape(VectorTile(0, total))
    if tiling.m >= total:
        return (Run(1, whole),)

    def tiles(count: int) -> Runs[VectorShape]:
        return run_lengths(shape(VectorTile(j * tiling.m, tiling.m)) for j in range(count))

    every = [total // gcd(total, a * tiling.m) for a in (*whole.operands, whole.out, whole.ops)]
    rest = total % tiling.m
    last = run_lengths([shape(VectorTile(total - rest, rest))] if rest else [])
    return recurring(tiles, lcm(*every), total // tiling.m) + last


def _shape(op: Op, operands: Sequence[Tensor], output: Tensor, tile: VectorTile) -> VectorShape:
    return VectorShape(
        tuple(vector_input_bytes(op, tensor, output, tile) for tensor in operands),
        share(output.bytes, tile.start, tile.count, output.elements),
        share(op.vector_ops, tile.start, tile.count, output.elements),
    )


def _pool_runs(
    op: Op, window: Window, operands: Sequence[Tensor], output: Tensor, tiling: Tiling
) -> Runs[VectorShape]:
    sizes = [element_bytes(tensor) for tensor in operands]
    total = output.elements
    if op.vector_ops % total:
        tiles = vector_tiles(op, output, tiling)
        return run_lengths(_shape(op, operands, output, tile) for tile in tiles)
    each = op.vector_ops // total
    out = output.bytes // total

    def shaped(runs: Runs[tuple[int, int]], channels: int) -> Runs[VectorShape]:
        found: list[Run[VectorShape]] = []
        for run in runs:
            if run.leaf is None:
                found.append(Run(run.count, inner=shaped(run.inner, channels)))
                continue
            outputs, inputs = (pixels * channels for pixels in run.leaf)
            reads = tuple(inputs * size for size in sizes)
            found.append(Run(run.count, VectorShape(reads, outputs * out, outputs * each)))
        return tuple(found)

    pixels = pixel_runs(window, pool_pixels(window), tiling.m)
    blocks = even_split(window.out_channels, tiling.n)
    return tuple(Run(count, inner=shaped(pixels, channels)) for count, channels in blocks)
