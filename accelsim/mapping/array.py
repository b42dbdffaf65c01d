"""Candidate tilings of an operator on the array: the loop nest counted in closed form.

Every figure that must equal what the lowering does (traffic, buffer bytes) is exact; the cycles are
an estimate, because contention and dependencies between operators are the simulation's business.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

from accelsim.arch.parts import Accelerator
from accelsim.dataflow.counts import ceil_div
from accelsim.mapping.array_flow import array_flow
from accelsim.mapping.flow import moved_by_level
from accelsim.mapping.layout import TileSizes, array_layout
from accelsim.mapping.orders import Fills, count_fills, live_sums, live_tiles, sensible_orders
from accelsim.mapping.tile_counts import (
    BlockTiles,
    PixelTiles,
    ReductionTiles,
    block_tiles,
    pixel_tiles,
    reduction_tiles,
)
from accelsim.mapping.tile_loop import pipelined
from accelsim.mapping.tiles import (
    ArrayOp,
    element_bytes,
    halvings,
    reduction_unit,
)
from accelsim.mapping.timing import Timing
from accelsim.plan import Candidate, Tiling


@dataclass(frozen=True)
class Work:
    """What the compute tasks of a loop nest add up to."""

    array_cycles: int
    vector_cycles: int
    scratchpad_bytes: int
    """In whole port widths per task."""
    accumulator_bytes: int
    weight_scratchpad_bytes: int = 0
    """As ``scratchpad_bytes``, which they then are no part of."""
    register_bits: int = 0
    """Of an array that can choose between dataflows (``Timing.array``); likewise below."""
    hop_bits: int = 0


@dataclass(frozen=True)
class Nest:
    """One loop nest, before choosing what is resident."""

    tiling: Tiling
    fills: Fills
    sizes: TileSizes
    work: Work
    kept: int
    """Output tiles whose sums are kept at once."""
    compute: int
    """Cycles of array and vector tasks, as far as they are not hidden: see :func:`overlapped`."""
    final: int
    """Cycles of the array or the vector unit, whichever takes longer, in which ``kept`` outputs are
    completed."""
    a_bytes: int
    """Streamed bytes of A with halo and refetch."""
    b_bytes: int
    bias_bytes: int
    b_stored: int
    """``b_bytes`` and ``bias_bytes`` as constants of the backing memory (compressed); likewise
    below."""
    bias_stored: int
    first_a: int
    """Bytes of the first transfer of A."""


def loop_nest(
    operands: ArrayOp,
    pixels: PixelTiles,
    blocks: BlockTiles,
    reductions: ReductionTiles,
    order: str,
    timing: Timing,
    work: Work | None = None,
) -> Nest:
    """Count one loop nest. ``work``: that of the tiles, if it is known from another order."""
    work = work or tile_work(operands, pixels, blocks, reductions, timing)
    gemm = operands.gemm
    fills = count_fills(
        blocks.blocks, blocks.runs, pixels.tiles, reductions.tiles, order, reuse=timing.reuses
    )
    kept = live_tiles(order, blocks.blocks // blocks.runs, pixels.tiles, reductions.tiles)
    wide, size_a = blocks.widest, element_bytes(operands.a)
    b_bytes = gemm.k * gemm.n * gemm.groups * element_bytes(operands.b) * fills.weight_refetch
    if operands.sparsity is not None:
        b_bytes = fills.weight_refetch * sum(
            many * times * operands.b_bytes((0, k), block)
            for block, many in blocks.shapes
            for k, times in reductions.counts
        )
    bias_bytes = _bias_total(operands) * fills.bias_refetch
    b_stored, bias_stored = b_bytes, bias_bytes
    if timing.compresses:  # every transfer rounds up
        b_stored = fills.weight_refetch * sum(
            many * times * timing.stored(operands.b_bytes((0, k), block))
            for block, many in blocks.shapes
            for k, times in reductions.counts
        )
        bias_stored = fills.bias_refetch * sum(
            many * timing.stored(operands.bias_bytes(block)) for block, many in blocks.shapes
        )
    first_m, first_k = pixels.counts[0][0], reductions.counts[0][0]
    per_pixel = reductions.channel * wide.groups * size_a
    return Nest(
        Tiling(pixels.size, blocks.size, reductions.size, order, operands.dataflow),
        fills,
        TileSizes(
            a=pixels.region * per_pixel,
            b=operands.b_bytes((0, first_k), wide),
            bias=operands.bias_bytes(wide),
            out=operands.out_bytes((0, first_m), wide),
        ),
        work,
        kept,
        overlapped(work, fills.outputs, kept, reductions.tiles),
        max(
            work.array_cycles * kept // (fills.outputs * reductions.tiles),
            work.vector_cycles * kept // fills.outputs,
        ),
        a_bytes=pixels.regions * reductions.channels * gemm.groups * size_a * fills.input_refetch,
        b_bytes=b_bytes,
        bias_bytes=bias_bytes,
        b_stored=b_stored,
        bias_stored=bias_stored,
        first_a=pixels.first * per_pixel,
    )


def tile_work(
    operands: ArrayOp,
    pixels: PixelTiles,
    blocks: BlockTiles,
    reductions: ReductionTiles,
    timing: Timing,
) -> Work:
    """All array and vector tasks of a loop nest, equal tiles counted together."""
    op, gemm = operands.op, operands.gemm
    outputs = gemm.m * gemm.n * gemm.groups
    first_k = reductions.counts[0][0]
    array = vector = pad = side = accumulators = registers = hops = 0
    for block, many_blocks in blocks.shapes:
        for m, many_m in pixels.counts:
            number, sums = many_blocks * many_m, m * block.channels
            element_ops = ceil_div(op.vector_ops * sums, outputs)
            out = operands.out_bytes((0, m), block)
            vector += number * timing.epilogue(op.kind, element_ops, out, sums)
            pad += number * timing.in_ports(out)
            accumulators += number * sums * timing.sum_bytes
            later = [(k, many - (k == first_k), False) for k, many in reductions.counts]
            for k, many_k, first in ((first_k, 1, True), *later):
                task = timing.array(operands.shape(m, block, k, first=first))
                tasks = number * many_k
                array += tasks * task.cycles
                read = timing.read_in_ports(task.sram_read_bytes, task.weight_read_bytes)
                pad += tasks * read[0]
                side += tasks * read[1]
                accumulators += tasks * (task.accumulator_read_bytes + task.accumulator_write_bytes)
                registers += tasks * task.registers.written_bits
                hops += tasks * task.registers.hop_bits
    return Work(array, vector, pad, accumulators, side, registers, hops)


def overlapped(work: Work, outputs: int, kept: int, reductions: int) -> int:
    """Cycles of array and vector unit side by side, for ``outputs`` tiles of which ``kept`` keep
    their sums at once.

    One of the two works all the time. The vector unit has nothing to drain before all but the last
    reduction tile of the first ``kept`` outputs and the last one of the first output are done. The
    array is ahead of it in the end by one drain, or by those of the last ``kept`` outputs, as far
    as they do not go on beside the last pass over these.
    """
    array, vector = work.array_cycles, work.vector_cycles
    before = ceil_div(array * ((reductions - 1) * kept + 1), outputs * reductions)
    passed = array * kept // (outputs * reductions)
    after = max(ceil_div(vector, outputs), ceil_div(vector * kept, outputs) - passed)
    return max(array + after, vector + before)


def _bias_total(operands: ArrayOp) -> int:
    if operands.bias is None:
        return 0
    return operands.gemm.n * operands.gemm.groups * element_bytes(operands.bias)


def realise(
    nest: Nest,
    operands: ArrayOp,
    streamed: frozenset[str],
    variant: str,
    accelerator: Accelerator,
    timing: Timing,
    *,
    hidden: int | None,
) -> Candidate:
    """The candidate of a loop nest once it is known what streams.

    ``hidden``: cycles of the step before that the first weights may hide behind; None: they are
    not prefetched.
    """
    stream_a, stream_out = operands.a.name in streamed, operands.output.name in streamed
    stream_b = operands.constant or operands.b.name in streamed
    layout = array_layout(
        nest.sizes, nest.fills, accelerator.scratchpad.alignment_bytes, stream_a=stream_a,
        stream_b=stream_b, stream_out=stream_out, constant=operands.constant,
        buffering=accelerator.scratchpad.buffering, weights=accelerator.weight_sram,
    )  # fmt: skip
    work, tiling = nest.work, nest.tiling
    constants, stored = nest.bias_bytes, nest.bias_stored
    if operands.constant:
        constants, stored = constants + nest.b_bytes, stored + nest.b_stored
    flow = array_flow(nest, operands, streamed, timing, hidden or 0)
    tiles = nest.fills.outputs * ceil_div(operands.gemm.k, tiling.k)
    name = f"{variant}/m{tiling.m}n{tiling.n}k{tiling.k}"
    name += "" if tiling.order == "nmk" else f"-{tiling.order}"
    name += f"-{tiling.dataflow}" if tiling.dataflow else ""
    prefetch = hidden is not None
    filled = constants if timing.split else 0
    beginning = layout.prefetchable if prefetch else 0
    return Candidate(
        name=name if prefetch or not operands.constant else f"{name}-noprefetch",
        tiling=tiling,
        streamed=streamed,
        buffer_bytes=layout.bytes,
        prefetch_bytes=0 if timing.split else beginning,
        dram_read_bytes=stored + flow.read - constants,
        dram_write_bytes=flow.written,
        cycles=pipelined(timing, flow, compute=nest.compute, tiles=tiles),
        compute_cycles=nest.compute,
        scratchpad_bytes=work.scratchpad_bytes + flow.read - filled + flow.written,
        weight_scratchpad_bytes=work.weight_scratchpad_bytes + filled,
        weight_buffer_bytes=layout.weight_bytes,
        weight_prefetch_bytes=beginning if timing.split else 0,
        late_cycles=pipelined(timing, replace(flow, hidden=0), compute=nest.compute, tiles=tiles)
        if timing.split and beginning
        else 0,
        accumulator_bytes=work.accumulator_bytes,
        macs=operands.macs,
        vector_ops=operands.op.vector_ops,
        register_bits=work.register_bits,
        hop_bits=work.hop_bits,
        level_bytes=moved_by_level(flow.levels),
    )


def row_sizes(operands: ArrayOp) -> tuple[int, ...]:
    """Tile sizes of m in whole output rows (without a window: halvings of m), largest first."""
    window, m = operands.op.window, operands.gemm.m
    if window is None:
        return halvings(m, 1)
    rows = m // window.out_width
    return tuple(count * window.out_width for count in _distinct_parts(rows))


def part_row_sizes(operands: ArrayOp) -> tuple[int, ...]:
    """Tile sizes of m below one output row (none without a window), largest first."""
    window = operands.op.window
    return () if window is None else halvings(window.out_width, 1)[1:]


def channel_sizes(operands: ArrayOp, cols: int) -> tuple[int, ...]:
    """Tile sizes of n: multiples of the columns, then, for groups, whole groups; largest first."""
    gemm = operands.gemm
    within = {min(gemm.n, ceil_div(part, cols) * cols) for part in _distinct_parts(gemm.n)}
    spans = {q * gemm.n for q in halvings(gemm.groups, 1)} if gemm.groups > 1 else set()
    return tuple(sorted(within | spans, reverse=True))


def reduction_sizes(operands: ArrayOp, unit: int) -> tuple[int, ...]:
    """Tile sizes of k: whole, then halvings in multiples of ``unit``; largest first."""
    return halvings(operands.gemm.k, unit)


def _distinct_parts(total: int) -> tuple[int, ...]:
    """Distinct values of ceil(total / t), largest first."""
    found: list[int] = []
    part = total
    while part >= 1:
        found.append(part)
        # The fewest tiles that make the tile smaller than ``part``.
        part = 0 if part == 1 else ceil_div(total, ceil_div(total, part - 1))
    return tuple(found)


ROW_CHANNELS, ROW_PIXELS, ROW_REDUCTIONS = 8, 3, 4
"""Tile sizes of n, m (per n) and k that the search looks at on a row-stationary array, where every
shape of tile is mapped for itself."""


def spread(sizes: tuple[int, ...], most: int) -> tuple[int, ...]:
    """At most ``most`` of the sizes, the first and the last among them, evenly over the rest."""
    if len(sizes) <= most:
        return sizes
    return tuple(sizes[i * (len(sizes) - 1) // (most - 1)] for i in range(most))


def nests(
    operands: ArrayOp,
    accelerator: Accelerator,
    timing: Timing,
    pixel_sizes: tuple[int, ...],
    channels: tuple[int, ...] | None = None,
    reductions: tuple[int, ...] | None = None,
    orders: tuple[str, ...] | None = None,
    dataflows: tuple[str, ...] | None = None,
) -> Iterator[Nest]:
    """All loop nests whose sums fit half of the accumulator SRAM.

    ``channels``, ``reductions``, ``orders``: sizes of n and k and loop orders to try in place of
    all sensible ones (:func:`~accelsim.mapping.orders.sensible_orders`); ``dataflows``: of the
    array's ``choices`` only these. Row-stationary arrays: no more than :data:`ROW_CHANNELS` (and so
    on) of each, of m the largest that fit and the smallest.
    """
    array = accelerator.array
    budget = accumulator_tile_elements(accelerator)
    channels = channels or channel_sizes(operands, array.cols)
    reductions = reductions or reduction_sizes(operands, reduction_unit(operands, array))
    rows = array.dataflow == "rs"
    if rows:
        channels, reductions = spread(channels, ROW_CHANNELS), spread(reductions, ROW_REDUCTIONS)
    pixels = [pixel_tiles(operands, size) for size in pixel_sizes]
    cuts = [reduction_tiles(operands, size) for size in reductions]
    ways = [replace(operands, dataflow=choice) for choice in dataflows or array.choices]
    for size in channels:
        blocks = block_tiles(operands, size)
        fitting = [m for m in pixels if m.counts[0][0] * blocks.widest.channels <= budget]
        if rows and len(fitting) > ROW_PIXELS:
            fitting = [*fitting[: ROW_PIXELS - 1], fitting[-1]]
        wide, per_run = blocks.widest.channels, blocks.blocks // blocks.runs
        for m, k, way in product(fitting, cuts, ways):
            work = tile_work(way, m, blocks, k, timing)
            reuse = timing.reuses
            for order in orders or sensible_orders(per_run, m.tiles, k.tiles, reuse=reuse):
                sums = live_sums(operands.gemm, m.counts[0][0], wide, order, k.tiles)
                if sums <= budget:
                    yield loop_nest(way, m, blocks, k, order, timing, work)


def accumulator_tile_elements(accelerator: Accelerator) -> int:
    """Sums that one half of the double-buffered accumulator SRAM holds."""
    return accelerator.accumulators.bytes // 2 // ceil_div(accelerator.array.accumulator_bits, 8)
