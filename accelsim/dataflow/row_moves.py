"""Words that a row-stationary convolution moves, level by level: DRAM, global buffer, spads, PEs.

Counts follow from the passes and their buses alone; tests/accelsim/dataflow/row_model.py counts the
same words as they go by. (What each level costs: Chen, Emer, Sze, ISCA 2016.)
"""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.dataflow.convolution import ConvShape
from accelsim.dataflow.counts import ceil_div
from accelsim.dataflow.row_stationary import RowStationary, passes, strip_rows, window


@dataclass(frozen=True)
class RowMoves:
    """Words moved for a whole convolution; padding and PEs that a pass charges count as well."""

    filter_words: int
    """Over the filter bus; each reaches the PEs of a row of a set."""
    ifmap_words: int
    """Global buffer to array, each once for all PEs that need it."""
    sums_read: int
    """Partial sums from the global buffer."""
    sums_written: int
    hops: int
    """Sums passed from PE to PE."""
    filter_spad_writes: int
    ifmap_spad_writes: int
    spad_macs: int
    """MACs of the charged PEs; each reads a filter word, an input and a sum, and writes a sum."""
    dram_filters: int
    """Real elements from here on: each filter once per strip of rows and set of images,"""
    dram_ifmap: int
    """each input once per strip that needs it and block of m filters,"""
    dram_ofmap: int
    """and each output once, since the sums of m filters stay in the global buffer."""


def moves(shape: ConvShape, mapping: RowStationary, skip_idle: bool = False) -> RowMoves:
    """Words moved at every level (the array's extent does not matter)."""
    kinds = passes(shape, mapping, skip_idle)
    filters = ifmap = read = written = hops = filter_writes = ifmap_writes = macs = 0
    for kind in kinds:
        span, new = window(shape, kind.kernel_cols)
        row_words = kind.q * (span + (shape.out_width - 1) * new)
        pes = kind.kernel_rows * kind.r * kind.t * kind.e
        taps = kind.p * kind.q * kind.kernel_cols
        sums = kind.images * kind.t * kind.e * kind.p * shape.out_width
        rows = strip_rows(shape, kind.e, kind.kernel_rows) * kind.r
        filters += kind.count * taps * pes // kind.e
        filter_writes += kind.count * taps * pes
        ifmap += kind.count * kind.images * rows * row_words
        ifmap_writes += kind.count * kind.images * pes * row_words
        written += kind.count * sums
        read += (kind.count - kind.first) * sums
        hops += kind.count * (kind.kernel_rows * kind.r - 1) * sums
        macs += kind.count * kind.images * pes * taps * shape.out_width
    return RowMoves(
        filters, ifmap, read, written, hops, filter_writes, ifmap_writes, macs,
        *_dram(shape, mapping),
    )  # fmt: skip


def _dram(shape: ConvShape, mapping: RowStationary) -> tuple[int, int, int]:
    """Real filters, inputs and outputs between DRAM and chip.

    Blocks of m filters, strips of rows and sets of images are the outer loops; channels, parts of
    the kernel and the filters within m the inner ones."""
    strips = ceil_div(shape.out_height, mapping.e)
    weights = shape.group_filters * shape.group_channels * shape.kernel[0] * shape.kernel[1]
    filters = weights * shape.groups * strips * ceil_div(shape.batch, mapping.n)
    rows = sum(
        _strip_total(shape, mapping.e, part)
        for part in shape.kernel_parts(0, mapping.kernel_rows)
    )  # fmt: skip
    cols = sum(
        shape.real(1, range(shape.out_width), part)
        for part in shape.kernel_parts(1, mapping.kernel_cols)
    )
    blocks = ceil_div(shape.group_filters, mapping.m)
    ifmap = rows * cols * shape.channels * shape.batch * blocks
    return filters, ifmap, shape.batch * shape.filters * shape.out_height * shape.out_width


def _strip_total(shape: ConvShape, e: int, taps: range) -> int:
    """Real input rows of all strips of e output rows; those away from the padding are alike."""
    strips = ceil_div(shape.out_height, e)
    stride, before = shape.stride[0], shape.pads[0]
    lowest = taps[0] * shape.dilation[0] - before
    reach = taps[-1] * shape.dilation[0] - before
    first = min(strips, max(0, ceil_div(-lowest, stride * e)))
    inside = (shape.size[0] - 1 - reach) // stride + 1  # output rows that stay within the input
    end = max(first, min(inside, shape.out_height) // e)
    border = [*range(first), *range(end, strips)]
    return (end - first) * shape.needed(0, range(e), taps) + sum(
        shape.real(0, range(i * e, min((i + 1) * e, shape.out_height)), taps) for i in border
    )
