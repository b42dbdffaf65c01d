"""The driver: cheap exits, the exact program, exact placement, and the checker at the end.

Phase 1 decides order, modes and residency by capacity alone; phase 2 places what phase 1 decided.
When that is impossible, the smallest window that cannot be placed is cut off and phase 1 repeats:
the cuts are sound, so the proof of optimality survives them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from accelsim.errors import AccelsimError, Mistake
from ilp.assemble import blocks_of, schedule_of
from ilp.bounds import cost_bound, default_peak, largest_demand
from ilp.check import check_schedule
from ilp.constraints import Program, build_program, program_size
from ilp.cuts import Clash, forbid, give_hint, read_plan, smallest_clash
from ilp.diagnose import too_small_for_any, too_small_for_one
from ilp.facts import Facts, find_facts
from ilp.greedy import greedy_plan
from ilp.packing import Packing, pack
from ilp.problem import Problem, Schedule
from ilp.residency import Plan
from ilp.solve import require_solver, solve
from ilp.validate import MAX_EFFORT, require_valid

_ROUNDS = 12
"""Cuts tried before the search gives up on proving anything."""
_PLACEMENT_EFFORT = 2.0
"""Deterministic seconds for one placement inside the search."""
_CLASH_EFFORT = 0.2
"""Deterministic seconds for one proof while a window without placement is narrowed down."""
_SQUEEZES = (1, 2, 5, 10, 20, 35)
"""Percent of the scratchpad kept free when nothing exact can be placed."""
_MAX_TERMS = 2_000_000
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
    if not 0 < effort <= MAX_EFFORT or not 0 <= seed < 2**31:
        message = f"effort {effort} or seed {seed} is out of range"
        hint = f"0 < effort <= {MAX_EFFORT}, 0 <= seed < 2**31"
        raise AccelsimError(Mistake("S400", message, hint))
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
    """Cheap exits first, the exact search after them."""
    demand, _ = largest_demand(facts)
    if demand > facts.problem.capacity:
        return Schedule("infeasible", infeasibility=too_small_for_one(facts), solver="bound")
    bound = cost_bound(facts)
    plan = greedy_plan(facts, facts.problem.capacity)
    incumbent = _place(facts, plan, "greedy")[0] if plan else None
    if incumbent is not None and incumbent.plan.cost <= bound:
        return _finish(facts, incumbent, bound, ())
    if facts.problem.order == "free" and program_size(facts) > _MAX_TERMS:
        return _fix_order(facts, plan, bound, solver, effort, seed)
    return _Search(facts, incumbent, bound, solver, effort, seed).run()


def _place(facts: Facts, plan: Plan, maker: str) -> tuple[_Candidate | None, bool]:
    """The plan with addresses, if a placement was found; and whether there is proved to be none."""
    packing = pack(blocks_of(facts, plan), facts.problem.capacity, _PLACEMENT_EFFORT, fit_only=True)
    if packing.status in ("infeasible", "unknown"):
        return None, packing.status == "infeasible"
    return _Candidate(plan, packing, maker), False


def _finish(facts: Facts, candidate: _Candidate, bound: int, notes: tuple[str, ...]) -> Schedule:
    assert bound <= candidate.plan.cost, "a proved bound lies above the cost of a plan"
    unique = tuple(dict.fromkeys((*notes, *candidate.packing.notes)))
    return schedule_of(facts, candidate.plan, candidate.packing, bound, candidate.maker, unique)


def _fix_order(
    facts: Facts, plan: Plan | None, bound: int, solver: str, effort: float, seed: int
) -> Schedule:
    """Solve a problem that is too large for a free order along the greedy plan's order."""
    order = [choice.op for choice in plan.choices] if plan else list(range(facts.steps))
    ops = tuple(facts.problem.ops[op] for op in order)
    fixed = find_facts(replace(facts.problem, ops=ops, order="given"))
    result = _decide(fixed, solver, effort, seed)
    note = "too large for a free order: solved along one order, optimal only for that"
    notes = (*result.notes, note)
    if not result.steps:
        return Schedule("unknown", lower_bound=bound, solver=solver, notes=notes)
    status = "optimal" if result.cost == bound else "feasible"
    return replace(result, status=status, lower_bound=bound, notes=notes)


@dataclass
class _Search:
    """Phase 1 and phase 2 in turn, until a placed plan ends it or nothing is left."""

    facts: Facts
    incumbent: _Candidate | None
    bound: int
    solver: str
    effort: float
    seed: int
    proving: bool = True
    """False once a plan was cut off without a proof that it has no placement."""
    notes: list[str] = field(default_factory=list)

    def run(self) -> Schedule:
        """The best schedule, its bound, and an honest status."""
        program = build_program(self.facts, self.facts.problem.capacity)
        if self.incumbent is not None:
            give_hint(program, self.incumbent.plan)
        for _ in range(_ROUNDS):
            answer = solve(program.model, self.solver, self.effort, self.seed)
            self.notes += answer.notes
            if self.proving and answer.bound is not None:
                self.bound = max(self.bound, answer.bound)
            if answer.status == "infeasible":
                return self.refuted()
            if not answer.values:
                break
            plan = read_plan(program, answer.values)
            candidate, impossible = _place(self.facts, plan, self.solver)
            if candidate is not None:
                return self.finish(candidate)
            self.cut(program, plan, impossible)
            program.model.hint = dict(enumerate(answer.values))
        return self.finish(self.squeezed())

    def cut(self, program: Program, plan: Plan, impossible: bool) -> None:
        """Exclude a plan that has no placement (or none that was found in time)."""
        blocks = blocks_of(self.facts, plan)
        if impossible:
            capacity = self.facts.problem.capacity
            clash = smallest_clash(blocks, self.facts.steps, capacity, _CLASH_EFFORT)
            span = f"steps {clash.first} to {clash.last}"
            self.notes.append(
                f"{span} of a cheaper plan have no placement in the memory: plan cut off (proved)"
            )
        else:
            clash = Clash(0, self.facts.steps - 1, tuple(range(len(blocks))))
            self.proving = False
            self.notes.append(
                "no placement of a cheaper plan was found in time: cut off without a proof"
            )
        forbid(program, plan, clash)

    def refuted(self) -> Schedule:
        """The program has no solution (left)."""
        if self.incumbent is not None or not self.proving:
            # With a plan in hand, only unproved cuts can have emptied the program.
            assert not self.proving, "a solver refuted a program that has a solution"
            return self.finish(self.squeezed())
        reason = too_small_for_any(self.facts)
        notes = tuple(dict.fromkeys(self.notes))
        return Schedule("infeasible", infeasibility=reason, solver=self.solver, notes=notes)

    def finish(self, candidate: _Candidate | None) -> Schedule:
        """The cheaper of ``candidate`` and the incumbent, or ``unknown`` without either."""
        options = [c for c in (candidate, self.incumbent) if c is not None]
        if not options:
            notes = tuple(dict.fromkeys((*self.notes, "stopped before a plan was found")))
            return Schedule("unknown", lower_bound=self.bound, solver=self.solver, notes=notes)
        best = min(options, key=lambda option: option.plan.cost)
        return _finish(self.facts, best, self.bound, tuple(self.notes))

    def squeezed(self) -> _Candidate | None:
        """A greedy plan for a smaller scratchpad: easier to place in the whole one."""
        capacity = self.facts.problem.capacity
        for percent in _SQUEEZES:
            plan = greedy_plan(self.facts, capacity * (100 - percent) // 100)
            candidate = _place(self.facts, plan, "greedy")[0] if plan else None
            if candidate is not None:
                return candidate
        return None
