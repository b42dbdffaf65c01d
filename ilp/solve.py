"""Hands a program to the solver of that name."""

from __future__ import annotations

from importlib import import_module

from accelsim.errors import AccelsimError, Mistake, suggest
from ilp.model import Model, Solution

BACKENDS = {
    "cpsat": "ilp.backends.cpsat",
    "cbc": "ilp.backends.cbc",
    "highs": "ilp.backends.highs",
}
"""Name -> module with ``solve(model, effort, seed) -> Solution``."""


def require_solver(solver: str) -> None:
    """Raise :class:`AccelsimError` (``S400``) unless ``solver`` names a backend."""
    if solver not in BACKENDS:
        hint = suggest(solver, tuple(BACKENDS))
        raise AccelsimError(Mistake("S400", f"unknown solver {solver!r}", hint))


def solve(model: Model, solver: str, effort: float, seed: int) -> Solution:
    """Minimise ``model`` with the backend ``solver``.

    ``effort`` is CP-SAT's deterministic seconds; for cbc and highs it is a limit of 1000 nodes per
    unit. A limit never makes a program ``infeasible``: it ends ``feasible`` or ``unknown``.
    """
    require_solver(solver)
    answer: Solution = import_module(BACKENDS[solver]).solve(model, effort, seed)
    if answer.values and not model.holds(answer.values):
        raise AssertionError(f"{solver} returned values that violate the program")
    return answer
