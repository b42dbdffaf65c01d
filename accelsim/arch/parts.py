"""The parts a machine is made of. Frozen; built from a config by ``accelsim.config``.

Sizes are bytes, rates bytes per second, times cycles of ``Accelerator.clock_hz``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction


@dataclass(frozen=True)
class SystolicArray:
    """R x C multiply-accumulate array (accelsim.dataflow)."""

    rows: int
    cols: int
    dataflow: str = "ws"
    overlap: str = "full"
    """``none``, ``preload``, ``full`` or ``column``: what of the next fold hides (systolic, 3)."""
    mac_input: str = "arriving"
    skip_idle: bool = False
    operand_bits: int = 8
    weight_bits: int = 8
    accumulator_bits: int = 32


@dataclass(frozen=True)
class VectorUnit:
    """Element-wise engine: requantisation, activations, additions, pooling, data movement."""

    lanes: int
    startup_cycles: int = 0
    """Pipeline fill and command decode, charged once per vector task."""
    cycles_per_op: Mapping[str, int] = field(default_factory=dict)
    """Operator kind -> cycles per element operation and lane; 1 where absent."""


@dataclass(frozen=True)
class Scratchpad:
    """Unified software-managed SRAM for activations, weight tiles and stream buffers."""

    bytes: int
    alignment_bytes: int = 16
    width_bytes: int = 32
    """Bytes that its one port moves per cycle, and the access granularity that SRAM energy is
    counted in."""


@dataclass(frozen=True)
class AccumulatorSram:
    """Partial sums of K-folds, ``accumulator_bits`` wide, double buffered: one half is filled by
    the array while the vector unit requantises the other."""

    bytes: int
    width_bytes: int | None = None
    """Bytes per cycle of each of its two ports, one that reads and one that writes; None: one row
    of the array's sums (``Accelerator.accumulator_port_bytes``)."""


@dataclass(frozen=True)
class Dram:
    """Off-chip memory as a plain bandwidth model."""

    kind: str
    bytes_per_second: int
    latency_cycles: int = 0
    """Charged once per transfer."""


@dataclass(frozen=True)
class Dma:
    """Copy engines; each channel carries one transfer at a time, all share the DRAM port."""

    channels: int = 2
    setup_cycles: int = 0


@dataclass(frozen=True)
class Accelerator:
    """One core with its memories."""

    name: str
    clock_hz: int
    technology_nm: int
    array: SystolicArray
    vector: VectorUnit
    scratchpad: Scratchpad
    accumulators: AccumulatorSram
    dram: Dram
    dma: Dma
    energy_table: str = "horowitz_45nm"
    """Name of a table in accelsim.cost; sources are never mixed silently."""
    leakage_mw_per_mm2: Fraction = Fraction(0)
    control_flipflops: Mapping[str, int] = field(default_factory=dict)
    """Block (``array``, ``dma``, ``core``) -> flip-flops of control logic (an input)."""
    protection: Mapping[str, str] = field(default_factory=dict)
    """Structure -> protection name (accelsim.arch.protection); absent means ``none``."""

    @property
    def dram_bytes_per_cycle(self) -> Fraction:
        """Exact DRAM bandwidth in bytes per core cycle."""
        return Fraction(self.dram.bytes_per_second, self.clock_hz)

    @property
    def accumulator_port_bytes(self) -> int:
        """Bytes that each port of the accumulator SRAM moves per cycle: unless stated, the sums of
        one row of the array."""
        sums = self.array.cols * -(-self.array.accumulator_bits // 8)
        return sums if self.accumulators.width_bytes is None else self.accumulators.width_bytes
