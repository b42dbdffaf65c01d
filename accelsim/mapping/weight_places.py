"""Where the steps of a plan put their weights in the weight scratchpad of a split one.

Nothing but tile buffers lies there, so two steps matter at a time: one, and the next one's first
weights, which may come early. Steps take turns from the bottom up and from the top down, with the
part that may be early outermost: it then never lies in the way of the step before if both fit. So
the highest address is the largest demand of any step and its successor's early part, and no
placement needs less.

The scheduler knows nothing of all this, since none of it takes scratchpad bytes. Its choice is
revised afterwards (:func:`fitting_weights`), without a change of anything that it decided.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import add

from accelsim.arch.parts import Accelerator, Scratchpad
from accelsim.plan import Candidate, Step


def weights_fit(candidate: Candidate, accelerator: Accelerator) -> bool:
    """Whether the tile buffers of weights and biases fit their scratchpad, if they have one."""
    own = accelerator.weight_sram
    return own is None or candidate.weight_buffer_bytes <= own.bytes


Rating = Callable[[Candidate], tuple[int, ...]]
"""What is to be small in sum over the steps, most important first."""


def fitting_weights(
    steps: Sequence[Step],
    columns: Mapping[str, Mapping[str, Candidate]],
    memory: Scratchpad,
    rating: Rating,
) -> list[Step]:
    """The steps with those of their operators' ways that cost least in all once it is counted whose
    weights cannot be early (of equal ones, those of which fewer cannot). What streams and the
    buffers in the scratchpad stay as they are.

    A way's cost depends on the step before only, so the best ways up to each step, one for each way
    to run it, give those up to the next one.
    """
    reached: list[tuple[tuple[int, ...], tuple[Candidate, ...]]] = [((), ())]
    for step in steps:
        found = []
        for way in _alternatives(step, columns[step.op]):
            late = arriving_late(way) if way.weight_prefetch_bytes else way
            options = []
            for at, (spent, ways) in enumerate(reached):
                before = ways[-1].weight_buffer_bytes if ways else 0
                fits = before + way.weight_prefetch_bytes <= memory.bytes
                cost = (*rating(way if fits else late), int(not fits))
                total = tuple(map(add, spent, cost)) if spent else cost
                options.append((total, at))
            total, at = min(options)
            found.append((total, (*reached[at][1], way)))
        reached = found
    _, best = min(reached, key=lambda one: one[0])
    return [replace(step, candidate=way) for step, way in zip(steps, best, strict=True)]


def _alternatives(step: Step, ways: Mapping[str, Candidate]) -> list[Candidate]:
    """Ways that need the same of the scratchpad, the chosen one first."""
    chosen = step.candidate
    needs = chosen.streamed, chosen.buffer_bytes, chosen.prefetch_bytes
    others = [
        way
        for way in ways.values()
        if (way.streamed, way.buffer_bytes, way.prefetch_bytes) == needs and way != chosen
    ]
    return [chosen, *others]


@dataclass(frozen=True)
class Placed:
    """Steps with the addresses of their weights."""

    steps: tuple[Step, ...]
    peak_bytes: int
    notes: tuple[str, ...]


def place_weights(steps: Sequence[Step], memory: Scratchpad) -> Placed:
    """Decide whose first weights may be early, in order: those that fit beside the weights of the
    step before. All others come with their step, which the notes say."""
    kept: list[Step] = []
    late = peak = before = 0
    for step in steps:
        candidate = step.candidate
        if before + candidate.weight_prefetch_bytes > memory.bytes:
            late += 1
            candidate = arriving_late(candidate)
        held = before + candidate.weight_prefetch_bytes
        peak = max(peak, held, candidate.weight_buffer_bytes)
        before = candidate.weight_buffer_bytes
        kept.append(replace(step, candidate=candidate))
    placed = [_placed(index, step, peak) for index, step in enumerate(kept)]
    notes: tuple[str, ...] = ()
    if late:
        many = f"{late} operators" if late > 1 else "one operator"
        notes = (
            f"the first weights of {many} do not fit the weight scratchpad beside those of the "
            "operator before, and come no earlier than that one ends",
        )
    return Placed(tuple(placed), peak, notes)


def arriving_late(candidate: Candidate) -> Candidate:
    """The same way to run an operator with first weights that come no earlier than its step."""
    return replace(
        candidate,
        name=f"{candidate.name}-noprefetch",
        weight_prefetch_bytes=0,
        cycles=candidate.late_cycles,
        late_cycles=0,
    )


def _placed(index: int, step: Step, top: int) -> Step:
    if index % 2 == 0:
        return replace(step, weight_buffer_address=0, weights_downward=False)
    low = top - step.candidate.weight_buffer_bytes
    return replace(step, weight_buffer_address=low, weights_downward=True)
