"""An on-chip SRAM as a function of size, port width and banks.

Energy of a 64-bit access: a power law through the table's points (log-log interpolation) at the
size of one bank, times 1 + 0.1 log2(banks) for the way to it. An access of w bits costs w / 64 of
that: bit lines and sense amplifiers dominate, and decoding shared by a wide word earns nothing.

Area: cells, plus a periphery that is as large as the cells (array efficiency 0.5) as long as a bank
has 32 rows or more. Half of the periphery belongs to columns: a port so wide that fewer rows are
left multiplies it. Banks add 0.05 log2(banks) for routing.

The factors are assumptions (:data:`accelsim.cost.tables.SRAM_FORM`); leakage is a density times
this area.
"""

from __future__ import annotations

import math

from accelsim.cost.scaling import REFERENCE_NM, sram_cell_um2
from accelsim.cost.tables import AREA, SRAM_FORM


def bank_bytes(size: int, banks: int) -> float:
    """Bytes of one bank."""
    return size / banks


def routing_energy_factor(banks: int) -> float:
    """Energy of an access to one of ``banks`` banks over that to the bank alone."""
    return 1.0 + SRAM_FORM["bank_energy"].value * math.log2(banks)


def macro_um2(size: int, width_bytes: int, banks: int, technology_nm: int) -> float:
    """Area of an SRAM of ``size`` bytes with a port of ``width_bytes``, in um2.

    AccelsimError E806 for a node without a bit cell.
    """
    bits = 8 * size
    cell = AREA["sram_bit_cell"].value
    if technology_nm != REFERENCE_NM:
        cell = sram_cell_um2(technology_nm)
    widest = bits / banks / SRAM_FORM["bank_rows"].value
    stretch = max(1.0, 8 * width_bytes / widest)
    columns = SRAM_FORM["column_periphery"].value
    efficiency = AREA["sram_array_efficiency"].value
    periphery = (1 / efficiency - 1) * (1 - columns + columns * stretch)
    routing = 1.0 + SRAM_FORM["bank_area"].value * math.log2(banks)
    return bits * cell * (1 + periphery) * routing
