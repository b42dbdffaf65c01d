"""Output stationary: which outputs of a tile a single upset of a data register corrupts.

C[M, N] = A[M, K] B[K, N]; PE(i, j) owns C[i, j]; A flows right, B flows down, both skewed by one
cycle per row and column; results drain down the columns. Cycle 0 is the one in which the first
operand is on an edge port; an upset at cycle c is visible to everything that reads the register in
that cycle. The closed forms below are proved against a register-level model in the tests.
"""

from __future__ import annotations

REGISTERS = ("a", "b", "acc", "drain")

Outputs = set[tuple[int, int]]


def upset_outputs_os(
    register: str,
    pe: tuple[int, int],
    cycle: int,
    m: int,
    n: int,
    k: int,
    rows: int,
    *,
    registered: bool = False,
    drain_register: bool = True,
) -> Outputs:
    """Outputs (row of C, column of C) of one tile, m <= rows, that a flip corrupts.

    ``register`` is one of :data:`REGISTERS`; ``registered``: the MAC reads the operand registers
    (else the operands that arrive at them). Without a ``drain_register`` the accumulators
    themselves form the drain chain, and ``acc`` covers what passes through them.
    """
    i, j = pe
    late = int(registered)
    step = cycle - i - j - 1
    if register == "a":
        first = j if registered else j + 1
        live = 0 <= step < k and i < m
        return {(i, column) for column in range(first, n)} if live else set()
    if register == "b":
        first = i if registered else i + 1
        live = 0 <= step < k and j < n
        return {(row, j) for row in range(first, m)} if live else set()
    if register == "acc":
        # The final sum goes straight to the drain register: only k - 1 partial sums wait here.
        if 0 <= step - late <= k - 2:
            return _own({(i, j)}, m, n)
        return set() if drain_register else _draining(pe, cycle - late, m, n, k, rows)
    return _draining(pe, cycle - late, m, n, k, rows)


def _draining(pe: tuple[int, int], cycle: int, m: int, n: int, k: int, rows: int) -> Outputs:
    """The one output that is in PE's drain register: its own from the end of its sum until the
    column starts to shift (when its bottom row is done), then those from above, one per cycle."""
    i, j = pe
    shifts = max(0, cycle - (k + rows - 1 + j))
    loaded = cycle >= k + i + j
    return _own({(i - shifts, j)}, m, n) if loaded and shifts <= i else set()


def _own(outputs: Outputs, m: int, n: int) -> Outputs:
    """Without the outputs of PEs that the tile leaves idle."""
    return {(row, column) for row, column in outputs if row < m and column < n}
