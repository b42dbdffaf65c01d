"""Published energy and area figures, each with source, technology node and confidence.

Two public figures for the same operation differ by up to 4x, so a run uses one table of on-chip
energies throughout and its name is part of the result. DRAM figures are per memory kind.
Confidence: ``S`` read in a public source, ``R`` recalled and not re-read, ``D`` derived here,
``E`` assumed. ``low`` and ``high`` span what other public sources say of the same thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from accelsim.cost.scaling import AREA_SCALE

__all__ = ["AREA", "AREA_SCALE", "DRAM", "SRAM_FORM", "TABLES", "EnergyTable", "Entry", "group_of"]


@dataclass(frozen=True)
class Entry:
    """One figure."""

    value: float
    unit: str
    source: str
    node_nm: int
    confidence: str
    low: float | None = None
    """Lowest published figure; None: no other one was found (likewise ``high``)."""
    high: float | None = None
    spread: str = ""
    """Where low and high come from."""

    def times(self, factor: float, node_nm: int, confidence: str) -> Entry:
        """The same figure at another node; its confidence is the weaker of both."""
        low, high = (end and end * factor for end in (self.low, self.high))
        mark = max(self.confidence, confidence, key="SDRE".index)
        return replace(
            self, value=self.value * factor, low=low, high=high, node_nm=node_nm, confidence=mark
        )


@dataclass(frozen=True)
class EnergyTable:
    """On-chip energies of one source at one technology node."""

    name: str
    node_nm: int
    entries: Mapping[str, Entry]
    """``<group>_<size>``: ``int_add_<bits>``, ``int_mult_<bits>`` and ``mac_<bits>`` in pJ per
    operation; ``sram_<bytes>`` per 64-bit access of a memory of that size; ``register_bit``: a
    flip-flop that takes a new value; ``register_idle_bit``: one that is clocked and keeps its
    value, per cycle; ``rf_bit``: an access to a register file; ``wire_mm``: per bit and millimetre.
    Of a user's own table also ``<structure>.<action>`` (accelsim.cost.accelergy)."""
    vdd: float | None = None
    """Supply voltage in volts, where it is known."""
    areas: Mapping[str, Entry] = field(default_factory=dict)
    """Block of the area breakdown -> um2 of the whole block, where the source gives it."""
    notes: tuple[str, ...] = ()
    """What a reader of its figures must know."""

    @property
    def groups(self) -> frozenset[str]:
        """What the table has figures for."""
        return frozenset(group_of(name) for name in self.entries)

    def series(self, prefix: str) -> tuple[tuple[int, float], ...]:
        """(size, value) of the entries ``<prefix>_<size>``, by size."""
        found = [
            (int(name.rsplit("_", 1)[1]), entry.value)
            for name, entry in self.entries.items()
            if group_of(name) == prefix
        ]
        return tuple(sorted(found))


def group_of(name: str) -> str:
    """``sram`` of ``sram_8192``; names with a dot stand for themselves."""
    return name if "." in name else name.rsplit("_", 1)[0]


_UNITS = {
    "sram": "pJ/64-bit access", "register": "pJ/bit", "register_idle": "pJ/bit/cycle",
    "rf": "pJ/bit", "wire": "pJ/bit/mm",
}  # fmt: skip
Figure = float | tuple[float, float, float]
"""A value, or (value, low, high)."""


def _table(
    name: str, node_nm: int, vdd: float | None, source: str, mark: str, spread: str = "",
    **figures: Figure,
) -> EnergyTable:  # fmt: skip
    entries = {}
    for key, figure in figures.items():
        unit = _UNITS.get(group_of(key), "pJ")
        value, low, high = figure if isinstance(figure, tuple) else (figure, None, None)
        words = spread if low is not None else ""
        entries[key] = Entry(value, unit, source, node_nm, mark, low, high, words)
    return EnergyTable(name, node_nm, MappingProxyType(entries), vdd)


_KNOWN = (
    _table(
        "horowitz_45nm", 45, 0.9,
        "Horowitz, Computing's energy problem, ISSCC 2014 (45 nm, 0.9 V)", "S",
        "arithmetic, high: Aladdin's 40 nm table, a multiplication taken as quadratic in its "
        "width; SRAM: Eyeriss's ratios to a MAC, with its MAC at both ends, scaled from 65 nm",
        int_add_8=0.03, int_add_16=0.05, int_add_32=(0.1, 0.1, 0.21),
        int_mult_8=(0.2, 0.2, 0.7925), int_mult_32=(3.1, 3.1, 12.68),
        sram_8192=(10.0, 8.85, 38.93), sram_32768=(20.0, 12.18, 53.57),
        sram_1048576=(100.0, 28.76, 126.5),
    ),
    _table(
        "jouppi_7nm", 7, None,
        "Jouppi et al., Ten lessons from three generations, ISCA 2021, table 2 (7 nm)", "R",
        "arithmetic, low: Horowitz's 45 nm figure scaled to 7 nm (Stillmaker and Baas); SRAM: "
        "Eyeriss's ratios to a MAC, with its MAC at both ends, scaled from 65 nm",
        int_add_8=0.007, int_add_32=(0.03, 0.00943, 0.03), int_mult_8=(0.07, 0.01886, 0.07),
        int_mult_32=(1.48, 0.2924, 1.48),
        sram_8192=(7.5, 6.64, 29.2), sram_32768=(8.5, 5.18, 22.77),
        sram_1048576=(14.0, 4.03, 17.71),
    ),
    _table(
        "aladdin_40nm", 40, 0.9,
        "Shao et al., Aladdin, ISCA 2014: functional units of a commercial 40 nm process at 1 ns, "
        "as Accelergy's tables carry them (0.9 V: nominal for such a process, recalled); idle: a "
        "register's internal power without switching",
        "S", "low and high: other releases of Aladdin's tables; arithmetic, low: Horowitz, 45 nm",
        int_add_32=(0.21, 0.1, 0.21), int_mult_32=(12.68, 3.1, 12.68),
        register_bit=(0.009, 0.00648, 0.00916), register_idle_bit=(0.00794, 0.00572, 0.00847),
    ),
    _table(
        "eyeriss_65nm", 65, 1.0,
        "Chen et al., Eyeriss, ISCA 2016 (65 nm, 16 bit): energies relative to a MAC (register "
        "file 1, neighbour PE over 1 to 2 mm 2, buffer of 100 to 500 KB 6; sizes and lengths at "
        "their geometric means); the MAC itself: Horowitz's 16-bit multiplication (interpolated) "
        "and 32-bit addition, scaled from 45 to 65 nm: 1.101 pJ",
        "D", "high: the MAC is Aladdin's at 40 nm, scaled to 65 nm; wire: 1 and 2 mm as well",
        mac_16=(1.101, 1.101, 4.842), rf_bit=(0.0688, 0.0688, 0.3026),
        sram_724=(4.404, 4.404, 19.37), sram_228973=(26.42, 26.42, 116.2),
        wire_mm=(0.0973, 0.0688, 0.6051),
    ),
)  # fmt: skip

TABLES: Mapping[str, EnergyTable] = MappingProxyType({table.name: table for table in _KNOWN})
"""Energy tables by name (``Accelerator.energy_table``)."""


def _dram(
    value: float, source: str, confidence: str, low: float, high: float, spread: str = ""
) -> Entry:
    return Entry(value, "pJ/bit", source, 0, confidence, low, high, spread or source)


_GDDR = "commonly cited 5.5 to 14 pJ/bit"
DRAM: Mapping[str, Entry] = MappingProxyType(
    {
        "LPDDR4": _dram(
            4.0, "commonly cited 4 to 6 pJ/bit with interface", "R", 4.0, 8.0,
            "high: 8 pJ/bit in Accelergy's CACTI plug-in",
        ),
        "LPDDR5": _dram(3.0, "commonly cited 2.5 to 4 pJ/bit", "R", 2.5, 4.0),
        "DDR4": _dram(15.0, "commonly cited 12 to 20 pJ/bit", "R", 12.0, 20.0),
        "GDDR5": _dram(7.0, _GDDR, "R", 5.5, 14.0),
        "GDDR6": _dram(7.0, _GDDR, "R", 5.5, 14.0),
        "HBM2": _dram(
            3.9, "O'Connor et al., MICRO 2017, as commonly cited", "R", 3.59, 7.03,
            "low: the components in the AttAcc simulator; high: 450 pJ per 64 bit (Jouppi et al., "
            "ISCA 2021, table 2)",
        ),
        "HBM3": _dram(
            3.59, "sum of the six read components in the AttAcc simulator's configuration, which "
            "cites O'Connor et al., MICRO 2017", "S", 3.59, 3.9, "high: the figure cited for HBM2",
        ),
        "FLASH": _dram(
            50.0, "serial NOR flash, quad interface: 15 mA at 1.8 V over 66 MB/s, typical of data "
            "sheets", "R", 11.0, 100.0, "low: octal interface at 400 MB/s; high: slower clocks",
        ),
    }
)  # fmt: skip
"""Access energy by memory kind; refresh and background power are not in it. One figure for reads
and writes (of flash: reads); node 0: not a figure of the accelerator's die."""


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
"""Areas at 45 nm; accelsim.cost.scaling takes them to other nodes."""

SRAM_FORM: Mapping[str, Entry] = MappingProxyType(
    {
        "bank_energy": Entry(
            0.1, "1", "assumed: routing to twice as many banks adds a tenth to an access", 0, "E"
        ),
        "bank_area": Entry(
            0.05, "1", "assumed: routing to twice as many banks adds a twentieth of the area", 0,
            "E",
        ),
        "column_periphery": Entry(
            0.5, "1", "assumed share of the periphery that belongs to columns (sense amplifiers, "
            "drivers)", 0, "E",
        ),
        "bank_rows": Entry(
            32.0, "words", "assumed: a bank of at least so many rows has the array efficiency", 0,
            "E",
        ),
    }
)  # fmt: skip
"""Parameters of the analytic form of a banked SRAM (accelsim.cost.sram)."""
