"""Cycles that bytes take at exact rates, one size or many at once."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from accelsim.mapping.slots import Share

Ints = NDArray[np.int64]


def ceil_of(value: Fraction) -> int:
    """The least whole number that is not below a value."""
    return -(-value.numerator // value.denominator)


def cycles_at(size: int, rate: Fraction) -> int:
    """Cycles that ``size`` bytes take at ``rate`` bytes per cycle."""
    return -(-size * rate.denominator // rate.numerator)


def run_cycles(size: int, share: Share) -> int:
    """Cycles of ``size`` consecutive bytes of a scratchpad, with the wait for their first slot."""
    return cycles_at(size, share.rate) + share.wait if size else 0


def many_at(sizes: Ints, rate: Fraction) -> Ints:
    """The same of many sizes."""
    return -(-sizes * rate.denominator // rate.numerator)
