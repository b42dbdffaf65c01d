"""The parts a machine is made of. Frozen; built from a config by ``accelsim.config``.

Sizes are bytes, rates bytes per second, times cycles of ``Accelerator.clock_hz``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accelsim.cost.tables import EnergyTable


@dataclass(frozen=True)
class PeSpads:
    """Registers of a row-stationary PE and the words that each bus delivers to the array."""

    ifmap_words: int = 12
    filter_words: int = 224
    psum_words: int = 24
    ifmap_bus_words: int = 1
    """Words per cycle from the global buffer to all PEs; likewise below."""
    filter_bus_words: int = 4
    psum_bus_words: int = 4


@dataclass(frozen=True)
class DotUnits:
    """How an array of dot products (dataflow ``dot``) gets its weights and inputs; see
    :class:`accelsim.dataflow.dot_product.DotArray`."""

    positions: tuple[int, int] = (1, 1)
    """Output rows and columns that the units cover at once, with the same weights."""
    burst: int = 1
    """Cycles of work per group of positions that a set of weights holds."""
    set_cycles: int = 1
    """Cycles from one set of weights to the next, at least."""
    depthwise: bool = True
    """Units can work on a channel each."""
    input_buffer: bool = False
    """The array has an SRAM of its own for the inputs of a tile, which then come from the
    scratchpad once per tile; else once per use. Its own energy and area are not counted."""


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
    microarchitecture: str = "generic"
    """``generic``, or ``gemmini`` (specs: systolic, 7)."""
    sparsity: tuple[int, int] | None = None
    """(N, M): weights hold at most N non-zeros in M consecutive elements of the reduction, and only
    those are stored and multiplied (dataflow ws)."""
    packing: bool = False
    """Several small independent products share the array side by side (block diagonal)."""
    startup_cycles: int = 0
    """Command decode, charged once per array task."""
    spads: PeSpads | None = None
    """Row stationary only."""
    dot: DotUnits | None = None
    """Dot products only."""
    alternatives: tuple[str, ...] = ()
    """Further dataflows (systolic ones) that the controller can choose for an operator."""

    @property
    def dataflows(self) -> tuple[str, ...]:
        """All dataflows that the array can run."""
        return (self.dataflow, *self.alternatives)

    @property
    def choices(self) -> tuple[str, ...]:
        """What ``Tiling.dataflow`` can be: the dataflows where there are several, else an empty
        name, which stands for the only one."""
        return self.dataflows if self.alternatives else ("",)

    def flow(self, choice: str) -> str:
        """The dataflow that one of the ``choices`` (or the only one's name) stands for."""
        if choice in self.dataflows:
            return choice
        if choice or self.alternatives:
            raise AssertionError(f"'{choice}' is none of the dataflows {self.dataflows}")
        return self.dataflow

    def running(self, choice: str) -> SystolicArray:
        """The array while it runs one of its ``choices``."""
        if not self.alternatives:
            return self
        return replace(self, dataflow=self.flow(choice), alternatives=())


@dataclass(frozen=True)
class VectorUnit:
    """Element-wise engine: requantisation, activations, additions, pooling, data movement."""

    lanes: int
    startup_cycles: int = 0
    """Pipeline fill and command decode, charged once per vector task."""
    cycles_per_op: Mapping[str, int] = field(default_factory=dict)
    """Operator kind -> cycles per element operation and lane; 1 where absent."""
    fuses: bool = False
    """What follows an array operator (requantise, activation) takes one pass however many stages
    it has; else one per stage."""


@dataclass(frozen=True)
class Scratchpad:
    """Software-managed SRAM: for activations, weight tiles and stream buffers, or, of a machine
    whose scratchpad is split, for one of the two."""

    bytes: int
    alignment_bytes: int = 16
    width_bytes: int = 32
    """Bytes that a port moves per cycle, and the access granularity that SRAM energy is counted
    in."""
    ports: int = 3
    """3: array, vector unit and DMA have a port each. Fewer: they share what there is in fixed
    time slots, so each gets ports / 3 of ``width_bytes`` per cycle, whether others use theirs or
    not."""
    buffering: int = 2
    """Slots of a tile buffer: 2 is double buffering, 1 none."""
    banks: int = 1
    """Equal macros that the capacity is divided into: an access opens one of them. They take time
    only with ``bank_ports``."""
    cacheless: bool = False
    """The memory holds nothing but stream buffers: every operand of every tile is fetched for that
    tile, every result goes out, and nothing stays from tile to tile or operator to operator."""
    bank_ports: int | None = None
    """Ports of every bank (1 or 2), in place of ``ports``: lines of ``width_bytes`` lie in the
    banks in turn, and time is that of accelsim.mapping.slots and bank_conflicts. None: conflicts
    take no time."""
    layout: str = "nhwc"
    """How feature maps lie in the banks: ``nhwc`` or ``nchw``. With ``bank_ports`` only."""


@dataclass(frozen=True)
class Level:
    """A software-managed SRAM between the scratchpad and the backing memories, with a port of its
    own that the DMA channels share."""

    name: str
    """Of its port, of its structure and in reports."""
    bytes: int
    bytes_per_second: int
    """Of its port, reads and writes together."""
    latency_cycles: int = 0
    """Charged once per transfer."""
    alignment_bytes: int = 16
    width_bytes: int = 32
    """Access granularity that its energy is counted in."""
    banks: int = 1
    """As for :class:`Scratchpad`: energy and area only."""
    pj_per_byte: Fraction | None = None
    """Energy of an access; None: that of an SRAM of its size in the energy table."""
    protection: str = "none"
    """Name of a protection (accelsim.arch.protection)."""


RESERVED = frozenset(
    {
        "accumulators", "array", "clock", "control", "core", "dma", "dram", "leakage", "link",
        "noc", "none", "registers", "scratchpad", "static", "vector", "weight_memory",
        "weight_scratchpad", "weight_sram", "weights",
    }
)  # fmt: skip
"""Names that no level may have: other parts of the machine are called so."""


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
    """A backing memory: where tensors are that do not lie in the scratchpad."""

    kind: str
    bytes_per_second: int
    latency_cycles: int = 0
    """Charged once per transfer."""
    model: str = "bandwidth"
    """``bandwidth``: bytes / rate. ``banked``: row buffers and refresh as well (accelsim.sim.dram;
    the kind's timing table)."""


@dataclass(frozen=True)
class Compression:
    """Weights stored compressed in their backing memory, decoded on the way in."""

    ratio: Fraction
    """Stored bytes / bytes, at most 1."""
    decode_bytes_per_cycle: int
    """Decoded bytes that the decoder puts out per cycle."""


@dataclass(frozen=True)
class Dma:
    """Copy engines; each channel carries one transfer at a time, all share the DRAM port."""

    channels: int = 2
    setup_cycles: int = 0


@dataclass(frozen=True)
class EnergyOptions:
    """How the chosen energy table is applied (accelsim.cost)."""

    fill_from: tuple[str, ...] = ()
    """Tables that supply what the chosen one lacks, in order; the report names what they gave."""
    scale: bool = False
    """Scale figures of another node to the accelerator's."""
    vdd: float | None = None
    """Volts of the accelerator's logic; None: tables and accelerator at the same voltage."""
    clock_gating: Fraction = Fraction(0)
    """Share of the clock energy of an idle unit that is saved."""
    leakage_mw_per_mm2: Mapping[str, Fraction] = field(default_factory=dict)
    """Block of the area breakdown -> leakage; others have ``Accelerator.leakage_mw_per_mm2``."""
    own_table: EnergyTable | None = None
    """A table that the user brings; it is used in place of ``Accelerator.energy_table``."""


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
    weight_memory: Dram | None = None
    """Backing memory of weights and biases (flash, a weight DRAM) with a port of its own; None:
    they share ``dram`` with the activations."""
    weight_sram: Scratchpad | None = None
    """A split scratchpad: the tile buffers of weights and biases lie in an SRAM with addresses,
    ports, energy and area of its own, everything else in ``scratchpad``. None: unified."""
    levels: tuple[Level, ...] = ()
    """Memories between the scratchpad and the backing memories, the nearest one first."""
    compression: Compression | None = None
    energy_options: EnergyOptions = EnergyOptions()
    cores: int = 1
    """Equal cores, each with its own array, vector unit, scratchpad, accumulators and DMA; all
    share the backing memories."""

    @property
    def dram_bytes_per_cycle(self) -> Fraction:
        """Exact DRAM bandwidth in bytes per core cycle."""
        return Fraction(self.dram.bytes_per_second, self.clock_hz)

    @property
    def weight_bytes_per_cycle(self) -> Fraction | None:
        """The same of the weights' own memory; None without one."""
        if self.weight_memory is None:
            return None
        return Fraction(self.weight_memory.bytes_per_second, self.clock_hz)

    def level_bytes_per_cycle(self, level: Level) -> Fraction:
        """Exact bandwidth of a level in bytes per core cycle."""
        return Fraction(level.bytes_per_second, self.clock_hz)

    @property
    def accumulator_port_bytes(self) -> int:
        """Bytes that each port of the accumulator SRAM moves per cycle: unless stated, the sums of
        one row of the array."""
        sums = self.array.cols * -(-self.array.accumulator_bits // 8)
        return sums if self.accumulators.width_bytes is None else self.accumulators.width_bytes
