"""Bank conflicts when a systolic array fetches its activations: cycles of a whole tile.

Weight and input stationary hold or stream A by its own vectors: in each cycle the array's edge asks
for one input vector, all of its lines at once, and every bank hands out one line after the other.
``ws``: up to R reductions of one output pixel; ``os`` and ``is``: one reduction of R (``is``: C)
output pixels. A vector takes as long as the bank with the most of its lines.

Where a tile lies is decided long after its time is asked for, so the time is that of the worst
place: of a feature map the alignment of every output row to the lines, of its buffer the resident
tensor or the tile's own, whichever is slower. Within a vector, what has a known distance keeps it
(pixels and kernel rows of one feature map); what has not (channel planes of ``nchw``, kernel rows
of a part of a row) collides. Padding counts as if it were stored.

``layout`` says how a feature map lies in its buffer: ``nhwc`` all channels of a pixel together,
``nchw`` channel by channel. Within a tile, reductions go through the array as they lie there:
kernel position by kernel position, or channel by channel. A product is a single row of m pixels
with k channels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import gcd

import numpy as np
from numpy.typing import NDArray

from accelsim.arch.parts import Scratchpad, SystolicArray
from accelsim.dataflow.counts import ceil_div
from accelsim.mapping.tiles import TileShape
from accelsim.workload.graph import Gemm, Window

Ints = NDArray[np.int64]
Piece = tuple[int, ...]
"""Bytes from the first element of a vector to each of its elements; all distances are known."""
Vector = tuple[tuple[Piece, int], ...]
"""Pieces whose distances from each other are not known, and how many there are of each."""

LARGEST = 2**50
"""Bytes; no scratchpad has as many."""
MOST_ACROSS = 2**14
"""Rows or columns of the largest array."""
MOST_TAPS = 128
"""Kernels of more positions are not looked at: every element of a vector counts as a conflict."""


@dataclass(frozen=True)
class Banks:
    """Lines of a scratchpad and the banks they lie in."""

    count: int
    line: int
    """Bytes; likewise below."""
    element: int

    @property
    def lines_of_one(self) -> int:
        """Lines that one element lies in at most."""
        return ceil_div(self.element - 1, self.line) + 1


@dataclass(frozen=True)
class Strides:
    """Bytes from a pixel and row of a feature map to the next; None: not known."""

    pixel: int
    row: int | None


@dataclass(frozen=True)
class Kernel:
    """Extents and dilations (rows, columns)."""

    size: tuple[int, int]
    dilation: tuple[int, int]

    @property
    def taps(self) -> int:
        """Positions."""
        return self.size[0] * self.size[1]


def covers(shape: TileShape, array: SystolicArray) -> bool:
    """Whether a tile's vectors are known: systolic arrays without sparse weights and without
    products side by side."""
    plain = array.dataflow in ("ws", "os", "is") and shape.sparsity is None
    return plain and not (array.packing and shape.groups > 1) and shape.layer is not None


def gather_rounds(shape: TileShape, array: SystolicArray, memory: Scratchpad) -> int:
    """Times that the banks have to hand out a line for all activations of a tile (of an array and a
    tile that :func:`covers` knows), in the worst place; at least one per vector."""
    layer = shape.layer
    assert layer is not None, "a tile without its operator"
    banks = Banks(memory.banks, memory.width_bytes, shape.a_element_bytes)
    rounds = max(
        (
            _reduction_rounds(shape, layer, array.rows, where, memory.layout, banks)
            if array.dataflow == "ws"
            else _pixel_rounds(shape, layer, array, where, banks)
            for where in _places(shape, layer, memory.layout)
            if _reach(shape, layer, where) < LARGEST
        ),
        default=shape.m * shape.k * banks.lines_of_one,
    )
    # What is held or drained over the columns asks for A again for each n of a column fold.
    return rounds * shape.groups * (1 if array.dataflow == "is" else ceil_div(shape.n, array.cols))


def _reduction_rounds(
    shape: TileShape, layer: Window | Gemm, rows: int, where: Strides, layout: str, banks: Banks
) -> int:
    """One vector per pixel and fold of the reductions over the array's rows."""
    kernel, stride = _kernel(layer)
    pixels = shape.m if isinstance(layer, Gemm) else min(shape.m, layer.out_width)
    if shape.m % pixels:  # begins within a row, ends in another
        pixels = 1
    if kernel.taps > MOST_TAPS:
        return shape.m * shape.k * banks.lines_of_one
    step = stride * where.pixel
    starts = (0,) if shape.k % kernel.taps == 0 else tuple(range(kernel.taps))
    return (
        shape.m
        // pixels
        * max(
            _folds_rounds(shape.k, start, rows, kernel, where, layout, step, pixels, banks)
            for start in starts
        )
    )


@lru_cache(maxsize=1 << 14)
def _folds_rounds(
    k: int,
    start: int,
    rows: int,
    kernel: Kernel,
    where: Strides,
    layout: str,
    step: int,
    pixels: int,
    banks: Banks,
) -> int:
    """Rounds of ``k`` reductions from position ``start`` of a kernel on, for one row of pixels."""
    if layout == "nhwc":
        vectors = _channels_inside(k, start, rows, kernel, where, banks.element)
    else:
        vectors = _channels_outside(k, start, rows, kernel, where)
    return sum(
        many * times * _over_pixels(piece, step, pixels, banks)
        for vector, many in vectors.items()
        for piece, times in vector
    )


def _pixel_rounds(
    shape: TileShape, layer: Window | Gemm, array: SystolicArray, where: Strides, banks: Banks
) -> int:
    """One vector per reduction and fold of the pixels over the array's rows (``is``: columns);
    output rows of a vector may belong to two images, so they collide."""
    _, stride = _kernel(layer)
    across = array.rows if array.dataflow == "os" else array.cols
    width = shape.m if isinstance(layer, Gemm) else min(shape.m, layer.out_width)
    # Within one row no vector is cut: one period is all it takes to count them.
    period = width if shape.m > width else across
    total = 0
    for (phase, length), many in _folds(shape.m, across, period, 0).items():
        for _, pixels, times in _cut(phase, length, period):
            row = tuple(range(0, pixels * stride * where.pixel, stride * where.pixel))
            total += many * times * _over_pixels(row, 0, 1, banks)
    return shape.k * total


def _reach(shape: TileShape, layer: Window | Gemm, where: Strides) -> int:
    """Bytes from the first element of a vector to its last at most: where a tile does not fit, no
    more than that it does not."""
    kernel, stride = _kernel(layer)
    rows = (kernel.size[0] - 1) * kernel.dilation[0] * (where.row or 0)
    columns = (kernel.size[1] - 1) * kernel.dilation[1] + min(shape.m, MOST_ACROSS) * stride
    return rows + columns * where.pixel


def _kernel(layer: Window | Gemm) -> tuple[Kernel, int]:
    """Kernel and stride along a row."""
    if isinstance(layer, Gemm):
        return Kernel((1, 1), (1, 1)), 1
    return Kernel((layer.kernel_height, layer.kernel_width), layer.dilation), layer.stride[1]


def _places(shape: TileShape, layer: Window | Gemm, layout: str) -> Iterator[Strides]:
    """How A can lie: the whole tensor, and the buffer of this tile."""
    size = shape.a_element_bytes
    if isinstance(layer, Gemm):
        # Products of their own may lie one after the other, or side by side (heads).
        pitches = {layer.k, layer.k * layer.groups, shape.k, shape.k * shape.groups}
        for channels in pitches:
            yield Strides(channels * size if layout == "nhwc" else size, None)
        return
    taps = layer.kernel_height * layer.kernel_width
    # How many channels a tile touches that begins within a kernel depends on where.
    counts = {ceil_div(shape.k, taps)}
    if shape.k % taps:
        counts.add(ceil_div(shape.k - 1, taps) + 1)
    part = shape.m < layer.out_width
    if layout == "nchw":
        for row in {layer.in_width * size, None if part else layer.in_width * size}:
            yield Strides(size, row)
        return
    whole = layer.in_channels * size
    yield Strides(whole, layer.in_width * whole)
    for own in counts:
        pixel = own * shape.groups * size
        yield Strides(pixel, None if part else layer.in_width * pixel)


def _folds(total: int, across: int, period: int, start: int) -> Counter[tuple[int, int]]:
    """[start, start + total) in vectors of ``across``: (phase in ``period``, length) of each, and
    how many there are."""
    found: Counter[tuple[int, int]] = Counter()
    whole = total // across
    recurs = period // gcd(period, across)
    for j in range(min(recurs, whole)):
        found[(start + j * across) % period, across] += (whole - 1 - j) // recurs + 1
    if total % across:
        found[(start + whole * across) % period, total % across] += 1
    return found


def _cut(phase: int, length: int, period: int) -> Iterator[tuple[int, int, int]]:
    """A vector at its multiples of ``period``: (phase, length, how many)."""
    head = min(length, period - phase)
    yield phase, head, 1
    whole, tail = divmod(length - head, period)
    if whole:
        yield 0, period, whole
    if tail:
        yield 0, tail, 1


def _channels_outside(
    k: int, start: int, rows: int, kernel: Kernel, where: Strides
) -> Counter[Vector]:
    """Vectors of reductions channel by channel: every channel a plane of its own."""
    found: Counter[Vector] = Counter()
    for (phase, length), many in _folds(k, rows, kernel.taps, start).items():
        pieces: Counter[Piece] = Counter()
        for tap, taps, times in _cut(phase, length, kernel.taps):
            for piece in _positions(range(tap, tap + taps), kernel, where):
                pieces[piece] += times
        found[tuple(pieces.items())] += many
    return found


def _positions(taps: range, kernel: Kernel, where: Strides) -> Iterator[Piece]:
    """Where kernel positions of one channel lie."""
    by_row: dict[int, list[int]] = {}
    for tap in taps:
        y, x = divmod(tap, kernel.size[1])
        at = x * kernel.dilation[1] * where.pixel
        if where.row is None:
            by_row.setdefault(y, []).append(at)
        else:
            by_row.setdefault(0, []).append(at + y * kernel.dilation[0] * where.row)
    for places in by_row.values():
        yield tuple(at - places[0] for at in places)


def _channels_inside(
    k: int, start: int, rows: int, kernel: Kernel, where: Strides, size: int
) -> Counter[Vector]:
    """Vectors of reductions kernel position by kernel position, the tile's channels together.

    A vector within one position is a run of bytes; the others, at most one per position, are put
    together one by one.
    """
    found: Counter[Vector] = Counter()
    taps = kernel.taps
    last = start + k
    # (position, its first channel, where its channels begin among the reductions)
    parts, begin = [], 0
    for tap in range(taps):
        low, high = int(tap < start), (last - tap - 1) // taps
        if high >= low:
            parts.append((tap, low, begin))
            begin += high - low + 1
    ends = [at for _, _, at in parts[1:]] + [begin]
    broken = sorted({end // rows for end in ends[:-1] if end % rows})
    full, rest = divmod(k, rows)
    inside = full - sum(fold < full for fold in broken)
    if inside:
        found[((tuple(range(0, rows * size, size)), 1),)] += inside
    if rest and full not in broken:
        found[((tuple(range(0, rest * size, size)), 1),)] += 1
    for fold in broken:
        chosen = range(fold * rows, min(k, (fold + 1) * rows))
        found[_across(chosen, parts, ends, kernel, where, size)] += 1
    return found


def _across(
    chosen: range,
    parts: list[tuple[int, int, int]],
    ends: list[int],
    kernel: Kernel,
    where: Strides,
    size: int,
) -> Vector:
    """A vector over several kernel positions."""
    by_row: dict[int, list[int]] = {}
    for (tap, low, begin), end in zip(parts, ends, strict=True):
        y, x = divmod(tap, kernel.size[1])
        at = x * kernel.dilation[1] * where.pixel
        row = 0
        if where.row is None:
            row = y
        else:
            at += y * kernel.dilation[0] * where.row
        taken = range(max(chosen.start, begin), min(chosen.stop, end))
        places = [at + (low + r - begin) * size for r in taken]
        if places:
            by_row.setdefault(row, []).extend(places)
    pieces = Counter(tuple(at - min(places) for at in sorted(places)) for places in by_row.values())
    return tuple(pieces.items())


@lru_cache(maxsize=1 << 14)
def _over_pixels(piece: Piece, step: int, pixels: int, banks: Banks) -> int:
    """Rounds of a piece for ``pixels`` vectors that begin ``step`` bytes apart, for the worst
    alignment of the first.

    Places in a line fall into circles, each passed ``step`` by ``step``; whole turns of a circle
    cost the same from anywhere, the rest is a window on it.
    """
    circles = gcd(banks.line, step)
    period = banks.line // circles
    at = (np.arange(circles)[:, None] + step % banks.line * np.arange(period)) % banks.line
    rounds = _rounds(piece, banks)[at]
    whole, rest = divmod(pixels, period)
    passed = np.zeros((circles, 2 * period + 1), dtype=np.int64)
    np.cumsum(np.hstack((rounds, rounds)), axis=1, out=passed[:, 1:])
    windows = passed[:, rest : rest + period] - passed[:, :period]
    # Buffers begin with a line, so elements lie at multiples of their size.
    windows[at % gcd(banks.line, banks.element) != 0] = -1
    turns = [
        (int(turn), int(window))
        for turn, window in zip(passed[:, period], windows.max(axis=1), strict=True)
    ]
    return max(whole * turn + window for turn, window in turns if window >= 0)


@lru_cache(maxsize=1 << 14)
def _rounds(piece: Piece, banks: Banks) -> Ints:
    """Most lines of a piece in one bank, by its first byte's place in a line.

    It changes only where a byte moves on to the next line.
    """
    at = np.add.outer(np.array(piece, dtype=np.int64), np.arange(banks.element)).ravel()
    changes = np.unique(np.append(-at % banks.line, 0))
    lines = (changes[:, None] + at[None, :]) // banks.line
    lines.sort(axis=1)
    fresh = np.ones(lines.shape, dtype=bool)
    fresh[:, 1:] = lines[:, 1:] != lines[:, :-1]
    keys = lines % banks.count + np.arange(len(changes))[:, None] * banks.count
    counted = np.bincount(keys[fresh], minlength=len(changes) * banks.count)
    most = counted.reshape(len(changes), banks.count).max(axis=1)
    found: Ints = np.repeat(most, np.diff(np.append(changes, banks.line)))
    return found
