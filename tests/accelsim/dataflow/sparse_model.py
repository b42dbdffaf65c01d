"""Register-level models of arrays with N:M sparse weights, stepped cycle by cycle in numpy.

As register_model.py, with two differences: an operand wire carries a whole block of activations,
and each weight comes with an index that selects one of them. They know nothing of the closed forms
and find the place of every weight in the matrix themselves.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

Fed = set[tuple[int, int, int]]
"""Activations that were fed: (tile, row of A, column of A)."""


def compress(b: Ints, keep: int, block: int) -> tuple[Ints, Ints, Ints]:
    """Slots of B (K x N): values, indices within the block, and the block of each slot."""
    k, n = b.shape
    blocks = [list(range(start, min(start + block, k))) for start in range(0, k, block)]
    where = [at for at, own in enumerate(blocks) for _ in range(min(keep, len(own)))]
    values, indices = np.zeros((len(where), n), np.int64), np.zeros((len(where), n), np.int64)
    for column in range(n):
        slot = 0
        for at, own in enumerate(blocks):
            nonzero = [row for row in own if b[row, column]]
            assert len(nonzero) <= min(keep, len(own))
            for offset, row in enumerate(nonzero):
                values[slot + offset, column] = b[row, column]
                indices[slot + offset, column] = row - at * block
            slot += min(keep, len(own))
    return values, indices, np.array(where)


def _select(wires: Ints, index: Ints) -> Ints:
    """The activation of each PE's block that its index names."""
    return np.take_along_axis(wires, index[..., None], axis=-1)[..., 0]


def _block(a: Ints, row: int, at: int, block: int, tile: int, fed: Fed) -> Ints:
    """One row of A, block ``at``, padded with zeros to a whole block."""
    own = a[row, at * block : (at + 1) * block]
    fed |= {(tile, row, at * block + i) for i in range(len(own))}
    return np.concatenate([own, np.zeros(block - len(own), np.int64)])


def _read(out: Ints, bottom: Ints, cycle: int, period: int) -> bool:
    """Take what the bottom registers show; False: nothing of interest. ``cycle`` counts from the
    first result of the first tile in column 0."""
    found = False
    for tile in range(len(out)):
        pixel = cycle - tile * period - np.arange(len(bottom))
        for column in np.flatnonzero((pixel >= 0) & (pixel < out.shape[1])):
            out[tile, pixel[column], column] = bottom[column]
            found = True
    return found


def run_sparse_ws(
    a: Ints, b: Ints, keep: int, block: int, rows: int, cols: int, period: int, overlap: str
) -> tuple[Ints, int, int, int]:
    """C = A B by folds of R slots x C channels, every ``period`` cycles.

    Overlaps as in register_model.run_ws. Returns C, cycles, activations fed per fold (each once),
    and MACs with a non-zero weight.
    """
    m, n = len(a), b.shape[1]
    values, indices, of_slot = compress(b, keep, block)
    tiles = [(k, j) for k in range(0, len(values), rows) for j in range(0, n, cols)]
    a_reg = np.zeros((rows, cols, block), np.int64)
    psum, weight, index, w_shadow, i_shadow = (np.zeros((rows, cols), np.int64) for _ in range(5))
    out = np.zeros((len(tiles), m, cols), np.int64)
    row_of, col_of = np.arange(rows)[:, None], np.arange(cols)[None, :]
    fed: Fed = set()
    seen = useful = 0
    for cycle in range((len(tiles) - 1) * period + m + 2 * rows + cols + 4):
        seen = cycle if _read(out, psum[-1], cycle - 2 * rows, period) else seen
        a_in = np.concatenate([np.zeros((rows, 1, block), np.int64), a_reg[:, :-1]], axis=1)
        single = overlap == "preload"
        chain = (weight, index) if single else (w_shadow, i_shadow)
        top = np.zeros((2, 1, cols), np.int64)
        shifts, swaps = np.zeros((rows, cols), bool), np.zeros((rows, cols), bool)
        for tile, (k, j) in enumerate(tiles):
            start = tile * period
            for row in range(rows):
                pixel = cycle - start - rows - row
                if 0 <= pixel < m and k + row < len(values):
                    a_in[row, 0] = _block(a, pixel, of_slot[k + row], block, tile, fed)
            for column in range(cols):
                row = rows - 1 - (cycle - start - column)
                if 0 <= row < rows:
                    inside = k + row < len(values) and j + column < n
                    at = (k + row, j + column)
                    top[:, 0, column] = (values[at], indices[at]) if inside else 0
            first = 0 if overlap == "column" else row_of
            shifts |= (cycle - start - col_of >= first) & (cycle - start - col_of < rows)
            swaps |= cycle - start - rows == row_of + col_of
        used = weight if single else np.where(swaps, w_shadow, weight)
        chosen = index if single else np.where(swaps, i_shadow, index)
        above = np.concatenate([np.zeros((1, cols), np.int64), psum[:-1]], axis=0)
        picked = _select(a_in, chosen)
        useful += int(np.count_nonzero(used * picked))
        psum = above + picked * used
        loaded = (
            np.where(shifts, np.concatenate([new, old[:-1]]), old)
            for new, old in zip(top, chain, strict=True)
        )
        if single:
            weight, index = loaded
        else:
            weight, index = used, chosen
            w_shadow, i_shadow = loaded
        a_reg = a_in
    c = np.zeros((m, n), np.int64)
    for (_, j), part in zip(tiles, out, strict=True):
        c[:, j : j + cols] += part[:, : n - j]
    return c, seen + 1, len(fed), useful


def run_sparse_os(
    a: Ints, b: Ints, keep: int, block: int, rows: int, cols: int, period: int
) -> tuple[Ints, int, int, int]:
    """C = A B by tiles of R x C outputs, every ``period`` cycles; a drain register per PE, row i
    shifts i times. Slots stream: a row sees the block of the slot, a column its weight and index.
    """
    m, n = len(a), b.shape[1]
    values, indices, of_slot = compress(b, keep, block)
    k = len(values)
    tiles = [(i, j) for i in range(0, m, rows) for j in range(0, n, cols)]
    a_reg = np.zeros((rows, cols, block), np.int64)
    w_reg, i_reg, acc, drain = (np.zeros((rows, cols), np.int64) for _ in range(4))
    out = np.zeros((len(tiles), rows, cols), np.int64)
    skew = np.add.outer(np.arange(rows), np.arange(cols))
    fed: Fed = set()
    seen = useful = 0
    for cycle in range((len(tiles) - 1) * period + k + 2 * rows + cols + 4):
        for tile in range(len(tiles)):
            first = tile * period + k + rows - 1 + np.arange(cols)
            for column in np.flatnonzero((first <= cycle) & (cycle < first + rows)):
                row = rows - 1 - (cycle - int(first[column]))
                out[tile, row, column] = drain[rows - 1, column]
                seen = cycle
        a_in = np.concatenate([np.zeros((rows, 1, block), np.int64), a_reg[:, :-1]], axis=1)
        w_in = np.concatenate([np.zeros((1, cols), np.int64), w_reg[:-1]], axis=0)
        i_in = np.concatenate([np.zeros((1, cols), np.int64), i_reg[:-1]], axis=0)
        starts, ends, shifts = (np.zeros((rows, cols), bool) for _ in range(3))
        for tile, (i, j) in enumerate(tiles):
            step = cycle - tile * period
            for row in range(rows):
                if 0 <= step - row < k:
                    own = i + row < m
                    a_in[row, 0] = (
                        _block(a, i + row, of_slot[step - row], block, tile, fed) if own else 0
                    )
            for column in range(cols):
                if 0 <= step - column < k:
                    own = j + column < n
                    w_in[0, column] = values[step - column, j + column] if own else 0
                    i_in[0, column] = indices[step - column, j + column] if own else 0
            starts |= step - skew == 0
            ends |= step - skew == k - 1
            shift = step - skew - (k - 1) - rows + np.arange(rows)[:, None]
            shifts |= (shift >= 0) & (shift < np.arange(rows)[:, None])
        picked = _select(a_in, i_in)
        useful += int(np.count_nonzero(w_in * picked))
        acc = np.where(starts, 0, acc) + picked * w_in
        above = np.concatenate([np.zeros((1, cols), np.int64), drain[:-1]], axis=0)
        drain = np.where(ends, acc, np.where(shifts, above, drain))
        a_reg, w_reg, i_reg = a_in, w_in, i_in
    c = np.zeros((m, n), np.int64)
    for (i, j), part in zip(tiles, out, strict=True):
        c[i : i + rows, j : j + cols] = part[: m - i, : n - j]
    return c, seen + 1, len(fed), useful
