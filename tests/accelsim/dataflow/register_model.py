"""Register-level models of the two arrays, stepped cycle by cycle in numpy.

They know nothing of the closed forms: operands enter at edge ports, every register takes its next
value from its neighbours' current ones, and results are read from the registered output ports.
Tiles start every ``period`` cycles, however short that is; a period that is too short simply
overwrites something that was still needed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

Ports = list[tuple[str, int, int, int]]
"""What the edge ports carried: (``a``, ``b`` or ``out``, tile, row, column of that matrix)."""


def run_os(
    a: list[Ints],
    b: list[Ints],
    period: int,
    overlap: str,
    registered: bool = False,
    ports: Ports | None = None,
) -> tuple[list[Ints], int]:
    """Output stationary, a drain register per PE. ``a[t]`` is R x K, ``b[t]`` is K x C.

    ``overlap``: ``full`` = row i of the drain shifts i times, ``column`` = all rows shift together
    R - 1 times. Returns the products as read from the bottom ports and the cycles, counted from
    the first operand on a port to the last result on a port, inclusively. ``ports`` collects what
    passes the edges.
    """
    log: Ports = [] if ports is None else ports
    tiles, (rows, k), cols, late = len(a), a[0].shape, b[0].shape[1], int(registered)
    a_reg, b_reg, acc, drain = (np.zeros((rows, cols), np.int64) for _ in range(4))
    out = [np.zeros((rows, cols), np.int64) for _ in range(tiles)]
    skew = np.add.outer(np.arange(rows), np.arange(cols))
    seen = 0
    for cycle in range((tiles - 1) * period + k + 2 * rows + cols + 4):
        for tile in range(tiles):  # what the bottom drain registers show in this cycle
            first = tile * period + late + k + rows - 1 + np.arange(cols)
            for column in np.flatnonzero((first <= cycle) & (cycle < first + rows)):
                row = rows - 1 - (cycle - int(first[column]))
                out[tile][row, column] = drain[rows - 1, column]
                log.append(("out", tile, row, int(column)))
                seen = cycle
        a_in = np.concatenate([np.zeros((rows, 1), np.int64), a_reg[:, :-1]], axis=1)
        b_in = np.concatenate([np.zeros((1, cols), np.int64), b_reg[:-1]], axis=0)
        for tile in range(tiles):  # the newest tile drives the ports
            step = cycle - tile * period
            for row in range(rows):
                if 0 <= step - row < k:
                    a_in[row, 0] = a[tile][row, step - row]
                    log.append(("a", tile, row, step - row))
            for column in range(cols):
                if 0 <= step - column < k:
                    b_in[0, column] = b[tile][step - column, column]
                    log.append(("b", tile, step - column, column))
        x, y = (a_reg, b_reg) if registered else (a_in, b_in)
        slot = cycle - late - skew  # time as PE (i, j) sees it
        starts = (slot % period == 0) & (slot >= 0) & (slot // period < tiles)
        acc = np.where(starts, 0, acc) + x * y
        ends = np.zeros_like(starts)
        shifts = np.zeros_like(starts)
        for tile in range(tiles):
            done = slot - tile * period - (k - 1)
            ends |= done == 0
            # The column starts to shift when its bottom row has its sum.
            shift = done - rows + np.arange(rows)[:, None]
            count = np.arange(rows)[:, None] if overlap == "full" else rows - 1
            shifts |= (shift >= 0) & (shift < count)
        above = np.concatenate([np.zeros((1, cols), np.int64), drain[:-1]], axis=0)
        drain = np.where(ends, acc, np.where(shifts, above, drain))
        a_reg, b_reg = a_in, b_in
    return out, seen + 1


def run_ws(
    a: list[Ints],
    w: list[Ints],
    period: int,
    overlap: str,
    registered: bool = False,
    ports: Ports | None = None,
) -> tuple[list[Ints], int]:
    """Weight stationary. ``a[t]`` is M x R, ``w[t]`` is R x C.

    ``overlap``: ``preload`` = one weight register, loaded row by row; ``full`` = shadow register,
    row i shifts only while its weights come by; ``column`` = shadow, all rows shift together.
    ``ports`` collects what passes the edges.
    """
    log: Ports = [] if ports is None else ports
    tiles, (m, rows), cols, late = len(a), a[0].shape, w[0].shape[1], int(registered)
    a_reg, psum, weight, shadow = (np.zeros((rows, cols), np.int64) for _ in range(4))
    out = [np.zeros((m, cols), np.int64) for _ in range(tiles)]
    row_of = np.arange(rows)[:, None]
    col_of = np.arange(cols)[None, :]
    seen = 0
    for cycle in range((tiles - 1) * period + m + 2 * rows + cols + 4):
        for tile in range(tiles):
            pixel = cycle - tile * period - late - 2 * rows - np.arange(cols)
            for column in np.flatnonzero((pixel >= 0) & (pixel < m)):
                out[tile][pixel[column], column] = psum[rows - 1, column]
                log.append(("out", tile, int(pixel[column]), int(column)))
                seen = cycle
        a_in = np.concatenate([np.zeros((rows, 1), np.int64), a_reg[:, :-1]], axis=1)
        chain = weight if overlap == "preload" else shadow
        w_in = np.concatenate([np.zeros((1, cols), np.int64), chain[:-1]], axis=0)
        shifts = np.zeros((rows, cols), bool)
        swaps = np.zeros((rows, cols), bool)
        for tile in range(tiles):
            start = tile * period
            for row in range(rows):
                if 0 <= cycle - start - rows - row < m:
                    a_in[row, 0] = a[tile][cycle - start - rows - row, row]
                    log.append(("a", tile, cycle - start - rows - row, row))
            port = cycle - start - np.arange(cols)
            for column in np.flatnonzero((port >= 0) & (port < rows)):
                w_in[0, column] = w[tile][rows - 1 - port[column], column]
                log.append(("b", tile, int(rows - 1 - port[column]), int(column)))
            first = 0 if overlap == "column" else row_of
            shifts |= (cycle - start - col_of >= first) & (cycle - start - col_of < rows)
            swaps |= cycle - start - rows == row_of + col_of
        taken = weight if overlap == "preload" else np.where(swaps, shadow, weight)
        # The MAC sees the shadow in the cycle of the swap; one cycle later it is in the register.
        used = weight if registered else taken
        x = a_reg if registered else a_in
        above = np.concatenate([np.zeros((1, cols), np.int64), psum[:-1]], axis=0)
        psum = above + x * used
        if overlap == "preload":
            weight = np.where(shifts, w_in, weight)
        else:
            weight = taken
            shadow = np.where(shifts, w_in, shadow)
        a_reg = a_in
    return out, seen + 1
