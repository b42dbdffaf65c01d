"""From bare decisions (order, modes, which tensors stay) to a plan without waste.

Solver and greedy search both end here: residency that serves nothing is dropped, loads happen at
the step that needs them, and every tensor is stored at most once, as late as its first episode and
its first use of the DRAM copy allow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from ilp.facts import Choice, Facts


@dataclass(frozen=True)
class Episode:
    """A tensor stays in the scratchpad for steps ``first`` to ``last``, both included."""

    tensor: str
    first: int
    last: int
    loaded: bool
    """True when it came from DRAM at a cost; false when it was made or is a free first use."""


@dataclass(frozen=True)
class Plan:
    """Everything decided except addresses."""

    choices: tuple[Choice, ...]
    """Per step: the operator and its mode."""
    episodes: tuple[Episode, ...]
    stores: Mapping[str, int]
    """Tensor -> step in which it is copied to DRAM."""
    cost: int
    live: tuple[int, ...]
    """Per step: bytes of resident tensors, workspace and the next step's prefetch."""


def make_plan(
    facts: Facts, choices: Sequence[Choice], kept: Mapping[str, AbstractSet[int]]
) -> Plan:
    """Turn decisions into a plan. ``kept`` holds, per tensor, the steps at which it may stay."""
    episodes: list[Episode] = []
    stores: dict[str, int] = {}
    cost = sum(choice.cost for choice in choices)
    for name in facts.tensors:
        own, store = _episodes_of(facts, name, choices, kept.get(name, frozenset()))
        episodes += own
        cost += facts.load_cost[name] * sum(episode.loaded for episode in own)
        if store is not None:
            stores[name] = store
            cost += facts.store_cost[name]
    return Plan(tuple(choices), tuple(episodes), stores, cost, _live(facts, choices, episodes))


def _episodes_of(
    facts: Facts, name: str, choices: Sequence[Choice], kept: AbstractSet[int]
) -> tuple[list[Episode], int | None]:
    """The episodes of one tensor and the step of its store, if it needs one."""
    needs = [t for t, choice in enumerate(choices) if name in choice.needed]
    streams = [t for t, choice in enumerate(choices) if name in choice.reads]
    made_in_dram = any(name in choice.writes for choice in choices)
    has_copy = made_in_dram or name in facts.clean
    if streams and not has_copy and (not needs or needs[0] >= streams[0]):
        # An input that is not in DRAM must come on chip once before it can be streamed.
        needs = [min(kept), *needs]
    episodes: list[Episode] = []
    for first, last in _runs(needs, kept):
        loaded = bool(episodes) or made_in_dram or name in facts.charged
        episodes.append(Episode(name, first, last, loaded))
    uses = streams + [episode.first for episode in episodes if episode.loaded]
    if has_copy or not (uses or name in facts.owed):
        return episodes, None
    return episodes, min([episodes[0].last, *(use - 1 for use in uses)])


def _runs(needs: Sequence[int], kept: AbstractSet[int]) -> list[tuple[int, int]]:
    """Join needs whose gaps are spent in the scratchpad: (first, last) pairs."""
    runs: list[tuple[int, int]] = []
    for step in needs:
        if runs and all(t in kept for t in range(runs[-1][1] + 1, step)):
            runs[-1] = (runs[-1][0], step)
        else:
            runs.append((step, step))
    return runs


def _live(facts: Facts, choices: Sequence[Choice], episodes: Sequence[Episode]) -> tuple[int, ...]:
    live = [choice.workspace for choice in choices]
    for step, choice in enumerate(choices[1:]):
        live[step] += choice.prefetch
    for episode in episodes:
        for step in range(episode.first, episode.last + 1):
            live[step] += facts.size[episode.tensor]
    return tuple(live)
