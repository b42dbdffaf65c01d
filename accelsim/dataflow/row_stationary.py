"""Row stationary: a PE keeps a row of a filter and slides it over a row of the input.

A logical set of kernel rows x output rows PEs runs one 2-D convolution: filter rows are shared
along a PE row, input rows along a diagonal, and partial sums travel up a column (Chen, Emer, Sze,
ISCA 2016). A processing pass puts r x t such sets side by side (r take different channels and form
one chain of sums, t different filters), each PE working on p filters and q channels; n images go
through one after the other (Chen et al., JSSC 2017; its table III lists these parameters for
AlexNet).

Timing follows from three buses (filters, inputs, sums), the MACs, and what a PE can hold: its
filter words, the window of one output column, and the sums of one output column, which a latch
holds while they leave. A bus serves one destination per cycle with up to its width in words.
``PassTimes.cycles`` is the closed form; tests/accelsim/dataflow/row_model.py steps the PEs, spads
and buses of the same array cycle by cycle. Passes follow each other without overlap: the spads are
single buffered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import gcd

from accelsim.dataflow.convolution import ConvShape
from accelsim.dataflow.counts import ceil_div


@dataclass(frozen=True)
class RowArray:
    """A row-stationary array: spads in words per PE, buses in words per cycle.

    The defaults are Eyeriss with 16-bit words: array and spads from JSSC 2017, table IV; bus widths
    (64, 16 and 64 bits) and the 100 of 108 KB of global buffer that hold inputs and sums are
    recalled from its text, not re-read.
    """

    rows: int = 12
    cols: int = 14
    filter_words: int = 224
    ifmap_words: int = 12
    psum_words: int = 24
    filter_bus_words: int = 4
    ifmap_bus_words: int = 1
    psum_bus_words: int = 4
    """Each way: sums come in and leave at the same rate."""
    buffer_words: int = 51_200


@dataclass(frozen=True)
class RowStationary:
    """How a convolution is laid over the array and cut into passes; the names are Eyeriss's."""

    e: int
    """Output rows of a pass: the width of a PE set."""
    p: int
    """Filters per PE."""
    q: int
    """Channels per PE."""
    r: int
    """Sets that take different channels and add up their sums."""
    t: int
    """Sets that take different filters."""
    m: int
    """Filters whose sums the global buffer holds at a time."""
    n: int
    """Images of a pass."""
    kernel_rows: int
    """Filter rows of a pass: the height of a PE set; fewer than the kernel has: it is folded."""
    kernel_cols: int
    """Filter columns of a pass."""


@dataclass(frozen=True)
class PassTimes:
    """What one pass needs of each unit, in cycles."""

    load: int
    """Filters of all PEs over their bus, before the first MAC."""
    step: int
    """Inputs that one more output column needs; a queue in the PE takes them early."""
    fill: int
    """The rest of the window at the start of an image, which needs the spad itself."""
    macs: int
    """MACs of a PE for one output column."""
    sums: int
    """Sums of one output column in and out, with the way up the longest chain."""

    def cycles(self, images: int, columns: int) -> int:
        """One pass, first word on a bus to last sum out.

        Output column i of an image starts when its inputs are there and the previous column's sums
        have been latched: start(i) = max(start(i-1) + step, latch(i-1)) (+ fill at an image's
        start), latch(i) = max(start(i) + macs, latch(i-1) + sums). The longest path through this
        recurrence either follows the input bus or the slower of MACs and sums.
        """
        slower = max(self.macs, self.sums)
        first = max(self.load, self.step + self.fill)
        by_inputs = columns * self.step + self.fill
        by_sums = (columns - 1) * slower + max(self.sums, self.fill + self.macs)
        last = (columns - 1) * max(self.step, slower)
        return first + (images - 1) * max(by_inputs, by_sums) + last + self.macs + self.sums


@dataclass(frozen=True)
class Pass:
    """One kind of pass: what it covers and how often it occurs in the layer."""

    e: int
    p: int
    q: int
    r: int
    t: int
    kernel_rows: int
    kernel_cols: int
    images: int
    count: int
    first: int
    """Of ``count``, those that start their sums and read none."""


def strip_rows(shape: ConvShape, e: int, kernel_rows: int) -> int:
    """Different input rows that ``e`` output rows need of ``kernel_rows`` filter rows."""
    return shape.needed(0, range(e), range(kernel_rows))


def window(shape: ConvShape, kernel_cols: int) -> tuple[int, int]:
    """Input columns that a PE holds for one output column, and how many of them are new."""
    step = gcd(shape.stride[1], shape.dilation[1])  # columns in between are never used
    span = (kernel_cols - 1) * shape.dilation[1] // step + 1
    return span, min(span, shape.stride[1] // step)


def pass_times(shape: ConvShape, array: RowArray, kind: Pass) -> PassTimes:
    """The five times of a pass: destinations of each bus x cycles per destination."""
    span, new = window(shape, kind.kernel_cols)
    destinations = strip_rows(shape, kind.e, kind.kernel_rows) * kind.r
    taps = kind.p * kind.q * kind.kernel_cols
    chain = kind.kernel_rows * kind.r
    return PassTimes(
        load=chain * kind.t * ceil_div(taps, array.filter_bus_words),
        step=destinations * ceil_div(kind.q * new, array.ifmap_bus_words),
        fill=destinations * ceil_div(kind.q * (span - new), array.ifmap_bus_words),
        macs=taps,
        sums=kind.t * kind.e * ceil_div(kind.p, array.psum_bus_words) + chain - 1,
    )


def _cuts(extent: int, size: int, exact: bool) -> Iterator[tuple[int, int]]:
    """(size, how many) of the parts of ``extent``; unless ``exact``, the last counts in full."""
    whole, rest = divmod(extent, size)
    if rest and not exact:
        whole, rest = whole + 1, 0
    if whole:
        yield size, whole
    if rest:
        yield rest, 1


def _shared(extent: int, per_pe: int, sets: int, exact: bool) -> Iterator[tuple[int, int, int]]:
    """(per PE, sets, how many) of the parts of channels or filters."""
    for size, count in _cuts(extent, per_pe * sets, exact):
        each = ceil_div(size, sets)
        yield (per_pe, sets, count) if size == per_pe * sets else (
            each, ceil_div(size, each), count,
        )  # fmt: skip


def passes(shape: ConvShape, mapping: RowStationary, skip_idle: bool = False) -> list[Pass]:
    """The passes of a layer by kind.

    The array is configured once per layer, so edge passes (the last strip of rows, the last
    channels and filters) take as long as full ones; ``skip_idle``: they take what they hold. A
    batch that n does not divide ends with a pass of fewer images either way.
    """
    channels = list(_shared(shape.group_channels, mapping.q, mapping.r, skip_idle))
    kernels = list(product(
        _cuts(shape.kernel[0], mapping.kernel_rows, skip_idle),
        _cuts(shape.kernel[1], mapping.kernel_cols, skip_idle),
    ))  # fmt: skip
    found = []
    for (e, strips), (p, t, blocks), (images, batches) in product(
        _cuts(shape.out_height, mapping.e, skip_idle),
        _shared(shape.group_filters, mapping.p, mapping.t, skip_idle),
        _cuts(shape.batch, mapping.n, True),
    ):
        outer = strips * blocks * batches * shape.groups
        starting = outer
        for (q, r, parts), ((height, rows), (width, cols)) in product(channels, kernels):
            count = outer * parts * rows * cols
            found.append(Pass(e, p, q, r, t, height, width, images, count, starting))
            starting = 0
    return found


def conv_cycles(
    shape: ConvShape, mapping: RowStationary, array: RowArray, skip_idle: bool = False
) -> int:
    """Array cycles of a convolution: its passes one after the other, memory behind the global
    buffer not counted (Eyeriss calls it the processing latency)."""
    return sum(
        kind.count * pass_times(shape, array, kind).cycles(kind.images, shape.out_width)
        for kind in passes(shape, mapping, skip_idle)
    )


def active_pes(mapping: RowStationary) -> int:
    """PEs that a full pass uses: r x t sets of kernel rows x e."""
    return mapping.kernel_rows * mapping.e * mapping.r * mapping.t


def utilisation(
    shape: ConvShape, mapping: RowStationary, array: RowArray, skip_idle: bool = False
) -> float:
    """MACs / (cycles x PEs of the array), at most 1."""
    cycles = conv_cycles(shape, mapping, array, skip_idle)
    return shape.macs / (cycles * array.rows * array.cols)


def register_bits(operand: int, weight: int, accumulator: int, array: RowArray) -> int:
    """Storage of one PE: three spads, the input queue of a step is part of the bus interface."""
    return (
        array.ifmap_words * operand
        + array.filter_words * weight
        + array.psum_words * accumulator
    )  # fmt: skip
