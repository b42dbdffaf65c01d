"""Mapping a convolution to a row-stationary array: what is legal, and the fastest of what is.

The parameters and their limits are those of Eyeriss (Chen et al., JSSC 2017): spads bound p, q and
the window, the array bounds the sets, the global buffer bounds m, n and e.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace

import numpy as np
from numpy.typing import NDArray

from accelsim.dataflow.convolution import ConvShape
from accelsim.dataflow.counts import ceil_div
from accelsim.dataflow.row_stationary import RowArray, RowStationary, strip_rows, window
from accelsim.errors import AccelsimError, Infeasibility, InfeasibleError, Mistake

CHOICES = 32
"""Values of one parameter that the search looks at; where there are more, it spreads them."""

Grid = NDArray[np.float64]


def map_convolution(
    shape: ConvShape, array: RowArray, fixed: RowStationary | None = None
) -> RowStationary:
    """The mapping with the fewest cycles (edge passes charged in full), or ``fixed`` if legal.

    Looks at every value of e, p, q, r, t and n that cuts its extent evenly (to one), up to
    :data:`CHOICES` of each; m is then as large as the global buffer allows. The kernel is folded
    only as far as array, spads and buffer make it. Raises AccelsimError (M321 for the array, M322
    with every reason why ``fixed`` cannot run), and InfeasibleError if the global buffer cannot
    hold one row of sums and inputs.
    """
    _require_array(array)
    if fixed is not None:
        if wrong := refusals(shape, fixed, array):
            raise AccelsimError(wrong)
        return fixed
    width = _kernel_cols(shape, array)
    for height in _even(shape.kernel[0], array.rows):
        strips = _even(shape.out_height, (array.rows // height) * array.cols)
        bounds = sorted((least_cycles(shape, array, e, height, width), -e) for e in strips)
        best: tuple[float, RowStationary] | None = None
        for bound, e in bounds:
            if best is not None and bound >= best[0]:
                break  # nor can any of the strips that follow be faster
            found = best_of_strip(shape, array, -e, height, width)
            if found is not None and (best is None or found[0] < best[0]):
                best = found
        if best is not None:
            return _with_largest_m(shape, array, best[1])
    raise InfeasibleError(_no_room(shape, array, width))


def refusals(shape: ConvShape, mapping: RowStationary, array: RowArray) -> list[Mistake]:
    """Every reason why the array cannot run the mapping; empty: it can."""
    counts = {f.name: getattr(mapping, f.name) for f in fields(mapping)}
    wrong = [
        f"{name} is {value!r}, not a whole number of at least 1"
        for name, value in counts.items()
        if not isinstance(value, int) or isinstance(value, bool) or value < 1
    ] or [
        f"{what}: {demand} of {limit}"
        for what, demand, limit in _limits(shape, mapping, array)
        if demand > limit
    ]
    return [Mistake("M322", f"row-stationary mapping refused: {reason}") for reason in wrong]


def _limits(
    shape: ConvShape, mapping: RowStationary, array: RowArray
) -> Iterator[tuple[str, int, int]]:
    """(what, demand, limit) of all that bounds a mapping."""
    span, _ = window(shape, mapping.kernel_cols)
    chain = mapping.kernel_rows * mapping.r
    bands = array.rows // chain
    sets = bands * (array.cols // mapping.e)
    if mapping.e > array.cols:  # a wide set is folded: its parts lie on top of each other
        sets = bands // ceil_div(mapping.e, array.cols)
    filters = min(mapping.p * mapping.t, shape.group_filters)
    yield "kernel_rows of the kernel's rows", mapping.kernel_rows, shape.kernel[0]
    yield "kernel_cols of the kernel's columns", mapping.kernel_cols, shape.kernel[1]
    yield "e of the output rows", mapping.e, shape.out_height
    yield "n of the batch", mapping.n, shape.batch
    yield "rows of PEs for r sets of kernel_rows", chain, array.rows
    yield "t sets that fit the array beside each other", mapping.t, sets
    yield "filters in a pass (p x t) of the m with sums on chip", filters, mapping.m
    yield "words of the filter spad (p q kernel_cols)", (
        mapping.p * mapping.q * mapping.kernel_cols), array.filter_words  # fmt: skip
    yield "words of the input spad (q x window)", mapping.q * span, array.ifmap_words
    yield "words of the sum spad (p)", mapping.p, array.psum_words
    yield "words of the global buffer", buffer_words(shape, mapping), array.buffer_words


def buffer_words(shape: ConvShape, mapping: RowStationary) -> int:
    """Global buffer that a mapping takes: the sums of m filters and the inputs of a pass."""
    sums = min(mapping.m, shape.group_filters) * mapping.e * shape.out_width
    return mapping.n * (sums + mapping.q * mapping.r * _channel_words(shape, mapping.e, mapping))


def _channel_words(shape: ConvShape, e: int, mapping: RowStationary) -> int:
    """Input words of one channel of a strip of e output rows."""
    span, new = window(shape, mapping.kernel_cols)
    return strip_rows(shape, e, mapping.kernel_rows) * (span + (shape.out_width - 1) * new)


def least_cycles(shape: ConvShape, array: RowArray, e: int, height: int, width: int) -> float:
    """No mapping with strips of e rows takes less (counted as :func:`best_of_strip` does): the
    MACs over all the PEs of its sets, and the words that the input and the sum bus must carry."""
    span, new = window(shape, width)
    stacked = array.rows // height
    sets = stacked * (array.cols // e) if e <= array.cols else stacked // ceil_div(e, array.cols)
    filters, channels = shape.group_filters, shape.group_channels
    together = min(array.psum_words, array.filter_words // width) * max(1, sets)
    depth = (array.ifmap_words // span) * stacked
    inputs = strip_rows(shape, e, height) * new * channels / array.ifmap_bus_words
    columns = max(
        width * filters * channels / max(1, sets),
        inputs * max(1.0, filters / together),
        e * filters / array.psum_bus_words * max(1.0, channels / depth),
    )
    strips = ceil_div(shape.out_height, e) * ceil_div(shape.kernel[0], height)
    return columns * strips * shape.batch * shape.out_width


def best_of_strip(
    shape: ConvShape, array: RowArray, e: int, height: int, width: int
) -> tuple[float, RowStationary] | None:
    """Cycles (of one group and one part of the kernel's columns) and mapping (m not yet set) of the
    best p, q, r, t and n for strips of e rows; None if there is none."""
    span, _ = window(shape, width)
    depth = min(array.ifmap_words // span, array.filter_words // width)
    axes = (
        _even(shape.group_filters, min(array.psum_words, array.filter_words // width)),
        _even(shape.group_channels, depth),
        _even(shape.group_channels, array.rows // height),
        _even(shape.group_filters, (array.rows // height) * max(1, array.cols // e)),
        _even(shape.batch, shape.batch),
    )
    if not all(axes):
        return None
    values = [np.array(axis, float) for axis in axes]
    first = RowStationary(e, 1, 1, 1, 1, 1, 1, height, width)
    grid = np.meshgrid(*values, indexing="ij", sparse=True)
    places = np.nonzero(_legal(shape, array, first, grid))  # few of many are
    if not len(places[0]):
        return None
    legal = [value[place] for value, place in zip(values, places, strict=True)]
    cycles = _layer_cycles(shape, array, first, legal)
    best = int(np.argmin(cycles))
    p, q, r, t, n = (int(value[best]) for value in legal)
    return float(cycles[best]), RowStationary(e, p, q, r, t, 1, n, height, width)


def _legal(
    shape: ConvShape, array: RowArray, first: RowStationary, grid: Sequence[Grid]
) -> NDArray[np.bool_]:
    """Which (p, q, r, t, n) of a grid fit array, filter spad and global buffer."""
    p, q, r, t, n = grid
    bands = array.rows // (first.kernel_rows * r)
    folded = ceil_div(first.e, array.cols)
    sets = bands * (array.cols // first.e) if folded == 1 else bands // folded
    sums = np.minimum(p * t, shape.group_filters) * first.e * shape.out_width
    held = n * (sums + q * r * _channel_words(shape, first.e, first))
    fits: NDArray[np.bool_] = (
        (t <= sets)
        & (p * q * first.kernel_cols <= array.filter_words)
        & (held <= array.buffer_words)
    )
    return fits


def _layer_cycles(
    shape: ConvShape, array: RowArray, first: RowStationary, many: Sequence[Grid]
) -> Grid:
    """``conv_cycles`` over arrays of p, q, r, t and n."""
    p, q, r, t, n = many
    height, width = first.kernel_rows, first.kernel_cols
    span, new = window(shape, width)
    rows = strip_rows(shape, first.e, height)
    times = (
        height * r * t * np.ceil(p * q * width / array.filter_bus_words),
        rows * r * np.ceil(q * new / array.ifmap_bus_words),
        rows * r * np.ceil(q * (span - new) / array.ifmap_bus_words),
        p * q * width,
        t * first.e * np.ceil(p / array.psum_bus_words) + height * r - 1,
    )
    cycles = np.floor(shape.batch / n) * _pass_cycles(*times, n, shape.out_width)
    rest = shape.batch % n
    if rest.any():
        cycles = cycles + (rest > 0) * _pass_cycles(*times, rest, shape.out_width)
    runs = np.ceil(shape.group_channels / (q * r)) * np.ceil(shape.group_filters / (p * t))
    strips = ceil_div(shape.out_height, first.e) * ceil_div(shape.kernel[0], height)
    total: Grid = runs * cycles * strips
    return total


def _pass_cycles(
    load: Grid, step: Grid, fill: Grid, macs: Grid, sums: Grid, images: Grid, columns: int
) -> Grid:
    """``PassTimes.cycles`` over arrays of mappings."""
    slower = np.maximum(macs, sums)
    by_sums = (columns - 1) * slower + np.maximum(sums, fill + macs)
    repeat = (images - 1) * np.maximum(columns * step + fill, by_sums)
    last = (columns - 1) * np.maximum(step, slower)
    total: Grid = np.maximum(load, step + fill) + repeat + last + macs + sums
    return total


def _with_largest_m(shape: ConvShape, array: RowArray, mapping: RowStationary) -> RowStationary:
    """With as many filters' sums on chip as the buffer holds: a multiple of p t."""
    pixels = mapping.n * mapping.e * shape.out_width
    inputs = mapping.n * mapping.q * mapping.r * _channel_words(shape, mapping.e, mapping)
    room = (array.buffer_words - inputs) // pixels
    together = mapping.p * mapping.t
    m = room // together * together if room < shape.group_filters else shape.group_filters
    return replace(mapping, m=max(m, min(together, shape.group_filters)))


def _even(extent: int, limit: int) -> list[int]:
    """Sizes up to ``limit`` that cut an extent into equal parts (to one), largest first."""
    found = []
    size = min(extent, limit)
    while size >= 1:
        size = ceil_div(extent, ceil_div(extent, size))  # the least that needs as many parts
        found.append(size)
        size -= 1
    if len(found) <= CHOICES:
        return found
    picks = np.unique(np.linspace(0, len(found) - 1, CHOICES).round().astype(int))
    return [found[i] for i in picks]


def _kernel_cols(shape: ConvShape, array: RowArray) -> int:
    """The widest part of the kernel, of equal parts, whose window and filter row fit a PE."""
    for width in _even(shape.kernel[1], shape.kernel[1]):
        span, _ = window(shape, width)
        if span <= array.ifmap_words and width <= array.filter_words:
            return width
    return 1


def _require_array(array: RowArray) -> None:
    """Raise AccelsimError (M321) with every number of the array that cannot be."""
    counts = {f.name: getattr(array, f.name) for f in fields(array)}
    wrong = [
        Mistake("M321", f"row-stationary array: {name} is {value!r}, not 1 to {limit}")
        for name, value in counts.items()
        for limit in [2**40 if name == "buffer_words" else 65_536]
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= limit
    ]
    if wrong:
        raise AccelsimError(wrong)


def _no_room(shape: ConvShape, array: RowArray, width: int) -> Infeasibility:
    """Why nothing fits: one row of sums and the inputs of one channel."""
    least = RowStationary(1, 1, 1, 1, 1, 1, 1, 1, width)
    inputs = _channel_words(shape, 1, least)
    return Infeasibility(
        "row-stationary convolution: sums and inputs of one output row in the global buffer",
        demand=buffer_words(shape, least),
        limit=array.buffer_words,
        unit="words",
        terms=(("inputs of one channel", inputs), ("sums of one filter", shape.out_width)),
        levers=("a larger global buffer", "a narrower image (tiles of columns)"),
    )
