"""Candidates of an operator on the vector unit.

With everything resident it is one task. With something streamed, tiles go through double buffers,
and their size trades scratchpad bytes against per-transfer overheads.
"""

from __future__ import annotations

from collections.abc import Iterator

from accelsim.arch.parts import Accelerator
from accelsim.dataflow.counts import ceil_div
from accelsim.mapping.layout import constants_of, vector_workspace
from accelsim.mapping.tiles import (
    share,
    vector_grain,
    vector_input_bytes,
    vector_tiles,
)
from accelsim.mapping.timing import Timing
from accelsim.plan import Candidate, Tiling
from accelsim.workload.graph import Op, Workload


def tile_sizes(op: Op, workload: Workload, lanes: int) -> tuple[int, ...]:
    """Tile sizes in output elements: halvings of the whole down to the smallest legal tile (one
    indivisible row, or one element per lane), largest first."""
    output = workload.tensors[op.output]
    grain = vector_grain(op, output)
    unit = grain * ceil_div(min(lanes, output.elements), grain)
    found = [max(1, output.elements)]
    parts = 2
    while found[-1] > unit:
        size = ceil_div(ceil_div(output.elements, parts), unit) * unit
        if size < found[-1]:
            found.append(size)
        parts *= 2
    return tuple(found)


def vector_candidates(
    op: Op,
    workload: Workload,
    streamed: frozenset[str],
    variant: str,
    accelerator: Accelerator,
    timing: Timing,
) -> Iterator[Candidate]:
    """All tile sizes of one residency variant (one size if nothing is moved tile by tile)."""
    tiled = bool(streamed) or any(sliced for _, sliced in constants_of(op, workload))
    sizes = tile_sizes(op, workload, accelerator.vector.lanes)
    for size in sizes if tiled else sizes[:1]:
        yield _candidate(op, workload, size, streamed, variant, accelerator, timing)


def _candidate(
    op: Op,
    workload: Workload,
    size: int,
    streamed: frozenset[str],
    variant: str,
    accelerator: Accelerator,
    timing: Timing,
) -> Candidate:
    output = workload.tensors[op.output]
    tiles = vector_tiles(op, output, size)
    layout = vector_workspace(op, workload, size, streamed, accelerator.scratchpad.alignment_bytes)
    moved = [workload.tensors[name] for name in op.inputs if name in streamed]
    moved += [tensor for tensor, sliced in constants_of(op, workload) if sliced]
    once = [tensor.bytes for tensor, sliced in constants_of(op, workload) if not sliced]
    loads = [[vector_input_bytes(op, tensor, output, tile) for tensor in moved] for tile in tiles]
    read = sum(sum(sizes) for sizes in loads) + sum(once)
    written = output.bytes if op.output in streamed else 0
    last = timing.dma(share(output.bytes, tiles[-1].start, tiles[-1].count, output.elements))
    last = last if written else 0
    first = sum(timing.dma(size) for size in (*once, *loads[0]) if size)
    compute = sum(
        timing.vector(op.kind, share(op.vector_ops, tile.start, tile.count, output.elements))
        for tile in tiles
    )
    transfers = sum(1 for sizes in loads for size in sizes if size) + len(once)
    transfers += len(tiles) if written else 0
    moving = transfers * timing.dma_fixed + timing.transfer_bytes(read + written)
    one = ceil_div(compute, len(tiles)) if moving > first + last else 0
    return Candidate(
        name=f"{variant}/m{size}n1k1",
        tiling=Tiling(size, 1, 1),
        streamed=streamed,
        buffer_bytes=layout.bytes,
        prefetch_bytes=0,
        dram_read_bytes=read,
        dram_write_bytes=written,
        cycles=first + max(compute, moving - first - last + one) + last,
        compute_cycles=compute,
    )
