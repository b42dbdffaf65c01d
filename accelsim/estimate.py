"""A measured value with its bounds, and the quotient of two of them."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A value with its bounds, as judged. A bound that an estimate does not state is None."""

    value: float
    lower: float | None
    upper: float | None
    unit: str
    confidence: float | None
    n: int | None
    note: str = ""
    ratio: bool = False

    @property
    def exact(self) -> bool:
        """Whether there is no interval."""
        return self.lower == self.value == self.upper

    @property
    def numbers(self) -> tuple[float, ...]:
        """Value and stated bounds."""
        return tuple(n for n in (self.value, self.lower, self.upper) if n is not None)


def ratio_of(value: Estimate, reference: Estimate, name: str) -> Estimate:
    """Value over reference; the interval holds every quotient of the two intervals."""
    unit = f" {reference.unit}" if reference.unit not in ("", "1") else ""
    notes = [f"ratio to {name} ({reference.value:g}{unit})"]
    notes = [value.note, *notes] if value.note else notes
    confidence, sentence = _joint_confidence(value, reference)
    notes += [sentence] if sentence else []
    lower, upper = _ratio_bounds(value, reference)
    point = _quotient(value.value, reference.value)
    if value.exact and reference.exact and value.value == reference.value == 0:
        point = lower = upper = 1.0
        notes.append("both are 0, which counts as unchanged")
    elif reference.exact and reference.value == 0:
        notes.append("the reference is 0, so the ratio has no bound")
    elif _holds_zero(reference):
        notes.append("its interval holds 0, so the ratio has no bound")
    counts = [n for n in (value.n, reference.n) if n is not None]
    n = min(counts) if counts else None
    return Estimate(point, lower, upper, "1", confidence, n, "; ".join(notes), ratio=True)


def _joint_confidence(value: Estimate, reference: Estimate) -> tuple[float | None, str]:
    """(confidence that both intervals hold, how it comes about). Either may miss, so their errors
    add up (Bonferroni); an interval of unknown confidence leaves the sum unknown."""
    if any(e.confidence is None and not e.exact for e in (value, reference)):
        return None, ""
    stated = [e.confidence for e in (value, reference) if e.confidence is not None]
    if len(stated) < 2:
        return (stated[0], "") if stated else (None, "")
    first, second = (1.0 - c for c in stated)
    joint = max(0.0, 1.0 - first - second)
    return joint, f"both intervals hold at 1 - {first:.3g} - {second:.3g} = {joint:.4g}"


def _holds_zero(reference: Estimate) -> bool:
    low, high = reference.lower, reference.upper
    return low is not None and high is not None and low <= 0 <= high and not reference.exact


def _ratio_bounds(value: Estimate, reference: Estimate) -> tuple[float | None, float | None]:
    """Bounds of the quotient; None on a side that a missing bound leaves open."""
    if any(math.isnan(number) for number in (*value.numbers, *reference.numbers)):
        return math.nan, math.nan
    low, high = reference.lower, reference.upper
    if value.lower is None or value.upper is None or low is None or high is None:
        # Without the reference's lower bound not even its sign is known.
        positive = low is not None and low > 0
        least = most = None
        if positive and high is not None and value.lower is not None and value.lower >= 0:
            least = value.lower / high
        if positive and low is not None and value.upper is not None and value.upper >= 0:
            most = value.upper / low
        return least, most
    ends = [_quotient(top, bottom) for top in (value.lower, value.upper) for bottom in (low, high)]
    if _holds_zero(reference):
        return (min(ends), math.inf) if value.lower >= 0 and low >= 0 else (-math.inf, math.inf)
    return min(ends), max(ends)


def _quotient(top: float, bottom: float) -> float:
    """A quotient with the sign kept at infinity; 0/0 is 0 (nothing against nothing)."""
    if bottom:
        return top / bottom
    return math.nan if math.isnan(top) else math.copysign(math.inf, top) if top else 0.0
