"""Requirements against measured metrics, judged on the unfavourable confidence bound."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from accelsim.config.types import TargetConfig
from accelsim.errors import AccelsimError, Mistake
from accelsim.estimate import Estimate, ratio_of
from accelsim.metrics import Metrics
from accelsim.reference import References, check_references, lookup, require_metric
from accelsim.samples import sample_advice

__all__ = [
    "ASIL_LIMITS",
    "NOT_APPLICABLE",
    "OBSERVED",
    "Outcome",
    "Verdict",
    "check_references",
    "exit_code",
    "judge",
    "tally",
]


class Outcome(StrEnum):
    """Pass and fail are certain at the stated confidence; inconclusive is neither."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Verdict:
    """One requirement judged."""

    name: str
    """E.g. ``ASIL B: asil.spfm``, ``latency.seconds``, or ``latency.seconds / base``: a ratio."""
    metric: str
    variant: str
    """``base`` or a variant's name."""
    outcome: Outcome
    value: float | None
    """Point value (of the ratio, for a relative target)."""
    bound: float | None
    """The confidence bound that was judged; equals ``value`` for exact metrics, None where an
    estimate states no bound on that side."""
    relation: str
    """``>=``, ``<=``, ``<`` or ``in``."""
    limit: float
    limit_high: float | None
    unit: str
    detail: str
    """One sentence: what was compared, at which confidence, and what sample size would decide."""
    location: str
    """file:line:column of the target."""
    applicable: bool = True
    """False where there is nothing to measure: such a pass is not a requirement met."""

    @property
    def quantity(self) -> str:
        """What was compared with the limit: the metric, or its ratio to a reference."""
        return self.metric if self.name.startswith("ASIL ") else self.name

    @property
    def met(self) -> bool:
        """Whether the requirement applies and is met."""
        return self.outcome is Outcome.PASS and self.applicable

    @property
    def label(self) -> str:
        """The outcome for people: ``FAIL``, ``PASS (not applicable)``."""
        return (
            self.outcome.upper() if self.applicable else f"{self.outcome.upper()} (not applicable)"
        )


ASIL_LIMITS: dict[str, tuple[float, float, float]] = {
    "B": (0.90, 0.60, 100.0),
    "C": (0.97, 0.80, 100.0),
    "D": (0.99, 0.90, 10.0),
}
"""ASIL -> least SPFM, least LFM, PMHF limit of the item in FIT (ISO 26262-5 targets as public
guides quote them; the standard itself is not public)."""

NOT_APPLICABLE = "not applicable: no permanent multiple-point faults"

OBSERVED = {
    "accuracy.fault_free": "on the fixed evaluation set",
    "accuracy.worst": "worst of the faults tried, not a bound",
}
"""Metrics that tell what was seen, with a count but without an interval: judged as they are, and
the verdict says what they are."""


@dataclass(frozen=True)
class _Requirement:
    """One metric, one relation: what a target comes down to."""

    target: TargetConfig
    name: str
    metric: str
    relation: str
    low: float
    """Least allowed value; -inf for an upper limit."""
    high: float
    """Most allowed value (excluded for ``<``); inf for a lower limit."""


def judge(
    targets: Sequence[TargetConfig],
    metrics: Mapping[str, Metrics],
    references: References | None = None,
) -> tuple[Verdict, ...]:
    """Judge every target on its unfavourable confidence bound.

    A target passes if its unfavourable bound meets the limit, fails if even the favourable bound
    misses it, and is inconclusive otherwise, also where the bound that would decide is not stated.
    A metric without bounds, confidence and sample size is exact: its own bound (so are those in
    :data:`OBSERVED`). NaN never passes. An ``asil`` target becomes five verdicts, each at the
    confidence of its own metric; nothing is shared across targets.

    Args:
        targets: what to judge.
        metrics: ``base`` and variant names -> metrics of that run.
        references: what :func:`check_references` found for these targets before the run; None
            reads it now.

    Raises:
        AccelsimError: V601 a metric was not produced, V602 a reference file cannot be used; all
            of them at once, at their targets.
    """
    verdicts: list[Verdict] = []
    mistakes: list[Mistake] = []
    for target in targets:
        for requirement in _requirements(target):
            try:
                earlier = check_references([target]) if references is None else references
                verdicts.append(_judge_one(requirement, metrics, earlier))
            except AccelsimError as error:
                mistakes += [m for m in error.mistakes if m not in mistakes]
    if mistakes:
        raise AccelsimError(mistakes)
    return tuple(verdicts)


def exit_code(verdicts: Sequence[Verdict]) -> int:
    """0 when every verdict is a pass, else 1 (inconclusive is not a pass)."""
    return 0 if all(verdict.outcome is Outcome.PASS for verdict in verdicts) else 1


def tally(verdicts: Sequence[Verdict]) -> str:
    """``5 of 8 targets met, 1 not applicable, 2 not met``; what there is none of is left out."""
    met = sum(v.met for v in verdicts)
    counts = (
        (sum(not v.applicable for v in verdicts), "not applicable"),
        (sum(v.outcome is not Outcome.PASS for v in verdicts), "not met"),
    )
    parts = [f"{count} {words}" for count, words in counts if count]
    return ", ".join([f"{met} of {len(verdicts)} targets met", *parts])


def _requirements(target: TargetConfig) -> Iterator[_Requirement]:
    """A plain target is one requirement, an ASIL five."""
    inf = math.inf
    if target.asil is not None:
        spfm, lfm, pmhf = ASIL_LIMITS[target.asil]
        share = target.budget_share if target.budget_share is not None else 1.0
        for metric, least in (
            ("asil.spfm", spfm), ("asil.spfm_transient", spfm), ("asil.spfm_permanent", spfm),
            ("asil.lfm", lfm),
        ):  # fmt: skip
            name = f"ASIL {target.asil}: {metric}"
            yield _Requirement(target, name, metric, ">=", least, inf)
        name = f"ASIL {target.asil}: asil.pmhf_fit"
        yield _Requirement(target, name, "asil.pmhf_fit", "<", -inf, pmhf * share)
        return
    assert target.metric is not None, "checked when the config was read"
    name, reference = target.metric, target.relative_to
    if reference is not None:
        name += f" / {Path(reference).name if os.path.isabs(reference) else reference}"
    if target.between is not None:
        yield _Requirement(target, name, target.metric, "in", *target.between)
    elif target.at_most is not None:
        yield _Requirement(target, name, target.metric, "<=", -inf, target.at_most)
    else:
        assert target.at_least is not None, "checked when the config was read"
        yield _Requirement(target, name, target.metric, ">=", target.at_least, inf)


def _judge_one(
    requirement: _Requirement, metrics: Mapping[str, Metrics], references: References
) -> Verdict:
    target = requirement.target
    run = target.variant or "base"
    produced = metrics.get(run, {})
    if target.asil is not None and requirement.metric == "asil.lfm":
        found = lookup(produced, "asil.lfm")
        if (found is None or isinstance(found.value, str)) and "asil.pmhf_fit" in produced:
            return _not_applicable(requirement, run)
    estimate = _estimate(produced, requirement, run)
    if target.relative_to is not None:
        reference = _reference(target.relative_to, requirement, metrics, references)
        estimate = ratio_of(estimate, reference, _reference_name(target.relative_to))
    return _verdict(requirement, run, estimate)


def _not_applicable(requirement: _Requirement, run: str) -> Verdict:
    return Verdict(
        requirement.name, requirement.metric, run, Outcome.PASS, None, None, requirement.relation,
        requirement.low, None, "1", NOT_APPLICABLE, str(requirement.target.location), False,
    )  # fmt: skip


def _estimate(metrics: Metrics, requirement: _Requirement, run: str) -> Estimate:
    """The metric of one run as numbers.

    Raises:
        AccelsimError: V601, not produced or not a number.
    """
    name = requirement.metric
    found = require_metric(metrics, name, run, requirement.target)
    value, note = float(found.value), OBSERVED.get(name.partition("@")[0], "")
    stated = (found.lower, found.upper, found.confidence, None if note else found.n)
    lower, upper = (None if bound is None else float(bound) for bound in stated[:2])
    if all(part is None for part in stated):
        lower = upper = value
    return Estimate(value, lower, upper, found.unit, found.confidence, found.n, note)


def _reference_name(name: str) -> str:
    return Path(name).name if os.path.isabs(name) else f"'{name}'"


def _reference(
    name: str,
    requirement: _Requirement,
    metrics: Mapping[str, Metrics],
    references: References,
) -> Estimate:
    """What a relative target is compared with: another run of the study, or an earlier one."""
    if not os.path.isabs(name):
        return _estimate(metrics.get(name, {}), requirement, name)
    earlier = references[name, requirement.target.variant]
    return _estimate(earlier, requirement, name)


def _verdict(requirement: _Requirement, run: str, estimate: Estimate) -> Verdict:
    """Compare the interval with the limits."""
    low, high = requirement.low, requirement.high
    if any(math.isnan(number) for number in estimate.numbers):
        outcome = Outcome.FAIL
        bound: float | None = math.nan
    else:
        outcome = _outcome(estimate, low, high, strict=requirement.relation == "<")
        bound = _judged_bound(estimate, low, high)
    return Verdict(
        name=requirement.name,
        metric=requirement.metric,
        variant=run,
        outcome=outcome,
        value=_finite(estimate.value),
        bound=_finite(bound),
        relation=requirement.relation,
        limit=high if math.isinf(low) else low,
        limit_high=high if requirement.relation == "in" else None,
        unit=estimate.unit,
        detail=_detail(requirement, estimate, bound, outcome),
        location=str(requirement.target.location),
    )


def _outcome(estimate: Estimate, low: float, high: float, *, strict: bool) -> Outcome:
    """Pass only on stated unfavourable bounds, fail only on a stated favourable one."""
    lower, upper = estimate.lower, estimate.upper
    meets_low = low == -math.inf or (lower is not None and lower >= low)
    meets_high = high == math.inf or (
        upper is not None and (upper < high if strict else upper <= high)
    )
    if meets_low and meets_high:
        return Outcome.PASS
    misses_low = upper is not None and upper < low
    misses_high = lower is not None and (lower >= high if strict else lower > high)
    return Outcome.FAIL if misses_low or misses_high else Outcome.INCONCLUSIVE


def _judged_bound(estimate: Estimate, low: float, high: float) -> float | None:
    """The unfavourable bound: between two limits, the one that is nearer to missing its own."""
    lower, upper = estimate.lower, estimate.upper
    if math.isinf(high):
        return lower
    if math.isinf(low):
        return upper
    if lower is None or upper is None:
        return None
    return upper if upper - high >= low - lower else lower


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None


def _detail(
    requirement: _Requirement, estimate: Estimate, bound: float | None, outcome: Outcome
) -> str:
    """One sentence on what was compared."""
    if bound is not None and math.isnan(bound):
        return "the value is not a number (NaN), which never passes"
    low, high, relation = requirement.low, requirement.high, requirement.relation
    unit = f" {estimate.unit}" if estimate.unit not in ("", "1") else ""
    wanted = f"in [{low:g}, {high:g}]" if relation == "in" else ""
    wanted = wanted or f"{relation} {high if math.isinf(low) else low:g}"
    if estimate.exact:
        text = f"{estimate.value:.6g}{unit} against {wanted}{unit}"
    elif bound is None:
        text = f"an estimate of {estimate.value:.6g}{unit} against {wanted}{unit}"
    else:
        side = "upper" if bound == estimate.upper else "lower"
        sure = f" at {estimate.confidence:.4g} confidence" if estimate.confidence else ""
        text = f"{side} bound {bound:.6g}{unit}{sure} (value {estimate.value:.6g}) against {wanted}"
        text += unit
    if estimate.note:
        text += f"; {estimate.note}"
    if outcome is Outcome.INCONCLUSIVE:
        text += f"; inconclusive: {_what_decides(estimate, low, high)}"
    return text


def _what_decides(estimate: Estimate, low: float, high: float) -> str:
    """What would decide: a bound that is missing, or a sample size."""
    if estimate.lower is None or estimate.upper is None:
        missing = [
            side for side, b in (("lower", estimate.lower), ("upper", estimate.upper)) if b is None
        ]
        what = "no bound is stated" if len(missing) == 2 else f"no {missing[0]} bound is stated"
        return f"{what}, and a point value decides nothing"
    if math.isinf(estimate.lower) or math.isinf(estimate.upper):
        return "the interval has no end" + (
            " until samples of the reference take 0 out of its own" if estimate.ratio else ""
        )
    gaps = [
        (estimate.value - estimate.lower if limit < estimate.value
         else estimate.upper - estimate.value, abs(limit - estimate.value))
        for limit in (low, high)
        if estimate.lower <= limit <= estimate.upper
    ]  # fmt: skip
    share = estimate.unit == "1" and 0.0 <= estimate.value <= 1.0 and not estimate.ratio
    return sample_advice(gaps, estimate.n, estimate.value if share else None)
