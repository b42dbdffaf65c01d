"""Weight stationary: PE(i, j) holds B[k0 + i, n0 + j], shifted in from the top in R cycles.

Rows of A flow right, partial sums flow down, the bottom register is the output. The pixels (M)
stream, so every fold of a product is equally long; partial sums of several K-folds are added up in
the accumulator SRAM. Closed forms established on a register-level model
(tests/accelsim/dataflow/register_model.py steps the same array cycle by cycle).
"""

from __future__ import annotations

from collections.abc import Mapping

from accelsim.dataflow.counts import Moves, ceil_div

OVERLAPS = ("none", "preload", "full", "column")
"""``none``: the array drains before the next weights load. ``preload``: one weight register, the
load chases the last activation. ``full``: shadow weight register, row-gated load. ``column``:
shadow register, the whole column shifts together."""


def folds(m: int, n: int, k: int, rows: int, cols: int) -> int:
    """Weight tiles that the product needs: ceil(K / R) ceil(N / C)."""
    return ceil_div(k, rows) * ceil_div(n, cols)


def columns(m: int, n: int, k: int) -> int:
    """Extent of the dimension laid over the array's columns."""
    return n


def column_repeats(m: int, n: int, k: int, rows: int) -> int:
    """How many folds share one column position: the folds over the rows."""
    return ceil_div(k, rows)


def tile_cycles(m: int, n: int, k: int, rows: int, cols: int) -> int:
    """Cycles of one fold, first weight at an edge port to last result out: M + 2R + C - 1."""
    return m + 2 * rows + cols - 1


def scalesim_tile_cycles(m: int, n: int, k: int, rows: int, cols: int) -> int:
    """SCALE-Sim v3's fold: M + 2R + C - 2."""
    return m + 2 * rows + cols - 2


def period_cycles(m: int, n: int, k: int, rows: int, cols: int, overlap: str) -> int:
    """Smallest distance between fold starts that gives correct results."""
    if overlap == "preload":
        return m + rows - 1
    if overlap == "full":
        return max(m, rows)
    if overlap == "column":
        return max(m, 2 * rows - 1)
    return tile_cycles(m, n, k, rows, cols)


def moves(m: int, n: int, k: int, rows: int, cols: int) -> Moves:
    """Elements at the array's edges for one product: A once per column fold, each weight once;
    every K-fold writes its partial sums, and all but the first read them back."""
    k_folds = ceil_div(k, rows)
    return Moves(
        a=m * k * ceil_div(n, cols),
        b=k * n,
        sums_written=m * n * k_folds,
        sums_read=m * n * (k_folds - 1),
    )


def registers(operand: int, weight: int, accumulator: int, overlap: str) -> Mapping[str, int]:
    """Flip-flops of one PE by place: operand, weight, partial sum, and the shadow weight if there
    is one."""
    shadow = weight if overlap in ("full", "column") else 0
    return {"row": operand, "column": weight, "sum": accumulator, "shadow": shadow}


def register_bits(operand: int, weight: int, accumulator: int, overlap: str) -> int:
    """Flip-flops of one PE."""
    return sum(registers(operand, weight, accumulator, overlap).values())
