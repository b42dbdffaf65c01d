"""From records to a result: pure functions of plan and records, usable on merged shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from faults.maps import stratum_name
from faults.plan import (
    CampaignResult,
    Estimate,
    FaultRecord,
    RatePlan,
    RateResult,
    StructureResult,
    UpsetPlan,
)
from faults.sites import Stratum, strata, without

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Run:
    """What is known of a campaign besides its records."""

    model: str
    format: str
    images: int
    accuracy_fault_free: float
    self_test: str
    notes: tuple[str, ...] = ()
    assumed: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """(kind, tensor) -> why it could not be injected: every upset there counts as an SDC."""


def summarise(
    plan: UpsetPlan | RatePlan, run: Run, records: Sequence[FaultRecord]
) -> CampaignResult:
    """Estimates over ``records`` (any subset of the plan's faults, in index order).

    Upsets that could not be injected (``run.assumed``) are assumed to be SDCs on every image, with
    no correct decision left. With a, the share of their targets in the exposure of a structure, and
    p, the estimate from the faults that were injected into the rest of it, the structure's
    P(SDC) is a * 1 + (1 - a) * p, and likewise for both bounds, which stay valid as a is known
    exactly. The overall estimate weights the structures by exposure.
    """
    ordered = tuple(sorted(records, key=lambda record: record.index))
    if isinstance(plan, UpsetPlan):
        return _upsets(plan, run, ordered)
    return _maps(plan, run, ordered)


def _upsets(plan: UpsetPlan, run: Run, records: tuple[FaultRecord, ...]) -> CampaignResult:
    from faults.stats import stratified_mean

    parts = strata(without(plan, run.assumed))
    exposed = {t.structure: 0 for t in plan.targets if t.exposure > 0}
    for target in plan.targets:
        if target.exposure > 0:
            exposed[target.structure] += target.exposure
    total = sum(exposed.values())
    sampled = {part.name: part for part in parts}
    grouped = {name: [r for r in records if r.stratum == name] for name in sampled}
    structures = tuple(
        _structure(plan, run, name, exposed[name] / total, sampled.get(name), grouped.get(name, []))
        for name in sorted(exposed)
        if name not in sampled or grouped[name]
    )
    reached = sum(part.exposure for part in parts)
    weights = [part.exposure / reached for part in parts]
    lost = (total - reached) / total
    rates = [[f(grouped[p.name]) for p in parts] for f in (_sdc, _correct)]
    sdc, correct = (stratified_mean(weights, values, plan.confidence) for values in rates)
    note = (
        f"intervals at {plan.confidence:g} over faults; the structures share the error "
        "(Bonferroni), so that all of their intervals hold together at that confidence"
    )
    return CampaignResult(
        model=run.model, format=run.format, images=run.images,
        accuracy_fault_free=run.accuracy_fault_free, faults=len(records),
        sdc=_mixed(sdc, lost, 1.0), accuracy=_mixed(correct, lost, 0.0),
        accuracy_worst=0.0 if lost else _worst(records),
        structures=structures, records=records, self_test=run.self_test,
        notes=(*run.notes, *_assumed_note(run.assumed, lost), note),
    )  # fmt: skip


def _structure(
    plan: UpsetPlan,
    run: Run,
    name: str,
    share: float,
    part: Stratum | None,
    records: Sequence[FaultRecord],
) -> StructureResult:
    """Outcome of one structure; ``part`` None: nothing in it could be injected."""
    mine = [t for t in plan.targets if t.structure == name and t.exposure > 0]
    assumed = [t for t in mine if (t.kind, t.tensor) in run.assumed]
    by_tensor = {t.tensor: (0, 1.0) for t in assumed} | _by_tensor(records)
    if part is None:
        certain = Estimate(1.0, 1.0, 1.0, plan.confidence, 0)
        return StructureResult(name, share, certain, 0.0, dict(sorted(by_tensor.items())))
    lost = sum(t.exposure for t in assumed) / sum(t.exposure for t in mine)
    structures = len(strata(without(plan, run.assumed)))
    measured = _shared(_sdc(records), plan.confidence, structures)
    masked = float(np.mean([r.outcome == "masked" for r in records]))
    return StructureResult(
        structure=name, share=share, sdc=_mixed(measured, lost, 1.0),
        masked=(1.0 - lost) * masked, by_tensor=dict(sorted(by_tensor.items())),
    )  # fmt: skip


def _mixed(measured: Estimate, lost: float, value: float) -> Estimate:
    """``measured`` for a share 1 - ``lost`` of the upsets, ``value`` for the others."""
    if not lost:
        return measured
    kept = 1.0 - lost
    return replace(
        measured,
        mean=lost * value + kept * measured.mean,
        lower=lost * value + kept * measured.lower,
        upper=lost * value + kept * measured.upper,
    )


def _assumed_note(assumed: Mapping[tuple[str, str], str], lost: float) -> tuple[str, ...]:
    """Names what could not be injected."""
    if not assumed:
        return ()
    groups: dict[tuple[str, str], list[str]] = {}
    for (kind, tensor), reason in assumed.items():
        groups.setdefault((kind, reason), []).append(tensor)
    named = "; ".join(
        f"{kind} of {', '.join(names)} ({reason})" for (kind, reason), names in groups.items()
    )
    return (
        f"{len(assumed)} targets, {lost:.3g} of all exposure, cannot be injected; every upset "
        f"there counts as a silent data corruption (P = 1): {named}",
    )


def _shared(values: NDArray[np.float64], confidence: float, strata: int) -> Estimate:
    """The estimate of one stratum among several whose intervals hold together at ``confidence``:
    an FMEDA that adds up their bounds is then right at that confidence (Bonferroni)."""
    from faults.stats import mean_estimate

    own = mean_estimate(values, 1.0 - (1.0 - confidence) / strata)
    return replace(own, confidence=confidence)


def _maps(plan: RatePlan, run: Run, records: tuple[FaultRecord, ...]) -> CampaignResult:
    from faults.stats import mean_estimate

    rates = []
    for rate in plan.rates:
        mine = [r for r in records if r.stratum == stratum_name(rate)]
        if mine:
            pairs = sum(r.images for r in mine)
            rates.append(
                RateResult(
                    rate=rate,
                    clip=plan.clip,
                    accuracy=mean_estimate(_correct(mine), plan.confidence),
                    accuracy_worst=float(_correct(mine).min()),
                    sdc=mean_estimate(_sdc(mine), plan.confidence),
                    nonfinite=sum(r.nonfinite for r in mine) / pairs,
                )
            )
    last = max(rates, key=lambda r: r.rate) if rates else None
    note = f"intervals at {plan.confidence:g} over fault maps, each rate by itself"
    return CampaignResult(
        model=run.model, format=run.format, images=run.images,
        accuracy_fault_free=run.accuracy_fault_free, faults=len(records),
        sdc=None, accuracy=last.accuracy if last else None,
        accuracy_worst=_worst(records), rates=tuple(rates), records=records,
        self_test=run.self_test,
        notes=(*run.notes, note, "an output with a NaN or infinite score is a wrong decision"),
    )  # fmt: skip


def _sdc(records: Sequence[FaultRecord]) -> NDArray[np.float64]:
    """Share of images with another top-1, per fault."""
    return np.array([r.sdc1 / r.images for r in records], np.float64)


def _correct(records: Sequence[FaultRecord]) -> NDArray[np.float64]:
    """Share of images classified correctly, per fault."""
    return np.array([r.correct / r.images for r in records], np.float64)


def _worst(records: Sequence[FaultRecord]) -> float | None:
    return float(_correct(records).min()) if records else None


def _by_tensor(records: Sequence[FaultRecord]) -> dict[str, tuple[int, float]]:
    """Tensor -> (faults, mean SDC-1 rate), by name."""
    names = sorted({r.tensor for r in records})
    rates = {name: _sdc([r for r in records if r.tensor == name]) for name in names}
    return {name: (len(rates[name]), float(rates[name].mean())) for name in names}
