"""The machines, networks and the one call of accelsim that its own benchmarks share.

Imports of accelsim stay inside the functions: what is imported is the measured process's affair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.rows import ROOT

if TYPE_CHECKING:
    from accelsim.arch.parts import Accelerator
    from accelsim.workload.graph import Workload

RULE = "fold"
"""The fixed mapping: one fold of the array per tile, the finest that a tile can be."""
MIB = 1 << 20


def square(side: int, dram_model: str = "bandwidth") -> Accelerator:
    """A weight-stationary ``side`` x ``side`` array at 1 GHz with 4 MiB of scratchpad and GDDR6.

    Its accumulators hold the sums of a whole layer for one fold, so that a tile is a fold.
    """
    from accelsim.arch.parts import (
        Accelerator,
        AccumulatorSram,
        Dma,
        Dram,
        Scratchpad,
        SystolicArray,
        VectorUnit,
    )

    return Accelerator(
        name=f"square_{side}",
        clock_hz=10**9,
        technology_nm=45,
        array=SystolicArray(side, side),
        vector=VectorUnit(lanes=side, startup_cycles=8),
        scratchpad=Scratchpad(4 * MIB, width_bytes=4 * side),
        accumulators=AccumulatorSram(16 * MIB),
        dram=Dram("GDDR6", 56_000_000_000, latency_cycles=50, model=dram_model),
        dma=Dma(channels=2, setup_cycles=16),
    )


def resnet50() -> Workload:
    """SCALE-Sim's ResNet-50 topology, 54 layers."""
    from accelsim.workload.scalesim import read_topology

    return read_topology(ROOT / "benchmarks" / "data" / "Resnet50.csv")


def evaluated(workload: Workload, accelerator: Accelerator, rule: str = RULE) -> dict[str, int]:
    """One design point (``accelsim.evaluate``): its cycles, and how much was simulated."""
    from accelsim.design_point import evaluate

    found = evaluate(workload, accelerator, rule=rule)
    return {"cycles": found.cycles, "commands": found.commands, "steps": found.steps}
