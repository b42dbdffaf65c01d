"""What a run is optimised for: one cost for tilings, transfers and whole plans.

The search that thins out candidates and the scheduler that chooses among them must agree on what is
cheap, so both ask here. Equal costs are told apart by cycles, then traffic, then buffer bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from accelsim.arch.parts import Accelerator
from accelsim.cost.energy import unit_energies
from accelsim.errors import AccelsimError, Mistake, suggest
from accelsim.mapping.rates import Ints
from accelsim.mapping.timing import Timing
from accelsim.plan import Candidate
from accelsim.workload.graph import Op

OBJECTIVES = ("latency", "energy", "traffic", "edp")

MOST = 2.0**62
"""Costs are told apart up to here where many are compared at once."""


class Objective:
    """Costs on one accelerator: ``latency`` in cycles, ``traffic`` in DRAM bytes, ``energy`` in
    picojoule (DRAM, both halves of the scratchpad, accumulators, array, vector unit, and leakage
    over the estimated cycles; registers and wires of the array where it can choose between
    dataflows), ``edp`` in picojoule plus ``picojoule_per_cycle`` times cycles: the tangent of
    energy x delay at some plan (the product itself is no sum over operators, see
    ``stages.memory.plan_edp``). Raises AccelsimError for an unknown name and, where energies count,
    what :func:`accelsim.cost.energy.unit_energies` raises."""

    def __init__(
        self, accelerator: Accelerator, name: str, picojoule_per_cycle: float = 0.0
    ) -> None:
        if name not in OBJECTIVES:
            hint = suggest(name, OBJECTIVES)
            raise AccelsimError(Mistake("M301", f"unknown objective {name!r}", hint))
        self.name = name
        self._timing = Timing(accelerator)
        self._units = unit_energies(accelerator) if name in ("energy", "edp") else None
        self._cycle = picojoule_per_cycle

    def column_cost(self, candidate: Candidate) -> int:
        """Cost of one run of an operator in this way."""
        if self.name == "latency":
            return candidate.cycles
        units, moved = self._units, traffic(candidate)
        if units is None:
            return moved
        return round(
            units.dram_byte * moved
            + sum(self._level_byte(level) * size for level, size in candidate.level_bytes)
            + units.scratchpad_byte * candidate.scratchpad_bytes
            + units.weight_scratchpad_byte * candidate.weight_scratchpad_bytes
            + units.accumulator_byte * candidate.accumulator_bytes
            + units.mac * candidate.macs
            + units.vector_op * candidate.vector_ops
            + units.register_bit * candidate.register_bits
            + units.hop_bit * candidate.hop_bits
            + (units.static_cycle + self._cycle) * candidate.cycles
        )

    def column_costs(
        self,
        cycles: Ints,
        moved: Ints,
        scratchpad: Ints,
        weight_scratchpad: Ints,
        accumulators: Ints,
        registers: Ints,
        hops: Ints,
        op: Op,
        levels: Sequence[tuple[str, Ints]] = (),
    ) -> Ints:
        """:meth:`column_cost` of many ways to run one operator, from their figures (``moved``:
        DRAM bytes, ``levels``: bytes by memory level)."""
        if self.name == "latency":
            return cycles
        units = self._units
        if units is None:
            return moved
        # The same sums in the same order, so the same floating-point numbers.
        costs = np.rint(
            units.dram_byte * moved
            + sum(self._level_byte(level) * size for level, size in levels)
            + units.scratchpad_byte * scratchpad
            + units.weight_scratchpad_byte * weight_scratchpad
            + units.accumulator_byte * accumulators
            + units.mac * op.macs
            + units.vector_op * op.vector_ops
            + units.register_bit * registers
            + units.hop_bit * hops
            + (units.static_cycle + self._cycle) * cycles
        )
        # Beyond 64 bits all are as bad as each other.
        kept: Ints = np.minimum(costs, MOST).astype(np.int64)
        return kept

    def transfer_cost(self, size: int, level: str = "") -> int:
        """Cost of moving a whole tensor of ``size`` bytes once, either way, between the scratchpad
        and DRAM or a memory level."""
        cycles, units = self.transfer_cycles(size, level), self._units
        if self.name == "latency":
            return cycles
        if units is None:
            return 0 if level else size
        pad = self._timing.in_ports(size)
        return round(
            (self._level_byte(level) if level else units.dram_byte) * size
            + units.scratchpad_byte * pad
            + (units.static_cycle + self._cycle) * cycles
        )

    def transfer_cycles(self, size: int, level: str = "") -> int:
        """Cycles of moving a whole tensor when nothing else contends (0 for an empty one)."""
        return self._timing.dma(size, level) if size else 0

    def copy_cost(self, size: int, level: str, *, constant: bool = False) -> int:
        """Cost of copying a whole tensor between a memory level and its backing memory."""
        moved, units = self._timing.copy(size, level, constant=constant), self._units
        cycles = moved.fixed + moved.cycles
        if self.name == "latency":
            return cycles
        if units is None:
            return size
        bytes_cost = (self._level_byte(level) + units.dram_byte) * size
        return round(bytes_cost + (units.static_cycle + self._cycle) * cycles)

    def _level_byte(self, level: str) -> float:
        assert self._units is not None, "energies are asked for"
        costs = self._units.memories[level]
        return (costs.read + costs.write) / 2

    def merit(self, candidate: Candidate) -> tuple[int, int, int, int]:
        """Ordering of candidates, best first: cost, then cycles, traffic and buffer bytes."""
        cost = self.column_cost(candidate)
        return cost, candidate.cycles, traffic(candidate), candidate.buffer_bytes


def traffic(candidate: Candidate) -> int:
    """DRAM bytes of a candidate, both ways, as far as no memory level takes them."""
    moved = candidate.dram_read_bytes + candidate.dram_write_bytes
    return moved - sum(size for _, size in candidate.level_bytes)
