"""Weight stationary: which outputs of a tile a single upset of a data register corrupts.

C[M, N] = A[M, K] B[K, N]; PE(i, j) holds B[i, j], shifted in from the top, bottom row first, in
cycles 0 to R - 1 (plus one per column); A then flows right, partial sums flow down through all R
rows; rows beyond K hold zero weights and see zero operands. Cycle 0 is the one in which the first
weight is on an edge port; an upset at cycle c is visible to everything that reads the register in
that cycle. The closed forms below are proved against a register-level model in the tests.
"""

from __future__ import annotations

REGISTERS = ("a", "w", "w_shadow", "psum")

Outputs = set[tuple[int, int]]


def upset_outputs_ws(
    register: str,
    pe: tuple[int, int],
    cycle: int,
    m: int,
    n: int,
    k: int,
    rows: int,
    *,
    registered: bool = False,
    shadow: bool = True,
) -> Outputs:
    """Outputs (row of C, column of C) of one tile, k <= rows, that a flip corrupts.

    ``register`` is one of :data:`REGISTERS` (``w_shadow`` only with ``shadow``); ``registered``:
    the MAC reads the operand register (else the operand that arrives at it); ``shadow``: weights
    are loaded into a shadow register and swapped in as the first operand comes by, else they are
    shifted through the registers in use.
    """
    i, j = pe
    late = int(registered)
    step = cycle - rows - i - j
    """Row of A that meets PE in this cycle, were the MAC to read the arriving operand."""
    if register == "a":
        first = j if registered else j + 1
        live = 0 <= step - 1 < m and i < k
        return {(step - 1, column) for column in range(first, n)} if live else set()
    if register == "psum":
        row = step - 1 - late
        return {(row, j)} if 0 <= row < m and j < n else set()
    if j >= n:
        return set()
    if register == "w_shadow" or not shadow:
        last = rows + i + j + late if register == "w_shadow" else None
        if not _loaded(pe, cycle, k, rows, last):
            return set()
        return {(row, j) for row in range(max(0, step - late), m)}
    # The first row of A reads the shadow register while the swap overwrites this one.
    used = step - late >= 1 and i < k
    return {(row, j) for row in range(step - late, m)} if used else set()


def _loaded(pe: tuple[int, int], cycle: int, k: int, rows: int, last: int | None) -> bool:
    """Whether the load chain holds in PE, up to cycle ``last``, a weight that will be used.

    While the column shifts, that is the weight on its way to a lower row; shifts are counted at the
    column's port, so all rows of a column finish together."""
    i, j = pe
    destination = i + max(0, rows - (cycle - j))
    return i + j + 1 <= cycle and (last is None or cycle <= last) and destination < k
