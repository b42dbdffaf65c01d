"""Timing of memory devices by kind: what the banked model needs to know of each.

Values in nanoseconds are of one speed grade each, named in ``source``. Confidence: ``S`` read in a
public source, ``R`` recalled and not re-read, ``D`` derived here. The bandwidth of a machine's
memory is a figure of its own (``Dram.bytes_per_second``): these are the delays around the bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType


@dataclass(frozen=True)
class DramKind:
    """Row-buffer and refresh timing of one device, all times in nanoseconds."""

    banks: int
    """Banks that consecutive rows are spread over."""
    row_bytes: int
    """Bytes of an open row over all devices that work side by side on one channel."""
    t_rcd: Fraction
    """Activate to first access."""
    t_rp: Fraction
    """Precharge: closing the open row."""
    t_ras: Fraction
    """Activate to precharge of the same bank."""
    t_faw: Fraction
    """Window in which at most four rows may be activated."""
    t_turn: Fraction
    """From reads to writes or back: idle time of the data bus."""
    t_rfc: Fraction
    """One refresh of all banks; 0: the memory needs none."""
    t_refi: Fraction
    """Between two refreshes."""
    source: str
    confidence: str

    @property
    def t_rc(self) -> Fraction:
        """Activate to activate of the same bank."""
        return self.t_ras + self.t_rp


def in_cycles(nanoseconds: Fraction, clock_hz: int) -> int:
    """A delay in cycles of a clock, rounded up."""
    cycles = nanoseconds * clock_hz / 10**9
    return -(-cycles.numerator // cycles.denominator)


_DRAMSIM = "device configuration of DRAMsim3 (University of Maryland, MIT)"


def _cycles(
    t_ck: str, *, rcd: int, rp: int, ras: int, faw: int, turn: int, rfc: int, refi: int
) -> dict[str, Fraction]:
    """Device clock cycles of ``t_ck`` nanoseconds as times."""
    clock = Fraction(t_ck)
    given = {
        "t_rcd": rcd,
        "t_rp": rp,
        "t_ras": ras,
        "t_faw": faw,
        "t_turn": turn,
        "t_rfc": rfc,
        "t_refi": refi,
    }
    return {name: cycles * clock for name, cycles in given.items()}


KINDS: Mapping[str, DramKind] = MappingProxyType(
    {
        "DDR4": DramKind(
            16, 8192, **_cycles("0.63", rcd=22, rp=22, ras=52, faw=34, turn=8, rfc=560, refi=12480),
            source=f"DDR4-3200 8 Gb x8, {_DRAMSIM}; row of eight devices; turn-around assumed",
            confidence="S",
        ),
        "LPDDR4": DramKind(
            8, 2048, **_cycles("0.83", rcd=17, rp=15, ras=32, faw=32, turn=8, rfc=392, refi=8660),
            source=f"LPDDR4-2400 8 Gb x16, {_DRAMSIM}; turn-around assumed",
            confidence="S",
        ),
        "LPDDR5": DramKind(
            16, 2048, Fraction(18), Fraction(18), Fraction(42), Fraction(20), Fraction(8),
            Fraction(210), Fraction(3906),
            source="LPDDR5-6400 8 Gb x16, typical data sheet values", confidence="R",
        ),
        "HBM2": DramKind(
            16, 1024, **_cycles("1", rcd=14, rp=14, ras=34, faw=30, turn=6, rfc=260, refi=3900),
            source=f"HBM2 8 Gb x128, {_DRAMSIM}; turn-around assumed",
            confidence="S",
        ),
        "HBM3": DramKind(
            64, 1024, Fraction(14), Fraction(14), Fraction(33), Fraction(16), Fraction(6),
            Fraction(350), Fraction(3900),
            source="HBM3 16 Gb, typical values as used for PIM simulators", confidence="R",
        ),
        "GDDR6": DramKind(
            16, 2048, **_cycles("0.66", rcd=24, rp=24, ras=54, faw=32, turn=8, rfc=126, refi=11862),
            source=f"GDDR6 8 Gb x16, {_DRAMSIM}; turn-around assumed",
            confidence="S",
        ),
    }
)  # fmt: skip
"""Memory kind in capitals -> timing. Kinds without rows (SRAM, flash) have only the plain
bandwidth model."""
