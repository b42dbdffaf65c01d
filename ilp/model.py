"""A solver-neutral 0/1 program: variables, linear rows, one objective to minimise.

Every variable lies in [0, 1] and every number is an integer, so that a solution can be verified
exactly, whatever tolerances a solver works with.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import gcd

Term = tuple[int, int]
"""(coefficient, variable)."""


@dataclass(frozen=True)
class Row:
    """``lower <= sum of coefficient * variable <= upper``; ``None`` leaves a side open."""

    terms: tuple[Term, ...]
    lower: int | None
    upper: int | None


@dataclass
class Model:
    """Variables are numbered from 0 in the order of their creation."""

    names: list[str] = field(default_factory=list)
    integral: list[bool] = field(default_factory=list)
    """False: the variable is 0 or 1 by itself once the others are."""
    rows: list[Row] = field(default_factory=list)
    cost: dict[int, int] = field(default_factory=dict)
    """Variable -> coefficient in the objective."""
    constant: int = 0
    narrow: bool = False
    """A remark for solvers: most variables choose modes, few choose the order."""
    hint: dict[int, int] = field(default_factory=dict)
    """Values of a known solution, for solvers that can start from one."""

    def variable(self, name: str, *, integral: bool = True) -> int:
        """Add a 0/1 variable and return its number."""
        self.names.append(name)
        self.integral.append(integral)
        return len(self.names) - 1

    def add(
        self, terms: Iterable[Term], *, lower: int | None = None, upper: int | None = None
    ) -> None:
        """Add a row. Terms of one variable are summed; rows that always hold are left out."""
        merged: dict[int, int] = {}
        for coefficient, variable in terms:
            merged[variable] = merged.get(variable, 0) + coefficient
        kept = tuple((c, v) for v, c in merged.items() if c)
        low = sum(c for c, _ in kept if c < 0)
        high = sum(c for c, _ in kept if c > 0)
        if (lower is None or low >= lower) and (upper is None or high <= upper):
            return
        self.rows.append(Row(kept, lower, upper))

    def charge(self, coefficient: int, variable: int) -> None:
        """Add ``coefficient * variable`` to the objective."""
        self.cost[variable] = self.cost.get(variable, 0) + coefficient

    @property
    def cost_unit(self) -> int:
        """Greatest common divisor of the objective's coefficients (1 when there are none)."""
        return gcd(*self.cost.values()) or 1

    def value(self, values: Sequence[int]) -> int:
        """The objective at ``values``."""
        return self.constant + sum(c * values[v] for v, c in self.cost.items())

    def holds(self, values: Sequence[int]) -> bool:
        """Whether 0/1 ``values`` satisfy every row exactly."""
        for row in self.rows:
            total = sum(c * values[v] for c, v in row.terms)
            if row.lower is not None and total < row.lower:
                return False
            if row.upper is not None and total > row.upper:
                return False
        return all(value in (0, 1) for value in values)


@dataclass(frozen=True)
class Solution:
    """What a backend returns.

    ``status``: ``optimal``, ``feasible``, ``infeasible`` (proved) or ``unknown``.
    """

    status: str
    values: tuple[int, ...] = ()
    bound: int | None = None
    """Proved lower bound of the objective."""
    notes: tuple[str, ...] = ()
