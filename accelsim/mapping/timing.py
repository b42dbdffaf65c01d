"""Cycles of single tasks on an accelerator, protection latencies included.

One place for the mapping's estimates, the lowering and the bounds, so that they differ only in what
contention and dependencies add. A task lasts as long as the slowest of what it uses: the array or
the lanes, the scratchpad's port for the bytes that it moves both ways, each port of the accumulator
SRAM, the DRAM port. Not modelled: bank conflicts, and tasks on different resources that use the
same SRAM port at the same time (each has the whole port, so SRAM-bound phases come out too fast).

Every array task pays its own fill and drain; a protection's latency is charged once per task that
touches the structure (its pipeline is filled anew), and control protection once per task of any
kind (a DMA transfer with its set-up is one).
"""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.arch.parts import Accelerator
from accelsim.arch.protection import STRUCTURES, protection_of
from accelsim.dataflow import DATAFLOWS, gemm_cycles
from accelsim.dataflow.counts import ceil_div
from accelsim.mapping.tiles import TileShape
from accelsim.workload.graph import Op, OpKind


@dataclass(frozen=True)
class ArrayWork:
    """One array task: its duration and the bytes that it moves at the array's edges."""

    cycles: int
    sram_read_bytes: int
    accumulator_read_bytes: int
    accumulator_write_bytes: int


@dataclass(frozen=True)
class Flow:
    """The transfers of a tile loop."""

    loads: int
    read: int
    """Bytes of all loads; likewise below."""
    stores: int
    written: int
    first: int
    """Cycles of the transfers that the first tile waits for."""
    last: int
    """Cycles of the last store."""
    hidden: int = 0
    """Cycles of ``first`` that pass before the step begins."""


class Timing:
    """Task durations in cycles; immutable after construction apart from a memo of array tiles."""

    def __init__(self, accelerator: Accelerator) -> None:
        extra = {name: protection_of(accelerator, name).latency_cycles for name in STRUCTURES}
        memories = extra["scratchpad"] + extra["control"]
        self._accelerator = accelerator
        self._rate = accelerator.dram_bytes_per_cycle
        self._port = accelerator.scratchpad.width_bytes
        self._sum_port = accelerator.accumulator_port_bytes
        self.sum_bytes = ceil_div(accelerator.array.accumulator_bits, 8)
        """Bytes of one partial sum."""
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
        self._tiles: dict[TileShape, ArrayWork] = {}

    def transfer_bytes(self, size: int) -> int:
        """Cycles that ``size`` bytes occupy the DRAM port."""
        dram = ceil_div(size * self._rate.denominator, self._rate.numerator)
        return max(dram, ceil_div(size, self._port))

    def dma(self, size: int) -> int:
        """One DMA transfer of ``size`` bytes, either way, when nothing else contends."""
        return self.dma_fixed + self.transfer_bytes(size)

    def pipelined(self, flow: Flow, *, compute: int, tiles: int) -> int:
        """Estimate of a double-buffered tile loop of ``tiles`` tiles and ``compute`` cycles: its
        slowest stage, plus what the other stages need before its start and after its end.

        Loads have all channels but the last, stores the last, and they meet at the DRAM port; with
        one channel they take turns.
        """
        incoming = flow.loads * self.dma_fixed + self.transfer_bytes(flow.read)
        outgoing = flow.stores * self.dma_fixed + self.transfer_bytes(flow.written)
        first, last, one = flow.first - flow.hidden, flow.last, ceil_div(compute, tiles)
        if incoming + outgoing <= flow.first + last:
            return first + compute + last
        channels = self._accelerator.dma.channels
        # A slot is filled only once it is free: half of a load hides behind the other slot's tile.
        waiting = 0 if channels <= 2 else ceil_div(incoming + compute, 2)
        if channels > 1:
            incoming = max(self.transfer_bytes(flow.read), ceil_div(incoming, channels - 1))
        in_turn = first + max(compute, incoming + outgoing - flow.first - last + one) + last
        if channels == 1:
            return in_turn
        loading = max(incoming, waiting) - flow.hidden
        port = self.dma_fixed + self.transfer_bytes(flow.read + flow.written) - flow.hidden
        together = max(
            first + compute + last, loading + one + last, first + one + outgoing, port + one
        )
        # A long store makes short loads wait now and then: a quarter of what taking turns costs
        # (tuned against simulated single operators).
        return together + max(0, in_turn - together) // 4

    def array(self, shape: TileShape) -> ArrayWork:
        """One array task: the products of one tile."""
        found = self._tiles.get(shape)
        if found is None:
            found = self._tiles[shape] = self._array(shape)
        return found

    def _array(self, shape: TileShape) -> ArrayWork:
        array = self._accelerator.array
        m, n, k, groups = shape.m, shape.n, shape.k, shape.groups
        cycles = gemm_cycles(
            m, n, k, array.rows, array.cols, array.dataflow, array.overlap,
            skip_idle=array.skip_idle, mac_input=array.mac_input, groups=groups,
        )  # fmt: skip
        moves = DATAFLOWS[array.dataflow].moves(m, n, k, array.rows, array.cols)
        # The sums of an earlier reduction tile come back from the accumulators once.
        carried = 0 if shape.first else m * n
        operands = moves.a * shape.a_element_bytes + moves.b * shape.b_element_bytes
        sram = operands * groups + (shape.bias_bytes if shape.first else 0)
        read = (moves.sums_read + carried) * groups * self.sum_bytes
        written = moves.sums_written * groups * self.sum_bytes
        ports = max(ceil_div(sram, self._port), ceil_div(max(read, written), self._sum_port))
        return ArrayWork(max(cycles, ports) + self._array_fixed, sram, read, written)

    def lanes(self, kind: OpKind, element_ops: int) -> int:
        """Cycles for which ``element_ops`` of an operator of ``kind`` occupy the lanes."""
        unit = self._accelerator.vector
        return ceil_div(element_ops, unit.lanes) * unit.cycles_per_op.get(kind.value, 1)

    def vector(self, kind: OpKind, element_ops: int, sram_bytes: int) -> int:
        """A vector task that reads ``sram_bytes`` from and writes them to the scratchpad in all."""
        ports = ceil_div(sram_bytes, self._port)
        return max(self.lanes(kind, element_ops), ports) + self._vector_fixed

    def epilogue(self, kind: OpKind, element_ops: int, out_bytes: int, sums: int) -> int:
        """The vector task that drains ``sums`` accumulators into ``out_bytes`` of output."""
        ports = max(
            ceil_div(out_bytes, self._port), ceil_div(sums * self.sum_bytes, self._sum_port)
        )
        return max(self.lanes(kind, element_ops), ports) + self._epilogue_fixed

    def least(self, op: Op) -> tuple[int, int]:
        """Cycles of (array, vector unit) that no tiling of ``op`` can beat."""
        array = self._accelerator.array
        return ceil_div(op.macs, array.rows * array.cols), self.lanes(op.kind, op.vector_ops)

    def in_ports(self, size: int) -> int:
        """``size`` scratchpad bytes of one task, in whole port widths: what energy counts."""
        return ceil_div(size, self._port) * self._port
