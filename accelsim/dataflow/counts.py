"""What the dataflow files share: counts of moved elements and integer division."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Moves:
    """Elements that cross the array's edges while it computes one product C[m, n]."""

    a: int
    """Elements of A read from the scratchpad."""
    b: int
    """Elements of B read from the scratchpad."""
    sums_written: int
    """Partial or final sums written to the accumulator SRAM."""
    sums_read: int
    """Partial sums read back to be added to."""


def is_count(value: object) -> bool:
    """Whether it is a whole number (of Python or NumPy, no truth value) of at least 1."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return whole and bool(value >= 1)  # type: ignore[operator]


def ceil_div(a: int, b: int) -> int:
    """a / b rounded up, for b > 0."""
    return -(-a // b)
