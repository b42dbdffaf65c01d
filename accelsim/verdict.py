"""Requirements against measured metrics, judged on the unfavourable confidence bound."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """Pass and fail are certain at the stated confidence; inconclusive is neither."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Verdict:
    """One requirement judged."""

    name: str
    """E.g. ``ASIL B: asil.spfm`` or ``latency.seconds``."""
    metric: str
    variant: str
    """``base`` or a variant's name."""
    outcome: Outcome
    value: float | None
    """Point value (of the ratio, for a relative target)."""
    bound: float | None
    """The confidence bound that was judged; equals ``value`` for exact metrics."""
    relation: str
    """``>=``, ``<=``, ``<`` or ``in``."""
    limit: float
    limit_high: float | None
    unit: str
    detail: str
    """One sentence: what was compared, at which confidence, and what sample size would decide."""
    location: str
    """file:line:column of the target."""
