"""Cycles of single tasks on an accelerator, protection latencies included.

One place for both the mapping's estimates and the lowering, so that they differ only in what
contention and dependencies add. Assumptions: a scratchpad port serves a task at full rate (no bank
conflicts); every array task pays its own fill and drain; a protection's latency is charged once
per task that touches the structure (its pipeline is filled anew), and control protection once per
task of any kind.
"""

from __future__ import annotations

from accelsim.arch.parts import Accelerator
from accelsim.arch.protection import STRUCTURES, protection_of
from accelsim.dataflow import gemm_cycles
from accelsim.dataflow.counts import ceil_div
from accelsim.workload.graph import OpKind


class Timing:
    """Task durations in cycles; immutable after construction apart from a memo of array tiles."""

    def __init__(self, accelerator: Accelerator) -> None:
        extra = {name: protection_of(accelerator, name).latency_cycles for name in STRUCTURES}
        memories = extra["scratchpad"] + extra["control"]
        self._accelerator = accelerator
        self._rate = accelerator.dram_bytes_per_cycle
        self.dma_fixed = (
            accelerator.dma.setup_cycles
            + accelerator.dram.latency_cycles
            + memories
            + extra["dram"]
        )
        """Cycles of a transfer besides its bytes."""
        self._array_fixed = memories + extra["accumulators"] + extra["array"]
        self._vector_fixed = accelerator.vector.startup_cycles + memories + extra["vector"]
        self._epilogue_fixed = self._vector_fixed + extra["accumulators"]
        self._tiles: dict[tuple[int, int, int, int], int] = {}

    def transfer_bytes(self, size: int) -> int:
        """Cycles that ``size`` bytes occupy the DRAM port."""
        return ceil_div(size * self._rate.denominator, self._rate.numerator)

    def dma(self, size: int) -> int:
        """One DMA transfer of ``size`` bytes, either way."""
        return self.dma_fixed + self.transfer_bytes(size)

    def array(self, m: int, n: int, k: int, groups: int = 1) -> int:
        """``groups`` products C[m, n] = A[m, k] B[k, n], one array task."""
        key = (m, n, k, groups)
        if key not in self._tiles:
            array = self._accelerator.array
            cycles = gemm_cycles(
                m, n, k, array.rows, array.cols, array.dataflow, array.overlap,
                skip_idle=array.skip_idle, mac_input=array.mac_input, groups=groups,
            )  # fmt: skip
            self._tiles[key] = cycles + self._array_fixed
        return self._tiles[key]

    def vector(self, kind: OpKind, element_ops: int, *, epilogue: bool = False) -> int:
        """A vector task of ``element_ops`` lane operations of an operator of ``kind``.

        ``epilogue``: it drains accumulators after an array task.
        """
        unit = self._accelerator.vector
        work = ceil_div(element_ops, unit.lanes) * unit.cycles_per_op.get(kind.value, 1)
        return work + (self._epilogue_fixed if epilogue else self._vector_fixed)
