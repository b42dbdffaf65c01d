"""Cycles of a whole matrix product on a systolic array: a closed form over its tiles.

The default convention counts cycles as a register-level model does, from the first operand or
weight on an edge port to the last result on the registered output port, drain included.
``convention="scalesim"`` reproduces SCALE-Sim v3, which lets folds follow each other without any
overlap, charges os no drain, and counts one cycle less per layer. The two differ by up to 2x on
whole networks, so the convention and the overlap belong to every result.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from accelsim.dataflow import (
    dot_product,
    gemmini,
    input_stationary,
    output_stationary,
    weight_stationary,
)
from accelsim.dataflow.counts import Moves, ceil_div, is_count
from accelsim.errors import AccelsimError, Mistake, suggest


class Dataflow(Protocol):
    """The verbs of a dataflow module; m, n, k are the extents of one product."""

    @property
    def OVERLAPS(self) -> tuple[str, ...]:  # noqa: N802  (a module constant)
        """Overlaps that the dataflow has, slowest first."""

    def folds(self, m: int, n: int, k: int, rows: int, cols: int) -> int:
        """Array-sized tiles of the product."""

    def columns(self, m: int, n: int, k: int) -> int:
        """Extent laid over the array's columns."""

    def column_repeats(self, m: int, n: int, k: int, rows: int) -> int:
        """Folds per column position."""

    def tile_cycles(self, m: int, n: int, k: int, rows: int, cols: int) -> int:
        """Cycles of one tile on its own."""

    def scalesim_tile_cycles(self, m: int, n: int, k: int, rows: int, cols: int) -> int:
        """SCALE-Sim v3's figure for one tile."""

    def period_cycles(self, m: int, n: int, k: int, rows: int, cols: int, overlap: str) -> int:
        """Smallest distance between the starts of two tiles."""

    def moves(self, m: int, n: int, k: int, rows: int, cols: int) -> Moves:
        """Elements moved for one product."""

    def registers(
        self, operand: int, weight: int, accumulator: int, overlap: str
    ) -> Mapping[str, int]:
        """Flip-flops of one PE by place: registers of two dataflows in one place can be one."""

    def register_bits(self, operand: int, weight: int, accumulator: int, overlap: str) -> int:
        """Flip-flops of one PE."""


DATAFLOWS: Mapping[str, Dataflow] = MappingProxyType(
    {
        "os": output_stationary,
        "ws": weight_stationary,
        "is": input_stationary,
        "dot": dot_product,
    }
)
"""Name -> module that holds everything true of the dataflow."""

SPATIAL: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"ws": ("k", "n"), "os": ("m", "n"), "is": ("k", "m")}
)
"""Systolic dataflow -> the extents that are laid over rows and columns; the third one streams. One
array can be built to run several of these."""

CONVENTIONS = ("rtl", "scalesim")
MAC_INPUTS = ("arriving", "registered")
MICROARCHITECTURES = ("generic", "gemmini")


def overlaps_of(dataflow: str, microarchitecture: str = "generic") -> tuple[str, ...]:
    """Values of ``overlap`` that a (known) dataflow has, slowest first."""
    if microarchitecture == "gemmini":
        return gemmini.OVERLAPS.get(dataflow, ())
    return DATAFLOWS[dataflow].OVERLAPS


def gemm_cycles(
    m: int,
    n: int,
    k: int,
    rows: int = 16,
    cols: int = 16,
    dataflow: str = "os",
    overlap: str = "none",
    convention: str = "rtl",
    skip_idle: bool = False,
    mac_input: str = "arriving",
    microarchitecture: str = "generic",
    *,
    groups: int = 1,
) -> int:
    """Array cycles of ``groups`` products C[m, n] = A[m, k] B[k, n] run as one sequence of tiles.

    total = (T - 1) x period + one tile. ``overlap`` says what of the next tile hides behind the
    current one (:func:`overlaps_of`); ``skip_idle``: the controller does not wait for columns that
    a tile leaves idle (with overlap only the last tile's columns matter, without it every tile's);
    ``mac_input="registered"``: the MAC reads registered operands, one cycle more per sequence.
    ``microarchitecture="gemmini"`` has registered operands anyway and ignores ``mac_input``.

    Pure array timing: accumulator capacity and memory are not in it. Raises AccelsimError naming
    every argument that is wrong, among them ``convention="scalesim"`` with an overlap, with
    ``skip_idle``, with registered operands or with another micro-architecture: SCALE-Sim has none.
    """
    sizes = {"m": m, "n": n, "k": k, "rows": rows, "cols": cols, "groups": groups}
    _require_valid(sizes, dataflow, overlap, convention, skip_idle, mac_input, microarchitecture)
    # Sizes of NumPy overflow; Python's do not.
    m, n, k, rows, cols, groups = (int(size) for size in sizes.values())
    flow = DATAFLOWS[dataflow]
    tiles = groups * flow.folds(m, n, k, rows, cols)
    if convention == "scalesim":
        return tiles * flow.scalesim_tile_cycles(m, n, k, rows, cols) - 1
    width = flow.columns(m, n, k)
    last_width = width - (ceil_div(width, cols) - 1) * cols if skip_idle else cols
    # Serial tiles wait for their own columns only, so what the edge tiles leave idle adds up;
    # the last tile's share is already in the closed form below.
    edge_tiles = groups * flow.column_repeats(m, n, k, rows)
    serial_saving = (edge_tiles - 1) * (cols - last_width) if overlap == "none" else 0
    if microarchitecture == "gemmini":
        if overlap == "none":
            alone = gemmini.tile_cycles(dataflow, m, n, k, rows, cols)
            return tiles * alone - serial_saving - (cols - last_width)
        return gemmini.sequence_cycles(dataflow, tiles, m, n, k, rows, last_width, overlap)
    period = flow.period_cycles(m, n, k, rows, cols, overlap)
    last = flow.tile_cycles(m, n, k, rows, last_width)
    return (tiles - 1) * period - serial_saving + last + (mac_input == "registered")


def _require_valid(
    sizes: Mapping[str, int],
    dataflow: str,
    overlap: str,
    convention: str,
    skip_idle: object,
    mac_input: str,
    microarchitecture: str,
) -> None:
    """Raise AccelsimError with every mistake in the arguments of :func:`gemm_cycles`."""
    wrong = [
        Mistake("M310", f"{name} is {value!r}, not a whole number of at least 1")
        for name, value in sizes.items()
        if not is_count(value)
    ]
    known_flows = tuple(DATAFLOWS)  # what cannot be hashed is no name either
    choices = (
        ("dataflow", dataflow, known_flows),
        ("convention", convention, CONVENTIONS),
        ("mac_input", mac_input, MAC_INPUTS),
        ("microarchitecture", microarchitecture, MICROARCHITECTURES),
    )
    wrong += [
        Mistake("M311", f"unknown {name} {value!r}", suggest(str(value), known))
        for name, value, known in choices
        if value not in known
    ]
    if not isinstance(skip_idle, bool):
        wrong.append(Mistake("M311", f"skip_idle is {skip_idle!r}, neither True nor False"))
    if dataflow == "dot":
        clashes = {
            "skip_idle=True": skip_idle is True,
            "mac_input='registered'": mac_input == "registered",
        }
        wrong += [
            Mistake("M313", f"dataflow 'dot' has no {name}", "it broadcasts operands to all units")
            for name, clash in clashes.items()
            if clash
        ]
    if dataflow in known_flows and microarchitecture in MICROARCHITECTURES:
        known = overlaps_of(dataflow, microarchitecture)
        if overlap not in known:
            hint = "it has: " + ", ".join(known)
            wrong.append(Mistake("M312", f"dataflow {dataflow!r} has no overlap {overlap!r}", hint))
    if convention == "scalesim":
        clashes = {
            f"dataflow={dataflow!r}": dataflow == "dot",
            f"overlap={overlap!r}": overlap != "none",
            "skip_idle=True": skip_idle is True,
            f"mac_input={mac_input!r}": mac_input != "arriving",
            f"microarchitecture={microarchitecture!r}": microarchitecture != "generic",
        }
        wrong += [
            Mistake("M313", f"SCALE-Sim's convention has no {name}", "use convention='rtl'")
            for name, clash in clashes.items()
            if clash
        ]
    if wrong:
        raise AccelsimError(wrong)
