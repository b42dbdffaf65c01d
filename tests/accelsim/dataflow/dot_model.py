"""An array of dot products stepped cycle by cycle: product registers, tree levels, accumulators.

Weights lie in two banks: units multiply with one while a loader fills the other, and the banks swap
when the work on a set is done and the next set is complete. The first set is there at the start.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from accelsim.dataflow.dot_product import DotArray, DotTile

Issue = tuple[int, int, int, int]
"""Spot, first filter (or channel) of the block, group, and burst cycle."""


def _terms(tile: DotTile, array: DotArray) -> list[list[tuple[int, range]]]:
    """Sets of weights; per burst cycle the tap and the channels that enter the lanes."""
    if tile.alone(array):
        taps = [(tap, range(1)) for tap in range(tile.taps)]
        return [taps[i : i + array.burst] for i in range(0, len(taps), array.burst)]
    slices = [
        range(c, min(c + array.rows, tile.channels)) for c in range(0, tile.channels, array.rows)
    ]
    deep = [
        [(tap, part) for part in slices[i : i + array.burst]]
        for tap in range(tile.taps)
        for i in range(0, len(slices), array.burst)
    ]
    by_taps = [
        [(tap, part) for tap in range(i, min(i + array.burst, tile.taps))]
        for part in slices
        for i in range(0, tile.taps, array.burst)
    ]
    return min(deep, by_taps, key=len)


def _units(tile: DotTile, array: DotArray) -> Iterator[list[tuple[int, int]]]:
    """Blocks: the (group, filter) of each output channel that the units work on."""
    every = [list(product([g], range(tile.filters))) for g in range(tile.groups)]
    if tile.alone(array):
        every = [[one for group in every for one in group]]
    for group in every:
        for i in range(0, len(group), array.channels):
            yield group[i : i + array.channels]


class _Pipeline:
    """Registers from the products of a cycle to the accumulators."""

    def __init__(self, rows: int) -> None:
        self.width = 1 << (rows - 1).bit_length()
        self.stages: list[tuple[list, np.ndarray] | None] = [None] * (1 + (rows - 1).bit_length())

    def clock(self, entering, sums: np.ndarray) -> bool:
        """One edge; whether a sum has reached its accumulator."""
        leaving = self.stages[-1]
        for level in range(len(self.stages) - 1, 0, -1):
            before = self.stages[level - 1]
            self.stages[level] = None if before is None else (
                before[0], before[1][:, ::2] + before[1][:, 1::2],
            )  # fmt: skip
        self.stages[0] = entering
        if leaving is None:
            return False
        for place, value in zip(leaving[0], leaving[1][:, 0], strict=True):
            sums[place] += value
        return True


def run(a: np.ndarray, b: np.ndarray, tile: DotTile, array: DotArray) -> tuple[np.ndarray, int]:
    """Sums [group, row, column, filter] and cycles, the first operands' and the last sum's
    included. ``a``: [group, row, column, tap, channel]; ``b``: [group, tap, channel, filter]."""
    sums = np.zeros((tile.groups, tile.height, tile.width, tile.filters), np.int64)
    pipe, cycle, last = _Pipeline(array.rows), 0, 0
    down, across = array.positions
    spots = list(product(range(0, tile.height, down), range(0, tile.width, across)))
    work = [(units, terms) for units in _units(tile, array) for terms in _terms(tile, array)]
    for index, (units, terms) in enumerate(work):
        begun = cycle
        for (y0, x0), beat in product(spots, range(array.burst)):
            entering = None
            if beat < len(terms):
                entering = _multiply(a, b, tile, units, terms[beat], (y0, x0), array, pipe.width)
            cycle += 1
            last = cycle if pipe.clock(entering, sums) else last
        while index < len(work) - 1 and cycle < begun + array.set_cycles:  # wait for weights
            cycle += 1
            last = cycle if pipe.clock(None, sums) else last
    drained = cycle
    while any(stage is not None for stage in pipe.stages):
        drained += 1
        last = drained if pipe.clock(None, sums) else last
    return sums, last + 1


def _multiply(a, b, tile, units, term, spot, array, width):
    tap, channels = term
    places, products = [], []
    for dy, dx in product(range(array.positions[0]), range(array.positions[1])):
        y, x = spot[0] + dy, spot[1] + dx
        if y >= tile.height or x >= tile.width:
            continue
        for group, filter_ in units:
            row = np.zeros(width, np.int64)
            row[: len(channels)] = (
                a[group, y, x, tap, channels.start : channels.stop]
                * b[group, tap, channels.start : channels.stop, filter_]
            )
            places.append((group, y, x, filter_))
            products.append(row)
    return places, np.array(products)
