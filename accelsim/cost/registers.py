"""What the registers of an array do for a product: bits that take a new value, bits that cross from
PE to PE. Both follow from totals that a simulation has anyway.

A register counts when it takes a word of the product; PEs that a fold leaves idle take none,
except where words pass through them. R rows; h = MACs / sums: rows that a weight-stationary fold
uses on average.

- ws: per MAC the streamed operand; per sum leaving the array R partial sums (it passes every row);
  per weight (h + 1) / 2 shifts on the way to its row (``column``: R^2 / h, the whole column
  shifts), and one copy where there is a shadow register. is: the same with the operands exchanged;
- os: per MAC both operands and the sum; per sum (R + 1) / 2 shifts out through drain registers
  (``column``: R), (R - 1) / 2 without them; counted for tiles that use all rows;
- sparse weights: as above, with blocks of M operands and weights with their index;
- rs: per MAC an access to the register file for both operands, and two for the sum;
- dot: per MAC both operands, per sum of R products one accumulation.

Words entering at the edge count as one hop. rs and dot have no hops here: their buses are not
modelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from accelsim.arch.parts import PeSpads, SystolicArray
from accelsim.dataflow import DATAFLOWS, sparse

SHADOWED = ("full", "column")
"""Overlaps with a second register: shadow weight (ws, is) or drain (os)."""


@dataclass(frozen=True)
class RegisterActivity:
    """Bits over a whole product or network."""

    written_bits: int
    """Register bits that take a new value."""
    hop_bits: int
    """Bits among them that come from a neighbour or from the edge."""


def pe_register_bits(array: SystolicArray) -> int:
    """Flip-flops of one PE; of a row-stationary PE the words of its register files. An array of
    several dataflows has what they need together, whichever it runs."""
    if array.dataflow == "rs":
        spads = array.spads or PeSpads()
        words = spads.ifmap_words * array.operand_bits + spads.filter_words * array.weight_bits
        return words + spads.psum_words * array.accumulator_bits
    widths = array.operand_bits, array.weight_bits, array.accumulator_bits, array.overlap
    if array.sparsity is not None:
        return sparse.register_bits(*widths, array.sparsity, array.dataflow)
    return sum(_places(array).values())


def _places(array: SystolicArray) -> dict[str, int]:
    """The registers that the dataflows of an array need together: one per place, as wide as the
    widest of them needs it. The mesh of Gemmini has one pair of ping-pong registers in place of
    shadow and drain."""
    found: dict[str, int] = {}
    for name in array.dataflows:
        needed = DATAFLOWS[name].registers(
            array.operand_bits, array.weight_bits, array.accumulator_bits, array.overlap
        )
        for place, bits in needed.items():
            second = array.microarchitecture == "gemmini" and place in ("shadow", "drain")
            place = "second" if second else place
            found[place] = max(found.get(place, 0), bits)
    return found


def clocked_bits(array: SystolicArray) -> int:
    """Flip-flops of one PE that the clock reaches: register files are not, their operands are."""
    if array.dataflow == "rs":
        return array.operand_bits + array.weight_bits + array.accumulator_bits
    return pe_register_bits(array)


def register_activity(
    array: SystolicArray, *, macs: int, sums: int, stationary: int = 0
) -> RegisterActivity:
    """Register bits written and hopped.

    Args:
        array: its (one) dataflow, overlap, rows and widths decide.
        macs: multiply-accumulates.
        sums: sums that leave the array, partial ones of K-folds included
            (``Moves.sums_written``).
        stationary: operands loaded into registers that hold them (ws: weights, is: inputs;
            ``Moves.b`` and ``Moves.a``); others ignore it.
    """
    a, w, c = array.operand_bits, array.weight_bits, array.accumulator_bits
    if array.sparsity is not None:  # a block of operands passes, weights come with an index
        a, w = a * array.sparsity[1], w + sparse.index_bits(array.sparsity)
    if array.dataflow == "os":
        return _output_stationary(array, macs, sums)
    if array.dataflow == "ws":
        return _stationary(array, macs, sums, stationary, streamed=a, held=w)
    if array.dataflow == "is":
        return _stationary(array, macs, sums, stationary, streamed=w, held=a)
    if array.dataflow == "rs":
        return RegisterActivity(macs * (a + w + 2 * c), 0)
    return RegisterActivity(macs * (a + w) + -(-macs // array.rows) * c, 0)


def _output_stationary(array: SystolicArray, macs: int, sums: int) -> RegisterActivity:
    a, w, c, rows = array.operand_bits, array.weight_bits, array.accumulator_bits, array.rows
    passing = macs * (a + w)
    shadowed = array.overlap in SHADOWED
    shifts = Fraction(rows + 1 if shadowed else rows - 1, 2)
    if array.overlap == "column":
        shifts = Fraction(rows)
    drained = _up(sums * shifts) * c
    copied = sums * c if shadowed else 0
    return RegisterActivity(passing + macs * c + drained, passing + drained - copied)


def _stationary(
    array: SystolicArray, macs: int, sums: int, stationary: int, *, streamed: int, held: int
) -> RegisterActivity:
    rows, c = array.rows, array.accumulator_bits
    used = min(Fraction(macs, sums), Fraction(rows)) if sums and macs else Fraction(rows)
    depth = rows * rows / used if array.overlap == "column" else (used + 1) / 2
    loaded = _up(stationary * depth) * held
    copied = stationary * held if array.overlap in SHADOWED else 0
    moved = macs * streamed + sums * rows * c + loaded
    return RegisterActivity(moved + copied, moved)


def _up(value: Fraction) -> int:
    """Whole shifts: the closed forms average over a fold."""
    return -(-value.numerator // value.denominator)
