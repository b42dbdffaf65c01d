"""Independent checkers: replay a schedule or a placement from the problem alone.

Nothing here comes from the code that makes plans: only the value types are shared. A checker lists
every violation it finds, so that one corrupted field shows all its consequences.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ilp.problem import Buffer, Mode, Op, Placement, Problem, Schedule, Step

_STATUSES = ("optimal", "feasible", "infeasible", "unknown")


class PlanError(Exception):
    """A plan breaks the rules of its problem: a bug of whatever made it. Lists all violations."""

    def __init__(self, violations: Sequence[str]) -> None:
        self.violations = tuple(violations)
        super().__init__("\n".join(self.violations))

    def __reduce__(self) -> tuple[type[PlanError], tuple[tuple[str, ...]]]:
        return (type(self), (self.violations,))


def check_schedule(problem: Problem, schedule: Schedule) -> None:
    """Replay ``schedule``; raise :class:`PlanError` with every violation.

    Checked: each operator once and after its producers (in the given order if asked); residency,
    loads, stores and streams step by step; every address (alignment, capacity, overlap, unchanged
    while resident); the reported cost, traffic, peak and max-live; status against bound.
    """
    violations = list(_status_violations(schedule))
    if not schedule.steps:
        if problem.ops and schedule.status in ("optimal", "feasible"):
            violations.append("a schedule without steps for a problem with operators")
    else:
        ops = {op.id: op for op in problem.ops}
        unknown = [step.op for step in schedule.steps if step.op not in ops]
        violations += [f"operator {name!r} is not in the problem" for name in unknown]
        violations += _order_violations(problem, schedule)
        if not unknown:
            violations += _replay(problem, schedule, ops)
    if violations:
        raise PlanError(violations)


def _status_violations(schedule: Schedule) -> Iterator[str]:
    if schedule.status not in _STATUSES:
        yield f"unknown status {schedule.status!r}"
    if schedule.status in ("infeasible", "unknown") and schedule.steps:
        yield f"status {schedule.status} with steps"
    if (schedule.status == "infeasible") != (schedule.infeasibility is not None):
        yield f"status {schedule.status} does not agree with the reason for infeasibility"
    if schedule.status == "optimal" and schedule.lower_bound != schedule.cost:
        yield f"optimal, but cost {schedule.cost} is not the bound {schedule.lower_bound}"
    if schedule.steps and schedule.lower_bound > schedule.cost:
        yield f"lower bound {schedule.lower_bound} above the cost {schedule.cost}"


def _order_violations(problem: Problem, schedule: Schedule) -> Iterator[str]:
    ran = [step.op for step in schedule.steps]
    for op in problem.ops:
        if ran.count(op.id) != 1:
            yield f"operator {op.id!r} runs {ran.count(op.id)} times"
    if problem.order == "given" and ran != [op.id for op in problem.ops]:
        yield "operators do not run in the given order"


@dataclass
class _Replay:
    """What is where, after the steps replayed so far."""

    problem: Problem
    on_chip: dict[str, int] = field(default_factory=dict)
    """Tensor -> address."""
    in_dram: set[str] = field(default_factory=set)
    produced: set[str] = field(default_factory=set)
    arrived: set[str] = field(default_factory=set)
    """Graph inputs whose free first residency is used up."""
    stored: set[str] = field(default_factory=set)
    cost: int = 0
    traffic: int = 0

    def occupied(self, size: int) -> int:
        """Bytes that ``size`` bytes take: the next multiple of the alignment."""
        unit = self.problem.alignment
        return (size + unit - 1) // unit * unit

    def price(self, table: Mapping[str, int] | None, name: str) -> int:
        """Cost of moving a tensor once: its entry in ``table``, or its bytes without a table."""
        return self.problem.sizes[name] if table is None else table.get(name, 0)


def _replay(problem: Problem, schedule: Schedule, ops: Mapping[int | str, Op]) -> Iterator[str]:
    state = _Replay(problem)
    if problem.inputs_clean:
        state.in_dram.update(problem.graph_inputs)
    modes: list[Mode | None] = []
    for number, step in enumerate(schedule.steps):
        op = ops[step.op]
        mode = next((m for m in op.modes if m.name == step.mode), None)
        modes.append(mode)
        where = f"step {number} (operator {step.op!r})"
        if mode is None:
            yield f"{where}: no mode {step.mode!r}"
            continue
        for text in (*_arrivals(state, step, op, mode), *_needs(state, step, op, mode)):
            yield f"{where}: {text}"
        for text in _departures(state, step, op, mode):
            yield f"{where}: {text}"
    if problem.charge_outputs:
        missing = sorted(set(problem.graph_outputs) & state.produced - state.in_dram)
        for name in missing:
            yield f"graph output {name!r} never reaches DRAM"
    known = [mode for mode in modes if mode is not None]
    if len(known) == len(modes):
        yield from _space(state, schedule.steps, known, schedule)
        yield from _totals(state, schedule, ops)


def _arrivals(state: _Replay, step: Step, op: Op, mode: Mode) -> Iterator[str]:
    """How every resident tensor got there, and that nothing moved by itself."""
    if len(set(step.loads)) != len(step.loads):
        yield "a tensor is loaded twice"
    for name in step.loads:
        if name not in state.problem.sizes:
            yield f"loads unknown tensor {name!r}"
            continue
        state.traffic += state.problem.sizes[name]
        state.cost += state.price(state.problem.load_cost, name)
        if name not in state.in_dram:
            yield f"loads {name!r}, which has no DRAM copy"
        if name in state.on_chip:
            yield f"loads {name!r}, which is resident already"
        if name not in step.resident:
            yield f"loads {name!r}, but it is not resident"
        if _free_first_use(state, name):
            yield f"pays for the first use of graph input {name!r}"
    for name, address in step.resident.items():
        if name not in state.problem.sizes:
            yield f"keeps unknown tensor {name!r}"
        elif name in state.on_chip:
            if state.on_chip[name] != address:
                yield f"{name!r} moves from {state.on_chip[name]} to {address}"
        else:
            made = name in op.outputs and name not in mode.streamed
            if not (made or _free_first_use(state, name) or name in step.loads):
                yield f"{name!r} is resident without having been made or loaded"


def _free_first_use(state: _Replay, name: str) -> bool:
    """Whether ``name`` is a graph input that may still become resident at no cost."""
    problem = state.problem
    charged = problem.charge_inputs and problem.inputs_clean
    return name in problem.graph_inputs and name not in state.arrived and not charged


def _needs(state: _Replay, step: Step, op: Op, mode: Mode) -> Iterator[str]:
    """That inputs exist and are where the mode wants them."""
    for name in dict.fromkeys(op.inputs):
        if name not in state.produced and name not in state.problem.graph_inputs:
            yield f"reads {name!r} before it is produced"
        if name in mode.streamed:
            if name not in state.in_dram:
                yield f"streams {name!r}, which has no DRAM copy"
        elif name not in step.resident:
            yield f"input {name!r} is not resident"
    for name in dict.fromkeys(op.outputs):
        if name not in mode.streamed and name not in step.resident:
            yield f"output {name!r} is not resident"


def _departures(state: _Replay, step: Step, op: Op, mode: Mode) -> Iterator[str]:
    """Stores and streamed outputs, then the state after the step."""
    for name in step.stores:
        if name not in state.problem.sizes:
            yield f"stores unknown tensor {name!r}"
            continue
        if name in state.stored:
            yield f"stores {name!r} a second time"
        if name not in step.resident:
            yield f"stores {name!r}, which is not resident"
        state.stored.add(name)
        state.traffic += state.problem.sizes[name]
        state.cost += state.price(state.problem.store_cost, name)
    state.cost += mode.cost
    state.in_dram.update(step.stores)
    state.in_dram.update(name for name in op.outputs if name in mode.streamed)
    state.produced.update(op.outputs)
    state.arrived.update(name for name in step.resident if name in state.problem.graph_inputs)
    state.on_chip = dict(step.resident)


def _space(
    state: _Replay, steps: Sequence[Step], modes: Sequence[Mode], schedule: Schedule
) -> Iterator[str]:
    """Addresses, step by step: alignment, capacity, overlap; then the reported peak and live."""
    peak = most = 0
    for number, step in enumerate(steps):
        ranges = [
            (address, address + state.occupied(state.problem.sizes[name]), f"tensor {name!r}")
            for name, address in step.resident.items()
            if name in state.problem.sizes
        ]
        workspace = state.occupied(modes[number].workspace_bytes)
        start = step.workspace_address
        ranges.append((start, start + workspace, "the workspace"))
        if number + 1 < len(steps):
            prefetch = state.occupied(modes[number + 1].prefetch_bytes)
            start = steps[number + 1].workspace_address
            ranges.append((start, start + prefetch, "the next prefetch"))
        for text in _range_violations(ranges, state.problem.capacity, state.problem.alignment):
            yield f"step {number}: {text}"
        peak = max([peak, *(end for begin, end, _ in ranges if end > begin)])
        most = max(most, sum(end - begin for begin, end, _ in ranges))
    if schedule.peak_bytes != peak:
        yield f"peak_bytes is {schedule.peak_bytes}, the highest address in use {peak}"
    if schedule.max_live_bytes != most:
        yield f"max_live_bytes is {schedule.max_live_bytes}, the live bytes reach {most}"


def _range_violations(
    ranges: Sequence[tuple[int, int, str]], capacity: int, unit: int
) -> Iterator[str]:
    used = sorted(r for r in ranges if r[1] > r[0])
    for begin, end, label in used:
        if begin % unit:
            yield f"{label} at {begin} is not aligned to {unit}"
        if begin < 0 or end > capacity:
            yield f"{label} at [{begin}, {end}) leaves the capacity of {capacity}"
    # Not only neighbours: a long range can reach over several shorter ones.
    for i, (_, end, label) in enumerate(used):
        for begin, _, other in used[i + 1 :]:
            if begin >= end:
                break
            yield f"{label} overlaps {other} at {begin}"


def _totals(state: _Replay, schedule: Schedule, ops: Mapping[int | str, Op]) -> Iterator[str]:
    if schedule.cost != state.cost:
        yield f"cost is {schedule.cost}, the replay costs {state.cost}"
    if schedule.traffic_bytes != state.traffic:
        yield f"traffic_bytes is {schedule.traffic_bytes}, the replay moves {state.traffic}"
    demands = [min(_demand(state, op, mode) for mode in op.modes) for op in ops.values()]
    if schedule.m_r_bytes != max(demands, default=0):
        yield f"m_r_bytes is {schedule.m_r_bytes}, one operator needs {max(demands, default=0)}"


def _demand(state: _Replay, op: Op, mode: Mode) -> int:
    own = {*op.inputs, *op.outputs} - mode.streamed
    sizes = sum(state.occupied(state.problem.sizes[name]) for name in own)
    return sizes + state.occupied(mode.workspace_bytes)


def check_placement(
    buffers: Sequence[Buffer], placement: Placement, capacity: int, alignment: int = 1
) -> None:
    """Check offsets, peak, bound and status; raise :class:`PlanError` with every violation."""
    taken = {b.id: -(-b.size // alignment) * alignment for b in buffers}
    violations: list[str] = []
    instants = sorted({b.lower for b in buffers})
    live = [sum(taken[b.id] for b in buffers if b.lower <= t < b.upper) for t in instants]
    if placement.lower_bound != max(live, default=0):
        violations.append(f"lower_bound {placement.lower_bound} is not {max(live, default=0)}")
    if placement.status not in _STATUSES:
        violations.append(f"unknown status {placement.status!r}")
    if placement.status in ("optimal", "feasible"):
        violations += _offset_violations(buffers, placement, capacity, alignment)
    elif placement.offsets:
        violations.append(f"status {placement.status} with offsets")
    if violations:
        raise PlanError(violations)


def _offset_violations(
    buffers: Sequence[Buffer], placement: Placement, capacity: int, alignment: int
) -> Iterator[str]:
    names = {b.id for b in buffers}
    for extra in sorted(set(placement.offsets) - names):
        yield f"offset of unknown buffer {extra!r}"
    placed: list[tuple[Buffer, int, int]] = []
    for buffer in buffers:
        if buffer.id not in placement.offsets:
            yield f"buffer {buffer.id!r} has no offset"
            continue
        start = placement.offsets[buffer.id]
        end = start + -(-buffer.size // alignment) * alignment
        if start % alignment:
            yield f"buffer {buffer.id!r} at {start} is not aligned to {alignment}"
        if start < 0 or end > capacity:
            yield f"buffer {buffer.id!r} at [{start}, {end}) leaves the capacity of {capacity}"
        if buffer.size:
            placed.append((buffer, start, end))
    highest = max((end for _, _, end in placed), default=0)
    if placement.peak != highest:
        yield f"peak is {placement.peak}, the highest end {highest}"
    placed.sort(key=lambda item: (item[1], item[0].id))
    for i, (one, _, end) in enumerate(placed):
        for two, start, _ in placed[i + 1 :]:
            if start >= end:
                break
            if one.lower < two.upper and two.lower < one.upper:
                yield f"buffers {one.id!r} and {two.id!r} overlap"
