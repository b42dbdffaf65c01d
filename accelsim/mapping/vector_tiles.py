"""The tiles of an operator on the vector unit, and the bytes each of them needs.

Pools are tiled over channels and output pixels (whole rows, or parts of one); a softmax in whole
last axes; all others in output elements, whatever their place in the tensor.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from accelsim.dataflow.counts import ceil_div
from accelsim.mapping.tiles import (
    Range,
    element_bytes,
    input_pixels,
    pixel_ranges,
    share,
    split,
)
from accelsim.plan import Tiling
from accelsim.workload.graph import BITS, Op, OpKind, Tensor, Window, Workload

POOLS = (OpKind.MAX_POOL, OpKind.AVERAGE_POOL, OpKind.GLOBAL_AVERAGE_POOL)


@dataclass(frozen=True)
class VectorTile:
    """One tile: output elements [start, start + count) of the tiling order."""

    start: int
    count: int
    pixels: Range = (0, 0)
    """Pools: output pixels, counted over all images."""
    channels: int = 0
    """Pools: channels of each pixel."""


def pool_window(op: Op) -> Window | None:
    """The window of a pool; None for an operator that is not tiled like one."""
    return op.window if op.kind in POOLS else None


def pool_pixels(window: Window) -> int:
    """Output pixels of all images."""
    return window.batch * window.out_height * window.out_width


def whole(op: Op, output: Tensor) -> Tiling:
    """All of the operator as one tile."""
    window = pool_window(op)
    if window is None:
        return Tiling(max(1, output.elements), 1, 1)
    return Tiling(pool_pixels(window), window.out_channels, 1)


def vector_tiles(op: Op, output: Tensor, tiling: Tiling) -> Iterator[VectorTile]:
    """The tiles in execution order: for pools channel blocks, and pixels within them."""
    window = pool_window(op)
    if window is None:
        yield from (VectorTile(start, count) for start, count in split(output.elements, tiling.m))
        return
    ranges = pixel_ranges(window, pool_pixels(window), tiling.m)
    start = 0
    for _, channels in split(window.out_channels, tiling.n):
        for pixels in ranges:
            count = pixels[1] * channels
            yield VectorTile(start, count, pixels, channels)
            start += count


@dataclass(frozen=True)
class TileKinds:
    """The tiles of an operator, equal ones counted together."""

    kinds: tuple[tuple[VectorTile, int], ...]
    """(one of them, how many need the same bytes and operations), the first tile first."""
    last: VectorTile

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return sum(count for _, count in self.kinds)


def tile_kinds(op: Op, workload: Workload, tiling: Tiling) -> TileKinds:
    """Count the tiles without walking them one by one, where their shares come out even."""
    output = workload.tensors[op.output]
    window = pool_window(op)
    if window is not None:
        return _pool_kinds(window, tiling)
    names = [name for name in (*op.inputs, op.weight, op.bias) if name]
    amounts = [op.vector_ops, output.bytes, *(workload.read_bytes(op, name) for name in names)]
    tiles = -(-output.elements // tiling.m)
    if tiles > 2 and all(a * tiling.m % output.elements == 0 for a in amounts):
        before = (tiles - 1) * tiling.m
        last = VectorTile(before, output.elements - before)
        return TileKinds(((VectorTile(0, tiling.m), tiles - 1), (last, 1)), last)
    ranges = split(output.elements, tiling.m) or ((0, 0),)
    last = VectorTile(*ranges[-1])
    return TileKinds(tuple((VectorTile(*r), 1) for r in ranges), last)


def _pool_kinds(window: Window, tiling: Tiling) -> TileKinds:
    ranges = pixel_ranges(window, pool_pixels(window), tiling.m)
    by_shape: dict[tuple[int, int], Range] = {}
    shapes: Counter[tuple[int, int]] = Counter()
    for pixels in ranges:
        key = pixels[1], input_pixels(window, *pixels)
        by_shape.setdefault(key, pixels)
        shapes[key] += 1
    blocks = Counter(channels for _, channels in split(window.out_channels, tiling.n))
    kinds = tuple(
        (VectorTile(0, key[0] * channels, by_shape[key], channels), many * many_blocks)
        for channels, many_blocks in blocks.items()
        for key, many in shapes.items()
    )
    rest = split(window.out_channels, tiling.n)[-1][1]
    return TileKinds(kinds, VectorTile(0, ranges[-1][1] * rest, ranges[-1], rest))


def vector_grain(op: Op, output: Tensor) -> int:
    """Output elements that cannot be split (not for pools): the last axis of a softmax or a
    normalisation, or 1."""
    if op.kind in (OpKind.SOFTMAX, OpKind.LAYER_NORM) and output.shape:
        return max(1, output.shape[-1])
    return 1


def vector_input_bytes(op: Op, source: Tensor, output: Tensor, tile: VectorTile) -> int:
    """Bytes of an input that one tile reads.

    Pools: the input pixels of its windows with halo. Otherwise the share of the input that the tile
    is of the output, which is exact for element-wise operators and sums to the whole input for all
    others (a strided slice included: which elements it skips is not part of an operator, so it is
    taken to read all of its input), or to what the operator picks.
    """
    window = pool_window(op)
    if window is not None:
        return input_pixels(window, *tile.pixels) * tile.channels * element_bytes(source)
    size = source.bytes
    if op.picks:
        size = min(size, ceil_div(output.elements * BITS[source.dtype], 8))
    return share(size, tile.start, tile.count, output.elements)


def largest(op: Op, tensor: Tensor, output: Tensor, kinds: TileKinds) -> int:
    """Most bytes of ``tensor`` (an input, a tiled constant or the output) in one tile."""
    if tensor is output:
        return max(tile.count for tile, _ in kinds.kinds) * element_bytes(output)
    return max(vector_input_bytes(op, tensor, output, tile) for tile, _ in kinds.kinds)
