"""The tiles of an operator, run-length coded: what a loop nest over equal tiles looks like.

:mod:`accelsim.mapping.tiles` gives tiles one by one; here they are counted in runs of equal
extents and bytes, found by arithmetic, so that the cost is that of the different tiles: borders of
an image and what divides unevenly. Sequences that recur (the images of a batch, reduction tiles
that cut channels in a pattern) are runs of runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import groupby
from math import gcd
from operator import itemgetter
from typing import Generic, TypeVar

from accelsim.dataflow.counts import ceil_div
from accelsim.mapping.tiles import ArrayOp, input_pixels, pixel_ranges, row_span, span
from accelsim.workload.graph import Gemm, Window

T = TypeVar("T")
U = TypeVar("U")

Extent = tuple[int, int]
"""What a tile covers and what it needs, see the functions that make it."""


@dataclass(frozen=True, slots=True)
class Run(Generic[T]):
    """``count`` >= 1 equal things in a row: tiles ``leaf``, or sequences ``inner`` of runs."""

    count: int
    leaf: T | None = None
    inner: tuple[Run[T], ...] = ()


Runs = tuple[Run[T], ...]


def unrolled(runs: Runs[T]) -> Iterator[T]:
    """Every tile in order: what the runs stand for."""
    for run in runs:
        for _ in range(run.count):
            if run.leaf is None:
                yield from unrolled(run.inner)
            else:
                yield run.leaf


def leaves(runs: Runs[T], times: int = 1) -> Iterator[tuple[T, int]]:
    """The tiles as written, with how often each occurs."""
    for run in runs:
        if run.leaf is None:
            yield from leaves(run.inner, times * run.count)
        else:
            yield run.leaf, times * run.count


def tile_count(runs: Runs[T]) -> int:
    """Number of tiles."""
    total = 0
    for run in runs:
        total += run.count * (1 if run.leaf is not None else tile_count(run.inner))
    return total


def without_last(runs: Runs[T]) -> tuple[Runs[T], T]:
    """All tiles but the last one, and the last one."""
    *before, run = runs
    rest = (Run(run.count - 1, run.leaf, run.inner),) if run.count > 1 else ()
    if run.leaf is not None:
        return (*before, *rest), run.leaf
    inner, last = without_last(run.inner)
    return (*before, *rest, *inner), last


def run_lengths(tiles: Iterable[T]) -> Runs[T]:
    """Runs of equal neighbours."""
    return tuple(Run(sum(1 for _ in equal), leaf) for leaf, equal in groupby(tiles))


def recurring(make: Callable[[int], Runs[T]], period: int, total: int) -> Runs[T]:
    """Runs of ``total`` units where what ``make(period)`` covers recurs; ``make(n)``: the runs of
    the first n units."""
    if total < 2 * period:
        return make(total)
    whole = make(period)
    times = total // period
    only = whole[0]
    if len(whole) == 1:
        return (Run(times * only.count, only.leaf, only.inner), *make(total % period))
    return (Run(times, inner=whole), *make(total % period))


def even_split(total: int, size: int) -> tuple[tuple[int, int], ...]:
    """(tiles, extent of each) of [0, total) in tiles of ``size``, the last one shorter."""
    whole = ((total // size, size),) if total >= size else ()
    return (*whole, (1, total % size)) if total % size else whole


def reduction_runs(operands: ArrayOp, size: int) -> Runs[Extent]:
    """Tiles of k with at most ``size`` each: (reductions, channels of one group that they touch).

    A tile that does not cover whole kernels touches one channel more or less depending on where it
    starts in the kernel; starts recur after kernel / gcd(kernel, size) tiles.
    """
    window, k = operands.op.window, operands.gemm.k
    taps = 1 if window is None else window.kernel_height * window.kernel_width

    if k <= size or size % taps == 0:
        sizes = even_split(k, size)
        return tuple(Run(many, (part, ceil_div(part, taps))) for many, part in sizes)

    def tiles(count: int) -> Runs[Extent]:
        return run_lengths((size, operands.a_channels((j * size, size))) for j in range(count))

    rest = k % size
    last = ((rest, operands.a_channels((k - rest, rest))),) if rest else ()
    return recurring(tiles, taps // gcd(taps, size), k // size) + run_lengths(last)


def block_runs(gemm: Gemm, size: int) -> tuple[tuple[int, Runs[Extent]], ...]:
    """Channel blocks: how many groups (or sets of groups) in a row have which runs of blocks;
    a block is (groups, channels of each)."""
    if size <= gemm.n:
        blocks = tuple(Run(count, (1, n)) for count, n in even_split(gemm.n, size))
        return ((gemm.groups, blocks),)
    sets = even_split(gemm.groups, size // gemm.n)
    return tuple((count, (Run(1, (groups, gemm.n)),)) for count, groups in sets)


# Pure geometry: asked by the plan and by the lowering, and again for every machine of a sweep.
@lru_cache(maxsize=4096)
def pixel_runs(window: Window | None, total: int, size: int) -> Runs[Extent]:
    """Tiles over ``total`` output pixels with at most ``size`` each: (output pixels, input pixels),
    as :func:`pixel_ranges` and :func:`input_pixels` have them."""
    if window is None:
        return tuple(Run(count, (m, m)) for count, m in even_split(total, size))
    width = window.out_width
    if total % width:
        ranges = pixel_ranges(window, total, size)
        return run_lengths((m[1], input_pixels(window, *m)) for m in ranges)
    if size >= width:
        rows = _row_runs(window, size // width, total // width)
        return _mapped(rows, lambda row: (row[0] * width, row[1] * window.in_width))
    columns = _column_runs(window, size)
    return _nested(_row_runs(window, 1, total // width), columns)


def _mapped(runs: Runs[T], change: Callable[[T], U]) -> Runs[U]:
    return tuple(
        Run(run.count, None if run.leaf is None else change(run.leaf), _mapped(run.inner, change))
        for run in runs
    )


def _nested(rows: Runs[Extent], columns: Runs[Extent]) -> Runs[Extent]:
    """Every single output row cut into parts: input pixels = input rows x input columns."""
    found: list[Run[Extent]] = []
    for run in rows:
        if run.leaf is None:
            found.append(Run(run.count, inner=_nested(run.inner, columns)))
            continue
        height = run.leaf[1]
        parts = tuple(Run(c.count, (c.leaf[0], height * c.leaf[1])) for c in columns if c.leaf)
        found.append(Run(run.count, inner=parts))
    return tuple(found)


def _row_runs(window: Window, rows: int, total: int) -> Runs[Extent]:
    """``total`` output rows of a batch in tiles of ``rows``: (output rows, input rows)."""
    height = window.out_height
    reach = (window.kernel_height - 1) * window.dilation[0] + 1
    axis = _Axis(window.stride[0], window.pads[0], reach, window.in_height)

    # Tiles start anew at the top of an image after this many rows.
    period = height * rows // gcd(height, rows)
    return recurring(lambda n: axis.runs(n, rows, height, partial(row_span, window)), period, total)


def _column_runs(window: Window, size: int) -> Runs[Extent]:
    """One output row in tiles of ``size``: (output columns, input columns)."""
    reach = (window.kernel_width - 1) * window.dilation[1] + 1
    axis = _Axis(window.stride[1], window.pads[1], reach, window.in_width)
    return axis.runs(window.out_width, size, window.out_width, axis.span)


@dataclass(frozen=True)
class _Axis:
    """One axis of a window."""

    stride: int
    pad: int
    reach: int
    size: int
    """Input positions."""

    def span(self, first: int, count: int) -> int:
        """Input positions that ``count`` outputs from ``first`` on look at."""
        return span(first, count, self.stride, self.pad, self.reach, self.size)

    def runs(
        self, total: int, count: int, length: int, span: Callable[[int, int], int]
    ) -> Runs[Extent]:
        """``total`` outputs of images of ``length`` in tiles of ``count``. All tiles that lie in
        one image and look at no padding are equal."""
        first = max(0, ceil_div(self.pad, self.stride))
        inside = (self.size - self.reach + self.pad) // self.stride - count + 1
        last = min(inside, length - count)
        interior = (count - 1) * self.stride + self.reach
        found: list[tuple[int, Extent]] = []
        at = 0
        while at < total:
            many, tile = 1, min(count, total - at)
            place = at % length
            if first <= place <= last and tile == count:
                many = min((last - place) // count + 1, (total - at) // count)
                needs = interior
            else:
                needs = span(at, tile)
            found.append((many, (tile, needs)))
            at += many * tile
        return tuple(
            Run(sum(many for many, _ in equal), leaf)
            for leaf, equal in groupby(found, key=itemgetter(1))
        )
