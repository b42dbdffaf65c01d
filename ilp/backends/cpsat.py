"""CP-SAT (OR-Tools): the engine for free orders. One worker, deterministic time, fixed seed."""

from __future__ import annotations

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
    solver.parameters.max_deterministic_time = max(effort, 0.0)
    solver.parameters.max_time_in_seconds = _WALL_SECONDS_LEAST + _WALL_SECONDS_PER_EFFORT * effort
    return solver


def wall_clock_note(solver: Any, status: int, effort: float) -> tuple[str, ...]:
    """A note when the wall clock, and not the deterministic limit, stopped the search."""
    stopped = status in (cp_model.FEASIBLE, cp_model.UNKNOWN)
    if stopped and solver.deterministic_time < 0.95 * effort and solver.wall_time > 100.0:
        return ("cpsat: stopped by the wall clock; another run may find another plan",)
    return ()


def solve(model: Model, effort: float, seed: int) -> Solution:
    """Solve ``model`` within ``effort`` deterministic seconds."""
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
    program.minimize(
        cp_model.LinearExpr.weighted_sum(
            [variables[v] for v in model.cost], [c // unit for c in model.cost.values()]
        )
    )
    for variable, value in model.hint.items():
        program.add_hint(variables[variable], value)
    solver = deterministic_solver(effort, seed)
    status = solver.solve(program)
    notes = wall_clock_note(solver, status, effort)
    if status == cp_model.MODEL_INVALID:
        raise AssertionError(f"invalid program: {program.validate()}")
    if status == cp_model.INFEASIBLE:
        return Solution("infeasible", notes=notes)
    bound = model.constant + unit * _ceiling(solver.best_objective_bound)
    if status == cp_model.UNKNOWN:
        return Solution("unknown", bound=bound, notes=notes)
    values = tuple(int(solver.value(variable)) for variable in variables)
    return Solution("optimal" if status == cp_model.OPTIMAL else "feasible", values, bound, notes)


def _ceiling(bound: float) -> int:
    """The next integer: the objective is integral, the bound is reported as a float."""
    return int(-(-(bound - 1e-6) // 1))
