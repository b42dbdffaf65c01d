"""Why a problem has no plan, in numbers, and which capacity would do."""

from __future__ import annotations

from accelsim.errors import Infeasibility
from ilp.assemble import blocks_of
from ilp.bounds import largest_demand
from ilp.facts import Facts
from ilp.greedy import greedy_plan
from ilp.packing import pack

_TERMS = 5
_HALVINGS = 8


def too_small_for_one(facts: Facts) -> Infeasibility:
    """The capacity is below M_R: one operator does not fit even on its own."""
    demand, op = largest_demand(facts)
    assert op is not None, "a problem without operators always fits"
    choice = min(facts.choices[op], key=lambda c: c.demand)
    terms = [(f"tensor {name}", facts.size[name]) for name in choice.needed]
    if choice.workspace:
        terms.append((f"workspace of mode {choice.name}", choice.workspace))
    terms.sort(key=lambda term: (-term[1], term[0]))
    name = facts.problem.ops[op].id
    return Infeasibility(
        statement=f"operator {name!r} does not fit in the scratchpad on its own",
        demand=demand,
        limit=facts.problem.capacity,
        unit="bytes",
        terms=tuple(terms[:_TERMS]),
        levers=(f"a capacity of at least {demand} bytes", *_enough(facts)),
    )


def too_small_for_any(facts: Facts) -> Infeasibility:
    """Every operator fits on its own, but it is proved that no plan of all of them does."""
    capacity, unit = facts.problem.capacity, facts.granule
    biggest: list[tuple[str, int]] = []
    for op, choices in enumerate(facts.choices):
        least = min(choice.demand for choice in choices)
        biggest.append((f"operator {facts.problem.ops[op].id} on its own", least))
    biggest.sort(key=lambda term: (-term[1], term[0]))
    return Infeasibility(
        statement="no order, residency and choice of modes fits in the scratchpad",
        # The next capacity that differs in anything is the least that is not refuted.
        demand=capacity // unit * unit + unit,
        limit=capacity,
        unit="bytes",
        terms=tuple(biggest[:_TERMS]),
        levers=(*_enough(facts), "modes with a smaller workspace or prefetch"),
    )


def _enough(facts: Facts) -> tuple[str, ...]:
    """A capacity for which a plan is known, found by halving with the greedy search."""
    low = max(facts.problem.capacity, largest_demand(facts)[0] - 1)
    everything = sum(facts.size.values()) + 2 * sum(
        max(choice.workspace for choice in choices) for choices in facts.choices
    )
    known: int | None = None
    high = max(everything, low + 1)
    for _ in range(_HALVINGS):
        plan = greedy_plan(facts, high if known is None else (low + high) // 2)
        if plan is not None:
            peak = pack(blocks_of(facts, plan), 2 * everything + 1, 0.1, fit_only=True).peak
            known = high = peak if known is None else min(peak, known)
        elif known is None:
            return ()
        else:
            low = (low + high) // 2
        if high - low <= 1:
            break
    return (f"a capacity of {known} bytes is enough",) if known is not None else ()
