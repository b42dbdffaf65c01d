"""Output stationary: PE(i, j) owns C[m0 + i, n0 + j] and keeps its sum until the tile is done.

Rows of A enter at the left edge, columns of B at the top, both skewed by one cycle per row or
column; results drain down the columns. The reduction (K) streams, so every tile of a product is
equally long whatever its edges. Closed forms established on a register-level model
(tests/accelsim/dataflow/register_model.py steps the same array cycle by cycle).
"""

from __future__ import annotations

from collections.abc import Mapping

from accelsim.dataflow.counts import Moves, ceil_div

OVERLAPS = ("none", "full", "column")
"""``none``: the drain ends before the next tile starts. ``full``: a drain register per PE, row i
shifts i times. ``column``: a drain register, the whole column shifts together."""


def folds(m: int, n: int, k: int, rows: int, cols: int) -> int:
    """Tiles of the array that C[m, n] needs: ceil(M / R) ceil(N / C)."""
    return ceil_div(m, rows) * ceil_div(n, cols)


def columns(m: int, n: int, k: int) -> int:
    """Extent of the dimension laid over the array's columns."""
    return n


def column_repeats(m: int, n: int, k: int, rows: int) -> int:
    """How many folds share one column position: the folds over the rows."""
    return ceil_div(m, rows)


def tile_cycles(m: int, n: int, k: int, rows: int, cols: int) -> int:
    """Cycles of one tile, first operand at an edge port to last result out: K + 2R + C - 2."""
    return k + 2 * rows + cols - 2


def scalesim_tile_cycles(m: int, n: int, k: int, rows: int, cols: int) -> int:
    """SCALE-Sim v3's fold: K + R + C - 2, because it does not charge the drain."""
    return k + rows + cols - 2


def period_cycles(m: int, n: int, k: int, rows: int, cols: int, overlap: str) -> int:
    """Smallest distance between tile starts that gives correct results."""
    if overlap == "full":
        return max(k, rows)
    if overlap == "column":
        return max(k, 2 * rows - 2)
    return tile_cycles(m, n, k, rows, cols)


def moves(m: int, n: int, k: int, rows: int, cols: int) -> Moves:
    """Elements at the array's edges for one product: A once per column fold, B once per row fold;
    each sum leaves its PE once."""
    return Moves(
        a=m * k * ceil_div(n, cols),
        b=k * n * ceil_div(m, rows),
        sums_written=m * n,
        sums_read=0,
    )


def registers(operand: int, weight: int, accumulator: int, overlap: str) -> Mapping[str, int]:
    """Flip-flops of one PE by place: both operands, the sum, and the drain register where there is
    one."""
    drain = accumulator if overlap in ("full", "column") else 0
    return {"row": operand, "column": weight, "sum": accumulator, "drain": drain}


def register_bits(operand: int, weight: int, accumulator: int, overlap: str) -> int:
    """Flip-flops of one PE."""
    return sum(registers(operand, weight, accumulator, overlap).values())
