"""The driver: cheap exits, the exact program, exact placement, and the checker at the end.

Phase 1 decides order, modes and residency by capacity alone; phase 2 places what phase 1 decided.
When that is impossible, the smallest window that cannot be placed is cut off and phase 1 repeats:
the cuts are sound, so the proof of optimality survives them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from accelsim.errors import AccelsimError, Mistake
from ilp.assemble import blocks_of, schedule_of
from ilp.bounds import cost_bound, default_peak, largest_demand
from ilp.check import check_schedule
from ilp.constraints import build_program
from ilp.cuts import forbid_window, give_hint, read_plan, smallest_clash
from ilp.diagnose import too_small_for_any, too_small_for_one
from ilp.facts import Facts, find_facts
from ilp.greedy import greedy_plan
from ilp.model import Solution
from ilp.packing import Packing, pack
from ilp.problem import Problem, Schedule
from ilp.residency import Plan
from ilp.solve import require_solver, solve
from ilp.validate import require_valid

_ROUNDS = 12
"""Cuts tried before the search gives up on proving anything."""
_PLACEMENT_EFFORT = 2.0
"""Deterministic seconds for one placement inside the search."""
_MAX_TERMS = 4_000_000
"""Programs with more coefficients than this are solved for one fixed order."""


def schedule(
    problem: Problem, *, solver: str = "cpsat", effort: float = 20.0, seed: int = 0
) -> Schedule:
    """Choose order, modes, residency, spills and addresses of least cost.

    ``solver`` is ``cpsat``, ``cbc`` or ``highs``. ``effort`` limits the search in deterministic
    seconds (cbc, highs: 1000 nodes each), so the same call gives the same schedule. A problem that
    cannot work is a result, not an error: status ``infeasible`` with the reason. Bad input raises
    :class:`accelsim.errors.AccelsimError`. The result has passed ``check_schedule``.
    """
    require_solver(solver)
    if not effort > 0 or not 0 <= seed < 2**31:
        message = f"effort {effort} or seed {seed} is out of range"
        raise AccelsimError(Mistake("S400", message, "effort > 0, 0 <= seed < 2**31"))
    require_valid(problem)
    facts = find_facts(problem)
    result = replace(
        _decide(facts, solver, effort, seed),
        m_r_bytes=largest_demand(facts)[0],
        default_peak_bytes=default_peak(facts),
    )
    check_schedule(problem, result)
    return result


@dataclass(frozen=True)
class _Candidate:
    """A plan with addresses."""

    plan: Plan
    packing: Packing
    maker: str


def _decide(facts: Facts, solver: str, effort: float, seed: int) -> Schedule:
    capacity = facts.problem.capacity
    demand, _ = largest_demand(facts)
    if demand > capacity:
        return Schedule("infeasible", infeasibility=too_small_for_one(facts), solver="bound")
    bound = cost_bound(facts)
    incumbent = _place(facts, greedy_plan(facts, capacity), "greedy")
    if incumbent is not None and incumbent.plan.cost <= bound:
        return _finish(facts, incumbent, bound, ())
    return _search(facts, incumbent, bound, solver, effort, seed)


def _place(facts: Facts, plan: Plan | None, maker: str) -> _Candidate | None:
    """The plan with addresses, or ``None`` without a plan or a placement."""
    if plan is None:
        return None
    packing = pack(blocks_of(facts, plan), facts.problem.capacity, _PLACEMENT_EFFORT, fit_only=True)
    if packing.status in ("infeasible", "unknown"):
        return None
    return _Candidate(plan, packing, maker)


def _search(
    facts: Facts, incumbent: _Candidate | None, bound: int, solver: str, effort: float, seed: int
) -> Schedule:
    """Phase 1 and phase 2 in turn, until a placed plan meets the bound or nothing is left."""
    notes: list[str] = []
    program = build_program(facts, facts.problem.capacity)
    if incumbent is not None:
        give_hint(program, incumbent.plan)
    for _ in range(_ROUNDS):
        answer = solve(program.model, solver, effort, seed)
        notes += answer.notes
        if answer.bound is not None:
            bound = max(bound, answer.bound)
        if answer.status == "infeasible":
            return _refuted(facts, incumbent, notes)
        if not answer.values:
            break
        plan = read_plan(program, answer.values)
        candidate = _place(facts, plan, solver)
        if candidate is not None:
            best = _cheaper(incumbent, candidate)
            return _finish(facts, best, bound, notes)
        blocks = blocks_of(facts, plan)
        first, last = smallest_clash(blocks, facts.steps, facts.problem.capacity, 0.2)
        forbid_window(program, plan, first, last)
        notes.append(f"steps {first} to {last} of a plan had no placement: cut off")
        program.model.hint = {}
    return _without_solution(facts, incumbent, bound, notes)
