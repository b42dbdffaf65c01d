"""A plan without a solver: a few operator orders, Belady replacement, best mode per step.

The plan serves as incumbent (hint) of the exact search, and ends it early when its cost meets a
lower bound. Replacement follows Belady (1966) as COSMA's baselines do: when space runs out, the
tensor whose next use is farthest away leaves first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ilp.facts import Choice, Facts
from ilp.residency import Plan, make_plan


def greedy_plan(facts: Facts, capacity: int) -> Plan | None:
    """The cheapest plan over all cheap orders, or ``None`` when none was found."""
    best: Plan | None = None
    for order in cheap_orders(facts):
        plan = replace_along(facts, order, capacity)
        if plan is not None and (best is None or plan.cost < best.cost):
            best = plan
    return best


def cheap_orders(facts: Facts) -> Iterator[tuple[int, ...]]:
    """Distinct topological orders worth trying; only the given one when the order is given."""
    yielded = {tuple(range(facts.steps))}
    yield tuple(range(facts.steps))
    if facts.problem.order == "given":
        return
    for rule in (_deepest_first, _least_growth, _inputs_first):
        order = _list_order(facts, rule)
        if order not in yielded:
            yielded.add(order)
            yield order


@dataclass
class _Progress:
    """What has run so far while an order is being listed."""

    done: list[int] = field(default_factory=list)
    started: dict[str, int] = field(default_factory=dict)
    """Tensor -> position of its first appearance."""
    unread: dict[str, int] = field(default_factory=dict)
    """Tensor -> number of consumers still to come."""


_Rule = Callable[[Facts, _Progress, int], tuple[int, ...]]


def _list_order(facts: Facts, rule: _Rule) -> tuple[int, ...]:
    """List scheduling: among the ready operators, the one with the smallest key runs next."""
    progress = _Progress(unread={name: len(facts.consumers[name]) for name in facts.tensors})
    waiting = [mask.bit_count() for mask in facts.ancestors]
    ready = [op for op in range(facts.steps) if not waiting[op]]
    while ready:
        op = min(ready, key=lambda i: (*rule(facts, progress, i), i))
        ready.remove(op)
        inputs, outputs = facts.problem.ops[op].inputs, facts.problem.ops[op].outputs
        for name in (*inputs, *outputs):
            progress.started.setdefault(name, len(progress.done))
        for name in dict.fromkeys(inputs):
            progress.unread[name] -= 1
        progress.done.append(op)
        for later in range(op + 1, facts.steps):
            if facts.ancestors[later] >> op & 1:
                waiting[later] -= 1
                if not waiting[later]:
                    ready.append(later)
    return tuple(progress.done)


def _deepest_first(facts: Facts, progress: _Progress, op: int) -> tuple[int, ...]:
    """Continue where the newest tensor was made."""
    return (-max((progress.started.get(n, -1) for n in facts.problem.ops[op].inputs), default=-1),)


def _least_growth(facts: Facts, progress: _Progress, op: int) -> tuple[int, ...]:
    """Let live bytes grow as little as possible."""
    spec = facts.problem.ops[op]
    grown = sum(
        facts.size[name]
        for name in dict.fromkeys((*spec.inputs, *spec.outputs))
        if name not in progress.started
    )
    freed = sum(
        facts.size[name] for name in dict.fromkeys(spec.inputs) if progress.unread[name] == 1
    )
    wasted = sum(facts.size[name] for name in spec.outputs if not facts.consumers[name])
    return grown - freed - wasted, grown


def _inputs_first(facts: Facts, progress: _Progress, op: int) -> tuple[int, ...]:
    """Finish off the largest tensors first, then continue deepest first."""
    freed = sum(
        facts.size[name]
        for name in dict.fromkeys(facts.problem.ops[op].inputs)
        if progress.unread[name] == 1
    )
    return (-freed, *_deepest_first(facts, progress, op))


@dataclass
class _State:
    """Scratchpad and DRAM after a step."""

    resident: tuple[str, ...] = ()
    seen: set[str] = field(default_factory=set)
    """Tensors that were resident at some step."""
    copied: set[str] = field(default_factory=set)
    """Tensors with a DRAM copy."""
    room: int = 0
    """Bytes left over in the step, for the next operator's prefetch."""


def replace_along(facts: Facts, order: tuple[int, ...], capacity: int) -> Plan | None:
    """Walk along ``order``, choosing modes and evictions; ``None`` where that gets stuck."""
    uses: dict[str, list[int]] = {name: [] for name in facts.tensors}
    for step, op in enumerate(order):
        for name in dict.fromkeys(facts.problem.ops[op].inputs):
            uses[name].append(step)
    state = _State(copied=set(facts.clean), room=capacity)
    chosen: list[Choice] = []
    kept: dict[str, set[int]] = {name: set() for name in facts.tensors}
    for step, op in enumerate(order):
        follower = facts.choices[order[step + 1]] if step + 1 < len(order) else ()
        reserve = min((choice.prefetch for choice in follower), default=0)
        options = [
            option
            for choice in facts.choices[op]
            if (option := _weigh(facts, choice, state, capacity - reserve, step, uses))
        ]
        if not options:
            return None
        best = min(options, key=lambda option: (option.score, option.choice.demand))
        _advance(facts, state, best, capacity)
        chosen.append(best.choice)
        for name in state.resident:
            kept[name].add(step)
    return make_plan(facts, chosen, kept)


@dataclass(frozen=True)
class _Option:
    choice: Choice
    score: int
    staying: tuple[str, ...]
    leaving: tuple[str, ...]


def _weigh(
    facts: Facts,
    choice: Choice,
    state: _State,
    capacity: int,
    step: int,
    uses: dict[str, list[int]],
) -> _Option | None:
    """What running ``choice`` now would cost, later reloads of what must leave included."""
    room = capacity - choice.demand
    if room < 0 or (step > 0 and choice.prefetch > state.room):
        return None
    score = choice.cost
    for name in choice.reads:
        if name not in state.copied:
            if name not in state.seen:
                return None
            score += facts.store_cost[name]
    for name in choice.needed:
        if name in state.seen and name not in state.resident:
            score += facts.load_cost[name]
        elif name in facts.consumers and name in state.copied and name not in state.seen:
            free = name in facts.clean - facts.charged
            score += 0 if free else facts.load_cost[name]
    score += sum(facts.load_cost[name] for name in choice.writes if facts.consumers[name])
    made = [name for name in choice.needed if facts.producer.get(name) == choice.op]
    score += sum(facts.store_cost[name] for name in made if name in facts.owed)

    staying: list[str] = []
    leaving: list[str] = []
    others = [name for name in state.resident if name not in choice.needed]
    upcoming = {name: next((u for u in uses[name] if u > step), None) for name in others}
    wanted = [(use, name) for name, use in upcoming.items() if use is not None]
    for _, name in sorted(wanted):
        if facts.size[name] <= room:
            room -= facts.size[name]
            staying.append(name)
        else:
            leaving.append(name)
            score += facts.load_cost[name]
            score += 0 if name in state.copied else facts.store_cost[name]
    return _Option(choice, score, tuple(staying), tuple(leaving))


def _advance(facts: Facts, state: _State, option: _Option, capacity: int) -> None:
    choice = option.choice
    state.resident = (*choice.needed, *option.staying)
    state.seen.update(choice.needed)
    state.copied.update((*option.leaving, *choice.reads, *choice.writes))
    used = sum(facts.size[name] for name in state.resident) + choice.workspace
    state.room = capacity - used
