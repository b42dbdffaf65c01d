"""Input stationary: weight stationary with the operands exchanged.

PE(i, j) holds A[m0 + j, k0 + i] (the transposed input); the output channels (N) stream.
"""

from __future__ import annotations

from collections.abc import Mapping

from accelsim.dataflow import weight_stationary as ws
from accelsim.dataflow.counts import Moves

OVERLAPS = ws.OVERLAPS
"""As for weight stationary, with the held input in place of the weight."""


def folds(m: int, n: int, k: int, rows: int, cols: int) -> int:
    """Input tiles that the product needs: ceil(K / R) ceil(M / C)."""
    return ws.folds(n, m, k, rows, cols)


def columns(m: int, n: int, k: int) -> int:
    """Extent of the dimension laid over the array's columns."""
    return ws.columns(n, m, k)


def column_repeats(m: int, n: int, k: int, rows: int) -> int:
    """How many folds share one column position: the folds over the rows."""
    return ws.column_repeats(n, m, k, rows)


def tile_cycles(m: int, n: int, k: int, rows: int, cols: int) -> int:
    """Cycles of one fold: N + 2R + C - 1."""
    return ws.tile_cycles(n, m, k, rows, cols)


def scalesim_tile_cycles(m: int, n: int, k: int, rows: int, cols: int) -> int:
    """SCALE-Sim v3's fold: N + 2R + C - 2."""
    return ws.scalesim_tile_cycles(n, m, k, rows, cols)


def period_cycles(m: int, n: int, k: int, rows: int, cols: int, overlap: str) -> int:
    """Smallest distance between fold starts that gives correct results."""
    return ws.period_cycles(n, m, k, rows, cols, overlap)


def moves(m: int, n: int, k: int, rows: int, cols: int) -> Moves:
    """Elements at the array's edges for one product: each input once, B once per column fold."""
    swapped = ws.moves(n, m, k, rows, cols)
    return Moves(swapped.b, swapped.a, swapped.sums_written, swapped.sums_read)


def registers(operand: int, weight: int, accumulator: int, overlap: str) -> Mapping[str, int]:
    """Flip-flops of one PE by place: the held input takes the weight register's."""
    return ws.registers(weight, operand, accumulator, overlap)


def register_bits(operand: int, weight: int, accumulator: int, overlap: str) -> int:
    """Flip-flops of one PE."""
    return ws.register_bits(weight, operand, accumulator, overlap)
