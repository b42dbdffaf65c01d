"""Between the two phases: hints, plans read from solutions, cuts after a failed placement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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


@dataclass(frozen=True)
class Clash:
    """Blocks (by their number in ``blocks_of``) that cannot be placed in a span of steps."""

    first: int
    last: int
    members: tuple[int, ...]


def smallest_clash(blocks: Sequence[Block], steps: int, capacity: int, effort: float) -> Clash:
    """Narrow down why ``blocks``, which were proved impossible to place, are so.

    The span is shrunk from both ends, then blocks are left out one by one, as long as the rest is
    still proved impossible with ``effort`` deterministic seconds.
    """

    def impossible(clash: Clash) -> bool:
        inside = clipped([blocks[i] for i in clash.members], clash.first, clash.last + 1)
        return pack(inside, capacity, effort, fit_only=True).status == "infeasible"

    clash = Clash(0, steps - 1, tuple(i for i, block in enumerate(blocks) if block.height))
    for move in ((0, -1), (1, 0)):
        while clash.first < clash.last:
            shorter = replace(clash, first=clash.first + move[0], last=clash.last + move[1])
            if not impossible(shorter):
                break
            clash = shorter
    clash = replace(clash, members=tuple(i for i in clash.members if _touches(blocks[i], clash)))
    for i in sorted(clash.members, key=lambda i: (blocks[i].height, i)):
        fewer = replace(clash, members=tuple(m for m in clash.members if m != i))
        if impossible(fewer):
            clash = fewer
    return clash


def _touches(block: Block, clash: Clash) -> bool:
    return block.lower <= clash.last and block.upper > clash.first


def forbid(program: Program, plan: Plan, clash: Clash) -> None:
    """Cut off every plan that contains the clash.

    With R the (tensor, step) pairs of the clash, and per workspace in it the runs at that step
    whose workspace and prefetch are at least as large:
    sum_R (1 - r(k,t)) + sum_t (1 - sum of those z(i,m,t)) >= 1. A plan that breaks the row occupies
    at least as much for at least as long, so it cannot be placed either.
    """
    terms: list[Term] = []
    count = 0
    episodes = len(plan.episodes)
    for member in clash.members:
        if member < episodes:
            episode = plan.episodes[member]
            span = range(max(clash.first, episode.first), min(clash.last, episode.last) + 1)
            terms += [(1, program.resident[episode.tensor, step]) for step in span]
            count += len(span)
        else:
            step = member - episodes
            terms += _runs_as_large(program, plan.choices[step], step, clash)
            count += 1
    program.model.add(terms, upper=count - 1)


def _runs_as_large(program: Program, chosen: Choice, step: int, clash: Clash) -> list[Term]:
    # At the ends of the span only a part of the block counts: the step after the span reaches
    # into it with its prefetch, and the first step's own prefetch lies before it.
    workspace = chosen.workspace if step <= clash.last else 0
    prefetch = chosen.prefetch if step > clash.first else 0
    return [
        (1, variable)
        for choice, variable in program.at_step[step]
        if choice.workspace >= workspace and choice.prefetch >= prefetch
    ]
