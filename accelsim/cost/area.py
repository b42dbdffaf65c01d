"""Die area by block, with the share of each protection kept apart.

- array: per PE one multiplier at the wider operand, one adder and the registers that its dataflow
  needs; vector unit: per lane a 32-bit multiplier, a 32-bit adder and two 32-bit registers;
- memories: 6T cells over an assumed array efficiency, ECC and parity bits through the protection's
  area factor;
- control: the flip-flops given as input, doubled for their logic.

Estimates from gate-level figures at 45 nm, scaled by published area factors: good for ratios
between designs and for the price of a protection, not for a floor plan. Pads, DRAM interface and
clock tree are not in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from accelsim.arch.parts import Accelerator
from accelsim.arch.protection import protection_of
from accelsim.cost.tables import AREA, AREA_SCALE
from accelsim.dataflow import DATAFLOWS
from accelsim.errors import AccelsimError, Mistake

LANE_REGISTER_BITS = 64
"""Flip-flops of a vector lane: operand and result, 32 bits each (assumed)."""

_REFERENCE_BITS = 8


@dataclass(frozen=True)
class AreaBreakdown:
    """mm2 by block, without and for protections."""

    blocks: Mapping[str, float]
    """``array``, ``vector``, ``scratchpad``, ``accumulators``, ``control``, unprotected."""
    protection: Mapping[str, float]
    """What the protection of a block adds; the vector unit has none."""

    @property
    def base_mm2(self) -> float:
        """Area without protections."""
        return math.fsum(self.blocks.values())

    @property
    def total_mm2(self) -> float:
        """Area with protections."""
        return math.fsum((*self.blocks.values(), *self.protection.values()))

    @property
    def overhead(self) -> float:
        """Area added by protections over the area without."""
        return math.fsum(self.protection.values()) / self.base_mm2


def area(accelerator: Accelerator) -> AreaBreakdown:
    """Area of an accelerator in mm2. AccelsimError for a node without a scaling factor."""
    scale = AREA_SCALE.get(accelerator.technology_nm)
    if scale is None:
        nodes = ", ".join(str(node) for node in sorted(AREA_SCALE))
        message = f"no area scaling to {accelerator.technology_nm} nm"
        raise AccelsimError(Mistake("E804", message, f"known nodes: {nodes}"))
    logic, registers = _array_um2(accelerator)
    flipflops = sum(accelerator.control_flipflops.values()) * AREA["register_bit"].value
    um2 = {
        "array": logic + registers,
        "vector": accelerator.vector.lanes * _lane_um2(),
        "scratchpad": _sram_um2(accelerator.scratchpad.bytes),
        "accumulators": _sram_um2(accelerator.accumulators.bytes),
        "control": flipflops * AREA["control_factor"].value,
    }
    hardenable = {"array": registers, "control": flipflops}
    added = {
        name: _protected_um2(accelerator, name, um2[name], hardenable.get(name, 0.0)) - um2[name]
        for name in ("array", "scratchpad", "accumulators", "control")
    }
    to_mm2 = scale * 1e-6
    return AreaBreakdown(
        {name: value * to_mm2 for name, value in um2.items()},
        {name: value * to_mm2 for name, value in added.items()},
    )


def _protected_um2(accelerator: Accelerator, structure: str, whole: float, ffs: float) -> float:
    """Area of a structure of ``whole`` um2, of which ``ffs`` are flip-flops, with protection."""
    protection = protection_of(accelerator, structure)
    return (whole + ffs * (protection.register_area_factor - 1)) * protection.area_factor


def _array_um2(accelerator: Accelerator) -> tuple[float, float]:
    """(multipliers and adders, registers) of the whole array at 45 nm."""
    array = accelerator.array
    bits = max(array.operand_bits, array.weight_bits)
    # A multiplier's cells grow with the product of its operand widths.
    multiplier = AREA["int_mult_8"].value * (bits / _REFERENCE_BITS) ** 2
    adder = AREA["int_add_32"].value * array.accumulator_bits / 32
    flipflops = DATAFLOWS[array.dataflow].register_bits(
        array.operand_bits, array.weight_bits, array.accumulator_bits, array.overlap
    )
    pes = array.rows * array.cols
    return pes * (multiplier + adder), pes * flipflops * AREA["register_bit"].value


def _lane_um2() -> float:
    arithmetic = AREA["int_mult_32"].value + AREA["int_add_32"].value
    return arithmetic + LANE_REGISTER_BITS * AREA["register_bit"].value


def _sram_um2(size: int) -> float:
    return 8 * size * AREA["sram_bit_cell"].value / AREA["sram_array_efficiency"].value
