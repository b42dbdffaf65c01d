"""Array packing: small independent products (depthwise groups, attention heads) share one array.

A product occupies rows and columns of PEs: its (k, n) on ws, (m, n) on os, (k, m) on is. An operand
wire runs past all columns of its row, and a column adds up (ws, is) or drains (os) everything in
it, so two products may share neither a row nor a column: they lie on the block diagonal, and

    g = min(floor(R / rows of one), floor(C / columns of one))

is the most that fit. Off the diagonal ws and is hold zeros and pass partial sums on unchanged; os
PEs there compute products of strangers, which the controller does not read. Proved by placing
products so on the register-level model (tests/accelsim/dataflow/test_packing.py).
"""

from __future__ import annotations

from accelsim.dataflow.counts import Moves, ceil_div, is_count
from accelsim.dataflow.gemm import DATAFLOWS, gemm_cycles
from accelsim.errors import AccelsimError, Mistake, suggest

PACKED = ("ws", "os", "is")
"""Dataflows with packing; dot products have no diagonal to lie on."""


def packed_groups(m: int, n: int, k: int, rows: int, cols: int, dataflow: str) -> int:
    """Products C[m, n] = A[m, k] B[k, n] that one tile of the array can hold side by side; 1 where
    a product fills the array's rows or columns by more than half, or does not fit one tile.

    Raises AccelsimError: M311 for a dataflow without packing, M310 for sizes that are none.
    """
    if dataflow not in PACKED:
        hint = suggest(str(dataflow), PACKED)
        raise AccelsimError(Mistake("M311", f"no packing for dataflow {dataflow!r}", hint))
    sizes = {"m": m, "n": n, "k": k, "rows": rows, "cols": cols}
    wrong = [
        Mistake("M310", f"{name} is {value!r}, not a whole number of at least 1")
        for name, value in sizes.items()
        if not is_count(value)
    ]
    if wrong:
        raise AccelsimError(wrong)
    down, across = {"ws": (k, n), "os": (m, n), "is": (k, m)}[dataflow]
    return max(1, min(rows // down, cols // across))


def packed_product(m: int, n: int, k: int, packed: int, dataflow: str) -> tuple[int, int, int]:
    """(m, n, k) of the one product that ``packed`` products on the diagonal look like to the
    array; zeros and junk off the diagonal included, so not its MACs."""
    if dataflow == "ws":
        return m, n * packed, k * packed
    if dataflow == "os":
        return m * packed, n * packed, k
    return m * packed, n, k * packed


def packed_cycles(
    m: int,
    n: int,
    k: int,
    groups: int,
    rows: int = 16,
    cols: int = 16,
    dataflow: str = "ws",
    overlap: str = "none",
    *,
    skip_idle: bool = False,
    mac_input: str = "arriving",
    microarchitecture: str = "generic",
) -> int:
    """Array cycles of ``groups`` products, packed as closely as they fit.

    ceil(groups / g) tiles follow each other as :func:`accelsim.dataflow.gemm.gemm_cycles` says;
    the last one may hold fewer products, which shows with ``skip_idle`` only. Arguments and errors
    are those of ``gemm_cycles``.
    """
    unpacked = gemm_cycles(
        m, n, k, rows, cols, dataflow, overlap, "rtl", skip_idle, mac_input, microarchitecture,
        groups=groups,
    )  # fmt: skip
    together = packed_groups(m, n, k, rows, cols, dataflow)
    if together == 1:
        return unpacked
    tiles, rest = divmod(groups, together)

    def cycles(packed: int, count: int) -> int:
        shape = packed_product(m, n, k, packed, dataflow)
        return gemm_cycles(
            *shape, rows, cols, dataflow, overlap, "rtl", skip_idle, mac_input, microarchitecture,
            groups=count,
        )  # fmt: skip

    if not rest:
        return cycles(together, tiles)
    # The last tile's columns end the sequence; the distance between tiles is that of full ones.
    last = cycles(rest, 1)
    return cycles(together, tiles + 1) - cycles(together, 1) + last


def packed_moves(
    m: int, n: int, k: int, groups: int, rows: int, cols: int, dataflow: str
) -> Moves:  # fmt: skip
    """Elements that cross the array's edges for all ``groups``: packing reads and writes each
    product's own elements (zeros off the diagonal come from the edge, junk is not written)."""
    one = DATAFLOWS[dataflow].moves(m, n, k, rows, cols)
    return Moves(
        one.a * groups, one.b * groups, one.sums_written * groups, one.sums_read * groups
    )  # fmt: skip


def packed_utilisation(
    m: int, n: int, k: int, groups: int, cycles: int, rows: int, cols: int
) -> float:  # fmt: skip
    """MACs of the products themselves / (cycles x PEs), at most 1."""
    return groups * m * n * k / (cycles * rows * cols)


def packed_tiles(
    m: int, n: int, k: int, groups: int, rows: int, cols: int, dataflow: str
) -> int:  # fmt: skip
    """Array-sized tiles of all ``groups``."""
    together = packed_groups(m, n, k, rows, cols, dataflow)
    if together == 1:
        return groups * DATAFLOWS[dataflow].folds(m, n, k, rows, cols)
    return ceil_div(groups, together)
