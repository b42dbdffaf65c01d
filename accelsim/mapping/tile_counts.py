"""The ways to tile each loop of an array operator: equal tiles counted together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from accelsim.mapping.runs import block_runs, leaves, pixel_runs, reduction_runs
from accelsim.mapping.tiles import ArrayOp, Block
from accelsim.workload.graph import Gemm, Window


@dataclass(frozen=True)
class PixelTiles:
    """A way to tile m."""

    size: int
    counts: tuple[tuple[int, int], ...]
    """(pixels of a tile, how many such tiles)."""
    tiles: int
    regions: int
    """Input pixels of all tiles, halo included."""
    region: int
    """Input pixels of the largest tile."""
    first: int
    """Input pixels of the first tile."""


@dataclass(frozen=True)
class ReductionTiles:
    """A way to tile k."""

    size: int
    counts: tuple[tuple[int, int], ...]
    tiles: int
    channels: int
    """Input channels of one group over all tiles (a channel cut in two counts twice)."""
    channel: int
    """Most input channels in one tile."""


@dataclass(frozen=True)
class BlockTiles:
    """A way to tile n, and the groups."""

    size: int
    shapes: tuple[tuple[Block, int], ...]
    """(a block of each shape, how many like it)."""
    blocks: int
    runs: int
    """Groups, or sets of groups, that come one after the other."""
    widest: Block


def pixel_tiles(operands: ArrayOp, size: int) -> PixelTiles:
    """Tile the output pixels with at most ``size`` per tile."""
    return _pixel_tiles(operands.op.window, operands.gemm.m, size)


# Pure geometry, asked again for every machine of a sweep.
@lru_cache(maxsize=4096)
def _pixel_tiles(window: Window | None, total: int, size: int) -> PixelTiles:
    tiles = list(leaves(pixel_runs(window, total, size)))
    return PixelTiles(
        size,
        _count((pixels, many) for (pixels, _), many in tiles),
        sum(many for _, many in tiles),
        sum(region * many for (_, region), many in tiles),
        max(region for (_, region), _ in tiles),
        tiles[0][0][1],
    )


def reduction_tiles(operands: ArrayOp, size: int) -> ReductionTiles:
    """Tile the reduction with at most ``size`` per tile."""
    tiles = list(leaves(reduction_runs(operands, size)))
    return ReductionTiles(
        size,
        _count((k, many) for (k, _), many in tiles),
        sum(many for _, many in tiles),
        sum(channels * many for (_, channels), many in tiles),
        max(channels for (_, channels), _ in tiles),
    )


def block_tiles(operands: ArrayOp, size: int) -> BlockTiles:
    """Tile the output channels with at most ``size`` per tile."""
    return _block_tiles(operands.gemm, size)


@lru_cache(maxsize=4096)
def _block_tiles(gemm: Gemm, size: int) -> BlockTiles:
    sets = block_runs(gemm, size)
    shapes = tuple(
        (Block(0, groups, 0, n), many * times)
        for times, blocks in sets
        for (groups, n), many in leaves(blocks)
    )
    return BlockTiles(
        size,
        shapes,
        sum(many for _, many in shapes),
        sum(times for times, _ in sets),
        max((block for block, _ in shapes), key=lambda block: block.channels),
    )


def _count(pairs: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """(extent, how many) with equal extents added up, in order of appearance."""
    found: dict[int, int] = {}
    for extent, many in pairs:
        found[extent] = found.get(extent, 0) + many
    return tuple(found.items())
