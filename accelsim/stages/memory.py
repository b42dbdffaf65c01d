"""Workload x Accelerator -> MemoryPlan: order, residency, tilings and addresses in one problem.

Every operator offers its candidate tilings as columns (modes); ``ilp.schedule`` chooses among them
together with order, residency, spills and reloads, and places what is resident exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import ilp
from accelsim.arch.parts import Accelerator
from accelsim.config.types import RunConfig, ScheduleConfig
from accelsim.errors import Infeasibility, InfeasibleError, Location
from accelsim.lower import plan_traffic
from accelsim.mapping import Objective, Search, require_legal
from accelsim.mapping.fixed import FixedMapping, fixed_candidates, fixed_for, require_obeyable
from accelsim.mapping.homes import expected_homes, settled_homes
from accelsim.mapping.legality import require_weights_fit
from accelsim.mapping.objective import traffic
from accelsim.mapping.quick_plan import quick_plan
from accelsim.mapping.timing import NO_HOMES
from accelsim.mapping.weight_places import fitting_weights, place_weights
from accelsim.plan import Candidate, MemoryPlan, Step
from accelsim.workload.graph import Workload

Columns = dict[str, dict[str, Candidate]]
"""Operator -> candidate name -> candidate."""


@dataclass(frozen=True)
class Given:
    """What of the mapping is not searched."""

    rule: str | None = None
    """A rule of :mod:`accelsim.mapping.rules` for every operator; no solver runs."""
    fixed: tuple[FixedMapping, ...] = ()


def given_mapping(config: RunConfig) -> Given:
    """What a run's config says about its mapping."""
    fixed = tuple(
        FixedMapping(
            entry.pattern, entry.m, entry.n, entry.k, entry.order, entry.stream,
            config.locations.get(f"mapping.layers.{entry.pattern}"), entry.dataflow,
        )
        for entry in config.mapping.layers
    )  # fmt: skip
    return Given(config.mapping.rule, fixed)


def plan_memory(
    workload: Workload,
    accelerator: Accelerator,
    *,
    objective: str,
    schedule: ScheduleConfig,
    given: Given = Given(),
    location: Location | None = None,
    weight_location: Location | None = None,
) -> MemoryPlan:
    """The cheapest plan in terms of ``objective`` (``latency``: cycles; ``traffic``: DRAM bytes;
    ``energy``: picojoule, see :class:`Objective`; ``edp``: picojoule x cycles, see
    :func:`plan_edp`); of equally cheap ones, one of fewer cycles (``latency``: less traffic).

    Raises :class:`InfeasibleError` when the smallest legal tile of an operator does not fit, or no
    plan fits, or the solver stopped without one, and AccelsimError for a fixed mapping that cannot
    be obeyed. ``location`` is where the scratchpad's size was configured, ``weight_location`` where
    that of the weights' half of a split one was.
    """
    require_obeyable(given.fixed, workload, accelerator)
    if given.rule is not None:
        return quick_plan(workload, accelerator, given.rule)
    if objective == "edp":
        return plan_edp(workload, accelerator, schedule, given, location, weight_location)
    columns = candidate_columns(workload, accelerator, objective, given, location, weight_location)
    goal = Objective(accelerator, objective)
    return _solve(workload, accelerator, columns, goal, schedule, location)


MOST_TANGENTS = 15
"""Plans tried by :func:`plan_edp`; with fewer corners than that, its answer is proved."""


def plan_edp(
    workload: Workload,
    accelerator: Accelerator,
    schedule: ScheduleConfig,
    given: Given,
    location: Location | None,
    weight_location: Location | None = None,
) -> MemoryPlan:
    """The plan with the least product of estimated energy and cycles.

    The product is no sum over operators, but it is quasi-concave: over all plans of the given
    columns its minimum lies at a corner of the convex hull of their (energy, cycles). Corners are
    optima of energy + slope x cycles, and a dichotomic search between the plan of least energy and
    that of fewest cycles finds them all (Aneja and Nair, Management Science 25, 1979). Proved when
    every solve was proved and no corner was left out.
    """
    columns = _merged(
        candidate_columns(workload, accelerator, "latency", given, location, weight_location),
        candidate_columns(workload, accelerator, "energy", given, location, weight_location),
    )
    homes = expected_homes(workload, accelerator)
    energy = Objective(accelerator, "energy")
    cycles = Objective(accelerator, "latency")

    def solve(goal: Objective) -> _Corner:
        plan = _solve(workload, accelerator, columns, goal, schedule, location)
        spent = plan_cost(workload, plan.steps, energy, homes)
        return _Corner(plan, spent, plan_cost(workload, plan.steps, cycles, homes))

    first, last = solve(energy), solve(cycles)
    found, pending, tried = [first, last], [(first, last)], 2
    while pending and tried < MOST_TANGENTS:
        cheap, fast = pending.pop()
        if fast.cycles >= cheap.cycles or cheap.energy >= fast.energy:
            continue
        slope = (fast.energy - cheap.energy) / (cheap.cycles - fast.cycles)
        corner = solve(Objective(accelerator, "edp", slope))
        tried += 1
        # Picojoules are rounded per operator, so a corner has to be below the line by more.
        gained = cheap.tangent(slope) - corner.tangent(slope)
        if gained > len(workload.ops) and corner.point not in (cheap.point, fast.point):
            found.append(corner)
            pending += [(cheap, corner), (corner, fast)]
    best = min(found, key=lambda corner: (corner.energy * corner.cycles, corner.cycles))
    proved = not pending and all(corner.plan.proved for corner in found)
    product = best.energy * best.cycles
    return replace(
        best.plan, objective="edp", cost=product, cost_lower_bound=product if proved else 0,
        proved=proved, status="optimal" if proved else "feasible",
        notes=(*best.plan.notes, f"energy x delay: {tried} plans compared"),
    )  # fmt: skip


@dataclass(frozen=True)
class _Corner:
    plan: MemoryPlan
    energy: int
    """Picojoule, as the columns estimate it; likewise cycles."""
    cycles: int

    @property
    def point(self) -> tuple[int, int]:
        return self.energy, self.cycles

    def tangent(self, slope: float) -> float:
        return self.energy + slope * self.cycles


def _merged(first: Columns, second: Columns) -> Columns:
    return {op: {**modes, **second[op]} for op, modes in first.items()}


def _solve(
    workload: Workload,
    accelerator: Accelerator,
    columns: Columns,
    goal: Objective,
    schedule: ScheduleConfig,
    location: Location | None,
) -> MemoryPlan:
    """The cheapest plan of the given columns."""
    homes = expected_homes(workload, accelerator)
    ranking = rank(workload, columns, goal, schedule.solver, homes)
    problem = build_problem(workload, accelerator, columns, goal, ranking, schedule.order, homes)
    solved = ilp.schedule(problem, solver=schedule.solver, effort=schedule.effort)
    if solved.infeasibility is not None:
        raise InfeasibleError(solved.infeasibility, location)
    if not solved.steps and workload.ops:
        raise InfeasibleError(stopped(solved, accelerator), location)
    notes = solved.notes
    if ranking.step > 1:
        notes = (*notes, f"costs compared in steps of {ranking.step}: they are very large")
    steps, weight_peak = plan_steps(columns, solved), 0
    if accelerator.weight_sram is not None:
        own = accelerator.weight_sram
        fitted = fitting_weights(steps, columns, own, lambda c: goal.merit(c)[:3])
        placed = place_weights(fitted, own)
        steps, weight_peak, notes = placed.steps, placed.peak_bytes, (*notes, *placed.notes)
    cost, bound = plan_cost(workload, steps, goal, homes), ranking.bound(solved.lower_bound)
    assert bound <= cost, f"a bound of {bound} above a plan of {cost}"
    plan = MemoryPlan(
        steps=steps,
        peak_bytes=solved.peak_bytes,
        lower_bound_bytes=solved.max_live_bytes,
        traffic_bytes=0,
        spill_bytes=spill_bytes(workload, steps),
        homes=settled_homes(workload, accelerator, steps, goal),
        cost=cost,
        cost_lower_bound=bound,
        objective=goal.name,
        proved=cost == bound,
        status="optimal" if cost == bound else "feasible",
        solver=solved.solver,
        notes=notes,
        weight_peak_bytes=weight_peak,
    )
    return replace(plan, traffic_bytes=sum(plan_traffic(workload, plan)))


def stopped(solved: ilp.Schedule, accelerator: Accelerator) -> Infeasibility:
    """What to say when the search ended with neither a plan nor a proof that there is none."""
    return Infeasibility(
        "the search stopped before it found a plan; keeping every tensor on chip",
        demand=solved.default_peak_bytes,
        limit=accelerator.scratchpad.bytes,
        unit="B",
        levers=("more schedule.effort", "a larger scratchpad"),
    )


def candidate_columns(
    workload: Workload,
    accelerator: Accelerator,
    objective: str,
    given: Given,
    location: Location | None,
    weight_location: Location | None = None,
) -> Columns:
    """All legal tilings of every operator; the first operator without one is infeasible."""
    capacity = accelerator.scratchpad.bytes
    columns: Columns = {}
    homes = expected_homes(workload, accelerator)
    search = Search(workload, accelerator, objective, homes)
    for op in workload.ops:
        fixed = fixed_for(op, given.fixed)
        if fixed is None:
            found = search.candidates(op)
        else:
            found = fixed_candidates(op, fixed, workload, accelerator, objective, homes)
        try:
            found = tuple(require_weights_fit(op, found, workload, accelerator))
        except InfeasibleError as error:
            raise InfeasibleError(error.infeasibility, weight_location) from None
        try:
            require_legal(op, found, workload, accelerator)
        except InfeasibleError as error:
            raise InfeasibleError(error.infeasibility, location) from None
        columns[op.name] = {c.name: c for c in found if c.buffer_bytes <= capacity}
    return columns


@dataclass(frozen=True)
class Ranking:
    """Lets the solver minimise one number, cost first, with a second figure for equal costs."""

    scale: int
    """Numbers per unit of cost; 1: the second figure is left out."""
    horizon: int
    """More than the second figures of any sensible plan add up to."""
    step: int = 1
    """Units of cost that count as one where costs are beyond what the solver counts with; then
    the scale is 1, and bounds are as coarse."""

    def number(self, cost: int, second: int) -> int:
        """Over a whole plan the second figures stay below one unit of cost."""
        return cost // self.step * self.scale + second * (self.scale - 1) // self.horizon

    def bound(self, solved: int) -> int:
        """The least cost of a plan whose numbers add up to ``solved`` or more."""
        return solved // self.scale * self.step


RANKED_SOLVERS = ("cpsat",)
"""Solvers of exact integers. In floating point a wide range of costs costs the proof."""
LARGEST_SCALE, LARGEST_COST, LARGEST_TOTAL = 2**20, 2**43, 2**52
"""Bounds of the scale, of a single cost and of all costs together that the solver sees."""
COUNTED = 2**44
"""The largest cost that :mod:`ilp` takes."""


def second_cost(goal: Objective, cycles: int, moved: int) -> int:
    """What tells equal costs apart."""
    return moved if goal.name == "latency" else cycles


def rank(
    workload: Workload,
    columns: Columns,
    goal: Objective,
    solver: str,
    homes: Mapping[str, str] = NO_HOMES,
) -> Ranking:
    """How finely equal costs can be told apart in a problem of this size."""
    costs: list[int] = [1]
    horizon = 1
    for modes in columns.values():
        costs += [goal.column_cost(c) for c in modes.values()]
        horizon += max(second_cost(goal, c.cycles, traffic(c)) for c in modes.values())
    for name, tensor in workload.tensors.items():
        # A sensible plan stores a tensor once and loads it once per consumer.
        times = 1 + len(workload.consumers.get(name, ()))
        first, second = _transfer_costs(goal, tensor.bytes, homes.get(name, ""))
        costs += [first] * times
        horizon += times * second
    if max(costs) > COUNTED:
        return Ranking(1, horizon, step=-(-max(costs) // LARGEST_COST))
    room = min(LARGEST_SCALE, LARGEST_COST // max(costs), LARGEST_TOTAL // sum(costs))
    return Ranking(max(1, room) if solver in RANKED_SOLVERS else 1, horizon)


def _transfer_costs(goal: Objective, size: int, level: str) -> tuple[int, int]:
    """Cost of moving a whole tensor once, and what tells equal costs apart."""
    moved = 0 if level else size
    return goal.transfer_cost(size, level), second_cost(
        goal, goal.transfer_cycles(size, level), moved
    )


def build_problem(
    workload: Workload,
    accelerator: Accelerator,
    columns: Columns,
    goal: Objective,
    ranking: Ranking,
    order: str,
    homes: Mapping[str, str] = NO_HOMES,
) -> ilp.Problem:
    """The scheduling problem whose cost is the objective. Graph inputs start in DRAM, so every
    load of them costs, the first one too. ``homes``: activation -> memory level."""
    sizes = {
        name: tensor.bytes
        for name, tensor in workload.tensors.items()
        if name in workload.producer or name in workload.consumers or name in workload.inputs
    }
    transfers = {
        name: ranking.number(*_transfer_costs(goal, size, homes.get(name, "")))
        for name, size in sizes.items()
    }
    ops = tuple(
        ilp.Op(
            id=op.name,
            inputs=op.inputs,
            outputs=(op.output,),
            modes=tuple(
                ilp.Mode(
                    name=c.name,
                    workspace_bytes=c.buffer_bytes,
                    prefetch_bytes=c.prefetch_bytes,
                    cost=ranking.number(
                        goal.column_cost(c), second_cost(goal, c.cycles, traffic(c))
                    ),
                    streamed=c.streamed,
                )
                for c in columns[op.name].values()
            ),
        )
        for op in workload.ops
    )
    return ilp.Problem(
        sizes=sizes,
        ops=ops,
        graph_inputs=workload.inputs,
        graph_outputs=workload.outputs,
        capacity=accelerator.scratchpad.bytes,
        order=order,
        inputs_clean=True,
        charge_inputs=True,
        charge_outputs=True,
        alignment=accelerator.scratchpad.alignment_bytes,
        store_cost=transfers,
        load_cost=transfers,
    )


def plan_steps(columns: Columns, solved: ilp.Schedule) -> tuple[Step, ...]:
    """Translate the solver's steps."""
    steps = []
    for step in solved.steps:
        op = str(step.op)
        candidate = columns[op][step.mode]
        steps.append(
            Step(
                op,
                candidate,
                step.loads,
                step.stores,
                dict(step.resident),
                step.workspace_address,
            )
        )
    return tuple(steps)


def plan_cost(
    workload: Workload,
    steps: tuple[Step, ...],
    goal: Objective,
    homes: Mapping[str, str] = NO_HOMES,
) -> int:
    """Cost of a plan in units of the objective: its tile loops, loads and stores (``homes``:
    activation -> memory level)."""
    total = 0
    for step in steps:
        total += goal.column_cost(step.candidate)
        moved = (*step.loads, *step.stores)
        total += sum(
            goal.transfer_cost(workload.tensors[name].bytes, homes.get(name, "")) for name in moved
        )
    return total


def spill_bytes(workload: Workload, steps: tuple[Step, ...]) -> int:
    """Stores and reloads beyond the first load of an input and the store of an output."""
    total = 0
    seen: set[str] = set()
    for step in steps:
        for name in step.loads:
            if name not in workload.inputs or name in seen:
                total += workload.tensors[name].bytes
            seen.add(name)
        total += sum(workload.tensors[n].bytes for n in step.stores if n not in workload.outputs)
    return total
