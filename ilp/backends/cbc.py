"""CBC through PuLP: the reference solver.

PuLP reports a search that CBC stopped without a solution as infeasible, so infeasibility is only
believed when CBC's own log says that it was proved.
"""

from __future__ import annotations

import re
import warnings
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory

import pulp

from ilp.model import Model, Solution

_NODES_PER_EFFORT = 1000
_WALL_SECONDS_LEAST = 120.0
_WALL_SECONDS_PER_EFFORT = 20.0
# "or unbounded" is a proof here: every variable lies in [0, 1].
_PROVED = re.compile(
    r"proven infeasible|problem is infeasible|problem was infeasible|infeasible or unbounded"
    r"|linear relaxation infeasible",
    re.IGNORECASE,
)
_STOPPED = re.compile(r"Stopped on|maximum (nodes|time)", re.IGNORECASE)
_BOUND = re.compile(r"^Lower bound:\s+(\S+)", re.MULTILINE)


def solve(model: Model, effort: float, seed: int) -> Solution:
    """Solve ``model`` within 1000 nodes per unit of ``effort``."""
    with warnings.catch_warnings():
        # PuLP 3 announces renamed classes of PuLP 4 at every use.
        warnings.simplefilter("ignore", DeprecationWarning)
        problem, variables = _build(model)
        log = _run(problem, effort, seed, warm=bool(model.hint))
    return _read(model, problem, variables, log)


def _build(model: Model) -> tuple[pulp.LpProblem, list[pulp.LpVariable]]:
    problem = pulp.LpProblem("schedule", pulp.LpMinimize)
    variables = [
        pulp.LpVariable(f"v{i}", 0, 1, pulp.LpInteger if whole else pulp.LpContinuous)
        for i, whole in enumerate(model.integral)
    ]
    unit = model.cost_unit
    problem += pulp.LpAffineExpression((variables[v], c // unit) for v, c in model.cost.items())
    for row in model.rows:
        total = pulp.LpAffineExpression((variables[v], c) for c, v in row.terms)
        if row.lower is not None and row.lower == row.upper:
            problem += total == row.lower
            continue
        if row.lower is not None:
            problem += total >= row.lower
        if row.upper is not None:
            problem += total <= row.upper
    for variable, value in model.hint.items():
        variables[variable].setInitialValue(value)
    return problem, variables


def _run(problem: pulp.LpProblem, effort: float, seed: int, *, warm: bool) -> str:
    """Run CBC on ``problem`` in a folder of its own and return its log."""
    with TemporaryDirectory() as folder:
        log = Path(folder) / "cbc.log"
        solver = pulp.PULP_CBC_CMD(
            msg=False,
            gapRel=0.0,
            gapAbs=0.0,
            maxNodes=max(1, round(effort * _NODES_PER_EFFORT)),
            timeLimit=_WALL_SECONDS_LEAST + _WALL_SECONDS_PER_EFFORT * effort,
            logPath=str(log),
            warmStart=warm,
            options=[f"randomCbcSeed {seed + 1}"],
        )
        solver.tmpDir = folder
        problem.solve(solver)
        return log.read_text(errors="replace") if log.exists() else ""


def _read(
    model: Model, problem: pulp.LpProblem, variables: list[pulp.LpVariable], log: str
) -> Solution:
    """Judge CBC's answer: by its log for what is proved, by the rows for the values."""
    stopped = _STOPPED.search(log) is not None
    notes = ("cbc: stopped at a limit",) if stopped else ()
    bound = model.constant
    reported = _BOUND.search(log)
    if reported:
        bound += model.cost_unit * max(0, ceil(float(reported.group(1)) - 1e-6))
    if problem.sol_status in (pulp.LpSolutionOptimal, pulp.LpSolutionIntegerFeasible):
        # Variables that no row or cost mentions never reach CBC.
        values = tuple(round(v.varValue or 0.0) for v in variables)
        if model.holds(values):
            if problem.sol_status == pulp.LpSolutionOptimal and not stopped:
                return Solution("optimal", values, model.value(values), notes)
            return Solution("feasible", values, bound, notes)
        note = "cbc: the solution violates the program beyond tolerance and was dropped"
        return Solution("unknown", bound=bound, notes=(*notes, note))
    if _PROVED.search(log) and not stopped:
        return Solution("infeasible", notes=notes)
    return Solution("unknown", bound=bound, notes=notes)
