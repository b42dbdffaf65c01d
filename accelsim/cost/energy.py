"""Energy of a simulated inference: what it moved and computed, times one table.

- a MAC of w-bit operands: w-bit multiplication and an addition at accumulator width;
- registers: flip-flops of the array and of the vector lanes that take a new value, the array's by
  what its dataflow moves (accelsim.cost.registers); wires: bits that cross from PE to PE, over the
  side of a PE. Both only when the table has figures;
- clock: flip-flops that are clocked and keep their value. While a unit idles, ``clock_gating`` of
  it is saved; control is never gated. Clock trees above the flip-flops are not in it;
- SRAM: per 64-bit access by the size of a bank (accelsim.cost.sram); scratchpad transfers are
  rounded up to port widths per task, the accumulators' port fits a row of sums, so nothing is
  rounded there;
- vector unit: every element operation is taken as a fixed-point rescale, a 32-bit multiplication
  and a 32-bit addition (right for requantisation and quantised additions, an upper estimate for
  maxima and copies);
- DRAM: pJ per bit of the memory's kind, both ways;
- static: leakage per area times area times makespan, block by block.

A structure's protection multiplies its dynamic energy.
"""

from __future__ import annotations

from collections.abc import Sequence

from accelsim.arch.parts import Accelerator
from accelsim.arch.protection import protection_of
from accelsim.cost.activity import Activity, graph_activity
from accelsim.cost.area import LANE_REGISTER_BITS, area
from accelsim.cost.breakdown import EnergyBreakdown
from accelsim.cost.constants import Constants, constants
from accelsim.cost.program_activity import ProgramActivity, activity_by_op
from accelsim.cost.registers import clocked_bits
from accelsim.cost.scaling import power_law
from accelsim.cost.tables import DRAM, TABLES
from accelsim.cost.units import UnitEnergies, unit_energies_of
from accelsim.errors import AccelsimError, Mistake, suggest
from accelsim.program import Program
from accelsim.taskgraph import TaskGraph

__all__ = [
    "TABLES",
    "EnergyBreakdown",
    "UnitEnergies",
    "dram_pj_per_byte",
    "energy",
    "energy_by_op",
    "energy_notes",
    "energy_of",
    "interpolate",
    "static_pj_per_cycle",
    "unit_energies",
]

PICO = 1e-12


def energy(graph: TaskGraph | Program, cycles: int, accelerator: Accelerator) -> EnergyBreakdown:
    """Energy of one run that took ``cycles``.

    Raises AccelsimError for what :func:`accelsim.cost.constants.constants` refuses.
    """
    units = unit_energies(accelerator)
    if isinstance(graph, Program):
        did = ProgramActivity(accelerator).program(graph)
    else:
        did = graph_activity(graph, accelerator)
    return _breakdown(did, cycles, accelerator, units)


def energy_by_op(
    graph: TaskGraph | Program, accelerator: Accelerator
) -> dict[str, EnergyBreakdown]:
    """Energy per operator in execution order, without static and clock energy: these belong to the
    makespan (:meth:`EnergyBreakdown.with_share_of`)."""
    units = unit_energies(accelerator)
    return {
        op: _breakdown(did, 0, accelerator, units)
        for op, did in activity_by_op(graph, accelerator).items()
    }


def energy_of(
    activity: Activity, accelerator: Accelerator, figures: Constants | None = None
) -> EnergyBreakdown:
    """Energy of a run's totals (``activity.cycles``: its makespan, 0 for a part of a run).

    ``figures``: in place of the accelerator's :func:`accelsim.cost.constants.constants`.
    Raises AccelsimError for what these refuse.
    """
    units = unit_energies_of(accelerator, figures or constants(accelerator))
    return _breakdown(activity, activity.cycles, accelerator, units)


def unit_energies(accelerator: Accelerator) -> UnitEnergies:
    """What one byte, MAC, element operation and cycle cost on this accelerator."""
    return unit_energies_of(accelerator, constants(accelerator))


def energy_notes(accelerator: Accelerator) -> tuple[str, ...]:
    """What a reader of the energies must know: filled in, scaled, not counted."""
    return constants(accelerator).notes


def dram_pj_per_byte(accelerator: Accelerator) -> float:
    """DRAM transfer energy in pJ per byte, the memory's protection included."""
    kind = accelerator.dram.kind
    entry = DRAM.get(kind.upper())
    if entry is None:
        raise AccelsimError(
            Mistake("E801", f"no energy known for DRAM kind {kind!r}", suggest(kind, tuple(DRAM)))
        )
    return 8 * entry.value * protection_of(accelerator, "dram").energy_factor


def static_pj_per_cycle(accelerator: Accelerator) -> float:
    """Leakage in pJ per cycle: mW/mm2 x mm2 x seconds per cycle."""
    if accelerator.energy_options.leakage_mw_per_mm2 or accelerator.energy_options.own_table:
        return unit_energies(accelerator).static_cycle
    milliwatts = float(accelerator.leakage_mw_per_mm2) * area(accelerator).total_mm2
    return milliwatts * 1e9 / accelerator.clock_hz


def interpolate(points: Sequence[tuple[int, float]], x: float) -> float:
    """Log-log interpolation; beyond the ends the nearest segment goes on. Exact at the points."""
    return power_law([(float(at), value) for at, value in points], x)


def _breakdown(
    did: Activity, cycles: int, accelerator: Accelerator, units: UnitEnergies
) -> EnergyBreakdown:
    def moved(memory: str, read: int, written: int) -> float:
        costs = units.memories[memory]
        if costs.read == costs.write:
            return (read + written) * costs.read * PICO
        return (read * costs.read + written * costs.write) * PICO

    lane_bits = did.vector_ops * LANE_REGISTER_BITS
    registers = did.register_bits * units.register_bit + lane_bits * units.lane_register_bit
    return EnergyBreakdown(
        dram_j=moved("dram", did.dram_read_bytes, did.dram_write_bytes),
        scratchpad_j=moved("scratchpad", did.scratchpad_read_bytes, did.scratchpad_write_bytes),
        accumulators_j=moved(
            "accumulators", did.accumulator_read_bytes, did.accumulator_write_bytes
        ),
        array_j=did.macs * units.mac * PICO,
        vector_j=did.vector_ops * units.vector_op * PICO,
        static_j=cycles * units.static_cycle * PICO,
        registers_j=registers * PICO,
        noc_j=did.hop_bits * units.hop_bit * PICO,
        clock_j=_clock_pj(did, cycles, accelerator, units) * PICO if cycles else 0.0,
        weight_memory_j=moved("weight_memory", did.weight_memory_bytes, 0),
        weight_sram_j=moved(
            "weight_scratchpad", did.weight_sram_read_bytes, did.weight_sram_write_bytes
        ),
        levels_j={
            level.name: moved(level.name, *did.levels[2 * at : 2 * at + 2])
            for at, level in enumerate(accelerator.levels if did.levels else ())
        },
        static_by_block={name: cycles * pj * PICO for name, pj in units.leakage.items()}
        if cycles
        else {},
    )


def _clock_pj(did: Activity, cycles: int, machine: Accelerator, units: UnitEnergies) -> float:
    """Flip-flops that keep their value: all of a unit while it idles, less what gating saves, and
    those of a working unit that take no new word; control in every cycle."""
    array, lanes = machine.array, machine.vector.lanes
    gated = 1.0 - float(machine.energy_options.clock_gating)
    core_cycles = machine.cores * cycles
    control = machine.cores * sum(machine.control_flipflops.values())
    total = control * cycles * units.clock["control"]
    pes, lane_bits = array.rows * array.cols, lanes * LANE_REGISTER_BITS
    for unit, bits, busy, written in (
        ("array", pes * clocked_bits(array), did.array_busy, did.register_bits),
        ("vector", lane_bits, did.vector_busy, did.vector_ops * LANE_REGISTER_BITS),
    ):
        keeps = max(0, bits * busy - written)
        idles = bits * max(0, core_cycles - busy)
        total += (keeps + gated * idles) * units.clock[unit]
    return total
