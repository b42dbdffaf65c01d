"""From a plan to rectangles, and from rectangles with addresses to the public schedule."""

from __future__ import annotations

from ilp.facts import Facts
from ilp.packing import Block, Packing, Piece
from ilp.problem import Schedule, Step
from ilp.residency import Plan


def blocks_of(facts: Facts, plan: Plan) -> tuple[Block, ...]:
    """What needs an address: one block per residency episode, then one per workspace.

    A workspace is one block of two pieces: its prefetch lives in the step before as well (except
    before the first step), the rest in its own step only.
    """
    blocks = [Block((Piece(e.first, e.last + 1, 0, facts.size[e.tensor]),)) for e in plan.episodes]
    for step, choice in enumerate(plan.choices):
        early = Piece(max(step - 1, 0), step + 1, 0, choice.prefetch)
        rest = Piece(step, step + 1, choice.prefetch, choice.workspace - choice.prefetch)
        pieces = tuple(piece for piece in (early, rest) if piece.height)
        blocks.append(Block(pieces or (rest,)))
    return tuple(blocks)


def schedule_of(
    facts: Facts, plan: Plan, packing: Packing, bound: int, solver: str, notes: tuple[str, ...]
) -> Schedule:
    """The public form of a placed plan; ``optimal`` exactly when ``bound`` equals its cost."""
    spans = dict(zip(plan.episodes, packing.addresses, strict=False))
    workspaces = packing.addresses[len(plan.episodes) :]
    resident: list[dict[str, int]] = [{} for _ in plan.choices]
    loads: list[list[str]] = [[] for _ in plan.choices]
    stores: list[list[str]] = [[] for _ in plan.choices]
    traffic = 0
    for episode, address in spans.items():
        for step in range(episode.first, episode.last + 1):
            resident[step][episode.tensor] = address
        if episode.loaded:
            loads[episode.first].append(episode.tensor)
            traffic += facts.problem.sizes[episode.tensor]
    for name, step in plan.stores.items():
        stores[step].append(name)
        traffic += facts.problem.sizes[name]
    steps = tuple(
        Step(
            op=facts.problem.ops[choice.op].id,
            mode=choice.name,
            loads=tuple(loads[t]),
            stores=tuple(stores[t]),
            resident=resident[t],
            workspace_address=workspaces[t] if choice.workspace else 0,
        )
        for t, choice in enumerate(plan.choices)
    )
    return Schedule(
        status="optimal" if bound == plan.cost else "feasible",
        steps=steps,
        cost=plan.cost,
        lower_bound=bound,
        traffic_bytes=traffic,
        peak_bytes=packing.peak,
        max_live_bytes=max(plan.live, default=0),
        solver=solver,
        notes=notes,
    )
