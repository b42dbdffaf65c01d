"""The decided mapping and memory plan of a run: what lower.py turns into tasks.

Values only. ``accelsim.mapping`` proposes :class:`Candidate` columns per operator, the scheduler
chooses among them together with order and residency, and the result is a :class:`MemoryPlan`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Tiling:
    """Tile of one operator's loop nest, and the order of the loops outside the tile.

    Array operators: ``m`` output pixels (whole output rows where ``m`` covers more than one row),
    ``n`` output channels and ``k`` reduction elements per scratchpad tile, within one group.
    Vector operators: pools use ``m`` output pixels (as above) and ``n`` channels per tile, all
    others ``m`` output elements and n = 1; k = 1.
    """

    m: int
    n: int
    k: int
    order: str = "nmk"
    """Loops over tiles, outer to inner, one of ``accelsim.mapping.orders.ORDERS``. ``nmk``: weight
    tile held while pixels stream (no weight refetch when k is whole); ``mnk``: pixels held while
    weights stream; ``nkm`` and ``mkn``: the same with a k that is cut, the sums of all that streams
    past in the accumulators."""
    dataflow: str = ""
    """Which of the array's dataflows runs it; empty: the only one it has."""


@dataclass(frozen=True)
class Candidate:
    """One way to run an operator: a column of the scheduling problem. All figures per run of it."""

    name: str
    """Short and unique within the operator, e.g. ``resident/m256n16k144``."""
    tiling: Tiling
    streamed: frozenset[str]
    """Activation tensors (inputs and/or the output) kept in DRAM and moved tile by tile;
    every other input, and the output, must be whole in the scratchpad during the step."""
    buffer_bytes: int
    """Tile buffers in the scratchpad during the step (double buffering included), aligned."""
    prefetch_bytes: int
    """How much of ``buffer_bytes`` (its beginning: the weight buffers) may be live one step early,
    so that the first weights arrive while the previous operator still computes."""
    dram_read_bytes: int
    dram_write_bytes: int
    """DRAM traffic of the tile loop: weights and biases with refetch, streamed activations with
    halo and refetch; what goes to and from a memory level instead of DRAM included. Residency
    loads, spills and reloads are not in here."""
    cycles: int
    """Estimate of the step when nothing else contends."""
    compute_cycles: int
    """Array plus vector cycles not hidden: the estimate with infinite DRAM bandwidth."""
    scratchpad_bytes: int = 0
    """Bytes through the scratchpad's port, both ways, as energy counts them: those of compute tasks
    in whole port widths per task, transfers to the byte."""
    weight_scratchpad_bytes: int = 0
    """The same of the weight scratchpad; 0 of a unified one, likewise below."""
    weight_buffer_bytes: int = 0
    """Tile buffers of weights and biases in the weight scratchpad, aligned."""
    weight_prefetch_bytes: int = 0
    """How much of ``weight_buffer_bytes`` (its beginning) may be live one step early."""
    late_cycles: int = 0
    """``cycles`` if the first weights come no earlier than the step, where they may be early in
    the weight scratchpad."""
    accumulator_bytes: int = 0
    """Bytes through the accumulators' ports, both ways."""
    macs: int = 0
    vector_ops: int = 0
    register_bits: int = 0
    """Register bits of the array that take a new value, counted where the array can choose between
    dataflows; likewise ``hop_bits``, those that cross from PE to PE."""
    hop_bits: int = 0
    level_bytes: tuple[tuple[str, int], ...] = ()
    """Of the DRAM traffic what was expected to go to and from memory levels instead when the
    candidate was costed, by level. Where it goes in the end, ``MemoryPlan.homes`` says."""

    @property
    def early(self) -> bool:
        """Whether its first weights may arrive while the operator before still computes."""
        return self.prefetch_bytes > 0 or self.weight_prefetch_bytes > 0


@dataclass(frozen=True)
class Step:
    """One operator's turn. Order inside a step: loads, then the tile loop, then stores."""

    op: str
    candidate: Candidate
    loads: tuple[str, ...] = ()
    """Tensors brought whole from DRAM before the operator (first loads of graph inputs too)."""
    stores: tuple[str, ...] = ()
    """Tensors written whole to DRAM after the operator (spills, and resident graph outputs)."""
    addresses: Mapping[str, int] | None = None
    """Tensor -> byte address, for every tensor resident in the scratchpad during this step."""
    buffer_address: int = 0
    weight_buffer_address: int = 0
    """Lowest address of the tile buffers in the weight scratchpad."""
    weights_downward: bool = False
    """Those buffers lie in reverse order: the beginning, which may be live early, at the top."""


@dataclass(frozen=True)
class Home:
    """A tensor that is kept in a memory level whenever it is not in the scratchpad, in the steps
    [``first``, ``last``]. Tensors without a home are kept in their backing memory."""

    tensor: str
    level: str
    address: int
    bytes: int
    first: int
    last: int
    read_bytes: int
    """Moved from the level to the scratchpad by all steps; likewise below."""
    written_bytes: int
    copied_in: bool = False
    """Begins in its backing memory: copied whole into the level at the beginning of ``first``."""
    copied_out: bool = False
    """Ends in its backing memory: copied whole at the end of ``first``, the step that makes it."""

    @property
    def level_read_bytes(self) -> int:
        """All bytes out of the level, copies included."""
        return self.read_bytes + (self.bytes if self.copied_out else 0)

    @property
    def level_written_bytes(self) -> int:
        """All bytes into the level, copies included."""
        return self.written_bytes + (self.bytes if self.copied_in else 0)


def relief(homes: Iterable[Home]) -> tuple[int, int]:
    """Bytes (read, written) that homes spare the backing memories, copies reckoned with."""
    read = written = 0
    for home in homes:
        read += home.read_bytes - (home.bytes if home.copied_in else 0)
        written += home.written_bytes - (home.bytes if home.copied_out else 0)
    return read, written


@dataclass(frozen=True)
class MemoryPlan:
    """Order, residency, traffic and addresses for one accelerator, checked by ``ilp.check``."""

    steps: tuple[Step, ...]
    peak_bytes: int
    """Highest address used, with alignment."""
    lower_bound_bytes: int
    """Max over steps of live bytes: no placement of this plan can be below."""
    traffic_bytes: int
    """All DRAM bytes the plan implies: must equal what the simulation moves."""
    spill_bytes: int
    """Stores and reloads of activations that fitting would have avoided."""
    cost: int
    cost_lower_bound: int
    """Objective of the solver and its proved bound (unit: the mapping objective)."""
    objective: str
    proved: bool
    """True when the solver proved that no plan of the given columns is cheaper."""
    status: str
    """``optimal`` or ``feasible``."""
    solver: str
    notes: tuple[str, ...] = ()
    weight_peak_bytes: int = 0
    """Highest address used in the weight scratchpad, and no placement of this plan is below."""
    homes: tuple[Home, ...] = ()
    """Where tensors are kept on machines with memory levels."""

    @property
    def level_bytes(self) -> dict[str, tuple[int, int]]:
        """Memory level -> bytes (read, written) that the plan implies, of levels that are used."""
        found: dict[str, tuple[int, int]] = {}
        for home in self.homes:
            read, written = found.get(home.level, (0, 0))
            found[home.level] = read + home.level_read_bytes, written + home.level_written_bytes
        return found

    @property
    def level_peaks(self) -> dict[str, int]:
        """Memory level -> highest address in use, of levels that are used."""
        found: dict[str, int] = {}
        for home in self.homes:
            found[home.level] = max(found.get(home.level, 0), home.address + home.bytes)
        return found
