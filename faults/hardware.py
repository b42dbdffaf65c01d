"""Single upsets in the data registers of a systolic array -> corrupted outputs.

The maps live beside the timing of each dataflow in :mod:`accelsim.dataflow`, so that speed and
reliability speak of the same machine; this module checks the arguments and picks the map.
"""

from __future__ import annotations

from accelsim.dataflow.upsets_os import REGISTERS as OS_REGISTERS
from accelsim.dataflow.upsets_os import upset_outputs_os
from accelsim.dataflow.upsets_ws import REGISTERS as WS_REGISTERS
from accelsim.dataflow.upsets_ws import upset_outputs_ws
from accelsim.errors import AccelsimError, Mistake, suggest

REGISTERS = {"os": OS_REGISTERS, "ws": WS_REGISTERS, "is": (*WS_REGISTERS, "b")}
"""Dataflow -> data registers of a PE. In ``is`` the moving operand is one of B: ``b`` and ``a``
both name its register."""


def upset_outputs(
    dataflow: str,
    register: str,
    pe: tuple[int, int],
    cycle: int,
    m: int,
    n: int,
    k: int,
    rows: int,
    cols: int,
    mac_input: str = "arriving",
    weight_register: str = "shadow",
    *,
    drain_register: bool = True,
    microarchitecture: str = "generic",
) -> set[tuple[int, int]]:
    """Outputs (row of C, column of C) that one bit flip corrupts in one tile.

    C[m, n] = A[m, k] B[k, n] on ``rows`` x ``cols`` PEs; the tile must fit: os m <= rows and
    n <= cols, ws k <= rows and n <= cols, is k <= rows and m <= cols. ``pe`` = (i, j), row and
    column; ``cycle`` is the one in which the flipped bit is visible, cycle 0 the first operand or
    weight on an edge port; a cycle without effect gives the empty set. ``mac_input`` is
    ``arriving`` or ``registered``; ``weight_register`` ``shadow`` or ``single`` (ws, is);
    ``drain_register`` False: results drain through the accumulators (os). An operand that meets a
    zero masks the upset; the map does not know values and counts it as corrupted.

    is (input stationary) is ws with A and B, m and n exchanged. Raises AccelsimError F640 to F642
    with all mistakes.
    """
    mistakes = _choice_mistakes(dataflow, register, mac_input, weight_register, microarchitecture)
    if not mistakes:
        mistakes = _shape_mistakes(dataflow, pe, m, n, k, rows, cols)
    if mistakes:
        raise AccelsimError(mistakes)
    registered, shadow = mac_input == "registered", weight_register == "shadow"
    if dataflow == "os":
        return upset_outputs_os(
            register, pe, cycle, m, n, k, rows,
            registered=registered, drain_register=drain_register,
        )  # fmt: skip
    if dataflow == "ws":
        return upset_outputs_ws(
            register, pe, cycle, m, n, k, rows, registered=registered, shadow=shadow
        )
    moving = "a" if register == "b" else register
    swapped = upset_outputs_ws(
        moving, pe, cycle, n, m, k, rows, registered=registered, shadow=shadow
    )
    return {(column, row) for row, column in swapped}


def _choice_mistakes(
    dataflow: str, register: str, mac_input: str, weight_register: str, microarchitecture: str
) -> list[Mistake]:
    choices = (
        ("dataflow", dataflow, tuple(REGISTERS)),
        ("mac_input", mac_input, ("arriving", "registered")),
        ("weight_register", weight_register, ("shadow", "single")),
        ("microarchitecture", microarchitecture, ("generic",)),
    )
    found = [
        Mistake("F640", f"unknown {name} '{value}'", suggest(value, known))
        for name, value, known in choices
        if value not in known
    ]
    known = REGISTERS.get(dataflow)
    if known is not None and register not in known:
        text = f"an array with dataflow {dataflow} has no data register '{register}'"
        found.append(Mistake("F641", text, suggest(register, known)))
    elif known is not None and register == "w_shadow" and weight_register == "single":
        text = "an array with single weight registers has no register 'w_shadow'"
        found.append(Mistake("F641", text, "ask for 'w', or for weight_register='shadow'"))
    return found


def _shape_mistakes(
    dataflow: str, pe: tuple[int, int], m: int, n: int, k: int, rows: int, cols: int
) -> list[Mistake]:
    sizes = {"m": m, "n": n, "k": k, "rows": rows, "cols": cols}
    found = [
        Mistake("F642", f"{name} is {size}: it must be at least 1")
        for name, size in sizes.items()
        if size < 1
    ]
    down = ("m", m) if dataflow == "os" else ("k", k)
    across = ("m", m) if dataflow == "is" else ("n", n)
    for (name, size), limit, edge in ((down, rows, "rows"), (across, cols, "cols")):
        if size > limit:
            text = f"{dataflow}: a tile with {name} = {size} does not fit {edge} = {limit}"
            found.append(Mistake("F642", text, "the map is that of one tile: split the product"))
    if not (0 <= pe[0] < rows and 0 <= pe[1] < cols):
        text = f"PE {tuple(pe)} is outside an array of {rows} x {cols}"
        found.append(Mistake("F642", text, "rows and columns count from 0"))
    return found
