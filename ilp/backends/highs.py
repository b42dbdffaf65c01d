"""HiGHS through ``scipy.optimize.milp``: branch and cut with a node limit."""

from __future__ import annotations

from math import ceil, inf

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from ilp.model import Model, Solution

_NODES_PER_EFFORT = 1000
_WALL_SECONDS_LEAST = 120.0
_WALL_SECONDS_PER_EFFORT = 20.0


def solve(model: Model, effort: float, seed: int) -> Solution:
    """Solve ``model`` within 1000 nodes per unit of ``effort``; ``seed`` has no effect here."""
    count = len(model.names)
    if not count:
        return Solution("optimal", (), model.constant)
    unit = model.cost_unit
    cost = np.zeros(count)
    for variable, coefficient in model.cost.items():
        cost[variable] = coefficient // unit
    result = milp(
        cost,
        integrality=np.array([int(flag) for flag in model.integral]),
        bounds=Bounds(0.0, 1.0),
        constraints=_rows(model),
        options={
            "disp": False,
            "mip_rel_gap": 0.0,
            "node_limit": max(1, round(effort * _NODES_PER_EFFORT)),
            "time_limit": _WALL_SECONDS_LEAST + _WALL_SECONDS_PER_EFFORT * effort,
        },
    )
    if result.status == 2:
        return Solution("infeasible")
    notes = () if result.status == 0 else (f"highs: {result.message}",)
    bound = model.constant
    if result.mip_dual_bound is not None and -inf < result.mip_dual_bound < inf:
        bound += unit * ceil(result.mip_dual_bound - 1e-6)
    if result.x is None:
        return Solution("unknown", bound=bound, notes=notes)
    values = tuple(round(float(value)) for value in result.x)
    if not model.holds(values):
        note = "highs: the solution violates the program beyond tolerance and was dropped"
        return Solution("unknown", bound=bound, notes=(*notes, note))
    optimal = result.status == 0 and model.value(values) <= bound
    return Solution("optimal" if optimal else "feasible", values, bound, notes)


def _rows(model: Model) -> LinearConstraint:
    data: list[float] = []
    columns: list[int] = []
    starts = [0]
    for row in model.rows:
        data += [float(coefficient) for coefficient, _ in row.terms]
        columns += [variable for _, variable in row.terms]
        starts.append(len(data))
    matrix = csr_array(
        (np.array(data), np.array(columns, dtype=np.int32), np.array(starts, dtype=np.int32)),
        shape=(len(model.rows), len(model.names)),
    )
    lower = np.array([-inf if row.lower is None else row.lower for row in model.rows])
    upper = np.array([inf if row.upper is None else row.upper for row in model.rows])
    return LinearConstraint(matrix, lower, upper)
