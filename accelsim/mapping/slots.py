"""What each user of a scratchpad may count on: fixed time slots of its ports, or of its banks.

Without ``bank_ports`` a scratchpad has ``ports`` as a whole. With it, lines of ``width_bytes`` lie
in the banks in turn (line address mod banks), and every bank has ports of its own:

- two ports: one is the array's, the other alternates between vector unit and DMA;
- one port: it goes to array, vector unit, array, DMA in turn.

The slots of a bank are those of the bank before it, one cycle later, so whoever reads consecutive
lines and got its first one gets a line per cycle until the banks are through. No slot depends on
what others do, so no arbiter is needed and the figures below are guarantees.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from accelsim.arch.parts import Scratchpad
from accelsim.dataflow.counts import ceil_div

ONE_PORT = ("array", "vector", "array", "dma")
"""Whose slot it is at (cycle - bank) mod 4."""
SHARED_PORT = ("vector", "dma")
"""The same of the second of two ports, mod 2; the first is the array's."""


@dataclass(frozen=True)
class Share:
    """The part of a scratchpad that one user may count on."""

    rate: Fraction
    """Bytes per cycle of consecutive lines."""
    wait: int = 0
    """Cycles that one run of lines takes longer at most, wherever and whenever it begins."""


def stream_share(memory: Scratchpad) -> Share:
    """Of the vector unit and of the DMA, each: one line per cycle at most.

    With one slot in ``turn`` cycles, the way from the last bank back to the first takes w = -banks
    mod turn cycles longer than from any bank to the next, so ``banks`` lines take banks + w cycles.
    A run waits at most turn - 1 cycles for its first line, and may pass that seam once more than
    its length alone says.
    """
    if memory.bank_ports is None:
        return Share(Fraction(memory.width_bytes * min(memory.ports, 3), 3))
    turn = len(ONE_PORT if memory.bank_ports == 1 else SHARED_PORT)
    rounds = ceil_div(memory.banks, turn) * turn
    rate = Fraction(memory.width_bytes * memory.banks, rounds)
    return Share(rate, turn - 1 + rounds - memory.banks)


def gather_cycles(memory: Scratchpad) -> int:
    """Cycles in which the array gets one line of every bank, whenever it asks: with one port per
    bank every other slot is its own."""
    return 1 if memory.bank_ports == 2 else 2


def array_share(memory: Scratchpad) -> Share:
    """Of the array, for consecutive lines: with banks, a line of each at once."""
    if memory.bank_ports is None:
        return stream_share(memory)
    cycles = gather_cycles(memory)
    return Share(Fraction(memory.width_bytes * memory.banks, cycles), cycles - 1)


def most_bytes(memory: Scratchpad) -> int:
    """Bytes per cycle that no user of a scratchpad exceeds."""
    if memory.bank_ports is None:
        return memory.width_bytes
    return ceil_div(memory.width_bytes * memory.banks, gather_cycles(memory))
