"""CP-SAT (OR-Tools): the engine for free orders. One worker, deterministic time, fixed seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from ortools.sat.python import cp_model

from ilp.model import Model, Solution

_WALL_SECONDS_PER_EFFORT = 20.0
_WALL_SECONDS_LEAST = 120.0


def deterministic_solver(effort: float, seed: int) -> Any:
    """A ``CpSolver`` whose result depends on nothing but its input, ``effort`` and ``seed``.

    ``effort`` is deterministic time in seconds. The wall clock is a far-away safety net.
    """
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = seed
    # Its own handler would leave SIGINT at the default action, which kills without a word.
    solver.parameters.catch_sigint_signal = False
    solver.parameters.max_deterministic_time = max(effort, 0.0)
    solver.parameters.max_time_in_seconds = _WALL_SECONDS_LEAST + _WALL_SECONDS_PER_EFFORT * effort
    return solver


def wall_clock_note(solver: Any, status: int, effort: float) -> tuple[str, ...]:
    """A note when the wall clock, and not the deterministic limit, stopped the search."""
    stopped = status in (cp_model.FEASIBLE, cp_model.UNKNOWN)
    if stopped and solver.deterministic_time < 0.95 * effort and solver.wall_time > 100.0:
        return ("cpsat: stopped by the wall clock; another run may find another plan",)
    return ()


@dataclass(frozen=True)
class _Style:
    """One way to search, and the share of the effort it gets."""

    share: float
    settings: dict[str, int | bool]


_DEFAULT: dict[str, int | bool] = {}
_RELAXED: dict[str, int | bool] = {"linearization_level": 2}
_MIXED: dict[str, int | bool] = {"num_workers": 4, "interleave_search": True}
# Measured: with narrow windows (modes dominate) the full relaxation closes in 0.2 s what the
# default does not in 40 s; with wide windows (the order dominates) it is the other way round.
_NARROW = (_Style(0.2, _RELAXED), _Style(0.3, _DEFAULT), _Style(0.5, _MIXED))
_WIDE = (_Style(0.4, _DEFAULT), _Style(0.5, _MIXED), _Style(0.1, _RELAXED))


def solve(model: Model, effort: float, seed: int) -> Solution:
    """Solve ``model`` within ``effort`` deterministic seconds.

    Several search styles run in turn; each starts from the best solution and bound so far.
    """
    best = Solution("unknown")
    hint = model.hint
    notes: tuple[str, ...] = ()
    for style in _NARROW if model.narrow else _WIDE:
        answer = _attempt(model, hint, best.bound, style, effort * style.share, seed)
        notes += answer.notes
        if answer.status in ("optimal", "infeasible"):
            return replace(answer, notes=notes)
        best = _merged(model, best, answer)
        if best.values:
            hint = dict(enumerate(best.values))
            if best.bound is not None and model.value(best.values) <= best.bound:
                return replace(best, status="optimal", notes=notes)
    return replace(best, notes=notes)


def _merged(model: Model, old: Solution, new: Solution) -> Solution:
    """The cheaper values and the better bound of two answers."""
    values = old.values
    if new.values and (not values or model.value(new.values) < model.value(values)):
        values = new.values
    bounds = [bound for bound in (old.bound, new.bound) if bound is not None]
    return Solution("feasible" if values else "unknown", values, max(bounds, default=None))


def _attempt(
    model: Model,
    hint: Mapping[int, int],
    bound: int | None,
    style: _Style,
    effort: float,
    seed: int,
) -> Solution:
    program = cp_model.CpModel()
    variables = [program.new_bool_var(name) for name in model.names]
    for row in model.rows:
        total = cp_model.LinearExpr.weighted_sum(
            [variables[v] for _, v in row.terms], [c for c, _ in row.terms]
        )
        low = cp_model.INT_MIN if row.lower is None else row.lower
        high = cp_model.INT_MAX if row.upper is None else row.upper
        program.add_linear_constraint(total, low, high)
    unit = model.cost_unit
    objective = cp_model.LinearExpr.weighted_sum(
        [variables[v] for v in model.cost], [c // unit for c in model.cost.values()]
    )
    if bound is not None and bound > model.constant:
        program.add(objective >= (bound - model.constant) // unit)
    program.minimize(objective)
    for variable, value in hint.items():
        program.add_hint(variables[variable], value)
    solver = deterministic_solver(effort, seed)
    for name, value in style.settings.items():
        setattr(solver.parameters, name, value)
    return _answer(model, program, solver, variables, effort)


def _answer(
    model: Model, program: Any, solver: Any, variables: Sequence[Any], effort: float
) -> Solution:
    status = solver.solve(program)
    if status == cp_model.MODEL_INVALID:
        raise AssertionError(f"invalid program: {program.validate()}")
    notes = wall_clock_note(solver, status, effort)
    if status == cp_model.INFEASIBLE:
        return Solution("infeasible", notes=notes)
    bound = model.constant + model.cost_unit * _ceiling(solver.best_objective_bound)
    if status == cp_model.UNKNOWN:
        return Solution("unknown", bound=bound, notes=notes)
    values = tuple(int(solver.value(variable)) for variable in variables)
    return Solution("optimal" if status == cp_model.OPTIMAL else "feasible", values, bound, notes)


def _ceiling(bound: float) -> int:
    """The next integer: the objective is integral, the bound is reported as a float."""
    return ceil(bound - 1e-6)
