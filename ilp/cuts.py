"""Between the two phases: hints from a plan, plans from a solution, cuts from a failed placement."""

from __future__ import annotations

from collections.abc import Sequence

from ilp.constraints import Program
from ilp.facts import Choice
from ilp.model import Term
from ilp.packing import Block, clipped, pack
from ilp.residency import Plan, make_plan


def read_plan(program: Program, values: Sequence[int]) -> Plan:
    """The plan that a solution of the program describes."""
    chosen: list[Choice] = []
    for step in range(program.facts.steps):
        chosen += [choice for choice, v in program.at_step[step] if values[v]]
    kept: dict[str, set[int]] = {name: set() for name in program.facts.tensors}
    for (name, step), variable in program.resident.items():
        if values[variable]:
            kept[name].add(step)
    return make_plan(program.facts, chosen, kept)


def give_hint(program: Program, plan: Plan) -> None:
    """Let solvers start from ``plan``, which must be one of the program's solutions."""
    ones: set[int] = set()
    for step, chosen in enumerate(plan.choices):
        ones.add(program.runs[chosen.op, step])
        ones.update(v for choice, v in program.at_step[step] if choice == chosen)
    for episode in plan.episodes:
        name = episode.tensor
        for step in range(episode.first, episode.last + 1):
            ones.add(program.resident[name, step])
        if episode.loaded:
            ones.add(program.load[name, episode.first])
        elif (name, episode.first) in program.first:
            ones.add(program.first[name, episode.first])
    ones.update(program.store[name] for name in plan.stores)
    program.model.hint = {v: int(v in ones) for v in range(len(program.model.names))}


def forbid_window(program: Program, plan: Plan, first: int, last: int) -> None:
    """Cut off what cannot be placed: the plan's occupation of steps ``first`` to ``last``.

    With R the (tensor, step) pairs resident in the window, and per step t of it the runs whose
    workspace and prefetch are at least the plan's: sum_{R} (1 - r(k,t)) + sum_t (1 - sum of those
    z(i,m,t)) >= 1. Anything that satisfies none of it occupies at least as much, for at least as
    long, and cannot be placed either.
    """
    terms: list[Term] = []
    count = 0
    for episode in plan.episodes:
        if not program.facts.size[episode.tensor]:
            continue
        for step in range(max(first, episode.first), min(last, episode.last) + 1):
            terms.append((1, program.resident[episode.tensor, step]))
            count += 1
    for step in range(first, min(last + 2, len(plan.choices))):
        chosen = plan.choices[step]
        # The step after the window reaches into it with its prefetch only.
        workspace = chosen.workspace if step <= last else 0
        if not (workspace or chosen.prefetch):
            continue
        for choice, variable in program.at_step[step]:
            if choice.workspace >= workspace and choice.prefetch >= chosen.prefetch:
                terms.append((1, variable))
        count += 1
    program.model.add(terms, upper=count - 1)


def smallest_clash(
    blocks: Sequence[Block], steps: int, capacity: int, effort: float
) -> tuple[int, int]:
    """A window (first step, last step) that cannot be placed even on its own.

    ``blocks`` as a whole were proved impossible to place. The window is shrunk from both ends as
    long as the rest is still proved impossible.
    """
    first, last = 0, steps - 1
    while first < last and _impossible(blocks, first, last - 1, capacity, effort):
        last -= 1
    while first < last and _impossible(blocks, first + 1, last, capacity, effort):
        first += 1
    return first, last


def _impossible(
    blocks: Sequence[Block], first: int, last: int, capacity: int, effort: float
) -> bool:
    inside = clipped(blocks, first, last + 1)
    return pack(inside, capacity, effort, fit_only=True).status == "infeasible"
