"""Energy of a simulated inference: what the tasks moved and computed, times one table.

- a MAC of w-bit operands: w-bit multiplication and an addition at accumulator width; registers and
  wires inside the array are not in the tables and not counted;
- SRAM: per 64-bit access, log-log interpolation over the memory's size (outside the table the
  nearest segment goes on); scratchpad transfers are rounded up to port widths per task, the
  accumulators' port fits a row of sums, so nothing is rounded there;
- vector unit: every element operation is taken as a fixed-point rescale, a 32-bit multiplication
  and a 32-bit addition (right for requantisation and quantised additions, an upper estimate for
  maxima and copies);
- DRAM: pJ per bit of the memory's kind, both ways;
- static: leakage per area times area times makespan.

A structure's protection multiplies its dynamic energy. Control logic has no dynamic term: no public
figure per flip-flop and cycle was read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from accelsim.arch.parts import Accelerator
from accelsim.arch.protection import protection_of
from accelsim.cost.area import area
from accelsim.cost.tables import DRAM, TABLES, EnergyTable
from accelsim.dataflow.counts import ceil_div
from accelsim.errors import AccelsimError, Mistake, suggest
from accelsim.taskgraph import Task, TaskGraph

__all__ = [
    "TABLES",
    "EnergyBreakdown",
    "UnitEnergies",
    "dram_pj_per_byte",
    "energy",
    "energy_by_op",
    "interpolate",
    "static_pj_per_cycle",
    "unit_energies",
]


@dataclass(frozen=True)
class EnergyBreakdown:
    """Joules by component."""

    dram_j: float
    scratchpad_j: float
    accumulators_j: float
    array_j: float
    vector_j: float
    static_j: float

    @property
    def total_j(self) -> float:
        """Sum of the components in joules."""
        parts = (self.dram_j, self.scratchpad_j, self.accumulators_j)
        return math.fsum((*parts, self.array_j, self.vector_j, self.static_j))


@dataclass(frozen=True)
class UnitEnergies:
    """Picojoules of one event on a given accelerator, protections included."""

    dram_byte: float
    scratchpad_byte: float
    accumulator_byte: float
    mac: float
    vector_op: float
    static_cycle: float


@dataclass(frozen=True)
class _Counts:
    """Integer totals of some tasks."""

    dram_bytes: int
    scratchpad_bytes: int
    accumulator_bytes: int
    macs: int
    vector_ops: int


def energy(graph: TaskGraph, cycles: int, accelerator: Accelerator) -> EnergyBreakdown:
    """Energy of one inference that took ``cycles``.

    Raises AccelsimError for an unknown table or DRAM kind, and when the accelerator's technology is
    not the table's.
    """
    units = unit_energies(accelerator)
    return _breakdown(_count(graph.tasks, accelerator), cycles, units)


def energy_by_op(graph: TaskGraph, accelerator: Accelerator) -> dict[str, EnergyBreakdown]:
    """Dynamic energy per operator in execution order (static energy belongs to the makespan)."""
    units = unit_energies(accelerator)
    tasks: dict[str, list[Task]] = {name: [] for name in graph.op_order}
    for task in graph.tasks:
        tasks.setdefault(task.op, []).append(task)
    return {op: _breakdown(_count(found, accelerator), 0, units) for op, found in tasks.items()}


def unit_energies(accelerator: Accelerator) -> UnitEnergies:
    """What one byte, MAC, element operation and cycle cost on this accelerator."""
    table = _table_of(accelerator)
    array = accelerator.array
    factor = {
        name: protection_of(accelerator, name).energy_factor
        for name in ("scratchpad", "accumulators", "array", "vector")
    }
    multiply = interpolate(table.series("int_mult"), max(array.operand_bits, array.weight_bits))
    add = interpolate(table.series("int_add"), array.accumulator_bits)
    return UnitEnergies(
        dram_byte=dram_pj_per_byte(accelerator),
        scratchpad_byte=_sram_byte(table, accelerator.scratchpad.bytes) * factor["scratchpad"],
        accumulator_byte=_sram_byte(table, accelerator.accumulators.bytes) * factor["accumulators"],
        mac=(multiply + add) * factor["array"],
        vector_op=(
            interpolate(table.series("int_mult"), 32) + interpolate(table.series("int_add"), 32)
        )
        * factor["vector"],
        static_cycle=static_pj_per_cycle(accelerator),
    )


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
    milliwatts = float(accelerator.leakage_mw_per_mm2) * area(accelerator).total_mm2
    return milliwatts * 1e9 / accelerator.clock_hz


def interpolate(points: tuple[tuple[int, float], ...], x: int) -> float:
    """Log-log interpolation; beyond the ends the nearest segment goes on. Exact at the points."""
    assert len(points) >= 2, "a series needs two points"
    known = dict(points)
    if x in known:
        return known[x]
    above = next((i for i, (size, _) in enumerate(points) if size > x), len(points) - 1)
    (x0, y0), (x1, y1) = points[max(0, above - 1)], points[max(1, above)]
    slope = math.log(y1 / y0) / math.log(x1 / x0)
    return y0 * math.pow(x / x0, slope)


def _table_of(accelerator: Accelerator) -> EnergyTable:
    table = TABLES.get(accelerator.energy_table)
    if table is None:
        hint = suggest(accelerator.energy_table, tuple(TABLES))
        raise AccelsimError(
            Mistake("E802", f"unknown energy table {accelerator.energy_table!r}", hint)
        )
    if table.node_nm != accelerator.technology_nm:
        raise AccelsimError(
            Mistake(
                "E803",
                f"energy table {table.name!r} is for {table.node_nm} nm, the accelerator is "
                f"{accelerator.technology_nm} nm",
                "use a table of the same node: figures are not scaled silently",
            )
        )
    return table


def _sram_byte(table: EnergyTable, size: int) -> float:
    """pJ per byte of a memory of ``size`` bytes: an eighth of a 64-bit access."""
    return interpolate(table.series("sram"), max(1, size)) / 8


def _count(tasks: Iterable[Task], accelerator: Accelerator) -> _Counts:
    """Integer totals first, so that the result does not depend on the order of tasks."""
    width = accelerator.scratchpad.width_bytes
    dram = pad = sums = macs = element_ops = 0
    for task in tasks:
        dram += task.dram_read_bytes + task.dram_write_bytes
        pad += ceil_div(task.sram_read_bytes, width) * width
        pad += ceil_div(task.sram_write_bytes, width) * width
        sums += task.accumulator_read_bytes + task.accumulator_write_bytes
        macs += task.macs
        element_ops += task.vector_ops
    return _Counts(dram, pad, sums, macs, element_ops)


def _breakdown(counts: _Counts, cycles: int, units: UnitEnergies) -> EnergyBreakdown:
    pico = 1e-12
    return EnergyBreakdown(
        dram_j=counts.dram_bytes * units.dram_byte * pico,
        scratchpad_j=counts.scratchpad_bytes * units.scratchpad_byte * pico,
        accumulators_j=counts.accumulator_bytes * units.accumulator_byte * pico,
        array_j=counts.macs * units.mac * pico,
        vector_j=counts.vector_ops * units.vector_op * pico,
        static_j=cycles * units.static_cycle * pico,
    )
