"""Single tasks of the array: the passage of one tile, and what its memories' ports make of it.

A task lasts as long as the slowest of array, scratchpad port (of the weight scratchpad's as well)
and accumulator ports; see :mod:`accelsim.mapping.timing` for the shares that are counted on.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from accelsim.arch.parts import Accelerator
from accelsim.cost.registers import RegisterActivity, register_activity
from accelsim.dataflow.counts import ceil_div
from accelsim.mapping.array_timing import ArrayTiming
from accelsim.mapping.bank_conflicts import covers, gather_rounds
from accelsim.mapping.rates import run_cycles
from accelsim.mapping.slots import array_share, gather_cycles
from accelsim.mapping.tiles import TileShape

NO_REGISTERS = RegisterActivity(0, 0)
"""Where no dataflow is chosen: the same in every mapping, but for sums of K-folds."""


@dataclass(frozen=True)
class ArrayWork:
    """One array task: its duration and the bytes that it moves at the array's edges."""

    cycles: int
    sram_read_bytes: int
    accumulator_read_bytes: int
    accumulator_write_bytes: int
    weight_read_bytes: int = 0
    """Of ``sram_read_bytes``, those out of the weight scratchpad of a machine that has one."""
    registers: RegisterActivity = NO_REGISTERS
    """Of an array that can choose between dataflows: what else its choice moves."""


class ArrayTasks:
    """Array tasks of one machine, each ``fixed`` cycles longer than its tile; remembers tiles."""

    def __init__(self, accelerator: Accelerator, fixed: int) -> None:
        array, pad = accelerator.array, accelerator.scratchpad
        self._array, self._memory, self._weights = array, pad, accelerator.weight_sram
        self._fixed = fixed
        self._sum_port = accelerator.accumulator_port_bytes
        self.sum_bytes = ceil_div(array.accumulator_bits, 8)
        """Bytes of one partial sum."""
        self._engine = ArrayTiming(accelerator)
        self._by_layer = array.dataflow in ("rs", "dot") or pad.bank_ports is not None
        self._tiles: dict[Hashable, ArrayWork] = {}

    def work(self, shape: TileShape) -> ArrayWork:
        """The products of one tile. InfeasibleError when the array cannot hold it at all."""
        key = (shape, shape.layer) if self._by_layer else shape
        found = self._tiles.get(key)
        if found is None:
            found = self._tiles[key] = self._work(shape)
        return found

    def _work(self, shape: TileShape) -> ArrayWork:
        done = self._engine.passage(shape)
        # The sums of an earlier reduction tile come back from the accumulators once.
        carried = 0 if shape.first else shape.m * shape.n * shape.groups
        bias = shape.bias_bytes if shape.first else 0
        sram = done.a_bytes + done.b_bytes + bias
        held = bias + (done.b_bytes if shape.constant else 0)
        read = (done.sums_read + carried) * self.sum_bytes
        written = done.sums_written * self.sum_bytes
        operands = self._operands(shape, done.a_bytes, sram - done.a_bytes, held)
        ports = max(operands, ceil_div(max(read, written), self._sum_port))
        cycles = max(done.cycles, ports) + self._fixed
        weights = 0 if self._weights is None else held
        registers = self._registers(shape, done.sums_written)
        return ArrayWork(cycles, sram, read, written, weights, registers)

    def _registers(self, shape: TileShape, sums: int) -> RegisterActivity:
        """What the registers of an array of several dataflows do in one task."""
        if not self._array.alternatives:
            return NO_REGISTERS
        array = self._array.running(shape.dataflow)
        held = shape.m if array.dataflow == "is" else shape.n
        return register_activity(
            array,
            macs=shape.m * shape.n * shape.k * shape.groups,
            sums=sums,
            stationary=held * shape.k * shape.groups,
        )

    def _operands(self, shape: TileShape, a: int, rest: int, held: int) -> int:
        """Cycles in which the scratchpad hands the array ``a`` bytes of activations and ``rest``
        bytes of what else there is, ``held`` of them weights."""
        memory, weights = self._memory, self._weights
        own = 0
        if weights is not None:  # each of the split memories has its own port
            own, rest = run_cycles(held, array_share(weights)), rest - held
        array = self._array.running(shape.dataflow)
        if memory.bank_ports is not None and covers(shape, array):
            fetch = gather_cycles(memory) * gather_rounds(shape, array, memory)
            return max(own, fetch + run_cycles(rest, array_share(memory)))
        return max(own, run_cycles(a + rest, array_share(memory)))
