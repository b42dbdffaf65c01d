"""Cycles of single tasks on an accelerator, protection latencies included.

One place for the mapping's estimates, the lowering and the bounds, so that they differ only in what
contention and dependencies add. A task lasts as long as the slowest of what it uses: the array or
the lanes, the scratchpad's port for the bytes that it moves both ways, each port of the accumulator
SRAM, the DRAM port. Array, vector unit and DMA have the shares of the scratchpad that
:mod:`accelsim.mapping.slots` guarantees them, whatever the others do; with banks that have ports of
their own the array waits for conflicts among the lines of its vectors as well
(:mod:`accelsim.mapping.bank_conflicts`).

Every array task pays its own fill and drain; a protection's latency is charged once per task that
touches the structure (its pipeline is filled anew), and control protection once per task of any
kind (a DMA transfer with its set-up is one).
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

import numpy as np

from accelsim.arch.parts import Accelerator
from accelsim.arch.protection import STRUCTURES, protection_of
from accelsim.dataflow.counts import ceil_div
from accelsim.dataflow.sparse import compressed_k
from accelsim.mapping.array_tasks import ArrayTasks, ArrayWork
from accelsim.mapping.rates import Ints, ceil_of, cycles_at, many_at
from accelsim.mapping.slots import stream_share
from accelsim.mapping.tiles import TileShape
from accelsim.workload.graph import Op, OpKind


@dataclass(frozen=True)
class Transfer:
    """One DMA transfer between a backing memory and the scratchpad."""

    fixed: int
    """Cycles on the channel before the bytes: set-up, latency, protections."""
    cycles: int
    """Cycles that the bytes hold the memory's port."""
    stored: int
    """Bytes on the memory's side (compressed weights: fewer than in the scratchpad)."""
    memory: str
    """``dram``, or ``weights`` for constants with a backing memory of their own, or a level."""


Homes = Mapping[str, str]
"""Tensor -> memory level that it is kept in."""
NO_HOMES: Homes = MappingProxyType({})


class Timing:
    """Task durations in cycles; immutable after construction apart from a memo of array tiles.

    ``homes``: activation, or weight of an array operator, -> memory level that it is kept in; all
    others are in their backing memory."""

    def __init__(self, accelerator: Accelerator, homes: Homes = NO_HOMES) -> None:
        extra = {name: protection_of(accelerator, name).latency_cycles for name in STRUCTURES}
        weights = accelerator.weight_sram
        side = extra["scratchpad"] if weights is None else extra["weight_scratchpad"]
        memories = extra["scratchpad"] + extra["control"]
        # Who reads both halves of a split scratchpad reads them side by side.
        either = max(extra["scratchpad"], side) + extra["control"]
        self._accelerator = accelerator
        self._rate = accelerator.dram_bytes_per_cycle
        self._port = accelerator.scratchpad.width_bytes
        pad, weights = accelerator.scratchpad, accelerator.weight_sram
        stream, home = stream_share(pad), stream_share(weights or pad)
        self._port_rate = stream.rate
        self._weight_rate = None if weights is None else home.rate
        self._weight_port = self._port if weights is None else weights.width_bytes
        self._sum_port = accelerator.accumulator_port_bytes
        self.dma_fixed = (
            accelerator.dma.setup_cycles
            + accelerator.dram.latency_cycles
            + memories
            + extra["dram"]
            + stream.wait
        )
        """Cycles of a transfer besides its bytes."""
        # What transfers through the scratchpad have, and a copy only once or not at all.
        self._dma_once = accelerator.dma.setup_cycles + extra["control"]
        self._dma_once += 2 * (extra["scratchpad"] + stream.wait)
        self._side_wait = home.wait - stream.wait + side - extra["scratchpad"]
        self._homes = homes
        self._levels = {
            level.name: _Reach(
                accelerator.dma.setup_cycles
                + level.latency_cycles
                + memories
                + stream.wait
                + protection_of(accelerator, level.name).latency_cycles,
                accelerator.level_bytes_per_cycle(level),
            )
            for level in accelerator.levels
        }
        own = accelerator.weight_memory
        self.own_weights = own is not None
        """Constants have a backing memory of their own."""
        self.channels = accelerator.dma.channels
        """Transfers that may be on their way at once."""
        source = accelerator.dram if own is None else own
        self.plain = own is None and weights is None and accelerator.compression is None
        """Constants travel as activations do."""
        self.split = weights is not None
        """Constants have a scratchpad of their own."""
        self.compresses = accelerator.compression is not None
        """Constants are stored compressed."""
        self.reuses = not accelerator.scratchpad.cacheless
        """A tile that does not change is not fetched again."""
        self._constant_rate = Fraction(source.bytes_per_second, accelerator.clock_hz)
        self._constant_fixed = (
            self.dma_fixed - accelerator.dram.latency_cycles + source.latency_cycles
        ) + self._side_wait
        self._array = ArrayTasks(
            accelerator,
            either + extra["accumulators"] + extra["array"] + accelerator.array.startup_cycles,
        )
        self.sum_bytes = self._array.sum_bytes
        """Bytes of one partial sum."""
        self._vector_fixed = (
            accelerator.vector.startup_cycles + memories + extra["vector"] + stream.wait
        )
        self._with_constants = either - memories + max(0, home.wait - stream.wait)
        self._epilogue_fixed = self._vector_fixed + extra["accumulators"]

    def home(self, tensor: str) -> str:
        """The memory level that a tensor is kept in; empty: its backing memory."""
        return self._homes.get(tensor, "")

    def with_homes(self, homes: Homes) -> Timing:
        """The same machine with other homes."""
        found = copy(self)
        found._homes = homes
        return found

    def transfer_bytes(self, size: int, level: str = "") -> int:
        """Cycles that ``size`` bytes occupy the port of DRAM, or of a level."""
        rate = self._levels[level].rate if level else self._rate
        return max(cycles_at(size, rate), cycles_at(size, self._port_rate))

    def fixed(self, level: str = "") -> int:
        """Cycles of a transfer besides its bytes, from and to DRAM or a level."""
        return self._levels[level].fixed if level else self.dma_fixed

    def constant_bytes(self, stored: int) -> int:
        """Cycles that ``stored`` bytes of constants occupy the port of their backing memory."""
        return cycles_at(stored, self._constant_rate)

    def transfer(self, *sizes: int, constant: bool = False, level: str = "") -> Transfer:
        """One transfer of so many scratchpad bytes, of activations or of constants: constants come
        from their own memory if there is one, compressed if the machine compresses them, each by
        itself; what is kept in a ``level`` goes there. The slowest of memory, decoder and
        scratchpad port decides."""
        size = sum(sizes)
        if not constant:
            return Transfer(
                self.fixed(level), self.transfer_bytes(size, level), size, level or "dram"
            )
        stored = sum(self.stored(part) for part in sizes)
        port = self._port_rate if self._weight_rate is None else self._weight_rate
        if level:
            reach = self._levels[level]
            cycles = max(cycles_at(size, reach.rate), cycles_at(size, port))
            return Transfer(reach.fixed + self._side_wait, cycles, size, level)
        cycles = max(cycles_at(stored, self._constant_rate), cycles_at(size, port))
        packed = self._accelerator.compression
        if packed is not None:
            cycles = max(cycles, ceil_div(size, packed.decode_bytes_per_cycle))
        memory = "weights" if self.own_weights else "dram"
        return Transfer(self._constant_fixed, cycles, stored, memory)

    def copy(self, size: int, level: str, *, constant: bool = False) -> Transfer:
        """A whole tensor between its backing memory and a level, in either direction: it holds both
        ports, and the slower one decides. ``memory`` is the backing one."""
        found = self.transfer(size, constant=constant)
        here = self._levels[level]
        rate = self._constant_rate if constant else self._rate
        cycles = max(cycles_at(size, rate), cycles_at(size, here.rate))
        # Set-up and control once, latencies and protections of both memories, no scratchpad.
        fixed = found.fixed + here.fixed - self._dma_once - (self._side_wait if constant else 0)
        return Transfer(fixed, cycles, size, found.memory)

    def stored(self, size: int) -> int:
        """Bytes that a transfer of ``size`` bytes of constants takes in the backing memory."""
        packed = self._accelerator.compression
        return size if packed is None else ceil_of(size * packed.ratio)

    def constant(self, size: int) -> int:
        """One transfer of constants when nothing else contends (0 for none)."""
        moved = self.transfer(size, constant=True)
        return moved.fixed + moved.cycles if size else 0

    def dma(self, size: int, level: str = "") -> int:
        """One DMA transfer of ``size`` bytes, either way, when nothing else contends."""
        return self.fixed(level) + self.transfer_bytes(size, level)

    def transfers(self, sizes: Ints, level: str = "") -> Ints:
        """:meth:`transfer_bytes` of many sizes."""
        rate = self._levels[level].rate if level else self._rate
        return np.maximum(many_at(sizes, rate), many_at(sizes, self._port_rate))

    def constants(self, sizes: Ints) -> Ints:
        """:meth:`constant` of many sizes."""
        return np.where(sizes > 0, self._constant_fixed + self.constant_cycles(sizes), 0)

    def constant_cycles(self, sizes: Ints) -> Ints:
        """Cycles that many sizes of constants hold their port (``cycles`` of :meth:`transfer`)."""
        port = self._port_rate if self._weight_rate is None else self._weight_rate
        packed, stored = self._accelerator.compression, sizes
        if packed is not None:
            stored = -(-sizes * packed.ratio.numerator // packed.ratio.denominator)
        cycles = np.maximum(many_at(stored, self._constant_rate), many_at(sizes, port))
        if packed is None:
            return cycles
        return np.maximum(cycles, -(-sizes // packed.decode_bytes_per_cycle))

    def array(self, shape: TileShape) -> ArrayWork:
        """One array task: the products of one tile."""
        return self._array.work(shape)

    def lanes(self, kind: OpKind, element_ops: int) -> int:
        """Cycles for which ``element_ops`` of an operator of ``kind`` occupy the lanes."""
        unit = self._accelerator.vector
        return ceil_div(element_ops, unit.lanes) * unit.cycles_per_op.get(kind.value, 1)

    def vector(self, kind: OpKind, element_ops: int, sram_bytes: int, constants: int = 0) -> int:
        """A vector task that reads ``sram_bytes`` from and writes them to the scratchpad in all,
        ``constants`` of them constants, which a split scratchpad has in the weights' half."""
        if self._weight_rate is None or not constants:
            ports, fixed = cycles_at(sram_bytes, self._port_rate), self._vector_fixed
        else:
            ports = max(
                cycles_at(sram_bytes - constants, self._port_rate),
                cycles_at(constants, self._weight_rate),
            )
            fixed = self._vector_fixed + self._with_constants
        return max(self.lanes(kind, element_ops), ports) + fixed

    def passes(self, element_ops: int, sums: int) -> int:
        """Element operations behind the array that take a pass of the lanes: one per sum where the
        lanes fuse the stages."""
        return min(element_ops, sums) if self._accelerator.vector.fuses else element_ops

    def epilogue(self, kind: OpKind, element_ops: int, out_bytes: int, sums: int) -> int:
        """The vector task that drains ``sums`` accumulators into ``out_bytes`` of output."""
        ports = max(
            cycles_at(out_bytes, self._port_rate), ceil_div(sums * self.sum_bytes, self._sum_port)
        )
        element_ops = self.passes(element_ops, sums)
        return max(self.lanes(kind, element_ops), ports) + self._epilogue_fixed

    def least(self, op: Op) -> tuple[int, int]:
        """Cycles of (array, vector unit) that no tiling of ``op`` can beat."""
        array = self._accelerator.array
        macs = op.macs
        if array.sparsity is not None and op.weight is not None and op.gemm is not None:
            macs = macs // op.gemm.k * compressed_k(op.gemm.k, array.sparsity)
        element_ops = op.vector_ops
        if op.gemm is not None:
            element_ops = self.passes(element_ops, op.gemm.m * op.gemm.n * op.gemm.groups)
        return ceil_div(macs, array.rows * array.cols), self.lanes(op.kind, element_ops)

    def drained(self, size: int) -> int:
        """Cycles in which the vector unit can move ``size`` bytes to or from the scratchpad."""
        return cycles_at(size, self._port_rate)

    def in_ports(self, size: int) -> int:
        """``size`` scratchpad bytes of one task, in whole port widths: what energy counts."""
        return ceil_div(size, self._port) * self._port

    def read_in_ports(self, size: int, constants: int) -> tuple[int, int]:
        """The same of a task that reads ``size`` bytes, ``constants`` of them constants: (of the
        scratchpad, of the weight scratchpad: 0 without one)."""
        if not self.split:
            return self.in_ports(size), 0
        port = self._weight_port
        return self.in_ports(size - constants), ceil_div(constants, port) * port


@dataclass(frozen=True)
class _Reach:
    """A memory level as the DMA sees it."""

    fixed: int
    """Cycles of a transfer besides its bytes."""
    rate: Fraction
