"""Published energy and area figures, each with source, technology node and confidence.

Two public figures for the same operation differ by up to 3x, so a run uses one table of on-chip
energies throughout and its name is part of the result. DRAM figures are per memory kind.
Confidence: ``S`` read in a public source, ``R`` recalled and not re-read, ``D`` derived here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Entry:
    """One figure."""

    value: float
    unit: str
    source: str
    node_nm: int
    confidence: str


@dataclass(frozen=True)
class EnergyTable:
    """On-chip energies of one source at one technology node."""

    name: str
    node_nm: int
    entries: Mapping[str, Entry]
    """``int_add_<bits>``, ``int_mult_<bits>`` per operation; ``sram_<bytes>`` per 64-bit access of
    a memory of that size."""

    def series(self, prefix: str) -> tuple[tuple[int, float], ...]:
        """(size, value) of the entries ``<prefix>_<size>``, by size."""
        found = [
            (int(name.rsplit("_", 1)[1]), entry.value)
            for name, entry in self.entries.items()
            if name.rsplit("_", 1)[0] == prefix
        ]
        return tuple(sorted(found))


def _table(name: str, node_nm: int, source: str, confidence: str, **pj: float) -> EnergyTable:
    units = {"sram": "pJ/64-bit access"}
    entries = {
        key: Entry(value, units.get(key.split("_")[0], "pJ"), source, node_nm, confidence)
        for key, value in pj.items()
    }
    return EnergyTable(name, node_nm, MappingProxyType(entries))


TABLES: Mapping[str, EnergyTable] = MappingProxyType(
    {
        "horowitz_45nm": _table(
            "horowitz_45nm", 45,
            "Horowitz, Computing's energy problem, ISSCC 2014 (45 nm, 0.9 V)", "S",
            int_add_8=0.03, int_add_16=0.05, int_add_32=0.1, int_mult_8=0.2, int_mult_32=3.1,
            sram_8192=10.0, sram_32768=20.0, sram_1048576=100.0,
        ),
        "jouppi_7nm": _table(
            "jouppi_7nm", 7,
            "Jouppi et al., Ten lessons from three generations, ISCA 2021, table 2 (7 nm)", "R",
            int_add_8=0.007, int_add_32=0.03, int_mult_8=0.07, int_mult_32=1.48,
            sram_8192=7.5, sram_32768=8.5, sram_1048576=14.0,
        ),
    }
)  # fmt: skip
"""Energy tables by name (``Accelerator.energy_table``)."""


def _dram(value: float, source: str, confidence: str) -> Entry:
    return Entry(value, "pJ/bit", source, 0, confidence)


DRAM: Mapping[str, Entry] = MappingProxyType(
    {
        "LPDDR4": _dram(4.0, "commonly cited 4 to 6 pJ/bit with interface", "R"),
        "LPDDR5": _dram(3.0, "commonly cited 2.5 to 4 pJ/bit", "R"),
        "DDR4": _dram(15.0, "commonly cited 12 to 20 pJ/bit", "R"),
        "GDDR5": _dram(7.0, "commonly cited 5.5 to 14 pJ/bit", "R"),
        "GDDR6": _dram(7.0, "commonly cited 5.5 to 14 pJ/bit", "R"),
        "HBM2": _dram(3.9, "O'Connor et al., MICRO 2017, as commonly cited", "R"),
        "HBM3": _dram(
            3.59, "sum of the six read components in the AttAcc simulator's configuration, which "
            "cites O'Connor et al., MICRO 2017", "S",
        ),
    }
)  # fmt: skip
"""DRAM access energy by memory kind; refresh and background power are not in it. One figure for
reads and writes; node 0: not a figure of the accelerator's die."""


AREA: Mapping[str, Entry] = MappingProxyType(
    {
        "int_mult_8": Entry(282.0, "um2", "Horowitz, ISSCC 2014", 45, "S"),
        "int_mult_32": Entry(3495.0, "um2", "Horowitz, ISSCC 2014", 45, "S"),
        "int_add_32": Entry(137.0, "um2", "Horowitz, ISSCC 2014", 45, "S"),
        "register_bit": Entry(
            7.57, "um2", "5.98 um2 at 40 nm (Aladdin, through Accelergy's tables) x (45/40)^2",
            45, "D",
        ),
        "sram_bit_cell": Entry(0.346, "um2", "6T cell of 45 nm processes", 45, "R"),
        "sram_array_efficiency": Entry(
            0.5, "1", "assumed share of a macro that is cells, the rest is periphery", 45, "R"
        ),
        "control_factor": Entry(
            2.0, "1", "assumed: a control flip-flop comes with its own area in logic", 45, "R"
        ),
    }
)  # fmt: skip
"""Areas at 45 nm; :data:`AREA_SCALE` takes them to other nodes."""

AREA_SCALE: Mapping[int, float] = MappingProxyType(
    {130: 6.4, 90: 2.8, 65: 1.5, 45: 1.0, 32: 0.46, 20: 0.21, 16: 0.19, 14: 0.17, 10: 0.1, 7: 0.059}
)
"""Area at a node over area at 45 nm: Stillmaker and Baas, Integration 2017, row "45" (S)."""
