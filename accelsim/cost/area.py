"""Die area by block, with the share of each protection kept apart.

- array: per PE one multiplier at the wider operand, one adder and the registers that its dataflow
  needs; vector unit: per lane a 32-bit multiplier, a 32-bit adder and two 32-bit registers;
- memories: 6T cells over an assumed array efficiency, ECC and parity bits through the protection's
  area factor;
- control: the flip-flops given as input, doubled for their logic;
- a protection: its own hardware (check bits, copies, comparators) and the growth of hardened
  flip-flops, which stays part of the block.

Estimates from gate-level figures at 45 nm, scaled by published area factors: good for ratios
between designs and for the price of a protection, not for a floor plan. Pads, DRAM interface and
clock tree are not in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from accelsim.arch.parts import Accelerator
from accelsim.arch.protection import mechanisms, protection_of
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
    """What the protection of a block adds in all."""
    mechanisms: Mapping[str, Mapping[str, float]]
    """Block -> mechanism -> area of its own hardware. With the growth of hardened flip-flops these
    sum to ``protection``."""

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
    lanes = accelerator.vector.lanes
    lane_registers = lanes * LANE_REGISTER_BITS * AREA["register_bit"].value
    flipflops = sum(accelerator.control_flipflops.values()) * AREA["register_bit"].value
    um2 = {
        "array": logic + registers,
        "vector": lanes * (AREA["int_mult_32"].value + AREA["int_add_32"].value) + lane_registers,
        "scratchpad": _sram_um2(accelerator.scratchpad.bytes),
        "accumulators": _sram_um2(accelerator.accumulators.bytes),
        "control": flipflops * AREA["control_factor"].value,
    }
    hardenable = {"array": registers, "vector": lane_registers, "control": flipflops}
    to_mm2 = scale * 1e-6
    protection: dict[str, float] = {}
    own: dict[str, dict[str, float]] = {}
    for name, bare in um2.items():
        chosen = protection_of(accelerator, name)
        whole = bare + hardenable.get(name, 0.0) * (chosen.register_area_factor - 1)
        own[name] = {
            mechanism: area * to_mm2 for mechanism, area in _own_um2(chosen.name, whole).items()
        }
        protection[name] = (whole * chosen.area_factor - bare) * to_mm2
    return AreaBreakdown({name: v * to_mm2 for name, v in um2.items()}, protection, own)


def _own_um2(protection: str, whole: float) -> dict[str, float]:
    """Area of each mechanism's own hardware on a structure of ``whole`` um2; each one protects
    the structure with the mechanisms before it in the name."""
    found = {}
    for mechanism in mechanisms(protection):
        if mechanism.area_factor > 1.0:
            found[mechanism.name] = whole * (mechanism.area_factor - 1.0)
            whole *= mechanism.area_factor
    return found


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


def _sram_um2(size: int) -> float:
    return 8 * size * AREA["sram_bit_cell"].value / AREA["sram_array_efficiency"].value
