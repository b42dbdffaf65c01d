"""What the closed forms say about one measurement, and where a measured array says more.

``closed_form`` and ``closed_period`` come from accelsim alone. The other functions state, for each
place in which a particular array differs from the simple rule, what it does instead and why.
"""

from __future__ import annotations

from dataclasses import replace

from rtl_bench import SERIAL, Case, Measured

from accelsim import gemm_cycles
from accelsim.dataflow import DATAFLOWS, gemmini


def overlap_of(case: Case) -> str:
    """The name that accelsim gives to the schedule of this array."""
    return "preload" if case.array == "preload-direct" else case.array


def closed_form(case: Case) -> int:
    """accelsim's cycles for the whole product, at its own period."""
    return gemm_cycles(
        case.m, case.n, case.k, case.rows, case.cols, case.dataflow, overlap_of(case),
        skip_idle=case.skip_idle, mac_input=case.mac_input,
        microarchitecture=case.microarchitecture,
    )  # fmt: skip


def closed_period(case: Case) -> int:
    """accelsim's distance between the starts of two tiles."""
    shape = (case.m, case.n, case.k, case.rows, case.cols)
    if case.microarchitecture == "generic":
        return DATAFLOWS[case.dataflow].period_cycles(*shape, overlap_of(case))
    if case.array == "none":
        return gemmini.tile_cycles(case.dataflow, *shape)
    three, two = (
        gemmini.sequence_cycles(case.dataflow, tiles, *shape, case.array) for tiles in (3, 2)
    )
    return three - two


def tiles_of(case: Case) -> int:
    """Array-sized tiles of the product."""
    return DATAFLOWS[case.dataflow].folds(case.m, case.n, case.k, case.rows, case.cols)


def shortest_period(case: Case) -> int:
    """The period below which this array corrupts results: accelsim's, but for three cases.

    - ``none`` is a schedule, not a limit of the array, which delivers right results with far less:
      its row-gated chain of accumulators is free again after K + R - 1 cycles (os), and its single
      weight register may be loaded behind the last activation (ws, is: as ``preload``).
    - Where every tile leaves rows idle, the whole-column load of ws may come sooner: the lowest
      row that holds a weight, k - 1, takes it over k - 1 cycles after row 0.
    - A single weight register whose MAC reads registered operands is in use a cycle longer. If the
      weight ports have no register either (none, preload-direct), the load has to wait for that.
    """
    if case.microarchitecture == "gemmini":
        return closed_period(replace(case, array="full") if case.array == "none" else case)
    streamed = {"os": case.k, "ws": case.m, "is": case.n}[case.dataflow]
    if case.dataflow == "os":
        return streamed + case.rows - 1 if case.array == "none" else closed_period(case)
    if case.array in ("none", "preload-direct"):
        return streamed + case.rows - 1 + (case.mac_input == "registered")
    if case.array == "column" and case.k < case.rows:
        return max(streamed, case.rows, case.rows + case.k - 1)
    return closed_period(case)


def expected_cycles(case: Case) -> int:
    """Cycles of a correct run at the period of ``case``: accelsim's plus (T - 1) x extra period.

    - A serial controller that literally waits for the last result pays the extra cycle of
      registered operands once per tile; accelsim charges it once per sequence.
    - ``skip_idle`` with overlap: if tiles follow each other faster than the wider one's additional
      columns empty, the last full-width tile, not the last tile, delivers the last result.
    """
    tiles, late = tiles_of(case), int(case.mac_input == "registered")
    if case.microarchitecture == "gemmini":  # its closed form has the register in every tile
        late = 0
    if case.period == SERIAL:
        return closed_form(case) + (tiles - 1) * late
    cycles = closed_form(case) + (tiles - 1) * (case.period - closed_period(case))
    return cycles + later_full_tile(case)


def later_full_tile(case: Case) -> int:
    """Cycles by which the last full-width tile ends after the last tile; 0 as a rule."""
    flow = DATAFLOWS[case.dataflow]
    width = flow.columns(case.m, case.n, case.k)
    narrow = flow.column_repeats(case.m, case.n, case.k, case.rows)
    idle = -width % case.cols
    if not case.skip_idle or width <= case.cols or case.array == "none":
        return 0
    return max(0, idle - narrow * case.period)


def disagreement(case: Case, measured: Measured) -> str | None:
    """Why a measurement contradicts what is expected; None if it does not."""
    if measured.tiles != tiles_of(case):
        return f"{measured.tiles} tiles, expected {tiles_of(case)}"
    safe = case.period == SERIAL or measured.tiles == 1 or case.period >= shortest_period(case)
    if measured.correct != safe:
        return f"correct is {measured.correct}, shortest period {shortest_period(case)}"
    if safe and measured.cycles != expected_cycles(case):
        return f"{measured.cycles} cycles, expected {expected_cycles(case)}"
    return None
