"""Timing of a second micro-architecture: the mesh of the Gemmini generator.

It has registered operands, control that travels down the columns, ping-pong registers in place of
a drain path, and one more register below the last row. Figures measured on the publicly generated
RTL (os at 4x4, 8x8 and 16x16, ws at 4x4 and 8x8); the ``is`` forms follow from ws by symmetry and
were not measured. The cold start of an os sequence (R slots of zero preload) is not charged.
"""

from __future__ import annotations

from accelsim.dataflow.counts import ceil_div

OVERLAPS = {"os": ("none", "full", "single"), "ws": ("none", "full"), "is": ("none", "full")}
"""``full`` is how the mesh works; ``single`` has one accumulator only (os); ``none`` waits for
the last result of a tile before the next one starts."""


def tile_cycles(dataflow: str, m: int, n: int, k: int, rows: int, cols: int) -> int:
    """One tile alone: os K + 2R + C, ws M + 2R + C, is N + 2R + C."""
    return {"os": k, "ws": m, "is": n}[dataflow] + 2 * rows + cols


def sequence_cycles(
    dataflow: str, tiles: int, m: int, n: int, k: int, rows: int, cols: int, overlap: str
) -> int:
    """``tiles`` (at least 1) tiles one after the other; ``cols`` counts for the last tile.

    In os the drain shares the ping-pong accumulators, so that the last of several tiles stays at
    least R slots: (T - 1) P + max(K, R) + 2R + C with P = max(K, R).
    """
    one = tile_cycles(dataflow, m, n, k, rows, cols)
    streamed = {"os": k, "ws": m, "is": n}[dataflow]
    if tiles == 1:
        return one
    if dataflow == "os" and overlap == "single":
        return (tiles - 1) * (k + rows) + one
    period = max(streamed, rows)
    last = max(k, rows) + 2 * rows + cols if dataflow == "os" else one
    return (tiles - 1) * period + last


def folds(dataflow: str, m: int, n: int, k: int, rows: int, cols: int) -> int:
    """Tiles of the mesh, as for the generic array."""
    over_rows = m if dataflow == "os" else k
    over_columns = m if dataflow == "is" else n
    return ceil_div(over_rows, rows) * ceil_div(over_columns, cols)
