"""Which candidates of a residency variant are kept: a small Pareto set."""

from __future__ import annotations

from collections.abc import Sequence
from operator import le

from accelsim.arch.parts import Accelerator
from accelsim.mapping.objective import Objective
from accelsim.plan import Candidate

Level = tuple[int | None, int | None]
"""Percent of the best candidate's cost, and of its cycles, that are still good enough (None: any
amount)."""

LEVELS: tuple[Level, ...] = ((100, 150), (105, 150), (150, None), (None, None))
"""Kept per residency variant besides the best candidate: the smallest one on each level. Of those
without weight prefetch, where there are some with it, the best and the smallest."""

SHARES = (2, 4, 8)
"""With a weight scratchpad weights are early wherever they fit beside those of the operator before
(``weight_places``), which those of half its size always do: of the ways whose weights take one part
in so many at most, the best is kept as well."""


def thin(
    variant: Sequence[Candidate], goal: Objective, accelerator: Accelerator
) -> list[Candidate]:
    """What is kept of one residency variant, with and without prefetch: see :data:`LEVELS` and
    :data:`SHARES`."""
    early = [c for c in variant if c.early]
    plain = [c for c in variant if not c.early]
    kept = _thin(early, LEVELS, goal)
    own = accelerator.weight_sram
    for most in () if own is None else [own.bytes // share for share in SHARES]:
        small = [c for c in early if c.weight_buffer_bytes <= most]
        kept += [c for c in _thin(small, (), goal, weights=True) if c not in kept]
    return kept + _thin(plain, LEVELS[-1:] if early else LEVELS, goal)


def _thin(
    pool: Sequence[Candidate], levels: Sequence[Level], goal: Objective, *, weights: bool = False
) -> list[Candidate]:
    """The best candidate of a pool and the smallest on each level, smallest first. ``weights``:
    small are those with small buffers in the weight scratchpad."""
    if not pool:
        return []
    rated = [(c, goal.merit(c)) for c in pool]
    if weights:
        rated = [(c, (*merit[:3], c.weight_buffer_bytes)) for c, merit in rated]
    front = _pareto(rated)
    best, merit = min(front, key=lambda pair: pair[1])
    chosen = {best.name: best}
    for level in levels:
        # The best one is on every level, so there always is a smallest.
        c = next(c for c, found in front if _within(found[:2], merit[:2], level))
        chosen[c.name] = c
    return [c for c, _ in front if c.name in chosen]


def _within(figures: Sequence[int], best: Sequence[int], level: Level) -> bool:
    return all(
        slack is None or figure * 100 <= least * slack
        for figure, least, slack in zip(figures, best, level, strict=True)
    )


_Rated = tuple[Candidate, tuple[int, int, int, int]]
"""A candidate and its merit: cost, cycles, traffic, buffer."""


def _pareto(pool: Sequence[_Rated]) -> list[_Rated]:
    """Those that no other beats or equals in buffer, cost, cycles and traffic; smallest first."""
    kept: list[_Rated] = []
    for c, merit in sorted(pool, key=lambda rated: (rated[1][3], rated[1], rated[0].name)):
        if not any(all(map(le, found[:3], merit[:3])) for _, found in kept):
            kept.append((c, merit))
    return kept
