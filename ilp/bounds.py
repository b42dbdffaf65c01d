"""Bounds that need no solver: the demand of one operator, and bytes that must be absent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import ceil

from ilp.facts import Choice, Facts
from ilp.residency import make_plan


def largest_demand(facts: Facts) -> tuple[int, int | None]:
    """M_R in bytes, and the operator that causes it (``None`` when there is none).

    Per operator the smallest mode counts: its resident inputs and outputs plus its workspace. No
    plan exists below M_R (COSMA, section 5).
    """
    best: tuple[int, int | None] = (0, None)
    for op, choices in enumerate(facts.choices):
        demand = min(choice.demand for choice in choices)
        if best[1] is None or demand > best[0]:
            best = (demand, op)
    return best


def smallest_choices(facts: Facts) -> tuple[Choice, ...]:
    """Per operator, in the given order, the choice with the least demand (the first of equals)."""
    return tuple(min(choices, key=lambda c: c.demand) for choices in facts.choices)


def default_peak(facts: Facts) -> int:
    """Max-live bytes of the given order with smallest modes when nothing is spilled."""
    everywhere = frozenset(range(facts.steps))
    plan = make_plan(facts, smallest_choices(facts), dict.fromkeys(facts.tensors, everywhere))
    return max(plan.live, default=0)


def cost_bound(facts: Facts) -> int:
    """A proved lower bound of the objective: cheapest modes, first loads of charged inputs that
    some reader cannot stream, stores of owed outputs that no mode streams, and what one step
    forces out."""
    modes = sum(min(choice.cost for choice in choices) for choices in facts.choices)
    absent = (_absence_cost(facts, op) for op in range(facts.steps))
    first = sum(facts.load_cost[k] for k in facts.tensors if _must_load(facts, k))
    last = sum(facts.store_cost[k] for k in facts.tensors if _must_store(facts, k))
    return modes + first + last + max(absent, default=0)


def _must_store(facts: Facts, name: str) -> bool:
    """Whether an owed output is stored in every plan, because no mode streams it."""
    return name in facts.owed and not _streamable(facts, name)


def _streamable(facts: Facts, name: str) -> bool:
    return any(name in choice.writes for choice in facts.choices[facts.producer[name]])


def _must_load(facts: Facts, name: str) -> bool:
    """Whether a charged input is paid for at least once in every plan."""
    return name in facts.charged and any(
        all(name in choice.needed for choice in facts.choices[reader])
        for reader in facts.consumers[name]
    )


def _absence_cost(facts: Facts, op: int) -> int:
    """Least cost of taking away what must be alive across ``op`` but does not fit beside it."""
    own = set(facts.problem.ops[op].inputs) | set(facts.problem.ops[op].outputs)
    items: list[tuple[int, int]] = []
    for name in facts.tensors:
        if name not in own and _crosses(facts, name, op):
            items.append((facts.size[name], _price(facts, name, op)))
    demand = min(choice.demand for choice in facts.choices[op])
    excess = demand + sum(size for size, _ in items) - facts.problem.capacity
    return _cheapest_cover(items, excess)


def _crosses(facts: Facts, name: str, op: int) -> bool:
    """Whether a tensor surely exists before ``op`` and is surely read after it."""
    if name not in facts.producer:
        before = any(_precedes(facts, reader, op) for reader in facts.consumers[name])
    else:
        before = _precedes(facts, facts.producer[name], op)
    return before and any(_precedes(facts, op, reader) for reader in facts.consumers[name])


def _precedes(facts: Facts, first: int, second: int) -> bool:
    if facts.problem.order == "given":
        return first < second
    return bool(facts.ancestors[second] >> first & 1)


def _price(facts: Facts, name: str, op: int) -> int:
    """Least cost of a tensor's absence during ``op``, beyond modes and first loads."""
    if name in facts.charged:
        return 0
    later = [reader for reader in facts.consumers[name] if _precedes(facts, op, reader)]
    load = any(all(name not in c.reads for c in facts.choices[reader]) for reader in later)
    if name in facts.producer:
        free = name in facts.owed or _streamable(facts, name)
    else:
        free = name in facts.clean
        # A first use streamed from a clean copy leaves the free residency for later.
        earlier = [reader for reader in facts.consumers[name] if not _precedes(facts, op, reader)]
        load = load and not any(name in c.reads for r in earlier for c in facts.choices[r])
    return (facts.load_cost[name] if load else 0) + (0 if free else facts.store_cost[name])


def _cheapest_cover(items: Sequence[tuple[int, int]], excess: int) -> int:
    """Least cost of items (size, cost) whose sizes sum to ``excess``, relaxed to fractions."""
    cost = Fraction(0)
    for size, price in sorted(_with_size(items), key=lambda item: Fraction(item[1], item[0])):
        if excess <= 0:
            break
        part = min(Fraction(1), Fraction(excess, size))
        cost += part * price
        excess -= size
    return ceil(cost)


def _with_size(items: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    return [item for item in items if item[0] > 0]
