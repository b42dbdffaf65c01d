"""Where the joules of a run go: by component, by level of the machine, leakage by block."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

BASE = ("dram", "scratchpad", "accumulators", "array", "vector", "static")
"""Components that every machine has; the others are shown when they cost anything."""


@dataclass(frozen=True)
class EnergyBreakdown:
    """Joules by component."""

    dram_j: float
    scratchpad_j: float
    accumulators_j: float
    array_j: float
    """Arithmetic of the array: its MACs."""
    vector_j: float
    """Arithmetic of the vector unit."""
    static_j: float
    """Leakage."""
    registers_j: float = 0.0
    """Registers of PEs and vector lanes that take a new value."""
    noc_j: float = 0.0
    """Wires between PEs."""
    clock_j: float = 0.0
    """Flip-flops that are clocked and keep their value."""
    weight_memory_j: float = 0.0
    """Backing memory of the weights, where it is another than the DRAM."""
    weight_sram_j: float = 0.0
    """The weights' half of a split scratchpad."""
    levels_j: Mapping[str, float] = field(default_factory=dict)
    """Memory levels between scratchpad and backing memories, by name."""
    static_by_block: Mapping[str, float] = field(default_factory=dict)
    """Leakage by block of the area breakdown; empty where it is not known."""

    @property
    def total_j(self) -> float:
        """Sum of the components in joules."""
        return math.fsum(self.parts().values())

    def parts(self) -> dict[str, float]:
        """Component -> joules, in the order of the machine's data path."""
        return {
            "dram": self.dram_j,
            "weight_memory": self.weight_memory_j,
            **dict(reversed(list(self.levels_j.items()))),
            "scratchpad": self.scratchpad_j,
            "weight_scratchpad": self.weight_sram_j,
            "accumulators": self.accumulators_j,
            "noc": self.noc_j,
            "registers": self.registers_j,
            "array": self.array_j,
            "vector": self.vector_j,
            "clock": self.clock_j,
            "static": self.static_j,
        }

    def shown(self) -> tuple[str, ...]:
        """Components worth a column: those of every machine, and those that cost anything."""
        return tuple(name for name, joules in self.parts().items() if joules or name in BASE)

    def levels(self) -> dict[str, float]:
        """Level -> joules, outermost memory first; the same total."""
        return {
            "off-chip memory": self.dram_j + self.weight_memory_j,
            "on-chip memory": math.fsum(
                (
                    *self.levels_j.values(),
                    self.scratchpad_j + self.weight_sram_j + self.accumulators_j,
                )
            ),
            "PE wires": self.noc_j,
            "registers": self.registers_j,
            "arithmetic": self.array_j + self.vector_j,
            "clock": self.clock_j,
            "leakage": self.static_j,
        }

    def with_share_of(self, whole: EnergyBreakdown, share: float) -> EnergyBreakdown:
        """This part of a run, bearing its share (of the makespan) of static and clock energy."""
        return replace(
            self,
            static_j=whole.static_j * share,
            clock_j=whole.clock_j * share,
            static_by_block={name: j * share for name, j in whole.static_by_block.items()},
        )
