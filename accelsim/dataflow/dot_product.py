"""Dot-product array: every unit multiplies a group of input channels with the weights of one output
channel and adds the products up in a tree; operands reach all units at once, nothing is skewed.

NVDLA's convolution core and the Ethos-U are built so. ``rows`` input channels (lanes) enter per
cycle; ``cols`` units work side by side. ``positions`` (vertical, horizontal) of them see different
output positions with the same weights, the others different output channels:

- NVDLA (nvdla.org, "Unit description", convolution pipeline): one position, ``atomic-C`` lanes,
  ``atomic-K`` units;
- Ethos-U55 (Vela 5.2.0, ``architecture_features.py``): 8 lanes; a microblock of 1 x 1, 1 x 1, 1 x 2
  or 2 x 2 positions and 4, 8, 8 or 8 output channels for 32, 64, 128 and 256 MACs per cycle.

Weights come in sets that serve all positions of a tile before the next set takes over. A set holds
the weights of ``burst`` cycles: as many groups of lanes of one kernel tap, or one group of as many
taps, whichever needs fewer sets. The next set loads meanwhile, which takes ``set_cycles``; if the
tile has fewer positions than that, the units wait. A depthwise convolution has no channels to add
up: each unit then works on its own channel with one lane, taps one after the other.

A product register, one register per level of the tree and an accumulator (assumed; neither source
gives the depth) make :func:`latency`, which a sequence of tiles pays once. The closed forms equal
tests/accelsim/dataflow/dot_model.py, which steps these registers cycle by cycle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from accelsim.dataflow.counts import Moves, ceil_div
from accelsim.errors import AccelsimError, Mistake

OVERLAPS = ("full",)
"""The next set of weights always loads behind the current one."""


@dataclass(frozen=True)
class DotArray:
    """The units and how weights reach them; AccelsimError (M333) for one that cannot be."""

    rows: int
    """Input channels of a dot product."""
    cols: int
    """Units."""
    positions: tuple[int, int] = (1, 1)
    """Output rows and columns that the units cover at once."""
    burst: int = 1
    """Cycles of work on one group of positions that a set of weights holds."""
    set_cycles: int = 1
    """Cycles from one set of weights to the next, at least."""
    depthwise: bool = True
    """Units can work on a channel each; else a depthwise convolution is one product per channel."""

    def __post_init__(self) -> None:
        counts = (self.rows, self.cols, *self.positions, self.burst, self.set_cycles)
        if not all(isinstance(v, int) and not isinstance(v, bool) and v >= 1 for v in counts):
            raise AccelsimError(
                Mistake("M333", f"a dot-product array of {counts}: at least 1 each")
            )
        if self.cols % (self.positions[0] * self.positions[1]):
            message = f"{self.cols} units do not divide into {self.positions} positions"
            raise AccelsimError(Mistake("M333", message))

    @property
    def channels(self) -> int:
        """Output channels at once."""
        return self.cols // (self.positions[0] * self.positions[1])


@dataclass(frozen=True)
class DotTile:
    """A convolution (or a part of it): ``groups`` products of channels x taps with filters."""

    height: int
    """Output rows; likewise columns."""
    width: int
    filters: int
    """Of one group; likewise channels."""
    channels: int
    taps: int = 1
    """Kernel positions."""
    groups: int = 1

    def alone(self, array: DotArray) -> bool:
        """Whether every unit works on a channel of its own: groups of one input channel."""
        return array.depthwise and self.channels == 1 and self.groups > 1


def latency(rows: int) -> int:
    """Cycles from operands at the inputs to their sum in an accumulator, both included: a product
    register, log2(lanes) levels of the tree, the accumulator."""
    return 2 + (rows - 1).bit_length()


def sets(tile: DotTile, array: DotArray) -> int:
    """Sets of weights that one block of output channels needs: the better of deep and tap order."""
    if tile.alone(array):
        return ceil_div(tile.taps, array.burst)
    deep = tile.taps * ceil_div(tile.channels, array.rows * array.burst)
    by_taps = ceil_div(tile.taps, array.burst) * ceil_div(tile.channels, array.rows)
    return min(deep, by_taps)


def blocks(tile: DotTile, array: DotArray) -> int:
    """Blocks of output channels, all groups together: groups share no units, except those of a
    depthwise convolution."""
    if tile.alone(array):
        return ceil_div(tile.groups * tile.filters, array.channels)
    return tile.groups * ceil_div(tile.filters, array.channels)


def spots(tile: DotTile, array: DotArray) -> int:
    """Groups of output positions that the units work through."""
    return ceil_div(tile.height, array.positions[0]) * ceil_div(tile.width, array.positions[1])


def conv_cycles(tile: DotTile, array: DotArray) -> int:
    """Cycles of a tile, first operand at an input to last sum in its accumulator.

    Each set of weights lasts max(burst x groups of positions, ``set_cycles``), the last one only as
    long as it works, a set that is not full as long as a full one; the pipeline empties once. The
    first set is there at the start.
    """
    work = array.burst * spots(tile, array)
    period = max(work, array.set_cycles)
    return (blocks(tile, array) * sets(tile, array) - 1) * period + work + latency(array.rows)


def conv_moves(tile: DotTile, array: DotArray) -> Moves:
    """Elements at the array's edges for a tile: each input once per block of output channels and
    tap, each weight once, partial sums once per set."""
    outputs = tile.height * tile.width * tile.filters * tile.groups
    inputs = tile.height * tile.width * tile.taps * tile.channels
    repeats = blocks(tile, array) if not tile.alone(array) else tile.groups * tile.filters
    rounds = sets(tile, array)
    return Moves(
        a=inputs * repeats,
        b=tile.filters * tile.channels * tile.taps * tile.groups,
        sums_written=outputs * rounds,
        sums_read=outputs * (rounds - 1),
    )


def folds(m: int, n: int, k: int, rows: int, cols: int) -> int:
    """Sets of weights of a plain product: ceil(K / R) ceil(N / C)."""
    return ceil_div(k, rows) * ceil_div(n, cols)


def columns(m: int, n: int, k: int) -> int:
    """Extent of the dimension laid over the units."""
    return n


def column_repeats(m: int, n: int, k: int, rows: int) -> int:
    """How many folds share one block of output channels."""
    return ceil_div(k, rows)


def tile_cycles(m: int, n: int, k: int, rows: int, cols: int) -> int:
    """One fold of a plain product alone: its M positions and the way through the pipeline."""
    return m + latency(rows)


def scalesim_tile_cycles(m: int, n: int, k: int, rows: int, cols: int) -> int:
    """SCALE-Sim has no such array: AccelsimError (M313)."""
    raise AccelsimError(
        Mistake("M313", "SCALE-Sim's convention has no dataflow 'dot'", "use convention='rtl'")
    )


def period_cycles(m: int, n: int, k: int, rows: int, cols: int, overlap: str) -> int:
    """Smallest distance between the starts of two folds."""
    return m


def moves(m: int, n: int, k: int, rows: int, cols: int) -> Moves:
    """Elements at the array's edges for one plain product."""
    return conv_moves(DotTile(1, m, n, k), DotArray(rows, cols))


def registers(operand: int, weight: int, accumulator: int, overlap: str) -> Mapping[str, int]:
    """Flip-flops per multiplier: its weight and the next one, the operand (broadcast to all
    positions, counted at each), and the product. The tree has about as many adders as a unit has
    multipliers; their registers are counted with the accumulator's width. Accumulators are SRAM."""
    product = operand + weight
    return {"weights": 2 * weight, "operand": operand, "product": product, "sum": accumulator}


def register_bits(operand: int, weight: int, accumulator: int, overlap: str) -> int:
    """Flip-flops per multiplier."""
    return sum(registers(operand, weight, accumulator, overlap).values())
