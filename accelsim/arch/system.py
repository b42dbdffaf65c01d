"""Several cores that share their backing memories, and a link between them.

Cores may differ in everything that is their own: array, vector unit, scratchpad, accumulators, DMA.
What they share must be the same for all: clock, DRAM, and the memory of the weights if there is
one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from accelsim.arch.parts import Accelerator
from accelsim.errors import AccelsimError, Mistake

MOST_CORES = 256


@dataclass(frozen=True)
class Link:
    """An interconnect to a buffer on the chip that all cores share; one transfer at a time. What
    one core makes and another needs goes through it, as far as the buffer holds it, instead of
    through DRAM."""

    bytes_per_second: int
    buffer_bytes: int
    latency_cycles: int = 0
    """Once per transfer, on the channel of the core, besides the channel's set-up."""


@dataclass(frozen=True)
class System:
    """Cores with shared memories. Every core is an accelerator of one core (``cores`` = 1); the
    constructor raises AccelsimError (A150) for cores that cannot share what they have to."""

    name: str
    cores: tuple[Accelerator, ...]
    link: Link | None = None
    sync_cycles: int = 0
    """From the end of the last transfer of a core's result to the first start of a transfer of it
    on another core: the cost of telling each other."""

    def __post_init__(self) -> None:
        wrong = [Mistake("A150", message, hint) for message, hint in _objections(self)]
        if wrong:
            raise AccelsimError(wrong)

    @property
    def shared(self) -> Accelerator:
        """A core that stands for what all have in common: clock and backing memories."""
        return self.cores[0]

    @property
    def pes(self) -> int:
        """Multiply-accumulate units of all cores."""
        return sum(core.array.rows * core.array.cols for core in self.cores)

    @property
    def homogeneous(self) -> bool:
        """Whether all cores are equal (but for their names)."""
        first = self.cores[0]
        return all(replace(core, name=first.name) == first for core in self.cores)

    @property
    def link_bytes_per_cycle(self) -> Fraction:
        """Exact bandwidth of the link in bytes per cycle; 0 without a link."""
        if self.link is None:
            return Fraction(0)
        return Fraction(self.link.bytes_per_second, self.shared.clock_hz)


def system_of(
    accelerator: Accelerator, *, link: Link | None = None, sync_cycles: int = 0
) -> System:
    """The system that ``Accelerator.cores`` means: so many equal cores."""
    core = replace(accelerator, cores=1)
    return System(accelerator.name, (core,) * accelerator.cores, link, sync_cycles)


def _objections(system: System) -> list[tuple[str, str]]:
    """(reason, remedy) of everything that keeps cores from being a system."""
    cores = system.cores
    if not 1 <= len(cores) <= MOST_CORES:
        return [(f"a system of {len(cores)} cores", f"1 to {MOST_CORES} cores")]
    found = [
        (f"core {number} ('{core.name}') is itself {core.cores} cores", "cores: 1, or list them")
        for number, core in enumerate(cores)
        if core.cores != 1
    ]
    for what, values in (
        ("clock", [core.clock_hz for core in cores]),
        ("dram", [core.dram for core in cores]),
        ("weight_memory", [core.weight_memory for core in cores]),
    ):
        strangers = [str(number) for number, value in enumerate(values) if value != values[0]]
        if strangers:
            message = f"{what} of core {', '.join(strangers)} differs from that of core 0"
            found.append((message, f"cores share {what}: state the same for all"))
    leveled = [str(number) for number, core in enumerate(cores) if core.levels]
    if leveled:
        message = f"core {', '.join(leveled)} has memory levels, which no core of a system can have"
        found.append((message, "an accelerator of one core, or cores without levels"))
    found += _link_objections(system)
    if system.sync_cycles < 0:
        found.append((f"sync_cycles is {system.sync_cycles}", "0 for none"))
    return found


def _link_objections(system: System) -> Sequence[tuple[str, str]]:
    link = system.link
    if link is None:
        return ()
    limits = (("bytes_per_second", 1), ("buffer_bytes", 1), ("latency_cycles", 0))
    return [
        (f"{name} of the link is {getattr(link, name)}", f"at least {least}")
        for name, least in limits
        if getattr(link, name) < least
    ]
