"""What one event costs on a given accelerator, in picojoules, protections included."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from accelsim.arch.parts import Accelerator
from accelsim.arch.protection import STRUCTURES, protection_of, resolve
from accelsim.cost.area import AreaBreakdown, area
from accelsim.cost.constants import Constants
from accelsim.cost.sram import bank_bytes, routing_energy_factor

VECTOR_BITS = 32
"""Width of an element operation of the vector unit."""


@dataclass(frozen=True)
class Access:
    """Picojoules per byte of a memory."""

    read: float
    write: float


@dataclass(frozen=True)
class UnitEnergies:
    """Picojoules of one event on a given accelerator, protections included."""

    dram_byte: float
    scratchpad_byte: float
    weight_scratchpad_byte: float
    accumulator_byte: float
    mac: float
    vector_op: float
    static_cycle: float
    memories: Mapping[str, Access]
    """``dram``, ``weight_memory``, ``scratchpad``, ``weight_scratchpad``, ``accumulators`` and
    memory levels by name; the fields above are the means of reads and writes."""
    register_bit: float
    """A register bit of the array that takes a new value; 0 without a figure, likewise below."""
    lane_register_bit: float
    hop_bit: float
    """A bit from PE to PE."""
    clock: Mapping[str, float]
    """``array``, ``vector``, ``control`` -> a flip-flop that keeps its value, per cycle."""
    leakage: Mapping[str, float]
    """Block of the area breakdown -> per cycle."""


def unit_energies_of(accelerator: Accelerator, figures: Constants) -> UnitEnergies:
    """Unit energies with these figures. AccelsimError E804, E806 for a node without an area."""
    factor = {name: protection_of(accelerator, name).energy_factor for name in STRUCTURES}
    memories = _memories(accelerator, figures, factor)
    silicon = area(accelerator)
    leakage = _leakage(accelerator, figures, silicon)
    mean = {name: (cost.read + cost.write) / 2 for name, cost in memories.items()}
    register = figures.value("register") if figures.has("register") else 0.0
    idle = figures.value("register_idle") if figures.has("register_idle") else 0.0
    in_array = register
    if accelerator.array.dataflow == "rs" and figures.has("rf"):
        in_array = figures.value("rf")
    return UnitEnergies(
        dram_byte=mean["dram"],
        scratchpad_byte=mean["scratchpad"],
        weight_scratchpad_byte=mean["weight_scratchpad"],
        accumulator_byte=mean["accumulators"],
        mac=_mac(accelerator, figures) * factor["array"],
        vector_op=_vector_op(figures) * factor["vector"],
        static_cycle=_static(accelerator, silicon, leakage),
        memories=memories,
        register_bit=in_array * factor["array"],
        lane_register_bit=register * factor["vector"],
        hop_bit=_hop(accelerator, figures, silicon) * factor["array"],
        clock={name: idle * factor[name] for name in ("array", "vector", "control")},
        leakage=leakage,
    )


def _mac(accelerator: Accelerator, figures: Constants) -> float:
    array = accelerator.array
    bits = max(array.operand_bits, array.weight_bits)
    if figures.has("mac.compute"):
        return figures.value("mac.compute")
    if figures.has("mac"):
        return figures.value("mac", bits)
    return figures.value("int_mult", bits) + figures.value("int_add", array.accumulator_bits)


def _vector_op(figures: Constants) -> float:
    if figures.has("vector.compute"):
        return figures.value("vector.compute")
    if figures.has("int_mult") and figures.has("int_add"):
        return figures.value("int_mult", VECTOR_BITS) + figures.value("int_add", VECTOR_BITS)
    return figures.value("mac", VECTOR_BITS)


def _memories(
    accelerator: Accelerator, figures: Constants, factor: Mapping[str, float]
) -> dict[str, Access]:
    """Energy per byte of every memory; a memory of the weights has the DRAM's protection."""
    pad, split = accelerator.scratchpad, accelerator.weight_sram
    sizes = {
        "scratchpad": (pad.bytes, pad.banks),
        "weight_scratchpad": (split.bytes, split.banks) if split else (pad.bytes, 1),
        "accumulators": (accelerator.accumulators.bytes, 1),
    }
    found = {}
    for name, (size, banks) in sizes.items():
        unnamed = name == "weight_scratchpad" and not figures.has("weight_scratchpad.read")
        own = "scratchpad" if unnamed else name
        if figures.has(f"{own}.read"):
            costs = [8 * figures.value(f"{own}.{way}") for way in ("read", "write")]
        else:
            bank = max(1.0, bank_bytes(size, banks))
            costs = [figures.value("sram", bank) / 8 * routing_energy_factor(banks)] * 2
        found[name] = Access(*(cost * factor[name] for cost in costs))
    for level in accelerator.levels:
        if level.pj_per_byte is not None:
            cost = float(level.pj_per_byte)
        else:
            bank = max(1.0, bank_bytes(level.bytes, level.banks))
            cost = figures.value("sram", bank) / 8 * routing_energy_factor(level.banks)
        found[level.name] = Access(*[cost * resolve(level.protection).energy_factor] * 2)
    for name in ("dram", "weight_memory"):
        own = name if figures.has(name) or figures.has(f"{name}.read") else "dram"
        keys = [f"{own}.{way}" if figures.has(f"{own}.{way}") else own for way in ("read", "write")]
        found[name] = Access(*(8 * figures.value(key) * factor["dram"] for key in keys))
    return found


def _hop(accelerator: Accelerator, figures: Constants, silicon: AreaBreakdown) -> float:
    """A bit over the side of a PE: its area's square root, in millimetres."""
    if not figures.has("wire"):
        return 0.0
    pes = accelerator.array.rows * accelerator.array.cols * accelerator.cores
    return figures.value("wire") * math.sqrt(silicon.blocks["array"] / pes)


def _leakage(
    accelerator: Accelerator, figures: Constants, silicon: AreaBreakdown
) -> dict[str, float]:
    """pJ per cycle by block: a user's own figure, or mW/mm2 x mm2 x seconds per cycle."""
    own = accelerator.energy_options.leakage_mw_per_mm2
    found = {}
    for name, bare in silicon.blocks.items():
        density = float(own.get(name, accelerator.leakage_mw_per_mm2))
        mm2 = bare + silicon.protection.get(name, 0.0)
        found[name] = density * mm2 * 1e9 / accelerator.clock_hz
        if figures.has(f"{name}.leak"):
            found[name] = figures.value(f"{name}.leak")
    return found


def _static(
    accelerator: Accelerator, silicon: AreaBreakdown, leakage: Mapping[str, float]
) -> float:
    if accelerator.energy_options.leakage_mw_per_mm2 or accelerator.energy_options.own_table:
        return math.fsum(leakage.values())
    milliwatts = float(accelerator.leakage_mw_per_mm2) * silicon.total_mm2
    return milliwatts * 1e9 / accelerator.clock_hz
