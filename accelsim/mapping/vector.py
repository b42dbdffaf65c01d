"""Candidates of an operator on the vector unit.

With everything resident it is one task. With something streamed, tiles go through double buffers,
and their size trades scratchpad bytes against per-transfer overheads.
"""

from __future__ import annotations

from collections.abc import Iterator

from accelsim.arch.parts import Accelerator
from accelsim.dataflow.counts import ceil_div
from accelsim.mapping.flow import Flow, LevelFlow, by_level, moved_by_level
from accelsim.mapping.layout import constants_of, vector_workspace
from accelsim.mapping.tile_loop import pipelined
from accelsim.mapping.tiles import halvings, share
from accelsim.mapping.timing import Timing
from accelsim.mapping.vector_tiles import (
    TileKinds,
    VectorTile,
    pool_window,
    tile_kinds,
    vector_grain,
    vector_input_bytes,
    whole,
)
from accelsim.plan import Candidate, Tiling
from accelsim.workload.graph import Op, Tensor, Workload


def vector_tilings(op: Op, workload: Workload, lanes: int, *, wide: bool) -> Iterator[Tiling]:
    """Tile sizes, largest first: halvings of the whole. ``wide``: whole output rows (pools), and
    at least as many channels or elements as there are lanes; the others are below that, down to a
    single output (an indivisible last axis)."""
    output = workload.tensors[op.output]
    window, all_of_it = pool_window(op), whole(op, output)
    if window is None:
        grain = vector_grain(op, output)
        unit = grain * ceil_div(min(lanes, output.elements), grain)
        sizes = halvings(all_of_it.m, unit) if wide else halvings(unit, grain)[1:]
        yield from (Tiling(size, 1, 1) for size in sizes)
        return
    width = window.out_width
    pixels = [rows * width for rows in halvings(all_of_it.m // width, 1)]
    floor = min(lanes, window.out_channels)
    channels = halvings(window.out_channels, floor)
    if wide:
        yield from (Tiling(m, n, 1) for n in channels for m in pixels)
        return
    narrow = halvings(floor, 1)[1:]
    parts = halvings(width, 1)[1:]
    yield from (Tiling(m, n, 1) for n in narrow for m in (*pixels, *parts))
    yield from (Tiling(m, n, 1) for n in channels for m in parts)


def vector_candidates(
    op: Op,
    workload: Workload,
    streamed: frozenset[str],
    variant: str,
    accelerator: Accelerator,
    timing: Timing,
    *,
    wide: bool = True,
) -> Iterator[Candidate]:
    """All tile sizes of one residency variant (one size if nothing is moved tile by tile);
    ``wide`` as for :func:`vector_tilings`."""
    tiled = bool(streamed) or any(sliced for _, sliced in constants_of(op, workload))
    if tiled:
        tilings = vector_tilings(op, workload, accelerator.vector.lanes, wide=wide)
    else:
        tilings = iter((whole(op, workload.tensors[op.output]),) if wide else ())
    for tiling in tilings:
        yield vector_candidate(op, workload, tiling, streamed, variant, accelerator, timing)


def vector_candidate(
    op: Op,
    workload: Workload,
    tiling: Tiling,
    streamed: frozenset[str],
    variant: str,
    accelerator: Accelerator,
    timing: Timing,
) -> Candidate:
    """The candidate of one tiling and residency, counted in closed form."""
    output = workload.tensors[op.output]
    kinds = tile_kinds(op, workload, tiling)
    alignment = accelerator.scratchpad.alignment_bytes
    slots = accelerator.scratchpad.buffering
    own = accelerator.weight_sram
    layout = vector_workspace(
        op, workload, tiling, streamed, alignment, slots, own, reuse=timing.reuses
    )
    constants = constants_of(op, workload)
    inputs = [workload.tensors[name] for name in op.inputs]
    sliced = [tensor for tensor, tiled in constants if tiled]
    once = [tensor.bytes for tensor, tiled in constants if not tiled]
    moved = [tensor for tensor in inputs if tensor.name in streamed]

    def loads(tensors: list[Tensor], tile: VectorTile) -> list[int]:
        sizes = [vector_input_bytes(op, tensor, output, tile) for tensor in tensors]
        return [size for size in sizes if size]

    def out_bytes(tile: VectorTile) -> int:
        return share(output.bytes, tile.start, tile.count, output.elements)

    compute = pad = side = transfers = read = fixed = stored = 0
    for tile, many in kinds.kinds:
        sizes, parts = loads(moved, tile), loads(sliced, tile)
        held = sum(vector_input_bytes(op, tensor, output, tile) for tensor in sliced) + sum(once)
        taken = sum(vector_input_bytes(op, tensor, output, tile) for tensor in inputs) + held
        element_ops = share(op.vector_ops, tile.start, tile.count, output.elements)
        compute += many * timing.vector(op.kind, element_ops, taken + out_bytes(tile), held)
        ports = timing.read_in_ports(taken, held)
        pad += many * (ports[0] + timing.in_ports(out_bytes(tile)))
        side += many * ports[1]
        transfers += many * (len(sizes) + len(parts))
        read += many * sum(sizes)
        fixed += many * sum(parts)
        stored += many * sum(timing.stored(size) for size in parts)
    times = 1 if timing.reuses else kinds.tiles
    fixed += times * sum(once)
    stored += times * sum(timing.stored(size) for size in once)
    stores = kinds.tiles if op.output in streamed else 0
    written = output.bytes if stores else 0
    home = timing.home(op.output)
    last = timing.dma(out_bytes(kinds.last), home) if stores else 0
    start = kinds.kinds[0][0]
    first = sum(timing.constant(size) for size in (*once, *loads(sliced, start)))
    for tensor in moved:
        first += sum(timing.dma(size, timing.home(tensor.name)) for size in loads([tensor], start))
    transfers += times * len(once)
    filled = fixed if timing.split else 0
    near = [tensor for tensor in moved if timing.home(tensor.name)]
    parts_of = [LevelFlow(timing.home(t.name), *tile_transfers(op, t, output, kinds)) for t in near]
    levels = by_level([*parts_of, *([LevelFlow(home, 0, 0, stores, written)] if stores else [])])
    flow = Flow(
        transfers, read + fixed, stores, written, first, last, constants=fixed, levels=levels
    )
    return Candidate(
        name=f"{variant}/m{tiling.m}n{tiling.n}k1",
        tiling=tiling,
        streamed=streamed,
        buffer_bytes=layout.bytes,
        prefetch_bytes=0,
        dram_read_bytes=read + stored,
        dram_write_bytes=written,
        cycles=pipelined(timing, flow, compute=compute, tiles=kinds.tiles),
        compute_cycles=compute,
        scratchpad_bytes=pad + read + fixed - filled + written,
        weight_scratchpad_bytes=side + filled,
        weight_buffer_bytes=layout.weight_bytes,
        vector_ops=op.vector_ops,
        level_bytes=moved_by_level(levels),
    )


def tile_transfers(op: Op, tensor: Tensor, output: Tensor, kinds: TileKinds) -> tuple[int, int]:
    """(transfers, bytes) of an operand that streams, over all tiles; a tile that needs nothing of
    it moves nothing."""
    found = [(vector_input_bytes(op, tensor, output, tile), many) for tile, many in kinds.kinds]
    return sum(many for size, many in found if size), sum(size * many for size, many in found)
