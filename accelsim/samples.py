"""How many samples would decide an inconclusive verdict. A forecast for planning, not a bound."""

from __future__ import annotations

import math
from collections.abc import Sequence

MOST_TIMES = 1e6
"""More than so many times the samples is no advice."""


def sample_advice(gaps: Sequence[tuple[float, float]], n: int | None, share: float | None) -> str:
    """What sample size would decide, in words.

    Args:
        gaps: per undecided limit, the half-width of the interval on its side and the distance from
            the value to the limit (half-width >= distance >= 0).
        n: samples so far, if known.
        share: the value, if it is a mean of figures in [0, 1]; None for anything else (a rate in
            FIT, a ratio), where only a range can be given.
    """
    if share is not None:
        few = most = max(times_for_share(share, half, gap) for half, gap in gaps)
    else:
        few = max(half / gap if gap else math.inf for half, gap in gaps)
        most = few * few  # a product overflows to infinity, a power raises
    if not most < MOST_TIMES:
        return "the value is too close to the limit for any sample size to decide"
    if n is None:
        amount = f"{most:.2g}" if share is not None else f"{few:.2g} to {most:.2g}"
        return f"about {amount} times the samples would decide{_hedge(share)}"
    amount = f"{math.ceil(n * most)}"
    amount = amount if share is not None else f"{math.ceil(n * few)} to {amount}"
    return f"about {amount} samples would decide{_hedge(share)}"


def _hedge(share: float | None) -> str:
    return "" if share is not None else ", the fewer the rarer the events"


def times_for_share(share: float, half: float, gap: float) -> float:
    """By what factor n must grow for the half-width ``half`` of a share's bound to fall to ``gap``,
    the share staying as it is.

    The half-width follows Bernstein's inequality, h(x) = sqrt(2 p (1 - p) x) + 2 x / 3, with
    x = L / n and L set by the confidence: solved for x at both half-widths, L cancels. With many
    events the first term rules and the factor is (half / gap)^2, the law of 1/sqrt(n); with few or
    no events the second, and the bound shrinks like 1/n: half / gap. p (1 - p) is the largest
    variance that figures in [0, 1] of mean p can have.
    """
    if gap <= 0.0:
        return math.inf
    spread = 2.0 * share * (1.0 - share)
    root = _root(spread, half) / _root(spread, gap)
    return root * root


def _root(spread: float, half: float) -> float:
    """Positive sqrt(x) with sqrt(spread) sqrt(x) + 2 x / 3 = half, without cancellation."""
    return 2.0 * half / (math.sqrt(spread) + math.sqrt(spread + 8.0 * half / 3.0))
