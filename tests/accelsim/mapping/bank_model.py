"""A banked scratchpad stepped cycle by cycle, and a walk over every vector that an array fetches.

Independent of accelsim.mapping.slots and bank_conflicts: nothing is imported from there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

SHARED = {1: ("array", "vector", "array", "dma"), 2: ("vector", "dma")}


@dataclass(frozen=True)
class Arbiter:
    """Fixed time slots: who may use which bank depends on the cycle alone."""

    banks: int
    bank_ports: int

    def grants(self, cycle: int, bank: int) -> list[str]:
        """The users of a bank's ports in a cycle."""
        turns = SHARED[self.bank_ports]
        own = ["array"] if self.bank_ports == 2 else []
        return [*own, turns[(cycle - bank) % len(turns)]]

    def stream(self, user: str, first: int, lines: int, start: int) -> int:
        """Cycles in which ``user`` moves consecutive lines, one per cycle, from ``start`` on."""
        cycle = start
        for line in range(first, first + lines):
            while user not in self.grants(cycle, line % self.banks):
                cycle += 1
            cycle += 1
        return cycle - start

    def gather(self, vectors: Iterable[Iterable[int]], start: int) -> int:
        """Cycles in which the array gets the lines of one vector after the other, of each vector
        as many at once as its banks have ports for it."""
        cycle = start
        for lines in vectors:
            left = Counter(line % self.banks for line in lines)
            while left:
                for bank in list(left):
                    left[bank] -= self.grants(cycle, bank).count("array")
                    if left[bank] <= 0:
                        del left[bank]
                cycle += 1
        return cycle - start


@dataclass(frozen=True)
class Map:
    """A feature map (one image) in a buffer from ``base`` on."""

    base: int
    channels: int
    height: int
    width: int
    layout: str
    element: int = 1

    def at(self, channel: int, y: int, x: int) -> int:
        """First byte of an element; positions in the padding have one as well."""
        if self.layout == "nhwc":
            place = (y * self.width + x) * self.channels + channel
        else:
            place = (channel * self.height + y) * self.width + x
        return self.base + place * self.element


@dataclass(frozen=True)
class Conv:
    """What a tile computes, without padding."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    out_width: int


def vectors(
    where: Map,
    conv: Conv,
    pixels: Sequence[int],
    reductions: Sequence[int],
    first_channel: int,
    dataflow: str,
    across: int,
) -> Iterator[list[int]]:
    """Byte addresses of every vector that the array asks for, fold by fold.

    ``pixels``: output pixels of the tile, counted in the map; ``reductions``: those of the tile,
    channel x kernel + position, of channels that are counted from ``first_channel`` on in the map.
    """
    taps = conv.kernel[0] * conv.kernel[1]
    order = sorted(reductions, key=lambda k: (k % taps, k // taps))
    if where.layout == "nchw":
        order = sorted(reductions)

    def address(pixel: int, k: int) -> int:
        (row, column), (y, x) = divmod(pixel, conv.out_width), divmod(k % taps, conv.kernel[1])
        return where.at(
            k // taps - first_channel,
            row * conv.stride[0] + y * conv.dilation[0],
            column * conv.stride[1] + x * conv.dilation[1],
        )

    if dataflow == "ws":
        for fold in range(0, len(order), across):
            for pixel in pixels:
                yield [address(pixel, k) for k in order[fold : fold + across]]
    else:
        for fold in range(0, len(pixels), across):
            for k in order:
                yield [address(pixel, k) for pixel in pixels[fold : fold + across]]


def lines_of(addresses: Iterable[int], element: int, line: int) -> set[int]:
    """Lines that hold the elements."""
    return {(at + byte) // line for at in addresses for byte in range(element)}


def rounds(found: Iterable[list[int]], element: int, line: int, banks: int) -> int:
    """Lines of the bank that has most of them, added up over all vectors."""
    total = 0
    for addresses in found:
        lines = np.array(sorted(lines_of(addresses, element, line)))
        total += int(np.bincount(lines % banks).max())
    return total
