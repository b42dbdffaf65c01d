"""Die area by block, with the share of each protection kept apart.

- array: per PE one multiplier at the wider operand, one adder and the registers that its dataflow
  needs; vector unit: per lane a 32-bit multiplier, a 32-bit adder and two 32-bit registers;
- memories: cells and periphery by size, port width and banks (accelsim.cost.sram), ECC and parity
  bits through the protection's area factor;
- control: the flip-flops given as input, doubled for their logic;
- a protection: its own hardware (check bits, copies, comparators) and the growth of hardened
  flip-flops, which stays part of the block.

Estimates from gate-level figures at 45 nm, logic and SRAM scaled apart (accelsim.cost.scaling):
good for ratios between designs and for the price of a protection, not for a floor plan. Areas that
a user's own table gives for a block stand in for the estimate. Several cores have everything
several times. Pads, DRAM interface and clock tree are not in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from accelsim.arch.parts import Accelerator
from accelsim.arch.protection import mechanisms, protection_of
from accelsim.cost.registers import pe_register_bits
from accelsim.cost.scaling import logic_area_factor, sram_cell_um2
from accelsim.cost.sram import macro_um2
from accelsim.cost.tables import AREA, Entry

LANE_REGISTER_BITS = 64
"""Flip-flops of a vector lane: operand and result, 32 bits each (assumed)."""

_REFERENCE_BITS = 8


@dataclass(frozen=True)
class AreaBreakdown:
    """mm2 by block, without and for protections."""

    blocks: Mapping[str, float]
    """``array``, ``vector``, ``scratchpad``, ``weight_scratchpad`` (of a split scratchpad),
    ``accumulators``, ``control``, memory levels by name, unprotected."""
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
    """Area of an accelerator in mm2. AccelsimError E804 or E806 for a node without a factor."""
    scale = logic_area_factor(
        accelerator.technology_nm, extrapolate=accelerator.energy_options.scale
    )
    logic, registers = _array_um2(accelerator)
    lanes = accelerator.vector.lanes
    lane_registers = lanes * LANE_REGISTER_BITS * AREA["register_bit"].value
    flipflops = sum(accelerator.control_flipflops.values()) * AREA["register_bit"].value
    lane = AREA["int_mult_32"].value + AREA["int_add_32"].value
    um2 = {
        "array": (logic + registers) * scale,
        "vector": (lanes * lane + lane_registers) * scale,
        **_memories_um2(accelerator),
        "control": flipflops * AREA["control_factor"].value * scale,
    }
    hardenable = {
        "array": registers * scale,
        "vector": lane_registers * scale,
        "control": flipflops * scale,
    }
    own = accelerator.energy_options.own_table
    for name, entry in (own.areas if own else {}).items():
        um2[name] = _at_node(name, entry, accelerator.technology_nm) / accelerator.cores
    return _breakdown(accelerator, um2, hardenable)


def _at_node(block: str, entry: Entry, node: int) -> float:
    """A user's area at another node, in um2."""
    if entry.node_nm == node:
        return entry.value
    if block in ("scratchpad", "weight_scratchpad", "accumulators"):
        return entry.value * sram_cell_um2(node) / sram_cell_um2(entry.node_nm)
    before, after = (logic_area_factor(nm, extrapolate=True) for nm in (entry.node_nm, node))
    return entry.value * after / before


def _breakdown(
    accelerator: Accelerator, um2: Mapping[str, float], hardenable: Mapping[str, float]
) -> AreaBreakdown:
    """Blocks of one core, unprotected, and the flip-flops that hardening grows -> all cores."""
    to_mm2 = accelerator.cores * 1e-6
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
    """(multipliers and adders, registers) of one array at 45 nm."""
    array = accelerator.array
    bits = max(array.operand_bits, array.weight_bits)
    # A multiplier's cells grow with the product of its operand widths.
    multiplier = AREA["int_mult_8"].value * (bits / _REFERENCE_BITS) ** 2
    adder = AREA["int_add_32"].value * array.accumulator_bits / 32
    pes = array.rows * array.cols
    registers = pes * pe_register_bits(array) * AREA["register_bit"].value
    return pes * (multiplier + adder), registers


def _memories_um2(accelerator: Accelerator) -> dict[str, float]:
    """The SRAMs of one core at the accelerator's node."""
    node, pad, split = accelerator.technology_nm, accelerator.scratchpad, accelerator.weight_sram
    found = {"scratchpad": macro_um2(pad.bytes, pad.width_bytes, pad.banks, node)}
    if split is not None:
        found["weight_scratchpad"] = macro_um2(split.bytes, split.width_bytes, split.banks, node)
    for level in accelerator.levels:
        found[level.name] = macro_um2(level.bytes, level.width_bytes, level.banks, node)
    found["accumulators"] = macro_um2(
        accelerator.accumulators.bytes, accelerator.accumulator_port_bytes, 1, node
    )
    return found
